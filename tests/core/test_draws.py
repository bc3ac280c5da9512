"""Keyed draws: stable for ever, the same alone and in a batch, and of the right distribution."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marketenv.core import draws

INT64 = st.integers(-(2**63), 2**63 - 1)
N = 20_000
GOLDEN = {
    "keys": [8924015538508531276, -5906948767829012261],
    "uniform": [[0.933820287693287, 0.3877459655243315], [0.5626233300913935, 0.3845125017327514]],
    "integers": [[93, 38, 74, 28], [56, 38, 58, 56]],
    "permutation": [[4, 3, 1, 5, 2, 0], [4, 1, 0, 3, 2, 5]],
    "normal": [
        [1.504862525464416, -0.28519868071218285],
        [0.15762368390101691, -0.2936504727722466],
    ],
}


def splitmix(z):
    """The finaliser of SplitMix64 in Python's exact integers: the oracle of the tensor code."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def signed(z):
    return z - 2**64 if z >= 2**63 else z


@given(INT64, INT64)
def test_fold_is_the_finaliser_in_exact_integers(key, part):
    golden = ((part + 1) * 0x9E3779B97F4A7C15) % 2**64
    expected = signed(splitmix((key + splitmix(golden)) % 2**64))
    assert (
        int(draws.fold(torch.tensor(key), torch.tensor(part)))
        == int(draws.fold(torch.tensor(key), part))
        == expected
    )


def test_the_first_output_of_splitmix64_is_the_published_one():
    # seed 0, state 0x9E3779B97F4A7C15: Vigna's splitmix64.c gives 0xE220A8397B1DCDAF first
    assert splitmix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


def test_draws_never_change_between_versions():
    # Stability values: what this library drew in version 0.1.0. Saved markets and playthroughs
    # depend on them; a change here is a new environment version.
    keys = draws.fold(torch.tensor([0, 1]), "noise", 3)
    assert keys.tolist() == GOLDEN["keys"]
    assert draws.uniform(keys, 2).tolist() == GOLDEN["uniform"]
    assert draws.integers(keys, 100, 4).tolist() == GOLDEN["integers"]
    assert draws.permutation(keys, 6).tolist() == GOLDEN["permutation"]
    # erfinv may differ in the last bits between builds of torch
    assert draws.normal(keys, 2).numpy() == pytest.approx(np.array(GOLDEN["normal"]), abs=1e-12)


@pytest.mark.parametrize("name", ["one key, many numbers", "many keys, one number", "agents"])
def test_uniform_numbers_pass_kolmogorov_smirnov(name):
    numbers = {
        "one key, many numbers": draws.uniform(torch.tensor(7), N),
        "many keys, one number": draws.uniform(torch.arange(N), 1).flatten(),
        "agents": draws.uniform(draws.agent_keys(torch.arange(N // 4), 4, "type"), 1).flatten(),
    }[name]
    # seeds are fixed: this either holds for ever or never
    assert stats.kstest(numbers.numpy(), "uniform").pvalue > 0.01


def test_normal_numbers_have_the_moments_of_the_standard_normal():
    z = draws.normal(torch.tensor(11), N)
    # standard errors: mean 1/sqrt(N), variance sqrt(2/N), third moment sqrt(15/N), fourth
    # sqrt(96/N); within 4 of each
    for power, moment, error in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((z**power).mean()) - moment) < 4 * math.sqrt(error / N)
    assert stats.kstest(z.numpy(), "norm").pvalue > 0.01


@pytest.mark.parametrize("draw", [draws.uniform, draws.normal], ids=["uniform", "normal"])
@given(st.lists(INT64, min_size=1, max_size=6), st.integers(1, 9))
def test_a_batch_draws_what_each_key_draws_alone(draw, keys, n):
    batch = draw(torch.tensor(keys), n)
    alone = torch.stack([draw(torch.tensor(key), n) for key in keys])
    assert torch.equal(batch, alone)


@given(INT64)
def test_uniform_lies_strictly_inside_the_unit_interval_and_longer_draws_begin_alike(key):
    u = draws.uniform(torch.tensor(key), 50)
    assert bool((u > 0).all() and (u < 1).all())
    assert torch.equal(draws.uniform(torch.tensor(key), 20), u[:20])
    assert bool(draws.normal(torch.tensor(key), 50).isfinite().all())


def test_the_extreme_bit_patterns_stay_inside_the_unit_interval(monkeypatch):
    bits = np.array([0, 2**64 - 1], dtype=np.uint64)  # all bits 0, all bits 1
    monkeypatch.setattr(draws, "_each", lambda keys, n: bits)
    u = draws.uniform(torch.tensor(0), 2)
    assert u.tolist() == [2.0**-53, 1 - 2.0**-53]  # half a step of 2^-52 from either end


@given(INT64, st.integers(1, 1000))
def test_integers_stay_below_their_bound(key, high):
    k = draws.integers(torch.tensor(key), high, 100)
    assert k.dtype == torch.int64 and int(k.min()) >= 0 and int(k.max()) < high


def test_integers_reach_all_values_evenly_and_take_a_bound_per_row():
    k = draws.integers(torch.tensor(5), 6, N)
    assert stats.chisquare(torch.bincount(k, minlength=6).numpy()).pvalue > 0.01
    rows = draws.integers(torch.arange(2), torch.tensor([[1], [1000]]), 500)
    assert rows[0].max() == 0 and 900 < rows[1].max() < 1000


@given(st.lists(INT64, min_size=1, max_size=4), st.integers(1, 40))
def test_a_permutation_holds_every_number_once(keys, n):
    orders = draws.permutation(torch.tensor(keys), n)
    assert orders.sort(-1).values.tolist() == [list(range(n))] * len(keys)


def test_all_orders_of_three_are_equally_likely():
    orders = draws.permutation(torch.arange(N), 3) @ torch.tensor([9, 3, 1])
    assert stats.chisquare(orders.unique(return_counts=True)[1].numpy()).pvalue > 0.01
    assert len(orders.unique()) == 6  # 3! orders


def test_agents_rounds_and_purposes_draw_independent_numbers():
    seeds = torch.arange(N)
    base = draws.uniform(draws.fold(seeds, "a", 0), 1)[:, 0]
    agents = draws.uniform(draws.agent_keys(seeds, 2, "a"), 1)[..., 0]
    others = [
        draws.uniform(draws.fold(seeds, *parts), 1)[:, 0]
        for parts in (("b", 0), ("a", 1), (0, "a"))
    ]
    others += [draws.uniform(draws.fold(seeds + 1, "a", 0), 1)[:, 0], agents[:, 1]]
    for other in others:
        correlation = torch.corrcoef(torch.stack([base, other]))[0, 1]
        # standard error of a correlation of independent numbers
        assert abs(float(correlation)) < 4 / math.sqrt(N)
    assert torch.equal(agents[:, 0], base)  # agent i's key is the fold with part i


def test_folds_do_not_collide():
    keys = draws.agent_keys(draws.fold(torch.arange(1000), "round", 2), 100)
    # a collision of 64-bit keys has probability 1e5^2 / 2 / 2^64 = 3e-10
    assert len(keys.unique()) == 100_000


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    draws.normal(torch.arange(3), 4)
    assert torch.equal(before, torch.get_rng_state())


@given(st.lists(INT64, min_size=1, max_size=20), INT64)
def test_tensors_are_mixed_as_arrays_are(keys, part):
    """On other devices than a CPU torch mixes the keys, here on a CPU by the same lines."""
    keys, part = torch.tensor(keys), torch.tensor(part)

    def drawn():
        draws._few_steps.cache_clear()
        folded = draws.fold(keys, "noise", 7, part)
        return folded, draws.agent_keys(folded, 3, "type"), draws.uniform(folded, 2, 2)

    with pytest.MonkeyPatch.context() as patch:
        arrays = drawn()
        patch.setattr(draws, "_numbers", lambda keys: keys)
        tensors = drawn()
    draws._few_steps.cache_clear()
    assert all(torch.equal(one, other) for one, other in zip(arrays, tensors, strict=True))


@pytest.mark.parametrize("kind", [torch.int8, torch.int32])
def test_keys_of_other_types_are_refused(kind):
    """Two keys of 32 bits would be read as one of 64."""
    keys = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8]).to(kind)
    for draw in (
        lambda: draws.uniform(keys, 2),
        lambda: draws.fold(keys, "noise"),
        lambda: draws.fold(keys.long(), keys),
        lambda: draws.agent_keys(keys, 2),
    ):
        with pytest.raises(ValueError, match=r"wanted torch\.int64; use \.long\(\)"):
            draw()
