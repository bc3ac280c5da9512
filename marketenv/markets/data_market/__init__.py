"""The data market: Wasserstein valuation, selection under a budget, procurement payments."""

from marketenv.markets.data_market.conduct import CONDUCT
from marketenv.markets.data_market.config import DataMarketConfig
from marketenv.markets.data_market.deliver import Deliver, Delivered
from marketenv.markets.data_market.forecast import Forecast
from marketenv.markets.data_market.market import data_market
from marketenv.markets.data_market.offer import Offer, Offered
from marketenv.markets.data_market.pilot import Pilot, Piloted
from marketenv.markets.data_market.select import Select, Selected
from marketenv.markets.data_market.selections import SELECTIONS
from marketenv.markets.data_market.train_selected import TrainedOnPurchase, TrainSelected

__all__ = [
    "CONDUCT",
    "SELECTIONS",
    "DataMarketConfig",
    "Deliver",
    "Delivered",
    "Forecast",
    "Offer",
    "Offered",
    "Pilot",
    "Piloted",
    "Select",
    "Selected",
    "TrainSelected",
    "TrainedOnPurchase",
    "data_market",
]
