"""The relay market at PettingZoo's doors, and a round of it whose numbers are known.

Numbers of ``the_good``: price (1 + .2) / 2 = .6, which buyer_0 takes and buyer_1 leaves; the good,
which costs the seller .1, is shipped for a fee of (1 + 0) / 2 * .2 = .1. So the seller earns .6 -
.1 - .1, the carrier .1, and buyer_0 its type less .6.
"""

import numpy as np
from relay_market import relay_market

from marketenv.envs import MarketParallelEnv

SELLER, BUYERS, CARRIER = "seller_0", ["buyer_0", "buyer_1"], "carrier_0"
EVERYBODY = [SELLER, *BUYERS, CARRIER]
STAGES = [[SELLER], BUYERS, [SELLER, CARRIER]]  # who moves


def relay(carriers=1, levels=None, mode=None, **config):
    return MarketParallelEnv(relay_market(carriers=carriers, **config), "relay_v0", mode, levels)


def the_good(ships=1.0, stay=1.0, take=1.0):
    """What everybody does, in one array each: its parts count in their stages."""
    rows = {SELLER: [0.2, ships], "buyer_0": [take, stay], "buyer_1": [-1, 1], CARRIER: [0]}
    return {agent: np.array(row, dtype=np.float32) for agent, row in rows.items()}
