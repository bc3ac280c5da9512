"""The whole marketplace: data, compute and parameters traded by one population."""

from marketenv.markets.marketplace.config import MarketplaceConfig
from marketenv.markets.marketplace.market import marketplace

__all__ = ["MarketplaceConfig", "marketplace"]
