"""Policies are found by object, name or module, and everything else is refused with a hint."""

import numpy as np
import pytest
import torch
from relay_market import relay_market
from scipy import stats

from marketenv.core import draws, rounds
from marketenv.core.fields import Field, Fields
from marketenv.core.market import Move, agent_names
from marketenv.core.policy import actions_of, find_policy, uniform_random
from marketenv.markets.table import MARKETS, make_market

TABLE = {"random": uniform_random}
SEEN, DONE = (
    Fields((Field("type", 1, 0.0, 1.0),)),
    Fields((Field("bid", 2, -1.0, 1.0), Field("ask", 1, 2.0, 6.0))),
)
MOVE = Move(SEEN, DONE, "buyer", 2, "bidding")


def test_a_policy_is_an_object_a_name_or_a_place():
    mine = lambda observation, move, keys: observation  # noqa: E731
    assert find_policy(mine, TABLE) is mine
    assert find_policy("random", TABLE) is uniform_random
    assert find_policy("marketenv.core.policy:uniform_random", TABLE).__name__ == "uniform_random"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("randon", "no policy 'randon'. Did you mean 'random'"),
        ("no_such_module_here:bid", "cannot import 'no_such_module_here'"),
        (
            "marketenv.core.policy:uniform_randon",
            "no policy in marketenv.core.policy 'uniform_randon'. Did you mean 'uniform_random'",
        ),
        ("math:pi", r"policy 3.14\d+ is not callable"),
        (None, "policy None is not callable"),
        (
            "operator:neg",
            r"policy .* cannot be called with 3 arguments; wanted policy\(observation",
        ),
    ],
)
def test_anything_else_is_refused(part, says):
    with pytest.raises(ValueError, match=says):
        find_policy(part, TABLE)


def test_random_actions_are_uniform_on_the_moves_box():
    actions = uniform_random(torch.zeros(5000, 1), MOVE, torch.arange(5000))
    assert actions.shape == (5000, 3) and actions.dtype == torch.float32
    for column, (low, width) in enumerate(((-1, 2), (-1, 2), (2, 4))):
        assert stats.kstest(actions[:, column].numpy(), "uniform", args=(low, width)).pvalue > 0.01


def test_random_actions_depend_on_the_keys_alone():
    keys = draws.fold(torch.arange(3), "x")
    one, two = (uniform_random(torch.full((3, 1), x), MOVE, keys) for x in (0.0, 1.0))
    assert torch.equal(one, two) and not torch.equal(one[0], one[1])


GIVEN = [[0.5, -0.5, 3.0], [1.0, 0.0, 2.0]]  # inside the move's box [-1, 1]^2 x [2, 6]


def returned(answer):
    def policy(observation, move, keys):
        return answer

    return actions_of(policy, torch.zeros(2, 1), MOVE, torch.arange(2))


@pytest.mark.parametrize(
    "answer",
    [
        torch.tensor(GIVEN),
        torch.tensor(GIVEN).double(),
        torch.tensor(GIVEN).bfloat16(),  # exact: all are multiples of 1/2
        torch.tensor(GIVEN, requires_grad=True) * 1,
        np.array(GIVEN),
        np.array(GIVEN, dtype=np.float32),
        np.ma.array(GIVEN, mask=False),
        GIVEN,
        [torch.tensor(row, requires_grad=True) for row in GIVEN],
        [torch.tensor(row, dtype=torch.bfloat16) for row in GIVEN],
    ],
    ids=[
        "float32",
        "float64",
        "bfloat16",
        "grad",
        "numpy",
        "numpy32",
        "unmasked",
        "lists",
        "list of grad",
        "list of bfloat16",
    ],
)
def test_actions_of_every_kind_are_taken_as_float32_without_gradients(answer):
    actions = returned(answer)
    assert (
        torch.equal(actions, torch.tensor(GIVEN))
        and actions.dtype == torch.float32
        and not actions.requires_grad
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, r"is None \(dtype object\), wanted real numbers"),
        (np.array(GIVEN, dtype=object), r"dtype object\), wanted real numbers"),
        ([[1.0], [1.0, 2.0]], r"is \[\[1.0\], \[1.0, 2.0\]\], wanted real numbers"),
        ("buy", r"is 'buy' \(dtype <U3\), wanted real numbers"),
        (np.ma.array(GIVEN, mask=np.eye(2, 3)), "masked entries; give a number for each"),
        ([np.ma.array(row, mask=True) for row in GIVEN], "masked entries; give a number for each"),
        (torch.tensor(GIVEN).to_sparse(), "sparse_coo.*give a dense tensor"),
        (np.zeros((2, 3), bool), r"is bool \[2, 3\], wanted float32"),
        # would be broadcast
        (
            torch.tensor(GIVEN[0]),
            r"is float32 \[3\], wanted float32 \[2, 3\]: one row an observation",
        ),
        (torch.zeros(2, 2), r"is float32 \[2, 2\], wanted float32 \[2, 3\]"),
        (torch.zeros(2, 3).bool(), r"is bool \[2, 3\], wanted float32"),
        (torch.tensor(GIVEN).cfloat(), r"complex64.*give a dense tensor of real numbers"),
        (torch.full((2, 3), torch.nan), "'bid' is nan"),
        (torch.full((2, 3), 7.0), "'bid' is 7"),
    ],
)
def test_other_answers_are_refused_with_the_role_and_the_policys_name(answer, said):
    with pytest.raises(
        ValueError,
        match=r"(?s)what the policy of buyers returned \(returned.<locals>.policy\).*" + said,
    ):
        returned(answer)


def test_a_policy_sees_no_graph_of_gradients():
    seen = []

    def policy(observation, move, keys):
        seen.append(observation)
        return torch.tensor(GIVEN)

    actions_of(policy, torch.zeros(2, 1, requires_grad=True), MOVE, torch.arange(2))
    assert not seen[0].requires_grad


def test_keys_are_computed_for_policies_that_draw_alone(monkeypatch):
    market = make_market("reference_v0")
    now, asked = rounds.begin(market, torch.arange(3)), []

    def noted(market, now):
        asked.append(now)
        return keys_of(market, now)

    keys_of = rounds.policy_keys
    monkeypatch.setattr(rounds, "policy_keys", noted)
    truthful, random = market.policies["truthful"], market.policies["random"]
    honest = rounds.act(market, dict.fromkeys(agent_names(market), truthful), now)
    assert not asked  # nobody draws
    mixed = rounds.act(market, {"buyer_0": random, "seller_0": truthful}, now)
    assert len(asked) == 1 and torch.equal(mixed["seller"], honest["seller"])
    all_random = rounds.act(market, dict.fromkeys(agent_names(market), random), now)
    assert torch.equal(mixed["buyer"], all_random["buyer"])  # its draws are its own


def test_a_policy_that_says_that_it_draws_nothing_has_no_keys_to_draw_from():
    market = make_market("reference_v0")
    seen = []

    def policy(observation, move, keys):
        seen.append(len(keys))
        return torch.zeros(len(observation), 1)

    now = rounds.begin(market, torch.arange(3))
    rounds.act(market, dict.fromkeys(agent_names(market), policy), now)
    policy.draws = False
    rounds.act(market, dict.fromkeys(agent_names(market), policy), now)
    assert seen == [3, 3, 0, 0]  # a key for each market, of a buyer and of a seller; then none


KEYS = torch.arange(5)


@pytest.mark.parametrize("name", MARKETS)
def test_no_truthful_answer_of_the_library_reads_its_keys(name):
    market = make_market(name)
    truthful = market.policies["truthful"]
    assert not truthful.draws
    for move in market.moves:
        seen = move.observation
        observation = seen.low + (seen.high - seen.low) * draws.uniform(KEYS, seen.dim).float()
        answers = [truthful(observation, move, keys) for keys in (KEYS, KEYS + 1, KEYS[:0])]
        assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_a_phase_of_ones_own_may_draw_in_its_truthful_answer():
    assert relay_market().policies["truthful"].draws
