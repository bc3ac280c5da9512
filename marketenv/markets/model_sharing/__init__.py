"""The model-sharing market of iPFL: its config, its chain of phases, and what they report."""

from marketenv.markets.model_sharing.config import ModelSharingConfig
from marketenv.markets.model_sharing.leave import Leave
from marketenv.markets.model_sharing.market import model_sharing
from marketenv.markets.model_sharing.reports import Left, Shared
from marketenv.markets.model_sharing.rules import Rules
from marketenv.markets.model_sharing.share import ShareModels

__all__ = ["Leave", "Left", "ModelSharingConfig", "Rules", "ShareModels", "Shared", "model_sharing"]
