"""Autocast stops at the library's doors and goes on behind them."""

import pytest
import torch
from relay_market import Draw, Offer, Reply, Ship, a_round, relay_market

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, agent_names
from marketenv.core.precision import full_precision

FINE = torch.tensor([[1.0 + 2**-10]])  # bfloat16 has 8 bits: it rounds this to 1


@full_precision()
def product(x):
    return x @ x


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_products_keep_their_bits_inside_and_autocast_goes_on_outside(kind):
    assert torch.equal(product(FINE), FINE @ FINE)
    with torch.autocast("cpu", dtype=kind):
        assert torch.equal(product(FINE), FINE * FINE) and (FINE @ FINE).dtype == kind
        with pytest.raises(ZeroDivisionError), full_precision():
            assert not torch.is_autocast_enabled("cpu")
            raise ZeroDivisionError
        assert torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == kind
    assert not torch.is_autocast_enabled("cpu")


def test_a_users_policy_keeps_the_users_settings():
    market, seen = make_market("reference_v0"), []

    def policy(observation, role, keys):
        seen.append((torch.is_autocast_enabled("cpu"), torch.get_default_dtype()))
        return torch.zeros(len(observation), 1, dtype=torch.float32)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        list(rounds.play(market, dict.fromkeys(agent_names(market), policy), torch.tensor([1])))
    assert seen == [(True, torch.float32)] * 2  # one call for each role


def test_autocast_is_off_in_every_method_of_a_phase():
    met = set()

    def looked(name):
        def method(self, *given):
            met.add((name, torch.is_autocast_enabled("cpu")))
            return getattr(Offer, name)(self, *given)

        return method

    names = ("begin", "quote", "show", "show_end", "act")
    phase = type("Looks", (Offer,), {name: looked(name) for name in names})()
    market = Market(relay_market().people, (Draw(), phase, Reply(), Ship()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        now, _ = a_round(market, rounds.begin(market, torch.tensor([1])))
        rounds.observe(market, now)
    assert met == {(name, False) for name in names}
