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

from marketenv.core import rounds
from marketenv.core.ledger import net
from marketenv.core.market import agent_names
from marketenv.envs.agent_by_agent import aec
from marketenv.envs.parallel import MarketParallelEnv

MAX_STEPS = 1000
# of PettingZoo's api_test, which a market of unlike roles or with a grid of several actions cannot
# follow
ADVICE = (
    "Observations are different shapes",
    "Observation numpy array is all zeros",  # outside one's stages
    "Agents have different observation space sizes",
    "Agents have different action space sizes",
    (
        "Action space for each agent probably should be gymnasium.spaces.box or"
        " gymnasium.spaces.discrete"
    ),
)


def check_market_env(env: MarketParallelEnv, seed: int = 0) -> tuple[str, ...]:
    """Run every check of ``CHECKS`` on fresh copies of a parallel market and return their names.

    env: a picklable parallel market; it is left as it was. Raises AssertionError that says what is
        broken.
    """
    blueprint = pickle.dumps(env)
    for check in CHECKS.values():
        check(lambda: pickle.loads(blueprint), seed)
    return tuple(CHECKS)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _actions(env: MarketParallelEnv, draw: np.random.Generator) -> dict[str, Any]:
    """Random actions from a generator of their own, so that two copies can be given the same
    ones.
    """
    for agent in env.agents:
        env.action_space(agent).seed(int(draw.integers(2**31)))
    return {agent: env.action_space(agent).sample() for agent in env.agents}


def _episode(
    env: MarketParallelEnv, seed: int, drawn: int | None = None
) -> Iterator[tuple[Any, ...]]:
    """Play one whole episode with random actions, seeded by ``drawn`` or the seed; yields what
    reset and each step returned.
    """
    draw = np.random.default_rng(seed if drawn is None else drawn)
    yield env.reset(seed=seed)
    for _ in range(MAX_STEPS):
        if not env.agents:
            return
        yield env.step(_actions(env, draw))
    raise AssertionError(
        f"the episode has not ended after {MAX_STEPS} steps; agents must become [] at the horizon."
    )


def _same(a: Any, b: Any) -> bool:
    """Equal to the bit, types and dtypes too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return (
        a.dtype == b.dtype and np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)
    )


def check_suites(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """PettingZoo's own parallel, AEC and seed suites pass without a warning beyond ``ADVICE``."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for advice in ADVICE:
            warnings.filterwarnings("ignore", advice, UserWarning)
        parallel_api_test(make(), num_cycles=20)
        api_test(aec(make()), num_cycles=20)
        seed_test(lambda: aec(make()), num_cycles=20)


def check_determinism(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """Two copies with one seed agree to the bit over a whole episode, and another seed differs."""
    first, second = list(_episode(make(), seed)), list(_episode(make(), seed))
    _require(
        len(first) == len(second),
        "two episodes of one seed have different lengths: hidden randomness decides the end.",
    )
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        _require(
            _same(a, b),
            f"two episodes of seed {seed} part at step {k}: a draw is not keyed by the seed.",
        )
    other = list(_episode(make(), seed + 1, seed))
    same = len(first) == len(other) and all(_same(a, b) for a, b in zip(first, other, strict=True))
    _require(
        not same, "another seed and the same actions give the same episode: the seed is not used."
    )


def check_bounds(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """Observations lie in their Box with its dtype; rewards are finite floats, flags are bools,
    the state fits its space.
    """
    env = make()
    for k, result in enumerate(_episode(env, seed)):
        for agent, seen in result[0].items():
            space = env.observation_space(agent)
            _require(
                seen.dtype == space.dtype and space.contains(seen),
                f"step {k}: observation of {agent} lies outside its space or has dtype"
                f" {seen.dtype}, wanted {space}.",
            )
        _require(
            env.state_space.contains(env.state()), f"step {k}: state() lies outside state_space."
        )
        if len(result) == 2:
            continue
        _, rewards, terminated, truncated, _ = result
        fine = all(type(r) is float and np.isfinite(r) for r in rewards.values())
        _require(fine, f"step {k}: rewards are {rewards}, wanted finite Python floats.")
        flags = [*terminated.values(), *truncated.values()]
        _require(
            all(type(f) is bool for f in flags),
            f"step {k}: terminations and truncations must be Python bools.",
        )


def check_fresh_objects(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """Writing into what was returned changes nothing later."""
    spoiled, clean = make(), make()
    for k, (mine, theirs) in enumerate(
        zip(_episode(spoiled, seed), _episode(clean, seed), strict=True)
    ):
        _require(
            _same(mine, theirs),
            f"step {k}: results changed after the caller wrote into earlier ones: return copies.",
        )
        for seen in mine[0].values():
            seen[...] = -7.0
        mine[-1]["__all__"] = {}
        for info in mine[-1].values():
            info.clear()
        kept = np.array_equal(spoiled.state(), clean.state())
        _require(
            kept,
            f"step {k}: state() changed after the caller wrote into what was returned: return"
            " copies.",
        )


def check_infos(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """Infos hold the same numeric keys at reset and after every step."""
    keys: tuple[str, ...] | None = None
    for k, result in enumerate(_episode(make(), seed)):
        for agent, info in result[-1].items():
            keys = tuple(info) if keys is None else keys
            _require(
                tuple(info) == keys,
                f"step {k}: info keys of {agent} are {tuple(info)}, were {keys}.",
            )
            numeric = all(type(value) in (int, float) for value in info.values())
            _require(
                numeric,
                f"step {k}: info of {agent} holds something that is no Python number: {info}.",
            )


def check_conservation(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """Transfers are finite and >= 0, nobody pays itself, and all cash together stays what it
    was.
    """
    env, last = make(), None
    for k, result in enumerate(_episode(env, seed)):
        if k == 0:
            before = _cash(env)
            continue
        # in the middle of a round the report is still the former one
        finished, last = env.report is not last, env.report
        rewards = torch.tensor(list(result[1].values()), dtype=torch.float64)
        wanted = (
            torch.zeros_like(rewards) if last is None or not finished else last.rewards[0].cpu()
        )
        told = (
            f"step {k}: rewards {rewards.tolist()} are not those of the report {wanted.tolist()} (0"
            " inside a round)."
        )
        _require(bool(torch.equal(rewards, wanted)), told)
        if last is not None:
            transfers = last.transfers
            fine = bool((transfers.isfinite() & (transfers >= 0)).all()) and not bool(
                transfers.diagonal(0, 1, 2).any()
            )
            _require(
                fine, f"step {k}: a transfer is negative, not finite, or from an agent to itself."
            )
            scale = 1e-9 * (1 + float(transfers.sum()))
            _require(
                float(net(transfers).sum().abs()) <= scale,
                f"step {k}: payments and receipts differ.",
            )
        after = _cash(env)
        _require(
            abs(after - before) <= 1e-9 * (1 + abs(before)),
            f"step {k}: all cash together went from {before} to {after}.",
        )


def _cash(env: MarketParallelEnv) -> float:
    """All cash of the market's agents and accounts; 0 where somebody's is unlimited."""
    cash = env.situation.floor.ledger.cash
    return float(cash.sum()) if bool(cash.isfinite().all()) else 0.0


def check_resume(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """An episode that is saved after its first step and loaded elsewhere goes on to the bit;
    damaged files are refused.
    """
    env, other, draw = make(), make(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.safetensors"
        env.reset(seed=seed)
        first = _actions(env, draw)
        if env.market.horizon * len(env.market.stages) > 1:
            env.step(first)
        env.save(path)
        other.load(path)
        for k in range(MAX_STEPS):
            if not env.agents:
                break
            actions = _actions(env, draw)
            _require(
                _same(env.step(actions), other.step(actions)),
                f"step {k} after resuming differs: state is missing from the file.",
            )
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        _require(
            _refuses(lambda: other.load(path), ValueError),
            "a file with a flipped bit was loaded without a ValueError.",
        )
        path.write_bytes(whole[:-9])
        _require(
            _refuses(lambda: other.load(path), ValueError),
            "a damaged file was loaded without a ValueError.",
        )


def check_bad_input(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """NaN, out-of-bounds and missing actions raise ValueError and change nothing."""
    env, clean = make(), make()
    env.reset(seed=seed)
    clean.reset(seed=seed)
    actions = _actions(env, np.random.default_rng(seed))
    agent = env.movers[-1]
    shape = np.shape(actions[agent])
    bad: tuple[Any, ...] = (
        np.full(shape, np.nan),
        np.full(shape, 1e3),
        np.zeros((*shape, 5)),
        "buy",
    )
    for value in bad:
        refused = _refuses(lambda value=value: env.step(actions | {agent: value}), ValueError)  # type: ignore[misc]
        _require(refused, f"the action {value!r} of {agent} was not refused with a ValueError.")
    missing = {a: v for a, v in actions.items() if a != agent}
    _require(
        _refuses(lambda: env.step(missing), ValueError),
        "a missing action was not refused with a ValueError.",
    )
    _require(_same(env.step(actions), clean.step(actions)), "a refused action changed the market.")


def check_policies(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """The market's own policies, truthful and random among them, act inside the box in every
    stage of a round.
    """
    market = make().market
    for name, policy in market.policies.items():
        now, report, policies = (
            rounds.begin(market, torch.tensor([seed])),
            None,
            dict.fromkeys(agent_names(market), policy),
        )
        while report is None:
            stage = rounds.stage_of(market, now).name
            try:
                actions = rounds.act(market, policies, now)
            except (ValueError, NotImplementedError) as error:
                raise AssertionError(
                    f"stage {stage!r}: the policy {name!r} gives no action inside the box: {error}"
                ) from error
            now, report = rounds.advance(market, now, actions)


def check_batches(make: Callable[[], MarketParallelEnv], seed: int) -> None:
    """A market sees in a batch of three what it sees alone, to 1e-5: every draw goes by the
    market's own seed.
    """
    market, last = make().market, slice(2, 3)  # the batch's third market
    seeds = torch.arange(seed, seed + 3)
    many, one, report = rounds.begin(market, seeds), rounds.begin(market, seeds[last]), None
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    while many.playing and one.playing:
        seen, alone = rounds.observe(market, many), rounds.observe(market, one)
        for role in seen:
            same = torch.allclose(seen[role][last], alone[role], rtol=1e-5, atol=1e-5)
            told = (
                f"the last of three markets shows each {role} {seen[role][last].tolist()}, alone"
                f" {alone[role].tolist()}"
            )
            _require(
                same, f"{told}: a phase mixes markets, or draws for all by the first one's seed."
            )
        if report is not None:
            return
        actions = rounds.act(market, policies, many)
        many, report = rounds.advance(market, many, actions)
        one, _ = rounds.advance(market, one, {role: given[last] for role, given in actions.items()})


def _refuses(call: Callable[[], Any], error: type[Exception]) -> bool:
    try:
        call()
    except error:
        return True
    return False


CHECKS: dict[str, Callable[[Callable[[], MarketParallelEnv], int], None]] = {
    "suites": check_suites,
    "determinism": check_determinism,
    "bounds": check_bounds,
    "fresh_objects": check_fresh_objects,
    "infos": check_infos,
    "conservation": check_conservation,
    "resume": check_resume,
    "bad_input": check_bad_input,
    "policies": check_policies,
    "batches": check_batches,
}
