"""Check that a market keeps every promise of this library: use it on your own.

>>> from marketenv import reference_v0
>>> checks = check_market_env(reference_v0.parallel_env())
>>> "conservation" in checks
True
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pettingzoo.test import api_test, parallel_api_test, seed_test
from torch import Tensor

from marketenv.core import contract, generators, rounds
from marketenv.core.fields import Field
from marketenv.core.ledger import net
from marketenv.core.market import agent_names
from marketenv.envs.agent_by_agent import aec
from marketenv.envs.parallel import MarketParallelEnv

MAX_STEPS = 1000
# warnings of PettingZoo's api_test that markets with unlike roles or grids of several actions get
ADVICE = (
    "Observations are different shapes",
    "Observation numpy array is all zeros",  # outside the agent's stages
    "Agents have different observation space sizes",
    "Agents have different action space sizes",
    "Action space for each agent probably should be gymnasium.spaces.box",
)
Make = Callable[[], MarketParallelEnv]


def check_market_env(env: MarketParallelEnv, seed: int = 0) -> tuple[str, ...]:
    """Run every check of ``CHECKS`` on fresh copies of a parallel market and return their names.

    env: a picklable parallel market, which stays as it is. Raises AssertionError for a fault.
    """
    blueprint = pickle.dumps(env)
    for check in CHECKS.values():
        check(lambda: pickle.loads(blueprint), seed)
    return tuple(CHECKS)


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise AssertionError(fault)


def _actions(env: MarketParallelEnv, draw: np.random.Generator) -> dict[str, Any]:
    """Random actions from a generator of their own, so that two copies can get the same ones."""
    for agent in env.agents:
        env.action_space(agent).seed(int(draw.integers(2**31)))
    return {agent: env.action_space(agent).sample() for agent in env.agents}


def _episode(
    env: MarketParallelEnv, seed: int, action_seed: int | None = None
) -> Iterator[tuple[Any, ...]]:
    """Play one episode with random actions (of another seed); yields all results of the market."""
    draw = np.random.default_rng(seed if action_seed is None else action_seed)
    yield env.reset(seed=seed)
    for _ in range(MAX_STEPS):
        if not env.agents:
            return
        yield env.step(_actions(env, draw))
    fault = f"the episode has not ended after {MAX_STEPS} steps"
    raise AssertionError(f"{fault}; agents must become [] at the horizon.")


def _same(a: Any, b: Any) -> bool:
    """Equal to the bit, types and dtypes too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def check_suites(make: Make, seed: int) -> None:
    """PettingZoo's own parallel, AEC and seed suites pass without a warning beyond ``ADVICE``."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for advice in ADVICE:
            warnings.filterwarnings("ignore", advice, UserWarning)
        parallel_api_test(make(), num_cycles=20)
        api_test(aec(make()), num_cycles=20)
        seed_test(lambda: aec(make()), num_cycles=20)


def check_determinism(make: Make, seed: int) -> None:
    """Two copies with one seed agree to the bit, another seed differs, shared generators stay."""
    first, second = (list(_episode(make(), seed)) for _ in range(2))
    fault = "two episodes of one seed have different lengths: hidden randomness decides the end."
    _require(len(first) == len(second), fault)
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        fault = f"two episodes of seed {seed} part at step {k}: a draw is not keyed by the seed."
        _require(_same(a, b), fault)
    before, other = generators.states(), list(_episode(make(), seed + 1, seed))
    moved = ", ".join(generators.moved(before))
    _require(not moved, f"an episode moves {moved}, which the process shares: draw by the seed.")
    fault = "another seed and the same actions give the same episode: the seed is not used."
    _require(not _same(tuple(first), tuple(other)), fault)


def check_bounds(make: Make, seed: int) -> None:
    """Observations and state lie in their spaces; rewards are finite floats, flags are bools."""
    env = make()
    for k, result in enumerate(_episode(env, seed)):
        for agent, observation in result[0].items():
            space, dtype = env.observation_space(agent), observation.dtype
            fault = f"observation of {agent} lies outside its space or has dtype {dtype}"
            inside = dtype == space.dtype and space.contains(observation)
            _require(inside, f"step {k}: {fault}, wanted {space}.")
        inside = env.state_space.contains(env.state())
        _require(inside, f"step {k}: state() lies outside state_space.")
        if len(result) == 2:
            continue
        _, rewards, terminated, truncated, _ = result
        fine = all(type(reward) is float and np.isfinite(reward) for reward in rewards.values())
        _require(fine, f"step {k}: rewards are {rewards}, wanted finite Python floats.")
        fine = all(type(flag) is bool for flag in (*terminated.values(), *truncated.values()))
        _require(fine, f"step {k}: terminations and truncations must be Python bools.")


def check_fields(make: Make, seed: int) -> None:
    """Phases show numbers inside the bounds of their fields: others would be clipped unseen."""
    market = make().market
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    now = rounds.begin(market, torch.arange(seed, seed + 8))
    for _ in range(MAX_STEPS):
        if not now.playing:
            return
        phase, stage = market.phases[now.at], rounds.stage_of(market, now)
        observations = rounds.observe(market, now)  # refuses fields of other names and shapes
        inputs = contract.handed(phase, now.floor, now.owns[phase.name], now.quotes)
        shown = phase.show(*inputs)
        for role, move in stage.moves.items():
            for field in move.observation.items:
                _check_field(field, shown[role][field.name], f"stage {stage.name!r} shows {role}")
        actions = rounds.act(market, policies, now, observations=observations)
        now, _ = rounds.advance(market, now, actions)


def _check_field(field: Field, values: Tensor, subject: str) -> None:
    """Refuse numbers outside a field's bounds, beyond what float32 rounds."""
    ends = ((values.min(), field.low, -1.0), (values.max(), field.high, 1.0))
    for value, end, outwards in ends:
        _require(
            outwards * (float(value) - end) <= 1e-6 * max(1.0, abs(end)),
            f"{subject} {value:g} as {field.name!r}, outside [{field.low:g}, {field.high:g}]: it"
            " reaches them clipped; declare wider bounds.",
        )


def check_fresh_objects(make: Make, seed: int) -> None:
    """A caller that writes into results changes nothing later."""
    spoiled, clean = make(), make()
    pairs = zip(_episode(spoiled, seed), _episode(clean, seed), strict=True)
    for k, (mine, theirs) in enumerate(pairs):
        fault = "results changed after the caller wrote into earlier ones: return copies."
        _require(_same(mine, theirs), f"step {k}: {fault}")
        for observation in mine[0].values():
            observation[...] = -7.0
        mine[-1]["__all__"] = {}
        for info in mine[-1].values():
            info.clear()
        fault = f"step {k}: state() changed after the caller wrote into results: return copies."
        _require(np.array_equal(spoiled.state(), clean.state()), fault)


def check_infos(make: Make, seed: int) -> None:
    """Infos hold the same numeric keys at reset and after every step."""
    first: tuple[str, ...] | None = None
    for k, result in enumerate(_episode(make(), seed)):
        for agent, info in result[-1].items():
            keys = tuple(info)
            first = keys if first is None else first
            _require(keys == first, f"step {k}: info keys of {agent} are {keys}, were {first}.")
            numeric = all(type(value) in (int, float) for value in info.values())
            fault = f"info of {agent} has a value that is no Python number: {info}."
            _require(numeric, f"step {k}: {fault}")


def check_conservation(make: Make, seed: int) -> None:
    """Transfers are finite and >= 0, nobody pays itself, and the sum of all cash is constant."""
    env, last, before = make(), None, 0.0
    for k, result in enumerate(_episode(env, seed)):
        if k == 0:
            before = _cash(env)
            continue
        # in the middle of a round the report is still the former one
        ended, last = env.report is not last, env.report
        rewards = torch.tensor(list(result[1].values()), dtype=torch.float64)
        wanted = last.rewards[0].cpu() if last is not None and ended else torch.zeros_like(rewards)
        fault = f"rewards {rewards.tolist()} are not those of the report {wanted.tolist()}"
        _require(torch.equal(rewards, wanted), f"step {k}: {fault} (0 inside a round).")
        if last is not None:
            _check_transfers(last.transfers, k)
        after, slack = _cash(env), 1e-9 * (1 + abs(before))
        fault = f"all cash together went from {before} to {after}."
        _require(abs(after - before) <= slack, f"step {k}: {fault}")


def _check_transfers(transfers: Tensor, step: int) -> None:
    """Refuse negative and infinite transfers, payments to oneself, and money that is lost."""
    fine = (transfers.isfinite() & (transfers >= 0)).all() & ~transfers.diagonal(0, 1, 2).any()
    fault = "a transfer is negative, not finite, or from an agent to itself."
    _require(bool(fine), f"step {step}: {fault}")
    balanced = float(net(transfers).sum().abs()) <= 1e-9 * (1 + float(transfers.sum()))
    _require(balanced, f"step {step}: money paid and money received differ.")


def _cash(env: MarketParallelEnv) -> float:
    """All cash of the market's agents and accounts; 0 where somebody's is unlimited."""
    cash = env.situation.floor.ledger.cash
    return float(cash.sum()) if bool(cash.isfinite().all()) else 0.0


def check_resume(make: Make, seed: int) -> None:
    """An episode goes on to the bit from a file after its first step; damaged files are refused."""
    env, other, draw = make(), make(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.safetensors"
        env.reset(seed=seed)
        if env.market.horizon * len(env.market.stages) > 1:
            env.step(_actions(env, draw))
        env.save(path)
        other.load(path)
        for k in range(MAX_STEPS):
            if not env.agents:
                break
            actions = _actions(env, draw)
            fault = f"step {k} after resuming differs: state is missing from the file."
            _require(_same(env.step(actions), other.step(actions)), fault)
        content = path.read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        for bad, word in ((flipped, "a file with a flipped bit"), (content[:-9], "a damaged file")):
            path.write_bytes(bad)
            fault = f"{word} was loaded without a ValueError."
            _require(_refuses(lambda: other.load(path)), fault)


def check_bad_input(make: Make, seed: int) -> None:
    """NaN, out-of-bounds and missing actions raise ValueError and change nothing."""
    env, clean = make(), make()
    env.reset(seed=seed)
    clean.reset(seed=seed)
    actions = _actions(env, np.random.default_rng(seed))
    agent, shape = env.movers[-1], np.shape(actions[env.movers[-1]])
    bad: list[Any] = [np.full(shape, np.nan), np.full(shape, 1e3), np.zeros((*shape, 5)), "buy"]
    for value in bad:
        wrong = actions | {agent: value}
        fault = f"the action {value!r} of {agent} was not refused with a ValueError."
        _require(_refuses(lambda wrong=wrong: env.step(wrong)), fault)  # type: ignore[misc]
    fewer = {name: action for name, action in actions.items() if name != agent}
    refused = _refuses(lambda: env.step(fewer))
    _require(refused, "a missing action was not refused with a ValueError.")
    _require(_same(env.step(actions), clean.step(actions)), "a refused action changed the market.")


def check_policies(make: Make, seed: int) -> None:
    """The market's own policies, such as truthful and random, act inside the box in every stage."""
    market = make().market
    for name, policy in market.policies.items():
        policies = dict.fromkeys(agent_names(market), policy)
        now, report = rounds.begin(market, torch.tensor([seed])), None
        while report is None:
            try:
                actions = rounds.act(market, policies, now)
            except (ValueError, NotImplementedError) as error:
                fault = f"the policy {name!r} gives no action inside the box: {error}"
                stage = rounds.stage_of(market, now).name
                raise AssertionError(f"stage {stage!r}: {fault}") from error
            now, report = rounds.advance(market, now, actions)


def check_batches(make: Make, seed: int) -> None:
    """A market sees the same in a batch of three and alone, to 1e-5: its draws go by its seed."""
    market, last = make().market, slice(2, 3)  # the batch's third market
    seeds = torch.arange(seed, seed + 3)
    many, one, report = rounds.begin(market, seeds), rounds.begin(market, seeds[last]), None
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    while many.playing and one.playing:
        together, alone = rounds.observe(market, many), rounds.observe(market, one)
        for role in together:
            third, single = together[role][last], alone[role]
            shown = f"the last of three markets shows each {role} {third.tolist()}"
            cause = "a phase mixes markets, or draws for all by the first one's seed."
            same = torch.allclose(third, single, rtol=1e-5, atol=1e-5)
            _require(same, f"{shown}, alone {single.tolist()}: {cause}")
        if report is not None:
            return
        actions = rounds.act(market, policies, many)
        many, report = rounds.advance(market, many, actions)
        one, _ = rounds.advance(market, one, {role: rows[last] for role, rows in actions.items()})


def _refuses(call: Callable[[], Any]) -> bool:
    with contextlib.suppress(ValueError):
        call()
        return False
    return True


CHECKS: dict[str, Callable[[Make, int], None]] = {
    "suites": check_suites,
    "determinism": check_determinism,
    "bounds": check_bounds,
    "fields": check_fields,
    "fresh_objects": check_fresh_objects,
    "infos": check_infos,
    "conservation": check_conservation,
    "resume": check_resume,
    "bad_input": check_bad_input,
    "policies": check_policies,
    "batches": check_batches,
}
