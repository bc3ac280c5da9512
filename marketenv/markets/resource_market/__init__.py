"""The resource market: a Stackelberg game of a leader, data owners and computing centres."""

from marketenv.markets.resource_market.audit import AUDITS, Audit, AuditCase, Audited
from marketenv.markets.resource_market.commit import Commit, Committed
from marketenv.markets.resource_market.compute import Compute, Computed, Serve
from marketenv.markets.resource_market.conduct import CONDUCTS
from marketenv.markets.resource_market.config import ResourceMarketConfig
from marketenv.markets.resource_market.contribute import Contribute, Contributed
from marketenv.markets.resource_market.market import resource_market
from marketenv.markets.resource_market.match import Match, Matched
from marketenv.markets.resource_market.pay import Paid, Pay
from marketenv.markets.resource_market.post import Post, Posted
from marketenv.markets.resource_market.train_matched import TrainedMatched, TrainMatched

__all__ = [
    "AUDITS",
    "CONDUCTS",
    "Audit",
    "AuditCase",
    "Audited",
    "Commit",
    "Committed",
    "Compute",
    "Computed",
    "Contribute",
    "Contributed",
    "Match",
    "Matched",
    "Paid",
    "Pay",
    "Post",
    "Posted",
    "ResourceMarketConfig",
    "Serve",
    "TrainMatched",
    "TrainedMatched",
    "resource_market",
]
