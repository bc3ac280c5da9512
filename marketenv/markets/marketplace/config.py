"""The arguments of the marketplace."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, TypeVar

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
    whole,
)
from marketenv.core.plain_forms import plain
from marketenv.learners import Training
from marketenv.markets.arguments import LARGEST_MONEY, LEARNING, PAYMENT_RULE, check_ready_made
from marketenv.markets.data_market import DataMarketConfig
from marketenv.markets.model_sharing import ModelSharingConfig
from marketenv.markets.parameter_trading import ParameterTradingConfig
from marketenv.markets.resource_market import AUDITS, ResourceMarketConfig
from marketenv.markets.resource_market.moves import CENTRE, OWNER
from marketenv.mechanisms import DATA_RULES, MECHANISMS, DataRule

DEVELOPER = "developer"
CONTEST, IPFL, REPORTED, MATCHED = "contest", "ipfl", "reported", "matched"
COMPUTE = (CONTEST, "posted", MATCHED)
PARTS = {
    "data_market": DataMarketConfig,
    "resource_market": ResourceMarketConfig,
    "parameter_trading": ParameterTradingConfig,
    "model_sharing": ModelSharingConfig,
}
# by an argument of a part, that of the marketplace which stands for it
INSTEAD = {"n_sellers": "n_owners", "n_agents": "n_developers"}
INSTEAD |= {"audit": "quality", "pricing": "compute", "mechanism": "trade"}
# of the resource market, what counts wherever work is done, and what only where it is sold
COSTS = frozenset(("lam", "rho", "sigma", "types"))
OFFERS = frozenset(("eps", "preferences", "rank"))
FEE_RULE = frozenset(("fees",))  # which compute='matched' chooses
# of parameter trading, what counts where developers train on data of their own
OWN_TRAINING = frozenset(("augmentation",))
# by a part, the choices by which its arguments count, and which to make so that they do
SWITCHES = {
    "data_market": (("rule",), "a rule of that market, such as rule='posted'"),
    "resource_market": (
        ("rule", "compute"),
        "rule='contest' for what is of the contest, compute='contest' for what is of the work",
    ),
    "parameter_trading": (
        ("trade", "learner", "own_data"),
        "a trade of parameters, such as trade='nash_bargaining', and a learner; own_data=True for"
        " 'augmentation'",
    ),
    "model_sharing": (("trade",), "trade='ipfl'"),
}
# of a part, for which the value of the fall of a developer's own loss stands
VALUES = frozenset(("gain", "value", "accuracy", "loss"))

Made = TypeVar("Made")


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
                 by the names that ``data_market_v0`` and the others give them; refused where nobody
                 reads them under the choices above
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
        if self.quality != REPORTED and not self.contest:
            raise ValueError(
                f"quality is {self.quality!r} with rule {self.rule!r}, wanted 'reported': only the"
                " contest pays by an audit."
            )
        if not (
            self.sells_data or self.shares or (self.sells_parameters and self.learner is not None)
        ):
            raise ValueError(
                f"rule is {self.rule!r}, trade {self.trade!r}, n_owners {self.n_owners} and"
                f" n_developers {self.n_developers}: nobody moves in such a market, wanted owners"
                " and a rule, or two developers and a trade of what they train."
            )
        for part in PARTS:
            self._check_arguments_of(part)

    def _check_arguments_of(self, part: str) -> None:
        """Refuse a part's arguments that the marketplace gives it, and those that nobody reads."""
        for name in options(getattr(self, part), part, names_of(part)):
            if own := own_name(part, name):
                raise ValueError(
                    f"{part} has {name!r}, which the marketplace gives it by an argument of its"
                    f" own; pass {own}=..."
                )
            if name not in self._read_of(part):
                choices, switch = SWITCHES[part]
                chosen = ", ".join(f"{choice} {getattr(self, choice)!r}" for choice in choices)
                raise ValueError(
                    f"{part} has {name!r}, which nobody reads with {chosen}: leave it out, or pass"
                    f" {switch}."
                )

    def _read_of(self, part: str) -> frozenset[str]:
        """The arguments of a part that count under the choices, whatever the numbers of agents."""
        every, bought = frozenset(names_of(part)), self.rule is not None
        work = bought and self.compute is not None
        trading = self.trade not in (None, IPFL) and self.learner is not None
        training = self.trains and not self.shares and self.learner is not None
        counting = {
            "data_market": [(every, bought and not self.contest)],
            "resource_market": [
                (every - OFFERS - FEE_RULE, self.contest),
                (COSTS | OFFERS, work),
                (FEE_RULE, work and self.compute != MATCHED),
            ],
            "parameter_trading": [(every - OWN_TRAINING, trading), (OWN_TRAINING, training)],
            "model_sharing": [(every, self.trade == IPFL)],
        }
        return frozenset[str]().union(*(names for names, counts in counting[part] if counts))

    @property
    def roles(self) -> dict[str, int]:
        """Agents by role: none of a role whose part is left out."""
        return {
            DEVELOPER: self.n_developers,
            OWNER: self.n_owners if self.sells_data else 0,
            CENTRE: self.n_centres if self.sells_work else 0,
        }

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


def names_of(part: str) -> tuple[str, ...]:
    """The names of a part's arguments."""
    return tuple(field.name for field in fields(PARTS[part]))


def own_name(part: str, name: str) -> str | None:
    """The marketplace's argument that stands for one of a part; None for the part's own.

    >>> own_name("data_market", "n_sellers"), own_name("data_market", "points")
    ('n_owners', None)
    """
    if (part, name) == ("resource_market", "quality"):  # of the data, not what a contest pays for
        return None
    own = {field.name for field in fields(MarketplaceConfig)}
    return name if name in own else INSTEAD.get(name)


def made(c: MarketplaceConfig, part: str, make: Callable[[Any], Made], **arguments: Any) -> Made:
    """What a function makes of a part's arguments, those of the marketplace and the part's own.

    A ValueError that begins with an argument says in which part that stands.
    """
    try:
        return make(PARTS[part](**{**arguments, **getattr(c, part)}))
    except ValueError as error:
        words = re.match(r"(no |)(\w+)(.*)", str(error), re.DOTALL)
        if words is None or words[2] not in names_of(part):
            raise
        place = own_name(part, words[2]) or f"{part}[{words[2]!r}]"
        raise ValueError(f"{words[1]}{place}{words[3]}") from error


def place_of(name: str) -> str:
    """How to pass an argument of a part that the marketplace itself does not have, "" for others.

    >>> place_of("partners"), place_of("n_sellers")
    ("parameter_trading={'partners': ...}", 'n_owners=...')
    """
    if name in INSTEAD:
        return f"{INSTEAD[name]}=..."
    parts = (part for part in PARTS if name in names_of(part))
    return " or ".join(f"{part}={{{name!r}: ...}}" for part in parts)


def _named(value: Any, name: str, table: Mapping[str, Any], wanted: str, **shape: Any) -> Any:
    """Take a part by its name or as an object, and leave it as it came."""
    named_part(value, name, table, wanted, **shape)
    return value


def _arguments(value: Any, name: str) -> dict[str, Any]:
    """A part's arguments in plain forms, which nobody changes from outside."""
    arguments: dict[str, Any] = plain(options(value, name))
    return arguments


_FIELDS: dict[str, Check] = LEARNING | {
    "n_developers": partial(whole, least=1, most=1000),
    "n_owners": partial(whole, most=10_000),
    "n_centres": partial(whole, most=10_000),
    "own_data": flag,
    "rule": or_none(
        _named, table={CONTEST: None, **DATA_RULES}, wanted="a DataRule object", kind=DataRule
    ),
    "quality": partial(
        _named,
        table={REPORTED: None, **AUDITS},
        wanted="a callable AuditCase -> scores",
        takes=1,
    ),
    "compute": or_none(choice, known=COMPUTE),
    "trade": or_none(_named, table={IPFL: None, **MECHANISMS}, wanted=PAYMENT_RULE, takes=2),
    "money_per_loss": partial(interval, least=0.0, most=LARGEST_MONEY),
    "effort_cost": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cash": partial(number, least=0.0, most=5e5),
    "credit": partial(number, least=0.0, most=5e5),
    **dict.fromkeys(PARTS, _arguments),
}
