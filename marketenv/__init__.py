"""Markets in which agents train, trade parameters and settle payments.

>>> import marketenv
>>> env = marketenv.reference_v0.parallel_env(game="double_auction")
>>> observations, infos = env.reset(seed=0)
>>> sorted(observations)
['buyer_0', 'seller_0']
"""

from marketenv import (
    data_market_v0,
    marketplace_v0,
    model_sharing_v0,
    parameter_trading_v0,
    reference_v0,
    resource_market_v0,
)
from marketenv.envs.make import (
    make_market,
    make_parallel,
    make_sb3,
    make_single,
    make_vec,
    register_all,
)

__version__ = "0.1.0"
__all__ = [
    "data_market_v0",
    "make_market",
    "make_parallel",
    "make_sb3",
    "make_single",
    "make_vec",
    "marketplace_v0",
    "model_sharing_v0",
    "parameter_trading_v0",
    "reference_v0",
    "resource_market_v0",
]

register_all()
