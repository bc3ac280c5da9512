"""The way from pilots to a purchase, whatever torch's default device and type are: see
tests/test_devices.py.
"""

import pytest
import torch

from marketenv.core import draws
from marketenv.valuation import (
    FORMS,
    calibrated_gradients,
    enumerate_mixtures,
    extrapolate,
    extrapolate_estimator,
    fit_estimator,
    leave_one_out,
    predicted_value,
    select_enumerated,
    select_gradient,
    shadow_price,
    shapley,
)


def distance(p):
    """W of three sellers at the distances 1, 2 and 3, which a mixture lessens: W^2 = sum_i (i
    p_i)^2.
    """
    squares = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64, device="cpu")
    wad = (squares * p * p).sum(-1).sqrt()
    return wad, squares * p / wad[..., None]


def everything(form):
    """All results of one market's round by name; what the test itself makes says its device and
    type.
    """
    keys = torch.arange(2, device="cpu")
    p = enumerate_mixtures(3, 5)
    noise = 0.01 * draws.normal(keys, 2, p.shape[0])
    wad = distance(p)[0]
    fits = [
        fit_estimator(p, wad, 0.9 - k * wad + noise[:, i], form) for i, k in enumerate((0.3, 0.2))
    ]
    fit = extrapolate_estimator(100, fits[0], 200, fits[1], 800)
    caps = torch.tensor([0.4, 0.5, 1.0], dtype=torch.float32, device="cpu")
    chosen = (
        select_enumerated(fit, p, wad, caps),
        select_gradient(fit, p[:2], distance, caps, steps=5),
    )
    value = predicted_value(fit, chosen[1].p, lambda q: distance(q)[0], empty=0.1)
    shares = shapley(value, 3), shapley(value, 3, 4, keys)
    return [
        *(part for one in (fit, *chosen, *shares) for part in vars(one).values()),
        leave_one_out(value, 3),
        shadow_price(fit, p, *distance(p)),
        extrapolate(100, fits[0].predict(p, wad), 200, 0.5, 800),
        extrapolate(100, 0.4, 200, 0.5, 800),
        calibrated_gradients(noise[0]),
    ]


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize(("default", "device"), [(torch.float64, "meta"), (torch.bfloat16, "cpu")])
def test_the_same_numbers_whatever_the_defaults_are(form, default, device):
    wanted = everything(form)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        with torch.device(device), torch.autocast("cpu", dtype=torch.bfloat16):
            found = everything(form)
    finally:
        torch.set_default_dtype(before)
    assert len(found) == 19
    for one, other in zip(found, wanted, strict=True):
        assert one.device.type == "cpu" and one.dtype == other.dtype and torch.equal(one, other)
        assert one.dtype in (torch.float64, torch.int64)
