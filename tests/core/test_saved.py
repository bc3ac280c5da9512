"""A saved market goes on only with the data and the parts that it was saved with, wherever they
lie.
"""

import numpy as np
import pytest
import torch
from torch import nn

from marketenv import make_parallel
from marketenv.core.saved import facts_of
from marketenv.data import from_arrays, make_source
from marketenv.learners import ModuleLearner, Training
from marketenv.mechanisms import SHARING_PAYMENTS, posted_price

ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
LABELS = np.arange(60) % 3
OTHER = ROWS + (np.arange(240).reshape(60, 4) == 7)  # one number of 240 differs


def trading(**config):
    small = {
        "n_agents": 2,
        "max_cycles": 2,
        "data": (ROWS, LABELS),
        "partition": "balanced",
        "training": Training(steps=1),
    }
    env = make_parallel("parameter_trading_v0", **(small | config))
    env.reset(seed=3)
    return env


def sharing(**config):
    env = make_parallel(
        "model_sharing_v0", **({"n_agents": 3, "max_cycles": 2, "learner": None} | config)
    )
    env.reset(seed=3)
    return env


def net(seed=0, slope=0.1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(slope))


def learner(**parts):
    return ModuleLearner((4,), 3, "classification", Training(steps=1), module=net(**parts))


def npz(folder, rows):
    folder.mkdir()
    np.savez(folder / "mine.npz", x=rows, y=LABELS)
    return folder / "mine.npz"


def asks_more(factor):
    return lambda bids, asks: posted_price(bids, factor * asks)


def source_of(rows):
    return make_source((rows, LABELS), "balanced", 2)


def pays(share):
    return lambda terms, trades, graph: share * SHARING_PAYMENTS["marginal"](terms, trades, graph)


def wrong_labels(rate):
    return {"corruption": "mislabeled", "corruption_options": {"rate": rate}}


PARTS = {  # how a market is made, and two parts of which the second is another
    "arrays": (lambda rows: trading(data=(rows, LABELS)), ROWS, OTHER),
    "tensors": (lambda rows: trading(data=(torch.tensor(rows), torch.tensor(LABELS))), ROWS, OTHER),
    "labels": (lambda labels: trading(data=(ROWS, labels)), LABELS, LABELS[::-1].copy()),
    "a data set": (lambda rows: trading(data=from_arrays(rows, LABELS)), ROWS, OTHER),
    "a source": (lambda rows: trading(data=source_of(rows)), ROWS, OTHER),
    "a lambda": (lambda factor: trading(mechanism=asks_more(factor)), 1.0, 1.1),
    "a partition's option": (
        lambda keep: trading(partition="class_imbalance", data_options={"keep": keep}),
        0.2,
        0.3,
    ),
    "a corruption's rate": (lambda rate: trading(data_options=wrong_labels(rate)), 0.2, (0.2, 0.3)),
    "a module's parameters": (
        lambda seed: trading(learner=learner(seed=seed), training=None),
        0,
        1,
    ),
    "a module's options": (
        lambda slope: trading(learner=learner(slope=slope), training=None),
        0.1,
        0.2,
    ),
    "a payment": (lambda share: sharing(payment=pays(share)), 0.5, 0.6),
}


@pytest.mark.parametrize("kind", PARTS)
def test_an_equal_part_goes_on_and_another_is_refused(tmp_path, kind):
    make, part, other = PARTS[kind]
    env = make(part)
    env.save(tmp_path / "state")
    make(part).load(tmp_path / "state")
    refuses = make(other)
    before = refuses.state().copy()
    with pytest.raises(
        ValueError, match="Build the market with the arguments that it was saved with"
    ):
        refuses.load(tmp_path / "state")
    assert np.array_equal(refuses.state(), before)


def test_a_file_of_data_goes_by_its_content_and_not_by_its_place(tmp_path):
    here, there, other = (
        npz(tmp_path / name, rows) for name, rows in (("a", ROWS), ("b", ROWS), ("c", OTHER))
    )
    trading(data=here).save(tmp_path / "state")
    trading(data=str(there)).load(tmp_path / "state")
    with pytest.raises(ValueError, match=r"data\.split\.x=torch\.float32\[60, 4\] \w+, wanted"):
        trading(data=other).load(tmp_path / "state")


def test_data_are_read_once_however_often_a_market_is_saved(tmp_path, monkeypatch):
    env, read = trading(), []
    monkeypatch.setattr(
        "marketenv.core.saved.facts_of", lambda market: read.append(market) or facts_of(market)
    )
    for _ in range(3):
        env.save(tmp_path / "state")
    env.load(tmp_path / "state")
    assert len(read) == 1
