"""Pictures show what the report holds; pages stand alone and escape what they are given."""

import io

import matplotlib.image
import numpy as np
import pytest
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.render import (
    Html,
    anchor,
    draw_bands,
    draw_bars,
    draw_frame,
    draw_lines,
    draw_network,
    figure,
    page,
    picture,
    png,
    table,
    tell_round,
)


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
    """A round of three clients of equal size: client 0 needs data, the others sell at costs of 0.5 and 0.6."""
    types = {"sizes": [1.0, 1.0, 1.0], "costs": [9.0, 0.5, 0.6], "needs": [100.0, 0.0, 0.0]}
    market = make_market("model_sharing_v0", n_agents=3, max_cycles=1, learner=None, strength=0.0, types=types, **config)
    policies = dict.fromkeys(("client_0", "client_1", "client_2"), market.policies["truthful"])
    return next(rounds.play(market, policies, torch.tensor([0])))[2]


def arrows_of(axes):
    return [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None) is not None]


def test_the_frame_of_shared_models_is_their_graph(monkeypatch):
    seen = []
    monkeypatch.setattr("marketenv.render.pictures.draw_bars", lambda axes, *rest: seen.append(axes.figure.axes[0]))
    names = ["client_0", "client_1", "client_2"]
    draw_frame(a_shared_round(), names)
    # sqrt(100) (1 - 1 / sqrt(2)) = 2.93 > .5, sqrt(100) (1 / sqrt(2) - 1 / sqrt(3)) = 1.30 > .6: both sell, both at 1.30
    assert [round(arrow.get_linewidth(), 6) for arrow in arrows_of(seen[0])] == [5.6, 5.6]
    draw_frame(a_shared_round(scheme="fedavg"), names)
    assert [arrow.get_linewidth() for arrow in arrows_of(seen[1])] == [0.6] * 6  # everybody gets every model; no money moves
    assert not [text for text in seen[1].texts if text.get_text() not in ("", *names)]


def test_network_draws_one_arrow_per_payment():
    _fig, (axes,) = figure()
    money = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    draw_network(axes, money, ["a", "b", "c"])
    arrows = [t for t in axes.texts if getattr(t, "arrow_patch", None) is not None]
    widths = sorted(a.arrow_patch.get_linewidth() for a in arrows)
    assert len(arrows) == 2 and widths[1] > widths[0]


def test_lines_and_bars_hold_their_data():
    _fig, (left, right) = figure(2)
    draw_lines(left, {"x": np.array([[1.0, 3.0], [3.0, 5.0]])}, "t", "r", "v")
    draw_bars(right, {"a": 1.0, "b": -2.0}, "t", "money")
    assert left.lines[0].get_ydata().tolist() == [2.0, 4.0]  # means over the two runs
    assert [bar.get_width() for bar in right.patches] == [1.0, -2.0]


def test_bands_hold_their_data_and_gaps():
    _fig, (axes,) = figure()
    draw_bands(axes, [0, 1, 2], [1.0, 2.0, None], [0.5, 1.5, None], [1.5, 2.5, None], "t", ("deviation", "gain"), "grid")
    draw_bands(axes, [0, 1], [3.0, 3.0], [None, None], [None, None], name="other")
    curves = [line for line in axes.lines if line.get_gid() == "mean"]
    assert curves[0].get_ydata()[:2].tolist() == [1.0, 2.0] and np.isnan(curves[0].get_ydata()[2])
    assert curves[0].get_color() != curves[1].get_color()
    first, second = (band.get_paths() for band in axes.collections)
    assert first[0].vertices[:, 1].min() == 0.5 and first[0].vertices[:, 1].max() == 2.5  # the band's ends, as given
    assert not second  # no interval, no band
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["grid", "other"]


def test_bands_of_unequal_lengths_are_refused():
    _fig, (axes,) = figure()
    with pytest.raises(ValueError, match="3, 2, 3, 3 points"):
        draw_bands(axes, [0, 1, 2], [1.0, 2.0], [None] * 3, [None] * 3)


def test_cells_of_html_are_shown_as_they_are_and_sections_can_be_linked():
    text = page("t", "i", [("claim/one: best?", table(["a"], [[Html('<a href="#x">b</a>')], ["<i>"]]))], "p { color: red; }")
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
    assert f"buyer_0: type {float(report.types[0, 0]):.4f}" in text
    assert ("pays" in text) == bool(report.transfers.any())
    assert tell_round(None, []) == "No round has been played yet."
