"""The parameter market of Train 'n Trade: agents train, and trade parameters through a broker."""

from marketenv.markets.parameter_trading.config import DISCLOSURES, ParameterTradingConfig
from marketenv.markets.parameter_trading.market import NAME, ROLE, parameter_trading
from marketenv.markets.parameter_trading.moves import bids_of, truthful
from marketenv.markets.parameter_trading.reports import REASONS, Traded
from marketenv.markets.parameter_trading.score import Score, Scored
from marketenv.markets.parameter_trading.trade import Trade

__all__ = [
    "DISCLOSURES",
    "NAME",
    "REASONS",
    "ROLE",
    "ParameterTradingConfig",
    "Score",
    "Scored",
    "Trade",
    "Traded",
    "bids_of",
    "parameter_trading",
    "truthful",
]
