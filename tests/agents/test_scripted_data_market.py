"""Strategies of the data market: what each does, and its claim, on digits in a market of a few
rows.
"""

import pytest
import torch
from scripted_cases import policy, trade

from agents.scripted.data_market import buyer, seller, shade
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.data_market import Delivered, Offered, Piloted, Selected

KIND = "data_market_v0"
TINY = {
    **{
        "max_cycles": 1,
        "learner_options": {"hidden": (4,)},
        "communications": 1,
        "pilots": (16, 32),
        "points": 32,
    },
    **{"training": Training(optimizer="sgd", learning_rate=0.5, batch_size=16, steps=1)},
    **{
        "mixtures": 2,
        "dimensions": 8,
        "private": False,
        "selection": "uniform",
        "distance": "exact",
    },
}
MARKETS = 4


def market_of(**config):
    return make_market(KIND, **TINY | config)


def played(market, *names, n_markets=MARKETS):
    """The report of one round where agents play by name, in order; "lavish" is a buyer that
    spends all, equally.
    """
    policies = [_lavish(market) if name == "lavish" else policy(name, market) for name in names]
    who = torch.arange(len(names)).expand(n_markets, -1)
    return trade(market, who, policies)[0]


def _lavish(market, **selection):
    """A buyer that spends all its money on as many points of everybody."""
    return buyer(
        market,
        mixture=lambda seen, keys: torch.ones_like(seen["distance"]),
        budget=1.0,
        **selection,
    )


def line_up(market, name, other="truthful", last="lavish"):
    """Seller_0 plays the strategy, the others the other one."""
    return played(market, name, other, other, last)


def gains(name, **config):
    """What seller_0 earns by the strategy less what truth earns it, in each market."""
    market = market_of(**config)
    return line_up(market, name).rewards[:, 0] - line_up(market, "truthful").rewards[:, 0]


def pilots(name, **config):
    """Distances of all sellers' pilots [markets, sellers], where seller_0 plays the strategy."""
    return line_up(market_of(**config), name).of(Piloted).apart


def audited(name, **config):
    """Whether seller_0 is caught where every delivery is audited, by market; and whether any of
    the others is.
    """
    market = market_of(rule="posted", **config)
    policies = [
        policy(name, market),
        policy("truthful", market),
        policy("truthful", market),
        _lavish(market, verify=1.0),
    ]
    report = trade(market, torch.arange(4).expand(MARKETS, -1), policies)[0]
    caught = report.of(Delivered).caught
    assert report.of(Selected).audited.all() and not caught[:, 1:].any()
    assert not report.flows["price"].received[caught].any()
    return caught[:, 0]


def test_truth_is_the_markets_own_and_what_nothing_further_is_said_of():
    market = market_of()
    assert policy("truthful", market) is market.policies["truthful"]
    now, keys = rounds.begin(market, torch.arange(2)), torch.zeros(6, dtype=torch.int64)
    seen = rounds.observe(market, now)["seller"].flatten(0, 1)
    wanted = market.policies["truthful"](seen, market.moves[0], keys)
    assert torch.equal(seller(market)(seen, market.moves[0], keys), wanted)


def test_a_meaning_of_a_field_that_a_market_lacks_is_left_out():
    market = market_of(conduct=("bait",))
    offered = line_up(market, "label_flipper").of(Offered)
    assert not offered.conduct.flip.any()


def test_shade_spends_a_part_of_what_the_gain_is_worth():
    """Truth spends min(gain / money, 1); the factor comes on top, and as a seller it is
    truthful.
    """
    market = market_of(points=320, money_per_accuracy=(500.0, 500.0))
    for factor in (0.5, 2.0):
        now = rounds.begin(market, torch.arange(4))
        truth = dict.fromkeys(agent_names(market), market.policies["truthful"])
        now, _ = rounds.play_stage(market, now, rounds.act(market, truth, now))
        seen = rounds.observe(market, now)["buyer"].flatten(0, 1)
        move, keys = market.moves[1], torch.zeros(4, dtype=torch.int64)
        honest = move.read(seen, market.policies["truthful"](seen, move, keys))
        shaded = move.read(seen, shade(factor, market)(seen, move, keys))
        assert (
            torch.allclose(shaded["budget"], (factor * honest["budget"]).clamp(max=1.0), atol=1e-6)
            and honest["budget"].any()
        )
        assert torch.equal(shaded["mixture"], honest["mixture"])


def test_never_trade_buys_nothing():
    report = line_up(market_of(), "truthful", last="never_trade")
    assert not report.of(Selected).points.any() and not report.transfers.any()


def test_claim_price_shader():
    """Under procurement the price is the largest ask at which it is still bought: no other ask
    earns more.
    """
    # 11 points for 165 or for 247
    config = {"cost_per_point": (15.0, 15.0), "cash": 200.0, "partition": "balanced"}
    sold = line_up(market_of(**config), "truthful").of(Selected).points[:, 0] > 0
    gain = gains("price_shader", **config)
    # it drops out of some sales
    assert sold.any() and (gain <= 1e-9).all() and (gain[sold] < 0).any()
    asked = line_up(market_of(cost_per_point=(5.0, 5.0)), "price_shader").of(Offered).ask
    assert asked[0].tolist() == pytest.approx([7.5, 5.0, 5.0], rel=1e-5)


def test_claim_duplicator():
    """Ten rows or so are sold five times: 50 points, whose cost is that of a fifth of them."""
    market = market_of(
        rule="posted",
        points=150,
        data_options={"size": 10},
        labelling=0.0,
        cost_per_point=(1.0, 1.0),
    )
    size = rounds.begin(market, torch.arange(MARKETS)).floor.world.size[:, 0]
    report = line_up(market, "duplicator")
    assert torch.equal(report.of(Selected).points[:, 0], (5 * size).clamp(max=50))
    assert torch.allclose(
        report.terms["cost"]["seller"][:, 0],
        -(report.of(Selected).points[:, 0] / 5).ceil().double(),
    )
    assert (
        report.of(Selected).points[:, 0] > line_up(market, "truthful").of(Selected).points[:, 0]
    ).all()


def test_claim_padder():
    """A fifth of its rows are different: of 60 it sells 12, so that its cost is that of 12 at
    most.
    """
    market = market_of(
        rule="posted",
        points=150,
        data_options={"size": 60},
        labelling=0.0,
        cost_per_point=(1.0, 1.0),
    )
    size = rounds.begin(market, torch.arange(MARKETS)).floor.world.size[:, 0]
    report = line_up(market, "padder")
    points, rows = report.of(Selected).points[:, 0], -report.terms["cost"]["seller"][:, 0]
    assert (points == 50).all() and (rows <= (size / 5).ceil()).all() and (rows < points / 3).all()


def test_claim_label_flipper():
    """Where sellers' data are alike its pilot lies farther off, and so do all mixtures in which
    it is.
    """
    market = market_of(partition="balanced")
    honest, lie = (line_up(market, name).of(Piloted) for name in ("truthful", "label_flipper"))
    assert (lie.apart[:, 0] > honest.apart[:, 0]).all() and torch.equal(
        lie.apart[:, 1:], honest.apart[:, 1:]
    )
    holds = honest.mixtures[:, :, 0] > 0
    assert holds.any() and (lie.distances > honest.distances)[holds].all()


def test_claim_label_permuter():
    assert not audited("label_permuter").any() and audited("label_permuter", vocabulary=1.0).all()
    honest, renamed = (
        line_up(market_of(), name).of(Piloted).apart for name in ("truthful", "label_permuter")
    )
    assert torch.equal(renamed, honest)  # its pilot is honest


def test_claim_imitator():
    assert (pilots("imitator")[:, 0] < 0.95 * pilots("truthful")[:, 0]).all()


def test_claim_spoofer():
    many = {"pilots": (16, 64), "points": 64}  # as many as distances are taken to
    honest, spoofed = pilots("truthful", **many)[:, 0], pilots("spoofer", **many)[:, 0]
    assert (spoofed < 0.5 * honest).all() and audited("spoofer").all()


def test_claim_bait_and_switch():
    market = market_of(rule="posted")
    honest, bait = (line_up(market, name) for name in ("truthful", "bait_and_switch"))
    assert torch.equal(bait.of(Piloted).apart, honest.of(Piloted).apart)
    assert (
        not bait.terms["cost"]["seller"][:, 0].any()
        and (bait.rewards[:, 0] > honest.rewards[:, 0]).all()
    )
    assert audited("bait_and_switch").all()


def bought(name, **config):
    """What is bought of honest sellers whose ask is 0, where the buyer plays the strategy and
    spends all it has.
    """
    market = market_of(
        rule="posted", cost_per_point=(0.0, 0.0), money_per_accuracy=(1e6, 1e6), **config
    )
    return played(market, "truthful", "truthful", "truthful", name, n_markets=64)


def test_claim_random_buyer():
    """Shares drawn evenly from all mixtures of three have a mean of 1/3 and a deviation of
    .236, an error of .03 here.
    """
    market = market_of(selection="oracle", conduct=())
    now = rounds.begin(market, torch.arange(2))
    truth = dict.fromkeys(agent_names(market), market.policies["truthful"])
    now, _ = rounds.play_stage(market, now, rounds.act(market, truth, now))
    seen = rounds.observe(market, now)["buyer"][:1, 0].expand(512, -1)
    move = market.moves[1]
    shares = move.read(seen, policy("random_buyer", market)(seen, move, torch.arange(512)))[
        "mixture"
    ]
    assert torch.allclose(shares.sum(1), torch.ones(512).double(), atol=1e-5)
    assert shares.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=4.5 * 0.236 / 512**0.5)


def test_claim_agg_wad_buyer():
    report = bought("agg_wad_buyer")
    points, apart = report.of(Selected).points, report.of(Piloted).apart
    some = points.sum(1) > 0
    assert some.sum() > 5 and ((points > 0).sum(1) <= 1).all()
    assert torch.equal(points[some].argmax(1), apart[some].argmin(1))


def test_claim_equal_buyer():
    points = bought("equal_buyer").of(Selected).points
    points = points[points.sum(1) > 0]
    assert (
        len(points) > 5
        and ((points.amax(1) - points.amin(1)) <= 1).all()
        and (points.sum(1) == 32).all()
    )


def test_claim_auditor():
    market = market_of(rule="posted", cost_per_point=(0.0, 0.0), money_per_accuracy=(1e6, 1e6))
    report = played(market, "bait_and_switch", "truthful", "truthful", "auditor", n_markets=32)
    sold = report.of(Selected).points > 0
    assert sold[:, 0].any() and sold[:, 1].any()
    assert (
        torch.equal(report.of(Delivered).caught[:, 0], sold[:, 0])
        and not report.received[:, 0].any()
    )
    assert (report.flows["price"].received[:, 1] > 0).any()


def test_claim_holder_back():
    """Nothing is paid at once; where the accuracy is no better than without data, nothing is
    paid at all.
    """
    market = market_of(rule="posted", cost_per_point=(0.0, 0.0), money_per_accuracy=(1e6, 1e6))
    report = played(market, "truthful", "truthful", "truthful", "holder_back", n_markets=64)
    selected, kept = report.of(Selected), report.of(Delivered).kept
    sold = selected.points.sum(1) > 0
    nothing = sold & (kept == 0)
    assert nothing.any() and not report.flows["price"].money.any()
    assert (
        not report.flows["released"].received[nothing].any()
        and report.flows["released"].received[sold & (kept > 0)].any()
    )
