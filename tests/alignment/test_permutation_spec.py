import pytest
import torch
from alignment_cases import forward, mlp, random_models
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.alignment import check_spec, invert, permute, random_orders
from marketenv.core.bank import Layout

LAYOUT, _, HIDDEN = mlp(3, 4, 5, 2)


def test_lengths_of_an_mlp():
    assert check_spec(LAYOUT, HIDDEN) == {"hidden_0": 4, "hidden_1": 5}  # the widths of its two hidden layers


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"h": ()}, ["'h'", "at least one"]),
        ({"h": (("weight_9", 0),)}, ["'h'", "weight_9", "unknown tensor"]),
        ({"h": (("bias_0", 1),)}, ["('bias_0', 1)", "out of range", "(4,)"]),
        ({"h": (("bias_0", -1),)}, ["('bias_0', -1)", "out of range"]),
        ({"h": (("weight_0", 0), ("weight_1", 0))}, ["('weight_1', 0)", "length 5", "4"]),
        ({"h": (("weight_0", 0), ("weight_0", 0))}, ["('weight_0', 0)", "used twice", "'h'"]),
        ({"h": (("weight_0", 0),), "g": (("weight_0", 0),)}, ["'g'", "('weight_0', 0)", "used twice", "'h'"]),
    ],
)
def test_a_wrong_spec_is_refused_by_name(spec, words):
    with pytest.raises(ValueError) as error:
        check_spec(LAYOUT, spec)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_one_tensor_may_be_reordered_twice_by_one_permutation():
    square = Layout((("w", (3, 3)),))
    spec = {"h": (("w", 0), ("w", 1))}
    # P W P^T for the order (1, 2, 0): entry [i, j] of the result is W[order[i], order[j]]; W = 0..8 in rows of three
    found = permute(square, spec, torch.arange(9.0)[None], {"h": torch.tensor([[1, 2, 0]])})
    assert found.tolist() == [[4.0, 5.0, 3.0, 7.0, 8.0, 6.0, 1.0, 2.0, 0.0]]


def test_convolutions_have_axes_of_any_number():
    layout = Layout((("conv", (2, 2, 1, 3)),))
    flat = torch.arange(12.0)[None]  # [out, in, 1, 3]; swapping the inputs swaps the threes within each output
    found = permute(layout, {"h": (("conv", 1),)}, flat, {"h": torch.tensor([[1, 0]])})
    assert found.tolist() == [[3.0, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=6), st.integers(0, 2**31))
def test_a_reordered_network_computes_the_same_and_can_be_put_back(widths, seed):
    layout, _, hidden = mlp(*widths)
    keys = torch.tensor([seed, seed + 1])
    models, orders = random_models(layout, keys), random_orders(layout, hidden, keys)
    moved = permute(layout, hidden, models, orders)
    x = torch.linspace(-1, 1, 5 * widths[0]).reshape(5, -1)
    before, after = forward(layout, models, x), forward(layout, moved, x)
    assert (before - after).abs().max() <= 1e-5 * max(1.0, float(before.abs().max()))  # float32 sums in another order
    assert permute(layout, hidden, moved, invert(orders)).equal(models)


def test_random_orders_are_keyed_and_differ_by_name():
    layout, _, hidden = mlp(3, 50, 50, 2)
    together = random_orders(layout, hidden, torch.tensor([1, 2]))
    alone = random_orders(layout, hidden, torch.tensor([2]))
    assert all(together[name][1].equal(alone[name][0]) for name in hidden)
    assert not together["hidden_0"][0].equal(together["hidden_1"][0])  # by chance once in 50! cases


@pytest.mark.parametrize("orders", [{}, {"hidden_0": torch.zeros(1, 4, dtype=torch.int64)}])
def test_missing_orders_are_refused(orders):
    with pytest.raises(ValueError, match="one order per permutation"):
        permute(LAYOUT, HIDDEN, torch.zeros(1, LAYOUT.size), orders)


def test_orders_of_another_length_are_refused():
    short = {"hidden_0": torch.zeros(1, 3, dtype=torch.int64), "hidden_1": torch.zeros(1, 5, dtype=torch.int64)}
    with pytest.raises(ValueError, match=r"'hidden_0': \[1, 3\]"):
        permute(LAYOUT, HIDDEN, torch.zeros(1, LAYOUT.size), short)
