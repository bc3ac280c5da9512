"""A market's device is one that this machine has."""

import pytest
import torch

from marketenv import make_market
from marketenv.core.devices import device_of


@pytest.mark.parametrize(
    "name",
    [
        "reference_v0",
        "parameter_trading_v0",
        "model_sharing_v0",
        "data_market_v0",
        "resource_market_v0",
        "marketplace_v0",
    ],
)
def test_a_device_that_is_not_there_is_refused_by_its_name(name):
    with pytest.raises(ValueError, match="device is 'nonsense', which cannot be used here"):
        make_market(name, device="nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(
            ValueError, match="device is 'cuda', which cannot be used here; wanted cpu"
        ):
            make_market(name, device="cuda")


def test_a_device_may_be_given_as_it_is():
    assert (
        device_of(torch.device("meta")).type == "meta"
        and make_market("reference_v0").device.type == "cpu"
    )
