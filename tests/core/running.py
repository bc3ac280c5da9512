"""Batches of the relay market in the tests: made, played on, and compared to the bit."""

import torch
from relay_market import relay_market

from marketenv.core import tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names

STAGES = 3  # of a round
# and a report, which no file holds
TURN = ("observations", "rewards", "terminated", "truncated", "over", "last", "final_observations")


def batch_of(n_markets=3, **config):
    return Batch(relay_market(**config), n_markets)


def calm(batch):
    """Random actions of the movers, but nobody storms out."""
    actions = batch.act(dict.fromkeys(agent_names(batch.market), batch.market.policies["random"]))
    if "buyer" in actions and actions["buyer"].shape[2] == 2:
        actions["buyer"][..., 1] = 1.0
    return actions


def storm(batch, *markets):
    """The same, but buyer_0 of these markets storms out."""
    actions = calm(batch)
    actions["buyer"][list(markets), 0, 1] = -1.0
    return actions


def play(batch, rounds, stages=0, restart=True):
    """So many rounds and then stages of calm random actions; the last turn."""
    turn = None
    for _ in range(rounds * STAGES + stages):
        turn = batch.step(calm(batch), restart=restart)
    return turn


def alike(one, two):
    """Whether two trees are equal to the bit; what is seen and done by role is a tree too."""
    held, wanted = tree.leaves(one), tree.leaves(two)
    return held.keys() == wanted.keys() and all(
        torch.equal(held[name], wanted[name]) for name in wanted
    )


def same(one, two):
    """Whether two turns are equal to the bit, but for their reports."""
    return all(alike(getattr(one, name), getattr(two, name)) for name in TURN)
