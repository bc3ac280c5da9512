"""Pictures show what the report holds; pages stand alone and escape what they are given."""

import io
import itertools
import math

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.bezier import BezierSegment
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import ConnectionStyle

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.markets.reference import Auctioned
from marketenv.render import (
    Html,
    anchor,
    draw_bands,
    draw_bars,
    draw_frame,
    draw_lines,
    draw_network,
    draw_points,
    figure,
    page,
    picture,
    png,
    table,
    tell_round,
)
from marketenv.render.html import STYLE
from marketenv.render.pictures import ALONG, BEND, COLOURS, curve


def a_round():
    market = make_market("reference_v0", costs=(0.0, 0.1))
    policies = dict.fromkeys(("buyer_0", "seller_0"), market.policies["truthful"])
    return next(rounds.play(market, policies, torch.tensor([0])))[2]


def test_frame_is_a_picture_that_depends_on_the_round():
    agents = ["buyer_0", "seller_0"]
    before, after = draw_frame(None, agents), draw_frame(a_round(), agents)
    assert before.dtype == np.uint8 and before.ndim == 3 and before.shape[2] == 3
    assert before.std() > 0 and not np.array_equal(before, after)
    assert np.array_equal(after, draw_frame(a_round(), agents))


def a_shared_round(**config):
    """A round of three clients of equal size: client 0 needs data, the others sell at costs of
    0.5 and 0.6.
    """
    types = {"sizes": [1.0, 1.0, 1.0], "costs": [9.0, 0.5, 0.6], "needs": [100.0, 0.0, 0.0]}
    market = make_market(
        "model_sharing_v0",
        n_agents=3,
        max_cycles=1,
        learner=None,
        strength=0.0,
        types=types,
        **config,
    )
    policies = dict.fromkeys(("client_0", "client_1", "client_2"), market.policies["truthful"])
    return next(rounds.play(market, policies, torch.tensor([0])))[2]


def arrows_of(axes):
    return [
        text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None) is not None
    ]


def test_the_frame_of_shared_models_is_their_graph(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "marketenv.render.frames.draw_bars", lambda axes, *rest: seen.append(axes.figure.axes[0])
    )
    names = ["client_0", "client_1", "client_2"]
    draw_frame(a_shared_round(), names)
    # sqrt(100) (1 - 1 / sqrt(2)) = 2.93 > .5, sqrt(100) (1 / sqrt(2) - 1 / sqrt(3)) = 1.30 > .6:
    # both sell, both at 1.30
    assert [round(arrow.get_linewidth(), 6) for arrow in arrows_of(seen[0])] == [5.6, 5.6]
    draw_frame(a_shared_round(scheme="fedavg"), names)
    # everybody gets every model; no money moves
    assert [arrow.get_linewidth() for arrow in arrows_of(seen[1])] == [0.6] * 6
    assert not [text for text in seen[1].texts if text.get_text() not in ("", *names)]
    assert seen[0].get_title() == "models bought and money paid last round"


def test_the_frame_of_a_data_market_says_that_data_are_bought_and_names_its_accounts(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "marketenv.render.frames.draw_bars", lambda axes, *rest: seen.append(axes.figure.axes[0])
    )
    options = {
        "points": 8,
        "pilots": (2, 4),
        "mixtures": 2,
        "communications": 1,
        "learner_options": {"hidden": (4,)},
    }
    market = make_market("data_market_v0", n_sellers=2, rule="posted", **options)
    names = agent_names(market)
    report = next(
        r
        for _, _, r in rounds.play(
            market, dict.fromkeys(names, market.policies["random"]), torch.tensor([0])
        )
        if r
    )
    draw_frame(report, names)
    assert seen[0].get_title() == "data bought and money paid last round"
    assert report.names == [*names, "account held", "account platform"]
    assert "account\nheld" in [
        text.get_text() for text in seen[0].texts
    ] and "buyer_0 pays account held" in tell_round(report, names)


def test_network_draws_one_arrow_per_payment():
    _fig, (axes,) = figure()
    money = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    draw_network(axes, money, ["a", "b", "c"])
    arrows = [t for t in axes.texts if getattr(t, "arrow_patch", None) is not None]
    widths = sorted(a.arrow_patch.get_linewidth() for a in arrows)
    assert len(arrows) == 2 and widths[1] > widths[0]


def a_network(n, seed, share=0.28):
    """A drawn network of random payments: its axes, the money, and the places of its agents."""
    source = np.random.default_rng(seed)
    money = source.uniform(10, 30, (n, n)) * (source.uniform(size=(n, n)) < share) * (1 - np.eye(n))
    fig, (axes,) = figure(1, 6.8, 6.4)
    draw_network(axes, money, [f"client_{k}" for k in range(n)])
    png(fig)
    turns = 2 * np.pi * np.arange(n) / n
    return axes, money, np.stack([np.sin(turns), np.cos(turns)], 1)


NETWORKS = pytest.mark.parametrize(
    ("n", "seed", "share"), [(2, 0, 1.0), (4, 1, 1.0), (10, 2, 0.28), (10, 3, 0.33)]
)


def numbers_of(axes):
    return [text for text in axes.texts if text.get_bbox_patch() is not None]


@NETWORKS
def test_every_number_of_a_network_stands_on_its_own_arrow(n, seed, share):
    axes, money, places = a_network(n, seed, share)
    pairs = sorted(zip(*np.nonzero(money), strict=True), key=lambda pair: -money[pair])
    # three digits of 10 to 30
    assert [text.get_text() for text in numbers_of(axes)] == [
        f"{money[pair]:.1f}" for pair in pairs
    ]
    for (payer, payee), text in zip(pairs, numbers_of(axes), strict=True):
        # matplotlib's own arrow
        drawn = ConnectionStyle("arc3", rad=BEND)(
            places[payer], places[payee], shrinkA=0, shrinkB=0
        )
        points = np.array(BezierSegment(drawn.vertices)(np.linspace(0.2, 0.8, 200)))
        assert np.linalg.norm(points - text.get_position(), axis=1).min() < 0.01
        assert to_hex(text.get_bbox_patch().get_edgecolor()) == COLOURS[payer]


@NETWORKS
def test_no_number_of_a_network_hides_another_or_a_name(n, seed, share):
    axes = a_network(n, seed, share)[0]
    boxes = [text.get_bbox_patch().get_window_extent() for text in numbers_of(axes)]
    names = [
        text.get_window_extent() for text in axes.texts if text.get_text().startswith("client")
    ]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in [*boxes[:k], *names])


def test_numbers_of_a_network_have_one_format():
    _fig, (axes,) = figure()
    draw_network(
        axes, np.array([[0.0, 2.0, 0.04], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]), ["a", "b", "c"]
    )
    # three digits of the largest
    assert [text.get_text() for text in numbers_of(axes)] == ["2.00", "0.50", "0.04"]


def test_there_and_back_the_numbers_stand_apart_from_the_other_arrow():
    """A hold of 0.6 and its refund, between one of four agents and one of two accounts in the
    middle, in a panel of a frame.
    """
    fig, (axes, _) = figure(2)
    money = np.zeros((6, 6))
    money[1, 5] = money[5, 1] = 0.6
    draw_network(axes, money, [f"client_{k}" for k in range(6)], accounts=2)
    png(fig)
    places = {1: np.array([1.0, 0.0]), 5: np.array([0.0, -0.3])}  # on the right; below the middle
    assert np.allclose(axes.collections[0].get_offsets()[1], places[1])
    assert np.allclose(axes.collections[1].get_offsets()[1], places[5])
    # of the back way, of the way there
    other = [curve(places[5], places[1], ALONG), curve(places[1], places[5], ALONG)]
    for text, points in zip(numbers_of(axes), other, strict=True):
        box = text.get_bbox_patch().get_window_extent()
        assert not any(box.contains(*axes.transData.transform(point)) for point in points)


def test_accounts_are_squares_and_agents_are_circles():
    _fig, (axes,) = figure()
    draw_network(axes, np.zeros((3, 3)), ["buyer_0", "seller_0", "account escrow"], accounts=1)
    # so that it fits in
    assert [text.get_text() for text in axes.texts] == ["buyer_0", "seller_0", "account\nescrow"]
    circles, squares = axes.collections
    assert [len(some.get_offsets()) for some in (circles, squares)] == [2, 1]
    # curves; four corners, closed
    assert circles.get_paths()[0].codes is not None and len(squares.get_paths()[0].vertices) == 5


def titles_of(report, names):
    """The title of the frame's network, its names, and its arrows' payments [names, names]."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marketenv.render.frames.draw_network", lambda axes, *rest: seen.append(rest))
        draw_frame(report, names)
    return seen[0]


def a_round_of_resources():
    """Three owners and two centres: the golden payments of N = 3, f = 1: eta = 5 / 2 - 3 / 2 =
    1, x = 2 / 9 each.
    """
    market = make_market(
        "resource_market_v0",
        learner=None,
        n_owners=3,
        n_centres=2,
        quality=(1.0, 1.0),
        max_cycles=1,
    )
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    *_, (_, _, report) = rounds.play(market, policies, torch.tensor([0]))
    return report


def test_all_rows_of_an_account_are_one_square_and_the_title_says_what_links_are():
    report = a_round_of_resources()
    agents = report.names[:6]
    money, names, title, edges, accounts = titles_of(report, agents)
    assert (
        names == [*agents, "account escrow", "account fees"]
        and accounts == 2
        and title == "matches and money paid last round"
    )
    # each centre gets half of the fees of all
    assert np.allclose(money[7, 4:6], 1 / 3) and np.allclose(money[1:4, 7], 2 / 9)
    assert np.isclose(money[0, 6], 1.0) and np.allclose(money[6, 1:4], 1 / 3)
    # every owner has a centre
    assert np.isclose(money.sum(), float(report.transfers.sum())) and edges[:, 4:6].sum() == 3
    # what is left by rounding is told nowhere
    assert not any(line.endswith("0.0000.") for line in report.story(agents))


def test_the_title_says_what_was_bought():
    assert (
        titles_of(a_shared_round(), ["client_0", "client_1", "client_2"])[2]
        == "models bought and money paid last round"
    )


@pytest.mark.parametrize("low", [-0.15, -0.0015, -1234.0])
def test_ticks_of_utilities_do_not_run_into_each_other(low):
    fig, (_, axes) = figure(2)
    draw_bars(
        axes,
        {"buyer_0": low, "a_provider_of_a_long_name_0": -low / 9},
        "utility of the round",
        "money",
    )
    png(fig)
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(boxes) > 2 and all(b.x0 - a.x1 > 5 for a, b in itertools.pairwise(boxes))  # pixels


def test_a_round_without_payments_says_so():
    def title(report):
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "marketenv.render.frames.draw_network", lambda axes, *rest: seen.append(rest[2])
            )
            draw_frame(report, ["buyer_0", "seller_0"])
        return seen[0]

    market = make_market("reference_v0")
    # a bid of 0, an ask of 1
    asks = {"buyer": torch.full((1, 1, 1), -1.0), "seller": torch.full((1, 1, 1), 1.0)}
    _, report = rounds.advance(market, rounds.begin(market, torch.tensor([0])), asks)
    assert title(report) == "no money was paid in the last round" and title(a_round()) != title(
        report
    )


def oklab(colour):
    """Ottosson's OKLab, in which equal distances look equally far: black to white is 1."""
    light = np.array(
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    )
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones += [[0.0883024619, 0.2817188376, 0.6299787005]]
    opponents = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
    ]
    opponents += [[0.0259040371, 0.7827717662, -0.8086757660]]
    return np.array(opponents) @ np.cbrt(np.array(cones) @ light)


def test_ten_agents_have_ten_colours_that_differ_from_each_other_and_from_what_is_no_agent():
    assert np.allclose(oklab("white"), [1, 0, 0], atol=1e-3)
    shades = [oklab(colour) for colour in (*COLOURS, "white", "grey", "black")]
    apart = [np.linalg.norm(a - b) for k, a in enumerate(shades) for b in shades[:k]]
    # red and orange of a screen are 0.25 apart, its two nearest greens 0.05
    assert len(COLOURS) == 10 and min(apart) > 0.12
    axes = a_network(10, 0)[0]
    rings = axes.collections[0].get_edgecolors()
    assert [to_hex(ring) for ring in rings] == list(COLOURS)


def test_points_show_every_sample_the_mean_and_the_interval():
    _fig, (axes,) = figure()
    draw_points(
        axes, {"a": [1.0, 3.0], "b": [-1.0, 1.0]}, {"a": (1.5, 2.5), "b": None}, "t", "money"
    )
    dots = [line.get_xdata() for line in axes.lines if line.get_gid() is None][:2]
    assert [list(line) for line in dots] == [[1.0, 3.0], [-1.0, 1.0]]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_gid() == "mean"] == [
        [2.0],
        [0.0],
    ]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_gid() == "interval"] == [
        [1.5, 2.5]
    ]


def test_lines_and_bars_hold_their_data():
    _fig, (left, right) = figure(2)
    draw_lines(left, {"x": np.array([[1.0, 3.0], [3.0, 5.0]])}, "t", "r", "v")
    draw_bars(right, {"a": 1.0, "b": -2.0}, "t", "money")
    assert left.lines[0].get_ydata().tolist() == [2.0, 4.0]  # means over the two runs
    assert [bar.get_width() for bar in right.patches] == [1.0, -2.0]


def test_bands_hold_their_data_and_gaps():
    _fig, (axes,) = figure()
    draw_bands(
        axes,
        [0, 1, 2],
        [1.0, 2.0, None],
        [0.5, 1.5, None],
        [1.5, 2.5, None],
        "t",
        ("deviation", "gain"),
        "grid",
    )
    draw_bands(axes, [0, 1], [3.0, 3.0], [None, None], [None, None], name="other")
    curves = [line for line in axes.lines if line.get_gid() == "mean"]
    assert curves[0].get_ydata()[:2].tolist() == [1.0, 2.0] and np.isnan(curves[0].get_ydata()[2])
    assert curves[0].get_color() != curves[1].get_color()
    first, second = (band.get_paths() for band in axes.collections)
    # the band's ends, as given
    assert first[0].vertices[:, 1].min() == 0.5 and first[0].vertices[:, 1].max() == 2.5
    assert not second  # no interval, no band
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["grid", "other"]


def test_bands_of_unequal_lengths_are_refused():
    _fig, (axes,) = figure()
    with pytest.raises(ValueError, match="3, 2, 3, 3 points"):
        draw_bands(axes, [0, 1, 2], [1.0, 2.0], [None] * 3, [None] * 3)


def test_words_stand_on_the_left_and_numbers_on_the_right():
    rows = [("a", "first_price", "+0.5 [0.1, 0.9]"), ("b", "vcg", Html("<b>-1</b>"))]
    shown = table(("who", "rule", "gain"), rows)
    assert '<th class="words">rule</th><th>gain</th>' in shown
    assert '<td class="words">vcg</td><td class="mark"><b>-1</b></td>' in shown
    assert "<td>+0.5" in shown
    assert ".words, td:first-child" in STYLE and table(("nothing",), []).count("<th>") == 1
    for word in ("inflation", "nancy", "...", ".hidden", "-", ""):
        assert "<th class" in table((word,), [(word,)]), word
    for number in ("nan", "-inf", "inf", " 7", "< .5", "≈ 3", "\u22123", "-∞", 0.5, -math.inf):
        assert "<th>" in table(("x",), [(number,)]), number


def test_cells_of_html_are_shown_as_they_are_and_sections_can_be_linked():
    text = page(
        "t",
        "i",
        [("claim/one: best?", table(["a"], [[Html('<a href="#x">b</a>')], ["<i>"]]))],
        "p { color: red; }",
    )
    assert '<a href="#x">b</a>' in text and "&lt;i&gt;" in text and "<i>" not in text
    assert f'<section id="{anchor("claim/one: best?")}">' in text and "p { color: red; }" in text


def test_png_is_a_picture_and_the_same_twice():
    def draw():
        fig, (axes,) = figure()
        draw_bars(axes, {"a": 1.0}, "t")
        return png(fig)

    first = draw()
    assert first == draw()
    assert matplotlib.image.imread(io.BytesIO(first)).ndim == 3


def test_page_stands_alone_and_escapes():
    fig, _ = figure()
    inner = table(["<name>", "n"], [["<b>", 1]]) + picture(fig, 'says "hi" <now>')
    text = page("a < b", "intro & more", [("head <1>", inner)])
    assert "<b>" not in text and "&lt;b&gt;" in text and "a &lt; b" in text
    assert "http" not in text and "data:image/png;base64," in text


def test_words_are_those_of_the_report():
    report = a_round()
    text = tell_round(report, ["buyer_0", "seller_0"])
    assert f"buyer_0: type {float(report.of(Auctioned).types[0, 0]):.4f}" in text
    assert ("pays" in text) == bool(report.transfers.any())
    assert tell_round(None, []) == "No round has been played yet."
