"""What follows the end of an episode in the vector door: Gymnasium's own vector of single
environments is the judge.
"""

import dataclasses
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from env_cases import CASES, TRAINED, auctions, name_of, random_column
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers
from relay_market import relay_market
from test_vector import same_infos, vector

from marketenv import make_single, make_vec
from marketenv.core import draws
from marketenv.core.policy import uniform_random
from marketenv.envs import MarketParallelEnv, MarketVectorEnv, SingleAgentEnv
from marketenv.envs.vector import _autoreset
from marketenv.markets.reference import Auction, Auctioned

N = 4
every_mode = pytest.mark.parametrize(
    "mode", list(AutoresetMode), ids=[mode.name for mode in AutoresetMode]
)
exact_case = pytest.mark.parametrize("case", [c for c in CASES if c not in TRAINED])


class Walkout(Auction):
    """Over at once where buyer_0 names a price above 3/4 (an action above 1/2); else after its
    rounds.
    """

    def act(self, floor, own, quotes, actions):
        floor, own, outcome = super().act(floor, own, quotes, actions)
        return dataclasses.replace(floor, ended=actions["buyer"][:, 0, 0] > 0.5), own, outcome


def walkout():
    return auctions(Walkout, game="first_price", n_buyers=3, max_cycles=3)


def singles(build, mode, n=N):
    return SyncVectorEnv([build] * n, autoreset_mode=mode)


def same(one, two):
    """Equal observations, rewards, flags and infos, of reset or of step."""
    assert all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one[:-1], two[:-1], strict=True)
    )
    same_infos(one[-1], two[-1])


def play_both(own, theirs, steps, seed=0):
    """Step both with the same actions, reset by a mask what is over in mode DISABLED; yields
    which markets were over.
    """
    same(own.reset(seed=5), theirs.reset(seed=5))
    draw = np.random.default_rng(seed)
    for k, actions in enumerate(random_column(own.single_action_space, steps, N, seed)):
        mine = own.step(actions)
        same(mine, theirs.step(actions))
        over = mine[2] | mine[3]
        yield over
        if own.autoreset_mode is AutoresetMode.DISABLED and over.any():
            # some seeded anew, some go on
            seeds = [None if draw.random() < 0.5 else 100 * k + m for m in range(N)]
            same(
                *(
                    env.reset(seed=list(seeds), options={"reset_mask": over.copy()})
                    for env in (own, theirs)
                )
            )


@exact_case
@every_mode
def test_every_mode_equals_gymnasiums_own_vector_of_single_environments(case, mode):
    config = CASES[case][1] | {"opponents": "random"}
    own, theirs = (
        vector(case, autoreset_mode=mode),
        singles(partial(make_single, name_of(case), **config), mode),
    )
    # two horizons of 3, with a step between where NEXT_STEP begins anew
    ends = np.array(list(play_both(own, theirs, 9)))
    gap = 4 if mode is AutoresetMode.NEXT_STEP else 3
    assert [bool(over.all()) for over in ends] == [k % gap == 2 for k in range(9)]
    theirs.close()


@pytest.mark.long
@every_mode
@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_markets_that_end_at_different_times_play_what_they_would_play_alone(mode, seed):
    own = MarketVectorEnv(walkout(), N, "buyer_0", "random", autoreset_mode=mode)
    theirs = singles(
        lambda: SingleAgentEnv(MarketParallelEnv(walkout(), "walkout_v0"), "buyer_0", "random"),
        mode,
    )
    ends = {tuple(over) for over in play_both(own, theirs, 16, seed)}
    assert len(ends) > 4  # they did end at different times
    theirs.close()


# of the relay market's three stages: who moves first and last, who in the middle, who last, and one
# stage of two
LEARNERS = {
    "twice": ("seller_0", None),
    "in the middle": ("buyer_0", None),
    "last": ("carrier_0", None),
    "last of two": ("seller_0", ("ship",)),
    "first of two": ("seller_0", ("offer",)),
}
REFUSED = {  # why such a learner's markets are no batch in this mode
    **{
        (AutoresetMode.NEXT_STEP, who): "NEXT_STEP wants markets of one stage, this one has 3"
        for who in LEARNERS
    },
    (
        AutoresetMode.DISABLED,
        "in the middle",
    ): "DISABLED wants a learner that moves in the first stage, 'offer', .* in 'reply'",
    (
        AutoresetMode.DISABLED,
        "last",
    ): "DISABLED wants a learner that moves in the first stage, 'offer', .* in 'ship'",
    (
        AutoresetMode.DISABLED,
        "last of two",
    ): "DISABLED wants a learner that moves in the first stage, 'offer', .* in 'ship'",
}


def sometimes_out(observation, move, keys):
    """Random, but one buyer in four storms out, so that markets end at different times."""
    actions = uniform_random(observation, move, keys)
    if move.name == "buyer":
        actions[:, 1] = torch.where(
            draws.uniform(draws.fold(keys, "out"), 1)[:, 0] < 0.25, -1.0, 1.0
        )
    return actions


@pytest.mark.long
@every_mode
@pytest.mark.parametrize("cut", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("who", LEARNERS)
def test_a_market_of_three_stages_equals_its_singles_where_it_can_be_a_batch(mode, who, cut):
    agent, stages = LEARNERS[who]
    build = partial(relay_market, horizon=2, carriers=1, cut=cut)
    if (mode, who) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[mode, who]):
            MarketVectorEnv(build(), N, agent, autoreset_mode=mode, stages=stages)
        return
    own = MarketVectorEnv(build(), N, agent, sometimes_out, autoreset_mode=mode, stages=stages)
    theirs = singles(
        lambda: SingleAgentEnv(
            MarketParallelEnv(build(), "relay_v0"), agent, sometimes_out, stages
        ),
        mode,
    )
    ends = [tuple(over) for over in play_both(own, theirs, 16)]
    assert len(set(ends)) > 4  # they did end at different times
    theirs.close()


@pytest.mark.parametrize("name", ["NEXT_STEP", "NextStep", AutoresetMode.NEXT_STEP])
def test_a_mode_is_given_as_itself_by_name_or_by_value(name):
    assert (
        vector("first_price", autoreset_mode=name).metadata["autoreset_mode"]
        is AutoresetMode.NEXT_STEP
    )
    registered = gymnasium.make_vec("marketenv/reference-v0", num_envs=2, autoreset_mode=name)
    assert registered.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    # the class's own stays
    assert MarketVectorEnv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@pytest.mark.parametrize("mode", ["NEXTSTEP", "next", 1, None])
def test_another_mode_is_refused(mode):
    with pytest.raises(
        ValueError, match=r"no autoreset_mode .*Known: DISABLED, Disabled, NEXT_STEP, NextStep, "
    ):
        _autoreset(mode, walkout(), "auction")
    if isinstance(mode, str):
        with pytest.raises(
            ValueError,
            match=(
                "no autoreset_mode .*Did you mean 'NEXT_STEP'" if mode == "NEXTSTEP" else "Known: "
            ),
        ):
            vector("first_price", autoreset_mode=mode)


def ended(mode, **more):
    """Four markets of which 0 and 2 have just ended in their first round."""
    venv = MarketVectorEnv(walkout(), N, "buyer_0", "random", autoreset_mode=mode, **more)
    venv.reset(seed=0)
    _, _, terminated, *_ = venv.step(np.array([[1], [0], [1], [0]], dtype=np.float32))
    assert terminated.tolist() == [True, False, True, False]
    return venv


@pytest.mark.parametrize("ignored", [np.nan, 7.0, -0.3])
def test_the_step_after_an_end_ignores_that_markets_action_and_nobody_elses(ignored):
    one, two = ended("NEXT_STEP"), ended("NEXT_STEP")
    actions = np.array([[ignored], [0.25], [ignored], [-0.5]])
    mine = one.step(actions)
    same(mine, two.step(np.array([[0], [0.25], [0], [-0.5]])))
    assert mine[1][[0, 2]].tolist() == [0, 0] and one.report.of(Auctioned).offers[
        [1, 3], 0
    ].tolist() == [
        0.625,
        0.25,
    ]  # price = (1 + a) / 2
    if not -1 <= ignored <= 1:
        with pytest.raises(ValueError, match="actions"):  # now they play again
            one.step(actions)


def test_the_report_keeps_the_last_round_of_a_market_that_begins_anew():
    venv = ended("NEXT_STEP")
    before = venv.report
    venv.step(np.zeros((N, 1)))
    assert torch.equal(
        venv.report.of(Auctioned).offers[::2], before.of(Auctioned).offers[::2]
    ) and not torch.equal(venv.report.of(Auctioned).offers, before.of(Auctioned).offers)
    assert venv.report.terminated.tolist() == [True, False, True, False]


def test_levels_of_a_market_that_begins_anew_are_ignored_too():
    venv = vector("first_price", autoreset_mode="NEXT_STEP", action_levels=5)
    venv.reset(seed=0)
    for _ in range(3):
        *_, terminated, _, _ = venv.step(np.zeros(N, dtype=np.int64))
    assert terminated.all() and not venv.step(np.full(N, 99))[2].any()


def test_without_autoreset_a_market_that_is_over_takes_no_step():
    venv, clean = ended("DISABLED"), ended("DISABLED")
    with pytest.raises(ValueError, match=r"markets \[0, 2\] are over"):
        venv.step(np.zeros((N, 1)))
    for env in (venv, clean):  # one after the other
        for k in (0, 2):
            env.reset(options={"reset_mask": np.arange(N) == k})
    same(venv.step(np.zeros((N, 1))), clean.step(np.zeros((N, 1))))


def test_markets_that_ended_together_may_begin_one_after_the_other():
    own = vector("first_price", autoreset_mode="DISABLED")
    theirs = singles(
        partial(make_single, "reference_v0", **CASES["first_price"][1], opponents="random"),
        AutoresetMode.DISABLED,
    )
    same(own.reset(seed=2), theirs.reset(seed=2))
    for actions in random_column(own.single_action_space, 3, N):
        same(own.step(actions), theirs.step(actions))
    for k in (2, 0, 3, 1):
        same(
            *(
                env.reset(seed=9 * k, options={"reset_mask": np.arange(N) == k})
                for env in (own, theirs)
            )
        )
    same(own.step(np.zeros((N, 1), np.float32)), theirs.step(np.zeros((N, 1), np.float32)))
    theirs.close()


@every_mode
def test_a_mask_resets_its_markets_in_every_mode(mode):
    own = vector("first_price", autoreset_mode=mode)
    theirs = singles(
        partial(make_single, "reference_v0", **CASES["first_price"][1], opponents="random"), mode
    )
    same(own.reset(seed=3), theirs.reset(seed=3))
    # the two others reach their last round of 3 with the last step
    for seed in (None, 7, [4, None, None, 8]):
        same(
            *(
                env.reset(seed=seed, options={"reset_mask": np.array([True, False, False, True])})
                for env in (own, theirs)
            )
        )
        same(*(env.step(np.zeros((N, 1), np.float32)) for env in (own, theirs)))
    theirs.close()


BAD_OPTIONS = {
    "unknown": (
        {"reset_maks": np.ones(N, bool)},
        r"no option of reset 'reset_maks'\. Did you mean 'reset_mask'",
    ),
    "numbers": ({"reset_mask": np.ones(N)}, "wanted 4 bools"),
    "short": ({"reset_mask": np.ones(3, bool)}, "wanted 4 bools"),
    "nobody": ({"reset_mask": np.zeros(N, bool)}, "one of them True at least"),
    "nothing": ({"reset_mask": None}, "wanted 4 bools"),
}


@pytest.mark.parametrize(("options", "says"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_other_options_are_refused_and_change_nothing(options, says):
    one, two = vector("first_price"), vector("first_price")
    one.reset(seed=0), two.reset(seed=0)
    with pytest.raises(ValueError, match=says):
        one.reset(options=options)
    same(one.step(np.zeros((N, 1))), two.step(np.zeros((N, 1))))
    with pytest.raises(ValueError, match="reset has no options"):
        make_single("reference_v0").reset(options={"reset_maks": 1})


def test_a_mask_leaves_nobody_out_before_the_start_or_in_mid_round():
    venv = MarketVectorEnv(relay_market(), N, "seller_0", "random")
    some, everyone = {"reset_mask": np.arange(N) == 1}, {"reset_mask": np.ones(N, bool)}
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        venv.reset(options=some)
    first = venv.reset(seed=0, options=everyone)
    assert list(everyone) == ["reset_mask"]  # wrappers read it afterwards
    venv.step(np.ones((N, 2)))
    with pytest.raises(ValueError, match="a round is not over"):
        venv.reset(options=some)
    same(venv.reset(seed=0, options=everyone), first)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "DISABLED"])
def test_markets_saved_at_their_end_go_on_equally(mode, tmp_path):
    one = ended(mode)
    one.save(tmp_path / "state")
    two = MarketVectorEnv(walkout(), N, "buyer_0", "random", autoreset_mode=mode)
    seen, infos = two.load(tmp_path / "state")
    assert np.array_equal(seen, one._mine(one._learner._observations(one._batch)))
    same_infos(infos, one._infos())
    for env in (one, two):
        if mode == "DISABLED":
            with pytest.raises(ValueError, match=r"markets \[0, 2\] are over"):
                env.step(np.zeros((N, 1)))
            env.reset(options={"reset_mask": np.array([True, False, True, False])})
    same(one.step(np.zeros((N, 1))), two.step(np.zeros((N, 1))))


def test_markets_saved_at_their_end_begin_anew_where_nothing_waits(tmp_path):
    ended("DISABLED").save(tmp_path / "state")
    venv = MarketVectorEnv(walkout(), N, "buyer_0", "random")
    venv.load(tmp_path / "state")
    assert venv._batch.running().floor.round.tolist() == [0, 1, 0, 1]
    mine, others = venv.step(np.zeros((N, 1))), ended("SAME_STEP").step(np.zeros((N, 1)))
    assert all(np.array_equal(a, b) for a, b in zip(mine[:4], others[:4], strict=True))


def test_an_error_of_a_policy_leaves_the_ends_as_they_were():
    def unsure(observation, move, keys):
        if fails:
            raise RuntimeError("unsure")
        return torch.zeros(len(observation), move.action.dim)

    venvs = []
    for fails in (False, False):
        venvs.append(MarketVectorEnv(walkout(), N, "buyer_0", unsure, autoreset_mode="NEXT_STEP"))
        venvs[-1].reset(seed=0)
        venvs[-1].step(np.array([[1], [0], [1], [0]]))
    fails = True
    with pytest.raises(RuntimeError, match="unsure"):
        venvs[0].step(np.zeros((N, 1)))
    fails = False
    same(*(venv.step(np.zeros((N, 1))) for venv in venvs))


def lengths(venv, steps):
    """Lengths and returns that Gymnasium's wrapper records, beside our own sums of the rewards
    that it passes on.
    """
    venv = wrappers.RecordEpisodeStatistics(venv)
    venv.reset(seed=0)
    sums, recorded, summed = np.zeros(N), [], []
    for actions in random_column(venv.single_action_space, steps, N):
        _, rewards, terminated, truncated, infos = venv.step(actions)
        sums += rewards
        over = terminated | truncated
        if over.any():
            recorded += list(
                zip(
                    infos["episode"]["l"][over].tolist(),
                    infos["episode"]["r"][over].tolist(),
                    strict=True,
                )
            )
            summed += [(3, total) for total in sums[over].tolist()]
            sums[over] = 0
            if venv.unwrapped.autoreset_mode is AutoresetMode.DISABLED:
                venv.reset(options={"reset_mask": over})
    return recorded, summed


@every_mode
def test_gymnasiums_statistics_are_right_in_every_mode(mode):
    # gymnasium 1.2 and 1.3 count 2 steps of 3 in the second episode of a SAME_STEP vector
    # environment
    recorded, summed = lengths(vector("first_price", opponents="truthful", autoreset_mode=mode), 12)
    assert len(recorded) == N * (3 if mode is AutoresetMode.NEXT_STEP else 4)
    assert [length for length, _ in recorded] == [3] * len(recorded)
    assert [total for _, total in recorded] == pytest.approx([total for _, total in summed])


def test_gymnasium_normalises_observations_and_rewards_with_next_step_autoreset():
    venv = wrappers.NormalizeReward(
        wrappers.NormalizeObservation(
            make_vec("reference_v0", 64, max_cycles=2, autoreset_mode="NEXT_STEP")
        )
    )
    venv.reset(seed=0)
    for actions in random_column(venv.single_action_space, 60, 64):
        seen, rewards, *_ = venv.step(actions)
        assert np.isfinite(seen).all() and np.isfinite(rewards).all()
    # types are uniform on [0, 1] and one observation in three, an episode's last, shows 0 in their
    # place: mean 1/3 and variance 2/3 * 1/3 - 1/9 = 1/9, over 3904 observations of at least 1280
    # types: standard error of the mean below .01
    assert (venv.env.obs_rms.mean[0], venv.env.obs_rms.var[0]) == pytest.approx(
        (1 / 3, 1 / 9), abs=0.03
    )
