"""Harm to rows of many owners: rows worked by hand, rates that are met, and what harm leaves
alone.
"""

import pytest
import torch

from marketenv.core import draws
from marketenv.data import (
    FLIPS,
    SHIFTS,
    Moments,
    covariate_shift,
    cycles,
    duplicated,
    feature_noise,
    moments,
    noise_rows,
    pairwise_flips,
    permuted_labels,
    symmetric_flips,
    toward,
)

KEYS = draws.agent_keys(torch.tensor([3, 11]), 3)  # 2 markets of 3 owners
RATES = torch.tensor([[0.0, 0.2, 1.0], [0.5, 0.0, 0.7]])
N, CLASSES = 400, 5
Y = draws.integers(draws.fold(KEYS, "y"), CLASSES, N)
X = draws.normal(draws.fold(KEYS, "x"), N, 2, 3).float()  # "images" of 2 x 3
PUBLIC = draws.normal(torch.tensor(5), 40, 2, 3).float()
PUBLIC_Y = torch.arange(40) % 4  # none of class 4

# everything that harms x, y or both by rates and keys: (x, y, rates, keys) -> tensors
HARM = {
    **{
        name: lambda x, y, rates, keys, flip=flip: (flip(y, rates, keys, CLASSES),)
        for name, flip in FLIPS.items()
    },
    "feature_noise": lambda x, y, rates, keys: (feature_noise(x, rates, keys),),
    **{
        name: lambda x, y, rates, keys, name=name: (covariate_shift(x, rates, keys, kind=name),)
        for name in SHIFTS
    },
    "toward": lambda x, y, rates, keys: (toward(x, PUBLIC, rates, keys),),
    "toward its class": lambda x, y, rates, keys: (toward(x, PUBLIC, rates, keys, (y, PUBLIC_Y)),),
    "noise_rows": lambda x, y, rates, keys: noise_rows(x, y, rates, keys, CLASSES),
}


def before(changed):
    return X if changed.is_floating_point() else Y


# --- of all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARM)
def test_a_rate_of_0_changes_no_bit_and_any_other_changes_something(name):
    for changed in HARM[name](X, Y, RATES, KEYS):
        equal = (changed == before(changed)).flatten(2).all(-1)
        assert torch.equal(equal, RATES == 0)


@pytest.mark.parametrize("name", HARM)
def test_the_same_key_does_the_same_alone_as_in_a_batch_and_another_key_something_else(name):
    together = HARM[name](X, Y, RATES, KEYS)
    assert all(
        torch.equal(one, two)
        for one, two in zip(together, HARM[name](X, Y, RATES, KEYS), strict=True)
    )
    alone = HARM[name](X[1, 2], Y[1, 2], RATES[1, 2], KEYS[1, 2])  # no axis of owners at all
    assert all(torch.equal(one, many[1, 2]) for one, many in zip(alone, together, strict=True))
    if name not in ("pairwise", "brightness", "contrast"):
        other = HARM[name](X[1, 2], Y[1, 2], RATES[1, 2], KEYS[1, 1])
        assert not any(torch.equal(one, two) for one, two in zip(alone, other, strict=True))


@pytest.mark.parametrize(
    "name", sorted(set(HARM) - {"feature_noise", "brightness", "contrast", "offset", "noise_rows"})
)
def test_later_rows_change_nothing_for_earlier_ones(name):
    (long,) = HARM[name](X, Y, RATES, KEYS)
    (short,) = HARM[name](X[:, :, :7], Y[:, :, :7], RATES, KEYS)
    assert torch.equal(long[:, :, :7], short)


def test_with_known_moments_later_rows_change_nothing_for_earlier_ones_and_blocks_do_not_matter(
    monkeypatch,
):
    # of a market: for its three owners alike
    known = Moments(torch.zeros(2, 1, 2, 3), torch.ones(2, 1, 2, 3))
    calls = [
        lambda x, kind=kind: covariate_shift(x, RATES, KEYS, known, kind=kind) for kind in SHIFTS
    ]
    calls += [lambda x: feature_noise(x, RATES, KEYS, known)]
    calls += [lambda x: noise_rows(x, Y[:, :, : x.shape[2]], RATES, KEYS, CLASSES, known)[0]]
    for call in calls:
        long = call(X)
        assert torch.equal(long[:, :, :7], call(X[:, :, :7]))
        with monkeypatch.context() as small:
            small.setattr("marketenv.data.owned_rows.CHUNK", 250 * 6)  # 250 rows at a time
            assert torch.equal(long, call(X))


WRONG = {
    "a rate above 1": (
        lambda harm: harm(X, Y, RATES + 0.5, KEYS),
        "rates hold 1.5, wanted numbers from 0 to 1",
    ),
    "a rate below 0": (
        lambda harm: harm(X, Y, RATES - 0.1, KEYS),
        "rates hold -0.1, wanted numbers from 0 to 1",
    ),
    "NaN": (lambda harm: harm(X, Y, RATES * torch.nan, KEYS), "rates hold nan"),
    "rates of fewer owners": (
        lambda harm: harm(X, Y, RATES[0], KEYS),
        r"rates have shape \[3\] but keys \[2, 3\]",
    ),
    "keys of fewer owners": (
        lambda harm: harm(X, Y, RATES[0], KEYS[0]),
        r"(y has|x is).* keys (have shape )?\[3\], wanted",
    ),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", HARM)
def test_what_no_harm_can_take_is_refused(name, wrong):
    call, said = WRONG[wrong]
    if name == "feature_noise" and wrong == "a rate above 1":
        call, said = (
            (lambda harm: harm(X, Y, RATES + 1e7, KEYS)),
            r"rates hold 1e\+07, wanted numbers from 0 to 1e\+06",
        )
    with pytest.raises(ValueError, match=said):
        call(HARM[name])


# --- labels ---------------------------------------------------------------------------------------


def test_flips_come_as_often_as_the_rate_says_and_to_each_other_class_alike():
    # 20,000 rows at rate .3: 6,000 flips, deviation sqrt(20,000 * .21) = 65, four of them 260; to
    # each of 4 other classes 1,500 with a deviation of sqrt(20,000 * .075 * .925) = 37, four of
    # them 149
    y, rates = torch.full((1, 20_000), 2), torch.tensor([0.3])
    for name, flip in FLIPS.items():
        counts = flip(y, rates, torch.tensor([7]), CLASSES)[0].bincount(minlength=CLASSES)
        assert abs(int(counts[2]) - 14_000) < 260, name
        if name == "symmetric":
            assert bool(((counts[torch.tensor([0, 1, 3, 4])] - 1500).abs() < 149).all())
        else:
            assert counts[torch.tensor([0, 1, 4])].tolist() == [0, 0, 0]


def test_a_rate_of_1_leaves_no_label_and_the_last_class_goes_to_the_first():
    ones = torch.ones(2, 3)
    assert not bool((symmetric_flips(Y, ones, KEYS, CLASSES) == Y).any())
    assert pairwise_flips(
        torch.tensor([[0, 3, 4]]), torch.tensor([1.0]), torch.tensor([1]), 5
    ).tolist() == [[1, 4, 0]]


def test_both_flips_fall_on_the_same_rows():
    assert torch.equal(
        symmetric_flips(Y, RATES, KEYS, CLASSES) == Y, pairwise_flips(Y, RATES, KEYS, CLASSES) == Y
    )


def test_cycles_send_some_classes_round():
    # the page's 0 -> 1 -> 2 -> 3 -> 0; nothing; nothing; all; and 4 -> 2 -> 0 -> 4 in an order of
    # one's own
    maps = cycles(torch.tensor([4, 0, 1, 5]), 5)
    assert maps.tolist() == [[1, 2, 3, 0, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 2, 3, 4, 0]]
    assert cycles(torch.tensor([3, 2]), 5, order=(4, 2, 0)).tolist() == [
        [4, 1, 0, 3, 2],
        [0, 1, 4, 3, 2],
    ]
    y = torch.tensor([0, 1, 2, 3, 4, 0])
    assert permuted_labels(y.expand(4, -1), maps)[0].tolist() == [1, 2, 3, 0, 4, 1]
    assert permuted_labels(y, maps[1]).tolist() == y.tolist()


def test_a_permutation_keeps_the_classes_apart():
    maps = draws.permutation(KEYS, CLASSES)
    changed = permuted_labels(Y, maps)
    for market in range(2):
        for owner in range(3):
            back = maps[market, owner].argsort()
            assert torch.equal(back[changed[market, owner]], Y[market, owner])


# --- features -------------------------------------------------------------------------------------


def test_moments_do_not_see_padding():
    # rows 1, 3 and twice 8: mean (1 + 3 + 16) / 4 = 5, deviation sqrt((16 + 4 + 9 + 9) / 4) =
    # sqrt(9.5)
    x = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [8.0, 0.0], [torch.nan, torch.inf]]])
    found = moments(x, torch.tensor([[1.0, 1.0, 2.0, 0.0]]))
    assert found.mean.tolist() == [[5.0, 0.0]] and found.spread[0].tolist() == pytest.approx(
        [9.5**0.5, 0.0]
    )
    assert moments(X, torch.ones(2, 3, N)).spread.flatten(2).mean(
        -1
    ).flatten().tolist() == pytest.approx([1.0] * 6, abs=0.1)


def test_noise_is_measured_by_each_features_own_deviation():
    # deviations 1 and 10; noise of rate .5 has .5 and 5: of 20,000 rows within 4 / sqrt(40,000) = 2
    # %
    x = draws.normal(torch.tensor([3]), 20_000, 2).float() * torch.tensor([1.0, 10.0])
    added = feature_noise(x, torch.tensor([0.5]), torch.tensor([9])) - x
    assert (added.std(1) / x.std(1)).flatten().tolist() == pytest.approx([0.5, 0.5], rel=0.02)
    assert added.mean(1).flatten().tolist() == pytest.approx([0.0, 0.0], abs=4 * 5 / 20_000**0.5)
    assert abs(float(torch.corrcoef(added[0].T)[0, 1])) < 4 / 20_000**0.5


def test_shifts_by_hand():
    # two features 0, 2 and 10, 16: deviations 1 and 3, means 1 and 13. Brightness adds .5 sqrt((1 +
    # 9) / 2) = .5 sqrt(5) to all; contrast of .5 halves the way to the grey 7
    x = torch.tensor([[[0.0, 10.0], [2.0, 16.0]]])
    half, key = torch.tensor([0.5]), torch.tensor([1])
    bright = covariate_shift(x, half, key, kind="brightness")
    assert (bright - x).flatten().tolist() == pytest.approx([0.5 * 5**0.5] * 4)
    assert covariate_shift(x, half, key, kind="contrast").tolist() == [[[3.5, 8.5], [4.5, 11.5]]]
    assert covariate_shift(x, 2 * half, key, kind="contrast").unique().tolist() == [7.0]
    moved = covariate_shift(x, half, key, kind="offset") - x
    assert torch.allclose(moved[0, 0], moved[0, 1]) and moved.abs().min() > 0
    assert torch.allclose(
        covariate_shift(x, 2 * half, key, kind="offset") - x, 2 * moved, atol=1e-5
    )


def test_an_offset_is_each_owners_own_and_as_large_as_a_deviation():
    keys = torch.arange(3000)
    known = Moments(torch.zeros(3000, 1), torch.full((3000, 1), 2.0))
    moved = covariate_shift(torch.zeros(3000, 1, 1), torch.ones(3000), keys, known, kind="offset")
    assert float(moved.std()) == pytest.approx(2.0, rel=4 / 6000**0.5)


def test_features_end_at_public_rows_of_their_own_class():
    whole = torch.ones(2, 3)
    any_row = toward(X, PUBLIC, whole, KEYS)
    own_class = toward(X, PUBLIC, whole, KEYS, (Y, PUBLIC_Y))
    for moved in (any_row, own_class):
        # [markets, owners, rows, public]
        hit = (moved[..., None, :, :] == PUBLIC).flatten(-2).all(-1)
        assert bool((hit.sum(-1) == 1).all())
    hit = (own_class[..., None, :, :] == PUBLIC).flatten(-2).all(-1)
    classes = PUBLIC_Y[hit.long().argmax(-1)]
    assert torch.equal(classes[Y < 4], Y[Y < 4])
    assert len(classes[Y == 4].unique()) == 4  # nobody public is of class 4: they go anywhere
    quarter = toward(X, PUBLIC, torch.full((2, 3), 0.25), KEYS)
    assert torch.allclose(quarter, 0.75 * X + 0.25 * any_row, atol=1e-6)


def test_each_public_row_of_a_class_is_drawn_alike():
    # 10 public rows of the class, 10,000 rows: 1,000 each, deviation 30, four of them 120
    x, y = torch.zeros(1, 10_000, 1), torch.ones(1, 10_000).long()
    moved = toward(x, torch.arange(40.0)[:, None], torch.ones(1), KEYS[0, :1], (y, PUBLIC_Y))
    values, counts = moved.unique(return_counts=True)
    assert values.tolist() == [float(row) for row in range(40) if row % 4 == 1] and bool(
        ((counts - 1000).abs() < 120).all()
    )


# --- rows -----------------------------------------------------------------------------------------


def test_copies_by_hand():
    x = torch.arange(6.0).view(1, 6, 1).expand(3, -1, -1)
    y = torch.arange(6).expand(3, -1)
    copies, labels = duplicated(x, y, torch.tensor([1, 4, 6]))
    assert copies[..., 0].tolist() == [
        [0.0] * 6,
        [0.0, 1.0, 2.0, 3.0, 0.0, 1.0],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    ]
    assert torch.equal(labels, copies[..., 0].long())


def test_noise_has_the_moments_of_the_rows_and_random_labels():
    # 20,000 rows of mean 3 and deviation 2 at rate .5: 10,000 of noise within 4 * 2 / 100 = .08 of
    # the mean, and 2.8 % of the deviation; each of 5 labels comes 2,000 times, deviation
    # sqrt(10,000 * .16) = 40, four of them 160
    x = 3 + 2 * draws.normal(torch.tensor([3]), 20_000, 1).float()
    y = torch.zeros(1, 20_000).long()
    noise, labels = noise_rows(x, y, torch.tensor([0.5]), torch.tensor([4]), CLASSES)
    changed = noise != x
    assert abs(int(changed.sum()) - 10_000) < 4 * 5000**0.5
    assert float(noise[changed].mean()) == pytest.approx(3.0, abs=0.08)
    assert float(noise[changed].std()) == pytest.approx(2.0, rel=0.028)
    assert bool(((labels[changed[..., 0]].bincount(minlength=CLASSES) - 2000).abs() < 160).all())
    assert bool((labels[~changed[..., 0]] == 0).all())
    told = torch.corrcoef(torch.stack([noise[changed], x[changed]]))[0, 1]
    assert abs(float(told)) < 0.04  # noise says nothing of what it stands for


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: symmetric_flips(Y, RATES, KEYS, 4),
            "y is torch.int64 from 0 to 4 with n_classes 4, wanted int64 labels",
        ),
        (
            lambda: symmetric_flips(0 * Y, RATES, KEYS, 1),
            "with n_classes 1, wanted int64 labels 0..n_classes-1 of two classes",
        ),
        (lambda: pairwise_flips(Y.float(), RATES, KEYS, 5), "y is torch.float32 from 0 to 4"),
        (lambda: noise_rows(X, Y - 1, RATES, KEYS, 5), "y is torch.int64 from -1 to 3"),
        (lambda: cycles(torch.tensor([6]), 5), r"lengths run from 6 to 6, wanted 0\.\.5 classes"),
        (
            lambda: cycles(torch.tensor([-1, 3]), 5),
            r"lengths run from -1 to 3, wanted 0\.\.5 classes",
        ),
        (
            lambda: cycles(torch.tensor([2]), 5, (1, 1)),
            r"order is \(1, 1\), wanted classes from 0 to 4, each named once",
        ),
        (
            lambda: cycles(torch.tensor([2]), 5, (1, 5)),
            r"order is \(1, 5\), wanted classes from 0 to 4",
        ),
        (
            lambda: permuted_labels(Y, torch.zeros(2, 3, 5).long()),
            "wanted a permutation of the 5 classes for each owner",
        ),
        (
            lambda: permuted_labels(Y, cycles(torch.zeros(2, 3).long(), 4)),
            "y is torch.int64 from 0 to 4 with n_classes 4",
        ),
        (
            lambda: covariate_shift(X, RATES, KEYS, kind="bright"),
            "no kind 'bright'. Did you mean 'brightness'",
        ),
        (
            lambda: feature_noise(X.long(), RATES, KEYS),
            r"x is torch.int64 .*wanted x floats \[2, 3, n, \*features\]",
        ),
        (lambda: toward(X, PUBLIC[:0], RATES, KEYS), r"public is \[0, 2, 3\] but x"),
        (
            lambda: toward(X, PUBLIC[:, 0], RATES, KEYS),
            r"public is \[40, 3\] but x .*wanted public rows with the features of x",
        ),
        (
            lambda: duplicated(X, Y, torch.zeros(2, 3).long()),
            r"unique runs from 0 to 0, wanted 1\.\.400",
        ),
        (
            lambda: duplicated(X, Y, torch.full((2, 3), 401)),
            r"unique runs from 401 to 401, wanted 1\.\.400",
        ),
        (
            lambda: moments(X, torch.zeros(2, 3, N)),
            "wanted numbers >= 0 .* of which no owner's are all 0",
        ),
        (lambda: moments(X, -torch.ones(2, 3, N)), "wanted numbers >= 0"),
        (
            lambda: moments(X, torch.ones(2, 4)),
            r"weights \[2, 4\] of rows \[2, 3, 400, 2, 3\], wanted numbers >= 0 \[2, 3\]",
        ),
    ],
)
def test_what_one_of_them_cannot_take_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
