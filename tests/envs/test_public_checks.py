"""``marketenv.testing`` must bite: for every check a market that breaks its promise, and no other."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from marketenv import make_market
from marketenv.core.transfers import Ledger
from marketenv.envs import MarketParallelEnv
from marketenv.markets.reference import ReferenceConfig, ReferenceMarket, ReferenceState
from marketenv.testing import CHECKS, check_market_env


class Env(MarketParallelEnv):
    """A sound environment of three rounds; the broken ones below change one thing each."""

    market_type = ReferenceMarket

    def __init__(self):
        super().__init__(self.market_type(ReferenceConfig(game="first_price", max_cycles=3)), "broken_v0")


class NewSpaces(Env):
    """A space that is another object on every call, which PettingZoo's suite forbids."""

    def observation_space(self, agent):
        return copy.deepcopy(super().observation_space(agent))


class BlindToSeeds(ReferenceMarket):
    """Every seed starts the same episode."""

    def reset(self, seeds):
        return super().reset(torch.zeros_like(seeds))


class UsesNoSeed(Env):
    market_type = BlindToSeeds


class GlobalRandomness(Env):
    """Rewards that follow a generator which all copies share."""

    draw = np.random.default_rng(0)

    def _take(self, rows):
        seen, rewards, *rest = super()._take(rows)
        return seen, {a: r + float(self.draw.random()) for a, r in rewards.items()}, *rest


class ForgetsRounds(Env):
    """Episodes whose length depends on how many were played."""

    played = 0

    def reset(self, seed=None, options=None):
        type(self).played += 1
        return super().reset(seed, options)

    def _take(self, rows):
        result = super()._take(rows)
        self.agents = self.agents if type(self).played % 2 else []
        return result


class OutsideState(Env):
    """A state() that leaves its space."""

    def state(self):
        return super().state() + 1000.0


class NumpyRewards(Env):
    """Rewards that are NumPy scalars: equal in value, refused by RLlib's type checks."""

    def _take(self, rows):
        seen, rewards, *rest = super()._take(rows)
        return seen, {a: np.float64(r) for a, r in rewards.items()}, *rest


class WideObservations(Env):
    """Observations beyond their Box."""

    def _see(self, seen):
        return super()._see(seen + 7.0)


class NumpyFlags(Env):
    """Flags that are NumPy bools."""

    def _take(self, rows):
        seen, rewards, terminated, truncated, infos = super()._take(rows)
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


class SelfPayingMarket(ReferenceMarket):
    """The seller pays itself, which changes nobody's net."""

    def clear(self, state, past):
        new, report = super().clear(state, past)
        return new, dataclasses.replace(report, transfers=report.transfers + torch.eye(report.transfers.shape[1]).double())


class SelfPaying(Env):
    market_type = SelfPayingMarket


class NegativePaymentMarket(ReferenceMarket):
    """A payment of -1 instead of a payment of 1 the other way."""

    def clear(self, state, past):
        new, report = super().clear(state, past)
        return new, dataclasses.replace(report, transfers=report.transfers - report.transfers.mT)


class NegativePayment(Env):
    market_type = NegativePaymentMarket


class OtherRewards(Env):
    """Rewards that are not those of the report."""

    def _take(self, rows):
        seen, rewards, *rest = super()._take(rows)
        return seen, {a: r + 1.0 for a, r in rewards.items()}, *rest


@dataclasses.dataclass(frozen=True)
class BookedState(ReferenceState):
    ledger: Ledger


class MintingMarket(ReferenceMarket):
    """All cash together grows by 1 a round."""

    def reset(self, seeds):
        zeros = torch.zeros(len(seeds), 2, dtype=torch.float64)
        return BookedState(**vars(super().reset(seeds)), ledger=Ledger(zeros, zeros))

    def clear(self, state, past):
        new, report = super().clear(state, past)
        return BookedState(**vars(new), ledger=Ledger(state.ledger.cash + 0.5, state.ledger.credit)), report


class Minting(Env):
    market_type = MintingMarket


class MemoryMarket(ReferenceMarket):
    """A count outside the state, which a saved file does not hold."""

    def reset(self, seeds):
        self.count = 0
        return super().reset(seeds)

    def clear(self, state, past):
        self.count += 1
        new, report = super().clear(state, past)
        return new, dataclasses.replace(report, rewards=report.rewards + self.count)


class HiddenMemory(Env):
    market_type = MemoryMarket


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

    def check_action(self, agent, action):
        try:
            return super().check_action(agent, action)
        except ValueError:
            return torch.zeros(1)


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


BROKEN = {  # check: (a market that breaks this promise alone, the words of the refusal)
    "suites": (NewSpaces, "observation_space should return the exact same space object"),
    "determinism": (UsesNoSeed, "another seed starts the same episode: the seed is not used"),
    "bounds": (OutsideState, r"step 0: state\(\) lies outside state_space"),
    "fresh_objects": (SharedObservations, r"step 0: state\(\) changed after the caller wrote into what was returned"),
    "infos": (LateInfo, "step 1: info keys of buyer_0 are .*'late'"),
    "conservation": (SelfPaying, "step 1: a transfer is negative, not finite, or from an agent to itself"),
    "resume": (HiddenMemory, "step 0 after resuming differs: state is missing from the file"),
    "bad_input": (ClipsInSilence, r"the action array\(\[nan\]\) of buyer_1 was not refused with a ValueError"),
}
MORE = (  # further breaches of the same promises, which other checks may see as well
    ("determinism", GlobalRandomness, "part at step 1: a draw is not keyed by the seed"),
    ("determinism", ForgetsRounds, "have different lengths: hidden randomness decides the end"),
    ("bounds", NumpyRewards, "wanted finite Python floats"),
    ("bounds", NumpyFlags, "must be Python bools"),
    ("bounds", WideObservations, "step 0: observation of buyer_0 lies outside its space"),
    ("fresh_objects", SharedInfos, "step 1: results changed after the caller wrote into earlier ones"),
    ("infos", WordyInfo, "holds something that is no Python number"),
    ("conservation", NegativePayment, "a transfer is negative"),
    ("conservation", OtherRewards, "are not those of the report"),
    ("conservation", Minting, "step 1: all cash together went from 0.0 to 1.0"),
    ("resume", LoadsAnything, "a damaged file was loaded without a ValueError"),
    ("bad_input", HalfAStep, "a refused action changed the market"),
    ("bad_input", MissingIsZero, "a missing action was not refused"),
)


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


@pytest.mark.parametrize(("name", "broken", "says"), MORE, ids=[broken.__name__ for _, broken, _ in MORE])
def test_a_check_catches_each_of_its_breaches(name, broken, says):
    with pytest.raises(AssertionError, match=says):
        CHECKS[name](broken, 0)


@pytest.mark.parametrize("name", BROKEN)
def test_the_whole_checker_raises_what_its_check_raises(name):
    with pytest.raises(AssertionError, match=BROKEN[name][1]):
        check_market_env(BROKEN[name][0]())


def test_an_endless_episode_is_cut_off(monkeypatch):
    class Endless(ReferenceMarket):
        def clear(self, state, past):
            new, report = super().clear(state, past)
            return dataclasses.replace(new, round=new.round * 0), dataclasses.replace(
                report, terminated=report.terminated & False
            )

    def make():
        return MarketParallelEnv(Endless(ReferenceConfig(max_cycles=3)), "endless_v0")

    monkeypatch.setattr("marketenv.testing.MAX_STEPS", 20)
    with pytest.raises(AssertionError, match="the episode has not ended after 20 steps"):
        CHECKS["determinism"](make, 0)


def test_checking_leaves_the_environment_as_it_was():
    env = MarketParallelEnv(make_market("reference_v0", max_cycles=2), "reference_v0")
    seen, _ = env.reset(seed=3)
    check_market_env(env)
    assert np.array_equal(env.state(), np.concatenate(list(seen.values()))) and env.report is None
    assert isinstance(env.state_space, Box) and len(env.agents) == 2
