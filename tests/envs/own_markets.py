"""Markets of a user's own, which the command checks: one sound, the others with a fault each."""

import dataclasses
import sys

import torch
from env_cases import auctions

from marketenv.envs import MarketParallelEnv
from marketenv.markets.reference import Auction


class BlindToSeeds(Auction):
    """Every seed draws the same types."""

    def quote(self, floor, own):
        return super().quote(dataclasses.replace(floor, seeds=torch.zeros_like(floor.seeds)), own)


class Stumbles(Auction):
    """A mistake of its author."""

    def show(self, floor, own, quotes):
        raise ZeroDivisionError("a mistake of its author")


def sound(n_buyers=2):
    return auctions(game="first_price", n_buyers=n_buyers)


def door(n_buyers=2):
    return MarketParallelEnv(sound(n_buyers), "own_door_v0")


def blind():
    return auctions(BlindToSeeds, game="first_price")


def stumbling():
    return auctions(Stumbles, game="first_price")


def needy(n_buyers):
    return sound(n_buyers)


def no_market():
    return 3


def hidden():
    class Inner(Auction):
        pass

    return auctions(Inner, game="first_price")


class Leaves(Auction):
    """Its author wanted to end the script."""

    def act(self, floor, own, quotes, actions):
        sys.exit(0)


def leaving():
    return auctions(Leaves, game="first_price")


def gone():
    sys.exit(0)
