"""Small model-sharing markets for the tests: how they are made, played by edited truthful
actions, and what a round tells.
"""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Breakpoints, agent_names
from marketenv.learners import Training
from marketenv.markets.model_sharing.moves import ACTION
from marketenv.mechanisms import GRAPHS, SHARING_PAYMENTS

LEGAL = [(g, p) for g in GRAPHS for p in SHARING_PAYMENTS if p != "vcg" or g == "exact"]
PLACES = {"cost": 0, "size": 1, "need": 2, "effort": 3, "upload": 4, "stay": 5}
# of the counterexamples
THREE = {"sizes": (1.0, 1.0, 1.0), "costs": (0.0, 1.5, 2.0), "needs": (100.0, 0.0, 0.0)}
# a small data set of three classes
ROWS = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
LABELS = np.arange(90) % 3


def market_of(**config):
    return make_market(
        "model_sharing_v0", **({"max_cycles": 3, "n_agents": 4, "learner": None} | config)
    )


def trained_market(**config):
    training = Training(optimizer="sgd", learning_rate=0.1, batch_size=16, steps=3)
    return market_of(
        **({"learner": "mlp", "learner_options": {"hidden": (8,)}, "training": training} | config)
    )


def truth(market, now, edits=()):
    """Truthful actions with some entries changed: ((client, field, action), ...), the action of
    a choice by its option.
    """
    actions = rounds.act(
        market, dict.fromkeys(agent_names(market), market.policies["truthful"]), now
    )
    for client, name, action in edits:
        field = ACTION[name]
        written = field.write(field.number(action)) if isinstance(action, str) else action
        actions["client"][:, client, PLACES[name]] = written
    return actions


def told(report):
    """All that a round tells, by name: what every phase came to, rewards, and money."""
    facts = {
        name: value for outcome in report.outcomes.values() for name, value in vars(outcome).items()
    }
    money = {
        name: getattr(report, name)
        for name in ("rewards", "transfers", "paid", "received", "terminated")
    }
    return SimpleNamespace(**facts, **money, cash=report.ledger.cash, infos=report.infos)


def one_round(market, *edits, seeds=(0,)):
    now = rounds.begin(market, torch.as_tensor(seeds))
    return told(rounds.advance(market, now, truth(market, now, edits))[1])


def episode(market, seeds, *edits, turns=None):
    """Situations at the moves and after the rounds, before any new training, and what the rounds
    told.

    turns: {round: edits} that come on top
    """
    after, seen = rounds.opened(market, torch.as_tensor(seeds)), []
    for turn in range(market.horizon):
        now = rounds.begun(market, after)
        after, report = rounds.play_stage(
            market, now, truth(market, now, (*edits, *(turns or {}).get(turn, ())))
        )
        seen.append((now, after, told(report)))
    return seen


def models_of(now, name="client"):
    """The clients' models, or others that the floor has."""
    return now.floor.models[name]


def type_of(now, name):
    """The clients' true types."""
    return now.floor.types["client"][name]


def best_of(now):
    """The clients' best models, and their scores."""
    return now.owns["leave"]


def with_models(now, name="client", **parts):
    """The same situation where these parts of a role's models are others."""
    models = now.floor.models | {name: dataclasses.replace(now.floor.models[name], **parts)}
    return dataclasses.replace(now, floor=dataclasses.replace(now.floor, models=models))


def scored(market, now, at="last"):
    """Scores on examples that judged nobody."""
    return rounds.test_scores(market, now, at=at)


def breakpoints(market, now, actions, client, fields=("cost",)):
    """Actions among which a client's best ones are."""
    return market.phase(Breakpoints).breakpoints(
        now.floor, now.owns["share"], now.quotes, actions, ("client", client), fields
    )


def lie(report, true):
    return math.log10(report / true)
