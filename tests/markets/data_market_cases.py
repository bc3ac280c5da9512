"""Small data markets for the tests: how they are made, played by edited truthful actions, and
what a round came to.
"""

import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.data_market import (
    CONDUCT,
    Delivered,
    Offered,
    Piloted,
    Selected,
    TrainedOnPurchase,
)
from marketenv.markets.data_market.conduct import TRUTH

NAME = "data_market_v0"
TRAINING = Training(optimizer="sgd", learning_rate=0.5, batch_size=16, steps=1)
SMALL = {
    **{
        "max_cycles": 2,
        "learner_options": {"hidden": (4,)},
        "training": TRAINING,
        "communications": 1,
    },
    **{
        "pilots": (4, 8),
        "points": 16,
        "mixtures": 2,
        "dimensions": 4,
        "private": False,
        "selection": "uniform",
    },
}
TOLD = (Offered, Piloted, Selected, TrainedOnPurchase, Delivered)
# a buyer that spends all it has, on as many points of everybody
LOUD = {"budget": 1.0, "mixture": 1.0}


def market_of(**config):
    """A market whose round takes a fraction of a second; what is tested is given."""
    return make_market(NAME, **SMALL | config)


def acted(market, now, edits=()):
    """Truthful actions with some meanings changed; edits: by number of the mover: {field:
    meaning}.
    """
    actions = rounds.act(
        market, dict.fromkeys(agent_names(market), market.policies["truthful"]), now
    )
    seen = rounds.observe(market, now)
    for role, move in rounds.stage_of(market, now).moves.items():
        for k, said in dict(edits).items():
            meant = move.read(seen[role][:, k], actions[role][:, k])
            actions[role][:, k] = move.write(seen[role][:, k], **meant | said)
    return actions


def played(market, now, offers=(), buyer=LOUD):
    """A round: sellers' edits by number, and the buyer's; where it ended, and its report."""
    now, _ = rounds.play_stage(market, now, acted(market, now, offers))
    return rounds.play_stage(market, now, acted(market, now, {0: buyer}))


def one_round(market, offers=(), buyer=LOUD, seeds=(0,)):
    """The report of a first round."""
    return played(market, rounds.begin(market, torch.tensor(seeds)), offers, buyer)[1]


def lies(*told):
    """Edits by which seller_0 lies as said in each market of a batch; what is not said is the
    truth.
    """
    named = {name: [lie.get(name, TRUTH[name]) for lie in told] for name in CONDUCT}
    named["permute"] = [
        CONDUCT["permute"].options.index(one) if one else 0 for one in named["permute"]
    ]
    return {0: {name: torch.tensor(values)[:, None].double() for name, values in named.items()}}


def parts(report):
    """What every phase of a round came to: offers, pilots, selection, training, delivery."""
    return tuple(report.of(kind) for kind in TOLD)
