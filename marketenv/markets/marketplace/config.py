"""The arguments of the marketplace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    flag,
    interval,
    named_part,
    number,
    options,
    or_none,
    path,
    whole,
)
from marketenv.learners import Training
from marketenv.learners.training import check_training
from marketenv.markets.arguments import (
    GAME,
    LARGEST_MONEY,
    PAYMENT_RULE,
    check_ready_made,
    data_options,
)
from marketenv.markets.data_market.config import DataMarketConfig
from marketenv.markets.model_sharing.config import ModelSharingConfig
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.resource_market.audit import AUDITS
from marketenv.markets.resource_market.config import ResourceMarketConfig
from marketenv.mechanisms import DATA_RULES, MECHANISMS, DataRule

CONTEST, IPFL, REPORTED = "contest", "ipfl", "reported"
COMPUTE = (CONTEST, "posted", "matched")
PARTS = {
    "data_market": DataMarketConfig,
    "resource_market": ResourceMarketConfig,
    "parameter_trading": ParameterTradingConfig,
    "model_sharing": ModelSharingConfig,
}
# by an argument of a part, that of the marketplace which stands for it
INSTEAD = {
    "data_market": {"n_sellers": "n_owners"},
    "resource_market": {"audit": "quality", "pricing": "compute"},
    "parameter_trading": {"n_agents": "n_developers", "mechanism": "trade"},
    "model_sharing": {"n_agents": "n_developers"},
}


@dataclass(frozen=True, kw_only=True)
class MarketplaceConfig:
    """Arguments of ``marketplace_v0``; docs/environments/marketplace.md gives the reason of each
    default.

    n_developers, n_owners, n_centres: agents by role; zero owners or centres leave their part out
    max_cycles:  rounds of an episode
    horizon:     ``end``: the last round ends the game; ``cut``: the game would go on, and no agent
                 sees the cut
    data, root, download, partition, data_options: what agents own (see
        ``marketenv.data.make_source``)
    own_data:    developers have data of their own, on which they train in every round
    learner, learner_options, training: the developers' models (see
        ``marketenv.learners.LEARNERS``); None plays the game alone
    rule:        how data are sold: ``contest``, a name of ``DATA_RULES`` or a ``DataRule``; None:
                 no data are sold
    quality:     what a contest pays for: ``reported``, or a name of ``AUDITS``
    compute:     how computing is sold: ``contest``, ``posted``, ``matched``; None: owners train
                 where they are
    trade:       how parameters are sold: a name of ``MECHANISMS``, a payment rule, or ``ipfl`` for
                 the market of models; None: they are not
    money_per_loss: interval of the developers' types: money per unit of their own loss
    effort_cost: interval of what a full training on own data costs, money
    cash, credit: money at the start, and how far below zero it may go
    data_market, resource_market, parameter_trading, model_sharing: further arguments of the parts,
                 by the names that ``data_market_v0`` and the others give them
    device:      where everything is computed
    """

    n_developers: int = 2
    n_owners: int = 4
    n_centres: int = 2
    max_cycles: int = 5
    horizon: str = "end"
    data: Any = "digits"
    root: Any = None
    download: bool = False
    partition: Any = "balanced"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    own_data: bool = False
    learner: Any = "mlp"
    learner_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None
    rule: Any = CONTEST
    quality: Any = REPORTED
    compute: str | None = CONTEST
    trade: Any = "nash_bargaining"
    money_per_loss: tuple[float, float] = (5.0, 15.0)
    effort_cost: tuple[float, float] = (0.2, 0.6)
    cash: float = 1000.0
    credit: float = 0.0
    data_market: Mapping[str, Any] = field(default_factory=dict)
    resource_market: Mapping[str, Any] = field(default_factory=dict)
    parameter_trading: Mapping[str, Any] = field(default_factory=dict)
    model_sharing: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        check_ready_made(self.learner, self.learner_options, self.training)
        if self.learner is None and self.sells_data and not self.contest:
            raise ValueError(
                f"learner is None and rule {self.rule!r}, wanted rule='contest' or None: all other"
                " rules pay for accuracy."
            )
        if self.quality != REPORTED and (self.learner is None or not self.contest):
            raise ValueError(
                f"quality is {self.quality!r}, wanted 'reported' with rule {self.rule!r} and"
                f" learner {self.learner!r}: an audit of the contest trains models."
            )
        if not (
            self.sells_data or self.shares or (self.sells_parameters and self.learner is not None)
        ):
            raise ValueError(
                f"rule is {self.rule!r}, trade {self.trade!r}, n_owners {self.n_owners} and"
                f" n_developers {self.n_developers}: nobody moves in such a market, wanted owners"
                " and a rule, or two developers and a trade of what they train."
            )
        for part, config in PARTS.items():
            known = tuple(field.name for field in fields(config))
            for name in options(getattr(self, part), part, known):
                own = name if name in vars(self) else INSTEAD[part].get(name)
                if own is not None:
                    raise ValueError(
                        f"{part} has {name!r}, which the marketplace gives it by an argument of its"
                        f" own; pass {own}=..."
                    )

    @property
    def sells_data(self) -> bool:
        """Whether there are data to sell."""
        return self.rule is not None and self.n_owners > 0

    @property
    def contest(self) -> bool:
        """Whether data are sold by contest."""
        return isinstance(self.rule, str) and self.rule == CONTEST

    @property
    def sells_work(self) -> bool:
        """Whether there is work to sell."""
        return self.sells_data and self.compute is not None and self.n_centres > 0

    @property
    def shares(self) -> bool:
        """Whether developers share models, as in ``model_sharing_v0``."""
        return isinstance(self.trade, str) and self.trade == IPFL and self.n_developers > 1

    @property
    def sells_parameters(self) -> bool:
        """Whether developers sell parameters to each other, as in ``parameter_trading_v0``."""
        return self.trade not in (None, IPFL) and self.n_developers > 1

    @property
    def trains(self) -> bool:
        """Whether developers train on data of their own: where they have some, or nobody sells."""
        return self.own_data or not self.sells_data

    @property
    def cost_of_effort(self) -> tuple[float, float]:
        """What a full training on own data costs: nothing without any."""
        return self.effort_cost if self.trains else (0.0, 0.0)


def _rule(value: Any, name: str) -> Any:
    known = {CONTEST: DATA_RULES["posted"], **DATA_RULES}
    named_part(value, name, known, "a DataRule object", kind=DataRule)
    return value


def _quality(value: Any, name: str) -> Any:
    known = {REPORTED: AUDITS["wasserstein"], **AUDITS}
    named_part(value, name, known, "a callable AuditCase -> scores", takes=1)
    return value


def _trade(value: Any, name: str) -> Any:
    known = {IPFL: MECHANISMS["nash_bargaining"], **MECHANISMS}
    named_part(value, name, known, PAYMENT_RULE, takes=2)
    return value


_FIELDS: dict[str, Check] = GAME | {
    "n_developers": partial(whole, least=1, most=1000),
    "n_owners": partial(whole, most=10_000),
    "n_centres": partial(whole, most=10_000),
    "root": or_none(path),
    "download": flag,
    "data_options": data_options,
    "own_data": flag,
    "learner_options": options,
    "training": or_none(check_training),
    "rule": or_none(_rule),
    "quality": _quality,
    "compute": or_none(choice, known=COMPUTE),
    "trade": or_none(_trade),
    "money_per_loss": partial(interval, least=0.0, most=LARGEST_MONEY),
    "effort_cost": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cash": partial(number, least=0.0, most=5e5),
    "credit": partial(number, least=0.0, most=5e5),
    **dict.fromkeys(PARTS, options),
}
