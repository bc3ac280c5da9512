"""Policies are found by object, name or module, and everything else is refused with a hint."""

import pytest
import torch
from scipy import stats

from marketenv.core import draws
from marketenv.core.fields import Field, Fields
from marketenv.core.market import Role
from marketenv.core.policy import find_policy, uniform_random

TABLE = {"random": uniform_random}
ROLE = Role("buyer", 2, Fields((Field("type", 1, 0.0, 1.0),)), Fields((Field("bid", 2, -1.0, 1.0), Field("ask", 1, 2.0, 6.0))))


def test_a_policy_is_an_object_a_name_or_a_place():
    mine = lambda observation, role, keys: observation  # noqa: E731
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
    ],
)
def test_anything_else_is_refused(part, says):
    with pytest.raises(ValueError, match=says):
        find_policy(part, TABLE)


def test_random_actions_are_uniform_on_the_roles_box():
    actions = uniform_random(torch.zeros(5000, 1), ROLE, torch.arange(5000))
    assert actions.shape == (5000, 3) and actions.dtype == torch.float32
    for column, (low, width) in enumerate(((-1, 2), (-1, 2), (2, 4))):
        assert stats.kstest(actions[:, column].numpy(), "uniform", args=(low, width)).pvalue > 0.01


def test_random_actions_depend_on_the_keys_alone():
    keys = draws.fold(torch.arange(3), "x")
    one, two = (uniform_random(torch.full((3, 1), x), ROLE, keys) for x in (0.0, 1.0))
    assert torch.equal(one, two) and not torch.equal(one[0], one[1])
