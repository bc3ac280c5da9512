"""What a horizon is: the end of a game, or a cut that shows nothing of itself."""

import pytest
import torch
from relay_market import RelayMarket

from marketenv.core.horizon import is_cut, share_played


def test_a_market_that_says_nothing_ends_at_its_horizon():
    market = RelayMarket()
    del market.cut
    assert not is_cut(market) and not is_cut(RelayMarket(cut=False)) and is_cut(RelayMarket(cut=True))


@pytest.mark.parametrize(("cut", "shares"), [(False, [0, 0.25, 1]), (True, [0, 0, 0])])
def test_the_share_of_rounds_played(cut, shares):
    assert share_played(RelayMarket(horizon=4, cut=cut), torch.tensor([0, 1, 4])).tolist() == shares
