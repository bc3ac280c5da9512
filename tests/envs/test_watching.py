"""Watching a market: mode ``human`` draws in a notebook or a window, and films can be recorded."""

import pickle
import sys
import types

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import pytest
from gymnasium.wrappers import RecordVideo
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from marketenv import make_parallel, make_single
from marketenv.render.frames import _even, _size_of_names, frame_size
from marketenv.render.kinds import size_of_kinds
from marketenv.render.window import HOLD, open_window

GAME = {"game": "first_price", "max_cycles": 2}


def human():
    return make_parallel("reference_v0", render_mode="human", **GAME)


def play(env, seed=0):
    env.reset(seed=seed)
    while env.agents:
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})


@pytest.fixture
def windows(monkeypatch):
    """A display on which matplotlib can open windows: what each of them shows, in order."""
    shown = []

    def pause(seconds):
        (figure,) = map(plt.figure, plt.get_fignums())
        ((image,),) = (axes.images for axes in figure.axes)
        shown.append((seconds, np.asarray(image.get_array()).copy()))

    plt.switch_backend("agg")  # which is loaded before it looks like a toolkit
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "toolkit", raising=False)
    monkeypatch.setattr(plt, "pause", pause)
    yield shown
    plt.close("all")


@pytest.fixture
def notebook(monkeypatch):
    """A kernel of Jupyter: the places below cells, each with the pictures it showed, in order."""
    places = []

    def display(image, display_id):
        assert display_id
        places.append([image])
        return types.SimpleNamespace(update=places[-1].append)

    kernel = types.ModuleType("IPython")
    kernel.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    kernel.display = types.ModuleType("IPython.display")
    kernel.display.Image, kernel.display.display = lambda data: data, display
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", kernel.display)
    return places


def frames(seed=0):
    """The frames of the same episode, as mode ``rgb_array`` draws them."""
    env = make_parallel("reference_v0", render_mode="rgb_array", **GAME)
    env.reset(seed=seed)
    return env


def test_a_window_shows_the_frame_of_every_round_for_a_second(windows, capsys):
    env, beside = human(), frames()
    env.reset(seed=0)
    wanted = [beside.render()]
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        env.step(actions), beside.step(actions)
        wanted.append(beside.render())
    assert [seconds for seconds, _ in windows] == [HOLD] * 3 == [1 / env.metadata["render_fps"]] * 3
    assert all(np.array_equal(a, b) for (_, a), b in zip(windows, wanted, strict=True))
    assert capsys.readouterr().out.count("Utility: ") == 2  # the words are printed as well


def test_episodes_share_a_window_and_close_closes_it(windows):
    env = human()
    play(env), play(env, 1)
    assert len(plt.get_fignums()) == 1 and len(windows) == 6
    env.close()
    assert plt.get_fignums() == []
    env.close()  # a second time changes nothing
    play(env)
    assert len(plt.get_fignums()) == 1  # the next episode opens another


@pytest.mark.parametrize("door", ["single", "aec"])
def test_every_door_closes_the_window(windows, door):
    env = make_single("reference_v0", render_mode="human", **GAME)
    if door == "aec":
        from marketenv import reference_v0

        env = reference_v0.env(render_mode="human", **GAME)
    env.reset(seed=0)
    assert len(plt.get_fignums()) == 1
    env.close()
    assert plt.get_fignums() == []


def test_a_window_that_the_user_closes_stays_closed_and_the_episode_goes_on(windows):
    env = human()
    env.reset(seed=0)
    plt.close("all")
    play(env)
    assert not env.agents and plt.get_fignums() == [] and len(windows) == 1


def test_a_copy_of_a_market_opens_a_window_of_its_own(windows):
    env = human()
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    assert copy.screen._window is None and env.screen._window is not None


def test_a_notebook_shows_each_episode_in_a_place_of_its_own(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("DISPLAY", ":9")  # a notebook needs no window
    env = human()
    play(env), play(env, 1)
    assert [len(place) for place in notebook] == [3, 3] and plt.get_fignums() == []
    (tmp_path / "first.png").write_bytes(notebook[0][0])
    blank = imread(tmp_path / "first.png")[..., :3]
    assert np.array_equal(np.round(255 * blank).astype(np.uint8), frames().render())
    assert len(set(notebook[0])) == 3
    env.close()


def test_without_a_display_or_a_toolkit_the_words_stand_alone(monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert open_window("a market") is None
    monkeypatch.setenv("DISPLAY", ":9")  # but matplotlib draws into memory
    assert open_window("a market") is None and plt.get_fignums() == []
    play(human())
    assert capsys.readouterr().out.count("Utility: ") == 2


def test_a_toolkit_that_cannot_be_loaded_is_no_window(monkeypatch):
    def refuse():
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(plt, "figure", refuse)
    assert open_window("a market") is None


def test_every_frame_has_an_even_number_of_pixels():
    """The codec of films wants it: without ``_even`` 17 owners give 1273 rows of pixels."""
    sizes = [_size_of_names(n) for n in range(2, 60)]
    sizes += [size_of_kinds((a, b, 3), 1) for a in range(1, 9) for b in range(25)]
    pixels = [int(inches * 100) for size in sizes for inches in _even(size)]
    assert all(count % 2 == 0 for count in pixels)
    assert any(int(inches * 100) % 2 for size in sizes for inches in size)
    env = make_parallel("marketplace_v0", learner=None, n_owners=17, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape[:2] == (1274, 990)
    assert frame_size(env.market)[1] == pytest.approx(12.74, abs=0.01)


def test_gymnasium_records_a_film_of_an_episode(tmp_path):
    moviepy = pytest.importorskip(
        "moviepy", reason="moviepy is not installed: pip install 'marketenv[video]'"
    )
    env = gymnasium.make("marketenv/reference-v0", render_mode="rgb_array", **GAME)
    env = RecordVideo(env, str(tmp_path / "films"), disable_logger=True)
    env.reset(seed=0)
    for _ in range(2):
        env.step(env.action_space.sample())
    env.close()
    (film,) = tmp_path.glob("films/*.mp4")
    with moviepy.VideoFileClip(str(film)) as clip:
        # a frame a second: before the first round and after each
        assert clip.duration == 3.0 and clip.size == [900, 340]
