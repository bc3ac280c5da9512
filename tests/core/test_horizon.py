"""What a horizon is: the end of a game, or a cut that shows nothing of itself."""

import pytest
import torch
from relay_market import a_round, relay_market

from marketenv.core import rounds
from marketenv.core.market import Market


def test_a_market_that_says_nothing_ends_at_its_horizon():
    plain = relay_market()
    assert not Market(plain.people, plain.phases, horizon=3).cut and relay_market(cut=True).cut


@pytest.mark.parametrize(
    ("cut", "shares"), [(False, [0, 0.25, 0.5, 0.75, 1]), (True, [0, 0, 0, 0, 0])]
)
def test_agents_see_how_much_of_a_game_is_played_and_nothing_of_a_cut(cut, shares):
    market = relay_market(horizon=4, cut=cut)
    now, seen = rounds.begin(market, torch.tensor([0])), []
    for _ in range(4):
        seen.append(rounds.observe(market, now)["seller"].item())
        now, _ = a_round(market, now)
    assert [*seen, rounds.observe(market, now)["seller"].item()] == shares  # finished rounds / 4
