"""Pictures of a market that is made of several: what money buys, and whose it is in the end."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.render import Payments, draw_frame, draw_kinds, figure, figure_of_kinds, tell_round
from marketenv.render.kinds import THIN, WIDE, sells_several
from marketenv.render.pictures import COLOURS

SMALL = {"data_options": {"max_examples": 300}, "max_cycles": 1}
GAME = {"learner": None, "trade": None, "max_cycles": 1}  # contests alone
BOUGHT = {"rule": "posted", "data_market": {"points": 40, "pilots": (10, 20), "mixtures": 4}}


def reports_of(name="marketplace_v0", policy="truthful", **config):
    market = make_market(name, **config)
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    played = rounds.play(market, policies, torch.tensor([3]))
    return [report for *_, report in played if report is not None]


def test_accounts_pass_money_on_from_developers_to_owners_and_from_owners_to_centres():
    """Two developers' contests of three owners; no trade of parameters, so no third kind."""
    (report,) = reports_of(**GAME, n_owners=3)
    payments = Payments.of([report])
    assert payments.names == agent_names(make_market("marketplace_v0", **GAME, n_owners=3))
    assert list(payments.kinds) == ["data", "compute"]
    data, compute = payments.kinds.values()
    paid = report.flows["payment"].money[0].numpy()  # from the escrow of each to the owners
    assert np.allclose(data[:2, 2:5], paid) and np.isclose(data.sum(), paid.sum())
    fees = report.flows["fee"].money[0].numpy()  # from rows of owners, developer by developer
    by_owner = report.flows["charge"].money[0].numpy() @ (fees / fees.sum(1, keepdims=True))
    assert np.allclose(compute[2:5, 5:], by_owner) and np.isclose(compute.sum(), fees.sum())


@pytest.mark.parametrize("policy", ["truthful", "random"])
@pytest.mark.parametrize(
    "parts",
    [
        GAME,
        SMALL | {"own_data": True, "n_developers": 3},
        SMALL | BOUGHT | {"trade": "ipfl"},
        SMALL | {"compute": "posted"},
    ],
)
def test_whoever_pays_in_the_end_the_net_of_every_agent_is_that_of_the_report(parts, policy):
    reports = reports_of(policy=policy, **parts)
    payments = Payments.of(reports)
    money = sum(payments.kinds.values())
    agents = reports[0].rewards.shape[1]
    net = sum(report.net[0].numpy() for report in reports)
    assert np.allclose((money.sum(0) - money.sum(1))[:agents], net[:agents], atol=1e-9)
    assert payments.names[:agents] == tuple(reports[0].names[:agents])
    assert all((paid >= 0).all() and not paid.diagonal().any() for paid in payments.kinds.values())


def test_an_account_that_keeps_money_stands_beside_the_agents_and_its_rows_are_one():
    """A platform fee of a tenth on top of prices, of two developers."""
    config = SMALL | BOUGHT | {"data_market": BOUGHT["data_market"] | {"fee": 0.1}}
    payments = Payments.of(reports_of(**config))
    assert payments.names[-1] == "account platform" and len(payments.names) == 9
    assert list(payments.roles) == ["developer", "owner", "centre", "account"]
    data, fees = payments.kinds["data"], payments.kinds["fees"]
    assert data.sum() > 0 and np.allclose(fees[:2, 8], 0.1 * data[:2].sum(1))
    assert np.isclose(fees.sum(), 0.1 * data.sum())


def test_rounds_of_an_episode_are_summed():
    reports = reports_of(**GAME | {"max_cycles": 3})
    together, alone = Payments.of(reports), [Payments.of([report]) for report in reports]
    for kind, money in together.kinds.items():
        assert np.allclose(money, sum(one.kinds[kind] for one in alone))


def test_only_a_market_of_several_kinds_is_drawn_by_kind():
    (market,), (alone,) = (
        reports_of(**GAME),
        reports_of("resource_market_v0", learner=None, max_cycles=1),
    )
    assert sells_several(market) and not sells_several(alone) and not sells_several(None)
    frame = draw_frame(market, market.names[:8])
    assert frame.dtype == np.uint8 and frame.shape[2] == 3
    assert np.array_equal(frame, draw_frame(market, market.names[:8]))


def test_arrows_have_the_colour_of_their_kind_and_grow_with_the_money():
    kinds = {"data": np.zeros((3, 3)), "parameters": np.zeros((3, 3))}
    kinds["data"][0, 2], kinds["parameters"][1, 0] = 2.0, 0.5
    roles = {"developer": ("developer_0", "developer_1"), "owner": ("owner_0",)}
    _, (axes,) = figure()
    draw_kinds(axes, Payments(kinds, ("developer_0", "developer_1", "owner_0"), roles), "paid")
    drawn = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None)]
    looks = [(to_hex(arrow.get_edgecolor()), arrow.get_linewidth()) for arrow in drawn]
    assert looks == [(COLOURS[0], WIDE), (COLOURS[1], THIN + 0.25 * (WIDE - THIN))]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["data: 2.00 money", "parameters: 0.50 money"]
    heads = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert heads == ["developers", "owners"]
    first, second = (group.get_offsets() for group in axes.collections)
    assert len(first) == 2 and len(second) == 1 and first[0][0] == first[1][0] < second[0][0]


def test_every_role_has_a_panel_of_its_utilities():
    (report,) = reports_of(**GAME)
    utilities = dict(zip(report.names, report.rewards[0].tolist(), strict=False))
    fig = figure_of_kinds(Payments.of([report]), utilities, "in the first round")
    network, *panels = fig.axes
    assert network.get_title() == "money paid in the first round"
    assert [axes.get_title() for axes in panels] == [
        f"utility of {role}s" for role in ("developer", "owner", "centre")
    ]
    widths = [bar.get_width() for axes in panels for bar in axes.patches]
    assert np.allclose(widths, report.rewards[0])


def test_a_round_without_money_says_so():
    (report,) = reports_of(n_owners=0, **SMALL)
    report.flows["purchases"].money.zero_()
    payments = Payments.of([report])
    fig = figure_of_kinds(payments, dict.fromkeys(payments.names, 0.0), "in the last round")
    title = fig.axes[0].get_title()
    assert title == "no money paid in the last round"


def test_words_stand_once_below_all_the_developers_of_whom_they_are_true():
    """Both developers commit the same, so both contests are alike; each has its model."""
    (report,) = reports_of(**SMALL)
    lines = tell_round(report, report.names[:8]).splitlines()
    place = lines.index("With developer_0, developer_1:")
    assert [line.split(" contributes")[0] for line in lines[place + 1 : place + 5]] == [
        f"  owner_{k}" for k in range(4)
    ]
    assert sum("owner_0 contributes" in line for line in lines) == 1
    assert sum("'s model goes from" in line for line in lines) == 2


def test_words_that_differ_stand_below_each_developer():
    (report,) = reports_of(policy="random", **GAME)
    lines = tell_round(report, report.names[:8]).splitlines()
    assert lines.count("With developer_0:") >= 1
    assert lines.count("With developer_0:") == lines.count("With developer_1:")
