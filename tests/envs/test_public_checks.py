"""``marketenv.testing`` must bite: for every check a market that breaks its promise, and no
other.
"""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from env_cases import auctions
from gymnasium.spaces import Box

from marketenv import make_market
from marketenv.core import contract, ledger
from marketenv.core.ledger import Flow
from marketenv.envs import MarketParallelEnv
from marketenv.markets.reference import Auction
from marketenv.testing import CHECKS, check_market_env


class Env(MarketParallelEnv):
    """A sound environment of three rounds; the broken ones below change one thing each."""

    phase = Auction

    def __init__(self):
        super().__init__(auctions(self.phase, game="first_price", max_cycles=3), "broken_v0")


class NewSpaces(Env):
    """A space that is another object on every call, which PettingZoo's suite forbids."""

    def observation_space(self, agent):
        return copy.deepcopy(super().observation_space(agent))


class BlindToSeeds(Auction):
    """Every seed draws the same types."""

    def quote(self, floor, own):
        return super().quote(dataclasses.replace(floor, seeds=torch.zeros_like(floor.seeds)), own)


class UsesNoSeed(Env):
    phase = BlindToSeeds


class GlobalRandomness(Env):
    """Rewards that follow a generator which all copies share."""

    draw = np.random.default_rng(0)

    def results(self, turn):
        seen, rewards, *rest = super().results(turn)
        return seen, {a: r + float(self.draw.random()) for a, r in rewards.items()}, *rest


class MovesSharedGenerators(Env):
    """Results that follow the seed alone, but a draw that other code of the process would get."""

    def results(self, turn):
        torch.rand(1)
        np.random.rand()
        return super().results(turn)


class ForgetsRounds(Env):
    """Episodes whose length depends on how many were played."""

    played = 0

    def reset(self, seed=None, options=None):
        type(self).played += 1
        return super().reset(seed, options)

    def results(self, turn):
        result = super().results(turn)
        self.agents = self.agents if type(self).played % 2 else []
        return result


class OutsideState(Env):
    """A state() that leaves its space."""

    def state(self):
        return super().state() + 1000.0


class NumpyRewards(Env):
    """Rewards that are NumPy scalars: equal in value, refused by RLlib's type checks."""

    def results(self, turn):
        seen, rewards, *rest = super().results(turn)
        return seen, {a: np.float64(r) for a, r in rewards.items()}, *rest


class WideObservations(Env):
    """Observations beyond their Box."""

    def _see(self, seen):
        return super()._see({role: values + 7.0 for role, values in seen.items()})


class NumpyFlags(Env):
    """Flags that are NumPy bools."""

    def results(self, turn):
        seen, rewards, terminated, truncated, infos = super().results(turn)
        return seen, rewards, terminated, {a: np.bool_(t) for a, t in truncated.items()}, infos


class SharedObservations(Env):
    """Observations that are the environment's own arrays."""

    def _see(self, seen):
        super()._see(seen)
        return dict(self._observations)


class SharedInfos(Env):
    """Infos that are kept and handed out again."""

    def _infos(self, agents):
        self.kept = getattr(self, "kept", None) or super()._infos(self.possible_agents)
        return self.kept


class LateInfo(Env):
    """A key that appears after the first step."""

    def _infos(self, agents):
        more = {} if self.report is None else {"late": 1.0}
        return {a: info | more for a, info in super()._infos(agents).items()}


class WordyInfo(Env):
    """An info that is no number."""

    def _infos(self, agents):
        return {a: info | {"reason": "bought"} for a, info in super()._infos(agents).items()}


class SelfPayingAuction(Auction):
    """The first buyer pays itself, which changes nobody's net."""

    def act(self, floor, own, quotes, actions):
        floor, own, outcome = super().act(floor, own, quotes, actions)
        money = torch.eye(2, dtype=torch.float64).expand(len(quotes), -1, -1)
        return floor.pay("change", "buyer", "buyer", money), own, outcome


class SelfPaying(Env):
    phase = SelfPayingAuction


class NegativePayment(Env):
    """A report that says -1 where 1 was paid the other way."""

    @property
    def report(self):
        told = super().report
        if told is None:
            return None
        flows = {
            name: Flow(flow.payee, flow.payer, -flow.money.mT) for name, flow in told.flows.items()
        }
        return dataclasses.replace(told, flows=flows)


class OtherRewards(Env):
    """Rewards that are not those of the report."""

    def results(self, turn):
        seen, rewards, *rest = super().results(turn)
        return seen, {a: r + 1.0 for a, r in rewards.items()}, *rest


class MintingAuction(Auction):
    """The cash of either buyer grows by 1/2 a round."""

    def act(self, floor, own, quotes, actions):
        floor, own, outcome = super().act(floor, own, quotes, actions)
        cash = floor.ledger.cash.clone()
        cash[:, floor.where("buyer")] += 0.5
        return (
            dataclasses.replace(floor, ledger=dataclasses.replace(floor.ledger, cash=cash)),
            own,
            outcome,
        )


class Minting(Env):
    phase = MintingAuction


class ForgetfulAuction(Auction):
    """A count outside the phase's memory, which a saved file does not hold."""

    def begin(self, floor):
        self.count = 0
        return super().begin(floor)

    def act(self, floor, own, quotes, actions):
        self.count += 1
        floor, own, outcome = super().act(floor, own, quotes, actions)
        return (
            floor.term("luck", "buyer", torch.full_like(quotes[:, :-1], self.count)),
            own,
            outcome,
        )


class HiddenMemory(Env):
    phase = ForgetfulAuction


class LoadsAnything(Env):
    """A damaged file is passed over in silence."""

    def load(self, path):
        try:
            return super().load(path)
        except ValueError as error:
            if "cannot read" in str(error):  # cut short; a flipped bit is noticed
                return {}, {}
            raise


class ClipsInSilence(Env):
    """Whatever comes is forced into the box."""

    def step(self, actions):
        try:
            return super().step(actions)
        except ValueError:
            return super().step({agent: np.zeros(1, np.float32) for agent in self.agents})


class HalfAStep(Env):
    """A refused step has already begun the next episode."""

    def step(self, actions):
        try:
            return super().step(actions)
        except ValueError:
            super().reset()
            raise


class MissingIsZero(Env):
    """Who says nothing is taken to have said 0."""

    def step(self, actions):
        return super().step({a: np.zeros(1, dtype=np.float32) for a in self.agents} | actions)


class WildAuction(Auction):
    """Truth that lies outside the box."""

    def truthful(self, observation, move, keys):
        return super().truthful(observation, move, keys) + 3.0


class WildTruth(Env):
    phase = WildAuction


class FirstMarketsAuction(Auction):
    """Every market of a batch draws the types of the first one."""

    def quote(self, floor, own):
        return super().quote(
            dataclasses.replace(floor, seeds=floor.seeds[:1].expand_as(floor.seeds).clone()), own
        )


class FirstMarketsTypes(Env):
    phase = FirstMarketsAuction


class WideAuction(Auction):
    """Types that are shown in cents, in a field of money."""

    def show(self, floor, own, quotes):
        shown = super().show(floor, own, quotes)
        return {role: fields | {"type": 100 * fields["type"]} for role, fields in shown.items()}


class ShownInCents(Env):
    phase = WideAuction


class DebtAuction(Auction):
    """Types that are shown half a unit below a field from 0 to a million."""

    def show(self, floor, own, quotes):
        shown = super().show(floor, own, quotes)
        return {role: fields | {"type": 0 * fields["type"] - 0.5} for role, fields in shown.items()}


class ShownBelow(Env):
    def __init__(self):
        market = auctions(DebtAuction, game="first_price", max_cycles=3, values=(0.0, 1e6))
        MarketParallelEnv.__init__(self, market, "broken_v0")


BROKEN = {  # check: (a market that breaks this promise alone, the words of the refusal)
    "suites": (NewSpaces, "observation_space should return the exact same space object"),
    "determinism": (
        UsesNoSeed,
        "another seed and the same actions give the same episode: the seed is not used",
    ),
    "bounds": (OutsideState, r"step 0: state\(\) lies outside state_space"),
    "fields": (ShownInCents, r"'auction' shows buyer .* as 'type', outside \[0, 1\]: it reaches"),
    "fresh_objects": (
        SharedObservations,
        r"step 0: state\(\) changed after the caller wrote into results",
    ),
    "infos": (LateInfo, "step 1: info keys of buyer_0 are .*'late'"),
    "conservation": (
        SelfPaying,
        "step 1: a transfer is negative, not finite, or from an agent to itself",
    ),
    "resume": (HiddenMemory, "step 0 after resuming differs: state is missing from the file"),
    "bad_input": (
        ClipsInSilence,
        r"the action array\(\[nan\]\) of buyer_1 was not refused with a ValueError",
    ),
    "policies": (
        WildTruth,
        (
            "stage 'auction': the policy 'truthful' gives no action inside the box: what the"
            " policy of buyers returned"
        ),
    ),
    "batches": (
        FirstMarketsTypes,
        "the last of three markets shows each buyer .* draws for all by the first one's seed",
    ),
}
MORE = (  # further breaches of the same promises, which other checks may see as well
    ("determinism", GlobalRandomness, "part at step 1: a draw is not keyed by the seed"),
    (
        "determinism",
        MovesSharedGenerators,
        "an episode moves torch's generator, NumPy's random, which the process shares",
    ),
    ("determinism", ForgetsRounds, "have different lengths: hidden randomness decides the end"),
    ("bounds", NumpyRewards, "wanted finite Python floats"),
    ("bounds", NumpyFlags, "must be Python bools"),
    ("bounds", WideObservations, "step 0: observation of buyer_0 lies outside its space"),
    (
        "fresh_objects",
        SharedInfos,
        "step 1: results changed after the caller wrote into earlier ones",
    ),
    ("fields", ShownBelow, r"-0.5 as 'type', outside \[0, 1e\+06\]"),
    ("infos", WordyInfo, "has a value that is no Python number"),
    ("conservation", NegativePayment, "a transfer is negative"),
    ("conservation", OtherRewards, "are not those of the report"),
    ("conservation", Minting, "step 1: all cash together went from 0.0 to 1.0"),
    ("resume", LoadsAnything, "a damaged file was loaded without a ValueError"),
    ("bad_input", HalfAStep, "a refused action changed the market"),
    ("bad_input", MissingIsZero, "a missing action was not refused"),
)


@pytest.fixture
def blind(monkeypatch):
    """An engine that lets a phase change time and the books by hand, as ours does not."""
    monkeypatch.setattr(contract, "library", lambda phase: True)
    monkeypatch.setattr(contract, "check_kept", lambda before, after, said: None)
    monkeypatch.setattr(ledger, "check", lambda *books: None)


def test_the_sound_environment_passes():
    assert check_market_env(Env()) == tuple(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_broken_market_that_it_alone_catches(name):
    assert name in BROKEN, f"the check {name!r} has no broken market: add one to BROKEN"
    broken, says = BROKEN[name]
    for other, check in CHECKS.items():
        if other == name:
            with pytest.raises(AssertionError, match=says):
                check(broken, 0)
        else:
            check(broken, 0)


@pytest.mark.parametrize(
    ("name", "broken", "says"), MORE, ids=[broken.__name__ for _, broken, _ in MORE]
)
def test_a_check_catches_each_of_its_breaches(name, broken, says, blind):
    with pytest.raises(AssertionError, match=says):
        CHECKS[name](broken, 0)


@pytest.mark.parametrize("name", BROKEN)
def test_the_whole_checker_raises_what_its_check_raises(name):
    with pytest.raises(AssertionError, match=BROKEN[name][1]):
        check_market_env(BROKEN[name][0]())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda shown: {}, "gave buyer nothing"),
        (lambda shown: {role: {} for role in shown}, "gave buyer nothing, wanted type"),
        (lambda shown: {"buyer": shown["buyer"] | {"type": 0.5}}, "'type' as a float, wanted"),
        (lambda shown: {"buyer": {k: v * torch.nan for k, v in shown["buyer"].items()}}, "NaN"),
    ],
)
def test_fields_of_other_names_or_kinds_are_refused_in_words(change, says):
    class Changed(Auction):
        def show(self, floor, own, quotes):
            return change(super().show(floor, own, quotes))

    market = auctions(Changed, game="first_price", max_cycles=3)
    with pytest.raises(ValueError, match=says):
        CHECKS["fields"](lambda: MarketParallelEnv(market, "changed_v0"), 0)


def test_an_endless_episode_is_cut_off(blind, monkeypatch):
    class Endless(Auction):
        def act(self, floor, own, quotes, actions):
            return super().act(
                dataclasses.replace(floor, round=floor.round * 0 - 1), own, quotes, actions
            )

    def make():
        return MarketParallelEnv(auctions(Endless, max_cycles=3), "endless_v0")

    monkeypatch.setattr("marketenv.testing.MAX_STEPS", 20)
    with pytest.raises(AssertionError, match="the episode has not ended after 20 steps"):
        CHECKS["determinism"](make, 0)


def test_checking_leaves_the_environment_as_it_was():
    env = MarketParallelEnv(make_market("reference_v0", max_cycles=2), "reference_v0")
    seen, _ = env.reset(seed=3)
    check_market_env(env)
    assert np.array_equal(env.state(), np.concatenate(list(seen.values()))) and env.report is None
    assert isinstance(env.state_space, Box) and len(env.agents) == 2
