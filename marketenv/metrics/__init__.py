"""Floor 3: what a batch of outcomes says. Functions of arrays; they know no environment."""

from marketenv.metrics.statistics import Interval, mean_interval, paired_difference

__all__ = ["Interval", "mean_interval", "paired_difference"]
