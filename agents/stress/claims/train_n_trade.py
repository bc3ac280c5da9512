"""Claims of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023): what trade brings, its theorems, and whether truth pays."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marketenv import make_market
from marketenv.core import draws
from marketenv.core.market import Market
from marketenv.markets.parameter_trading import ParameterTradingMarket
from marketenv.mechanisms import PRIORS, AskRule, double_auction, lower_bound, myerson, nash_bargaining

from .claim import AS_STATED, AtLeast, Claim, Effort, Evidence, Never
from .tables import LEAK, LINEAR, METHODS, both_gain, compared, linear
from .theorems import ROUNDING, Products, best_weights, checks, descend, enough, laws, reached
from .truthfulness import balance, rationality, truthfulness

MARKET = "parameter_trading"
PAPER = "Huang, Vishwakarma, Sala: Train 'n Trade (NeurIPS 2023)"
OUT, FEDAVG, APART, ALIGNED = METHODS
BLOCKS = 400  # random cases are told in so many blocks: none of 400 that fails makes a share of at most .92 %


# --- truth ------------------------------------------------------------------------------------------------------------------

ONE, THREE, POSTED, PAY_BID, FREE = (
    "one round",
    "three traders, one round",
    "posted price",
    "buyers pay their bid",
    "training costs nothing",
)
POSTED_ONCE, PAY_BID_ONCE = "posted price, one round", "buyers pay their bid, one round"
BIDS = ("scale bid", 0.0, 1.5)  # of a purchase's worth
ASKS = ("shift ask", 0.0, 0.5)  # of ask_max, above the cost; more than that hardly any buyer pays
IDLE = ("shift effort", -1.0, 0.0)  # below full effort
CHANGES: dict[str, dict[str, Any]] = {
    AS_STATED: {},  # two traders, settlement in the middle, several rounds
    ONE: {"max_cycles": 1},
    THREE: {"n_agents": 3, "max_cycles": 1},
    POSTED: {"mechanism": "posted_price"},
    POSTED_ONCE: {"mechanism": "posted_price", "max_cycles": 1},
    PAY_BID: {"mechanism": partial(double_auction, weight=1.0)},
    PAY_BID_ONCE: {"mechanism": partial(double_auction, weight=1.0), "max_cycles": 1},
    FREE: {"effort_cost": (0.0, 0.0)},
}


def traders(count: int, condition: str, effort: Effort) -> Market:
    """The market on digits with so many traders, changed as a condition says."""
    sizes = {"n_agents": count, "max_cycles": effort.rounds}
    return make_market("parameter_trading_v0", **(sizes | CHANGES[condition]))


def with_a_way_out(condition: str, effort: Effort) -> Market:
    """The same, where an ask can be above every bid, so that who wants no trade has none (bids end at 15 ln 10 = 34.5)."""
    sizes = {"n_agents": 2, "max_cycles": effort.rounds, "ask_max": 40.0}
    return make_market("parameter_trading_v0", **(sizes | CHANGES[condition]))


def truth(name: str, words: str, conditions: tuple[str, ...], who: Any = "trader_0", count: int = 2, **search: Any) -> Claim:
    """A claim that no trader gains by other reports than its true ones."""
    told: dict[str, Any] = {"id": f"train_n_trade/{name}", "market": MARKET, "paper": PAPER, "words": words}
    told["place"] = "sections 3.4 and 4, which take valuations as reported truthfully"
    build = partial(traders, count)
    return truthfulness(**told, build=build, who=(who,), conditions=conditions, costly=True, **search)


# --- theorems and formulas --------------------------------------------------------------------------------------------------

SAFE, SHARP = "inside the safe condition", "the sharp form"
DIMENSIONS = (2, 3, 10)  # of random errors


def theorem_41(condition: str, effort: Effort) -> Evidence:
    """By how much gains leave the bounds of Theorem 4.1, relative, the worst of each block of random errors and weights."""
    cases = BLOCKS * _cases(effort)
    drawn = laws(0, DIMENSIONS, cases)
    above, below = (
        torch.stack(parts).amax(0) for parts in zip(*(_leaves(condition, *law) for law in drawn.values()), strict=True)
    )
    return Evidence(
        samples={"above the upper bound": _greatest(above), "below the lower bound": _greatest(below)},
        seeds=f"key 0: {cases} cases of every law, in {BLOCKS} blocks of which the worst counts",
        counterexample=_example(),
        tables=(_rates(drawn, cases),),
        notes=("a sample above 1e6 is told as 1e6: the bound is as good as 0 there",),
    )


def _cases(effort: Effort) -> int:
    return max(1, effort.cases // BLOCKS)


def _leaves(condition: str, errors: Products, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """gain / high - 1 and low / gain - 1 of every case, 0 where they are below that."""
    seen = checks(errors, alpha, beta)
    low, high = (seen["least"], seen["most"]) if condition == SHARP else (seen["low"], seen["high"])
    counts = ~seen["outside the safe condition"] if condition == SAFE else torch.ones_like(alpha, dtype=torch.bool)
    parts = seen["gain"] / high.clamp(min=1e-300), low / seen["gain"]
    above, below = ((part - 1).nan_to_num(0.0).clamp(0.0, 1e6).where(counts, 0.0) for part in parts)
    return above, below


def _example() -> str:
    one = torch.ones(1, dtype=torch.float64)
    errors = Products(one, 0.9 * one, -0.9 * one)
    seen = {name: float(value) for name, value in checks(errors, *best_weights(errors)).items()}
    return (
        f"errors e_a = (1, 0), e_b = (-.9, .3) at the best weights: Delta_b is {seen['gain']:.4g}, "
        f"the printed bounds are [{seen['low']:.4g}, {seen['high']:.4g}]"
    )


def _rates(drawn: dict[str, tuple[Products, Tensor, Tensor]], cases: int) -> dict[str, Any]:
    """How often the printed upper bound fails, by law."""
    rows = []
    for law, case in drawn.items():
        seen = checks(*case)
        names = ("outside the safe condition", "above the paper's upper bound", "outside the sharp bounds")
        rows.append([law, *(100 * float(seen[name].double().mean()) for name in names)])
    head = ["law of the errors", "outside the safe condition, %", "above the printed upper bound, %", "outside the sharp, %"]
    return {"title": f"random cases, {cases} a law", "head": head, "rows": rows}


EPSILONS = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1)  # gradient norms to reach, in units of the first gradient's
RATE = 0.1  # of a gradient step; below 1 / L in these markets
PLENTY = "a hundred clean examples a parameter"


def theorem_51(premise: bool, condition: str, effort: Effort) -> Evidence:
    """Rounds until B's gradient is small less those the theorem says are enough; or the share of rounds without a gain.

    B always buys and A never does, or nobody trades. Of each seed the worst of the gradients that can be told counts.
    """
    seeds, n_rounds, dimension = effort.linear
    market = _descent(condition, effort)
    done = descend(market, range(seeds))
    always, never = ({k: np.array([d[name][k] for d in done]) for k in ("slope", "gain")} for name in ("always", "never"))
    told = f"keys 0..{seeds - 1}, {n_rounds} rounds, {dimension} parameters, step {RATE}"
    gain = always["gain"]
    if premise:
        barren = (gain <= 0).mean(1)
        seed = int(barren.argmax())
        worst = f"seed {seed}: no gain in {int((gain[seed] <= 0).sum())} of {n_rounds} rounds, first in round "
        worst += f"{int((gain[seed] <= 0).argmax()) + 1}"
        return Evidence(samples={"share of rounds without a gain": barren.tolist()}, seeds=told, counterexample=worst)
    gap, first = (np.array([d[name] for d in done]) for name in ("gap", "first"))
    goals = first[:, None] * np.square(EPSILONS)
    late = {}
    for name, curves, delta in (("always", always, gain), ("never", never, np.zeros_like(gain))):
        measured, promised = reached(curves["slope"], goals), enough(gap, RATE, goals, delta)
        known = np.minimum(measured, promised) <= n_rounds
        late[f"{name} buying: rounds more than promised"] = _worst(measured, promised, known, n_rounds)
    series = [{"kind": "lines", "title": "B's squared gradient", "x": "round", "y": "|gradient|^2", "curves": _slopes(done)}]
    samples = {name: points for name, points in late.items() if points}
    if len(samples) < len(late):
        return Evidence(untested="no gradient was small enough within the rounds played to tell")
    return Evidence(samples=samples, seeds=told, series=series)


def _slopes(done: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"{name} buying": [d[name]["slope"] for d in done[:20]] for name in ("always", "never")}


def _worst(measured: np.ndarray, promised: np.ndarray, known: np.ndarray, n_rounds: int) -> list[float]:
    """Of each seed, the most rounds by which a promise was broken, <= 0 where all were kept; seeds that tell nothing drop out."""
    late = np.where(known, np.minimum(measured, n_rounds + 1) - np.minimum(promised, n_rounds + 1), -np.inf).max(1)
    return [float(value) for value in late if np.isfinite(value)]


def _descent(condition: str, effort: Effort) -> ParameterTradingMarket:
    """Two linear agents with a step below 1 / L, told their gain as a fall of the loss."""
    options = linear(condition, effort)
    if condition == PLENTY:
        dimension = max(2, options["data_options"]["dimension"] // 4)
        sizes = {"dimension": dimension, "examples": 100 * dimension, "validation_size": 100 * dimension}
        options["data_options"] |= sizes | {"noise": 0.0}
    options["training"] = dataclasses.replace(options["training"], learning_rate=RATE)
    market = make_market("parameter_trading_v0", n_agents=2, valuation="loss_difference", cash=math.inf, **options)
    assert isinstance(market, ParameterTradingMarket)
    return market


def bargaining(condition: str, effort: Effort) -> Evidence:
    """How far the product of both utilities falls short of the best price difference of a fine grid, relative to it."""
    u = draws.uniform(draws.fold(torch.arange(BLOCKS), "bargaining"), _cases(effort), 4).flatten(0, 1)
    asks = u[:, :2]  # of A for its model, of B for its own
    bids = asks + (1 - asks) * u[:, 2:]  # of B for A's model, of A for B's: they cover the asks
    table = torch.zeros(len(u), 2, 2, dtype=torch.float64)
    table[:, 1, 0], table[:, 0, 1] = bids[:, 0], bids[:, 1]
    prices = nash_bargaining(table, asks).prices
    difference = prices[:, 1, 0] - prices[:, 0, 1]
    formula = (bids[:, 0] + asks[:, 0] - bids[:, 1] - asks[:, 1]) / 2
    steps = torch.linspace(0, 1, 2001, dtype=torch.float64)
    low, high = asks[:, 0] - bids[:, 1], bids[:, 0] - asks[:, 1]
    best = torch.stack([_product(bids, asks, low + step * (high - low)) for step in steps]).amax(0)
    short = (best - _product(bids, asks, difference)) / best
    samples = {
        "shortfall of the product": short.unflatten(0, (BLOCKS, -1)).amax(1).tolist(),
        "distance of the market's difference from eq. 1": (difference - formula)
        .abs()
        .unflatten(0, (BLOCKS, -1))
        .amax(1)
        .tolist(),
    }
    return Evidence(samples=samples, seeds=f"keys 0..{BLOCKS - 1}, {_cases(effort)} pairs each, bids and asks in [0, 1]")


def _greatest(cases: Tensor) -> list[float]:
    return cases.unflatten(0, (BLOCKS, -1)).amax(1).tolist()


def _product(bids: Tensor, asks: Tensor, difference: Tensor) -> Tensor:
    """U_A U_B at a price difference P_A - P_B."""
    return (difference - asks[:, 0] + bids[:, 1]) * (bids[:, 0] - difference - asks[:, 1])


COVERED = "every bid covers its ask"


def nobody_loses(condition: str, effort: Effort) -> Evidence:
    """What an agent loses at the prices of eq. 1, for any valuations or for those at which both goods are worth selling."""
    u = draws.uniform(draws.fold(torch.arange(BLOCKS), "valuations"), _cases(effort), 4).flatten(0, 1)
    asks, bids = u[:, :2], u[:, 2:]
    if condition == COVERED:
        bids = asks + (1 - asks) * bids
    surplus = (bids - asks).sum(1)  # eq. 1 gives each half of it
    worst = int(surplus.argmin())
    told = f"v_A(A) = {asks[worst, 0]:.3f}, v_B(A) = {bids[worst, 0]:.3f}, v_B(B) = {asks[worst, 1]:.3f}, "
    return Evidence(
        samples={"loss of each agent": _greatest((-surplus / 2).clamp(min=0))},
        seeds=f"keys 0..{BLOCKS - 1}, {_cases(effort)} pairs each, valuations uniform on [0, 1]",
        counterexample=told + f"v_A(B) = {bids[worst, 1]:.3f}: both earn {surplus[worst] / 2:.3f}",
    )


PAYS_ASK, NARROW = "the buyer pays the ask", "a uniform prior with hi <= 3 lo"
INTERVALS = ((0.0, 1.0), (1.0, 4.0), (1.0, 2.0))  # of the buyer's value
COSTS = (0.0, 0.25)


def asks_best(rule: AskRule, condition: str, effort: Effort) -> Evidence:
    """What the best ask earns more than a rule's, relative, for every prior of the library on three intervals and two costs.

    Paid is the middle of a truthful bid and the ask, or the ask. All asks of a fine grid are tried, so nothing is missed.
    """
    rows: list[list[Any]] = []
    for name, prior in PRIORS.items():
        cases = [(lo, hi, cost) for lo, hi in INTERVALS if _asked(name, lo, hi, condition) for cost in COSTS]
        if cases:
            lo, hi, cost = torch.tensor(cases, dtype=torch.float64).T[..., None]
            earned = _earned(prior(lo, hi), rule, cost, condition)
            rows += [[name, *case, *row] for case, row in zip(cases, earned.tolist(), strict=True)]
    worst = max(rows, key=lambda row: float(row[-1]))
    told = (
        f"{worst[0]} on [{worst[1]:g}, {worst[2]:g}] at cost {worst[3]:g}: the rule asks {worst[4]:.4g} and earns {worst[5]:.4g}"
    )
    return Evidence(
        samples={"lost share of the best revenue": [row[-1] for row in rows]},
        seeds="none: integrals over the buyer's value",
        exact=True,
        tables=({"title": "revenue", "head": [*_HEAD], "rows": rows},),
        counterexample=told + f", ask {worst[6]:.4g} earns {worst[7]:.4g}",
    )


_HEAD = ("prior", "lo", "hi", "cost", "ask of the rule", "it earns", "best ask", "that earns", "lost share")


def _asked(name: str, lo: float, hi: float, condition: str) -> bool:
    """Whether a prior is looked at: two have no density at 0, and a condition may want uniform ones on narrow intervals."""
    known = lo > 0 or name not in ("log_uniform", "bounded_pareto")
    return known and (condition != NARROW or (name == "uniform" and hi <= 3 * lo))


def _earned(prior: Any, rule: AskRule, cost: Tensor, condition: str) -> Tensor:
    """The rule's ask and revenue, the best ask and revenue, and the share that is lost: [cases, 5].

    R(s) = (s - c)(1 - F(s)) where the ask is paid;   + int_s^hi (1 - F) / 2 where the middle is
    """
    asks = prior.lo + (prior.hi - prior.lo) * torch.linspace(0, 1, 20_001, dtype=torch.float64)
    chosen, left = rule(prior, cost), 1 - prior.cdf(asks)
    area = ((left[:, 1:] + left[:, :-1]) / 2 * asks.diff()).flip(1).cumsum(1).flip(1)
    between = torch.cat([area, torch.zeros_like(cost)], 1)
    revenue = (asks - cost) * left + (0.0 if condition == PAYS_ASK else 0.5) * between
    place = ((chosen - asks[:, :1]) / asks.diff()[:, :1]).clamp(0, asks.shape[1] - 1.0)
    below, above = (revenue.gather(1, part.long()) for part in (place.floor(), place.ceil()))
    mine = torch.lerp(below, above, place.frac())
    best = revenue.argmax(1, keepdim=True)
    most = revenue.gather(1, best)
    return torch.cat([chosen, mine, asks.gather(1, best), most, (1 - mine / most).clamp(min=0)], 1)


# --- the table --------------------------------------------------------------------------------------------------------------


def said(name: str, place: str, words: str, **rest: Any) -> Claim:
    """A claim of this paper."""
    return Claim(id=f"train_n_trade/{name}", market=MARKET, paper=PAPER, place=place, words=words, **rest)


ACCURACY = {"statistic": "test accuracy, paired by seed", "unit": "% of test rows", "rule": AtLeast(0.0)}
BROKERS = (AS_STATED, LEAK)
ORDER = ((OUT, FEDAVG), (FEDAVG, APART), (APART, ALIGNED))

CLAIMS = (
    said(
        "trade_helps",
        "table 1",
        "Both agents end more accurate by trading than out of the market.",
        conditions=BROKERS,
        experiment=partial(compared, ((OUT, ALIGNED),), True, "digits"),
        **ACCURACY,
    ),
    said(
        "alignment_helps",
        "table 1",
        "Trading with alignment ends more accurate than without.",
        conditions=BROKERS,
        experiment=partial(compared, ((APART, ALIGNED),), False, "digits"),
        **ACCURACY,
    ),
    said(
        "table_1_order",
        "table 1, MNIST",
        "Accuracy rises from out of the market over FedAvg and trade without alignment to trade with it.",
        conditions=BROKERS,
        experiment=partial(compared, ORDER, False, "digits"),
        **ACCURACY,
    ),
    said(
        "table_1_order_mnist",
        "table 1, MNIST",
        "The same order in the paper's own setting: MNIST and its network.",
        conditions=BROKERS,
        experiment=partial(compared, ORDER, False, "mnist"),
        **ACCURACY,
    ),
    said(
        "both_gain",
        "section 6, figures 2 and 3",
        "Trade lowers the test loss of both agents and raises what both earn.",
        statistic="fall of the test loss and rise of the utility against out of the market, paired by seed",
        unit="(% of the loss, or money)",
        rule=AtLeast(0.0),
        conditions=(AS_STATED, LINEAR),
        experiment=both_gain,
    ),
    said(
        "theorem_4_1",
        "theorem 4.1",
        "A seller that knows its own gain and both weights can bound the buyer's gain.",
        statistic="by how much a gain leaves its bounds, relative; the worst of each block of random cases",
        unit="relative",
        rule=Never(ROUNDING),
        conditions=(AS_STATED, SAFE, SHARP),
        experiment=theorem_41,
    ),
    said(
        "theorem_5_1",
        "theorem 5.1",
        "After so many rounds as the theorem names B's gradient is small, where it always trades and where it never does.",
        statistic="rounds needed less rounds promised, the worst gradient of each seed",
        unit="rounds",
        rule=Never(0.0, rate=0.2),
        conditions=(AS_STATED, PLENTY),
        experiment=partial(theorem_51, False),
    ),
    said(
        "theorem_5_1_premise",
        "theorem 5.1, its assumption delta_b > 0",
        "Every round's purchase lowers the broker's loss of B's model.",
        statistic="share of rounds without a gain, by seed",
        unit="of the rounds",
        rule=Never(0.0, rate=0.2),
        conditions=(AS_STATED, PLENTY),
        experiment=partial(theorem_51, True),
    ),
    said(
        "eq_1",
        "equation 1",
        "The midpoint price difference maximises the product of both agents' utilities.",
        statistic="shortfall of the product against the best of a grid, relative; distance of the prices settled from eq. 1",
        unit="relative",
        rule=Never(1e-9),
        experiment=bargaining,
    ),
    said(
        "eq_1_nobody_loses",
        "equation 1",
        "At the negotiated prices nobody loses.",
        statistic="loss of each agent, the worst of each block of random valuations",
        unit="money",
        rule=Never(1e-12),
        conditions=(AS_STATED, COVERED),
        experiment=nobody_loses,
    ),
    said(
        "myerson_ask",
        "equation 2",
        "The virtual valuation is the ask that earns a seller most.",
        statistic="share of the best ask's revenue that the rule's ask loses, against truthful buyers",
        unit="of the revenue",
        rule=Never(1e-4),
        conditions=(AS_STATED, PAYS_ASK),
        experiment=partial(asks_best, myerson),
    ),
    said(
        "lower_bound_ask",
        "section 6.2, figure 5",
        "A seller that asks the least that its buyer may pay does well: no ask earns more.",
        statistic="share of the best ask's revenue that the rule's ask loses, against truthful buyers",
        unit="of the revenue",
        rule=Never(1e-4),
        conditions=(AS_STATED, PAYS_ASK, NARROW),
        experiment=partial(asks_best, lower_bound),
    ),
    truth(
        "truthful_bids",
        "No buyer gains by bidding other than what a purchase is worth to it.",
        (AS_STATED, ONE, POSTED, POSTED_ONCE),
        lines=(BIDS,),
        attackers=(),
        ex_post=True,
        fields=("bid",),
    ),
    truth(
        "truthful_asks",
        "No seller gains by asking more than its cost.",
        (AS_STATED, ONE, THREE, PAY_BID, PAY_BID_ONCE),
        lines=(ASKS,),
        attackers=(),
    ),
    truth("full_effort", "No trader gains by training less than it could.", (AS_STATED, FREE), lines=(IDLE,), attackers=()),
    truth(
        "truth",
        "No trader gains by any other bids, asks and effort than the true ones.",
        (AS_STATED, ONE),
        lines=(BIDS, ASKS, IDLE),
        learns=True,
    ),
    truth(
        "sellers_together",
        "No two sellers gain by raising their asks together.",
        (AS_STATED, ONE, PAY_BID_ONCE),
        who=("trader_0", "trader_1"),
        count=3,
        lines=(ASKS,),
        attackers=(),
    ),
    rationality(
        id="train_n_trade/taking_part_pays",
        market=MARKET,
        paper=PAPER,
        place="sections 1 and 6",
        words="No agent earns less in the mean by taking part than by staying away, the others trading.",
        build=with_a_way_out,
        who=("trader_0",),
        outside="never_trade",
        signed=True,
        tolerance=0.0,
        costly=True,
    ),
    rationality(
        id="train_n_trade/taking_part_never_costs",
        market=MARKET,
        paper=PAPER,
        place="section 3.4, prices between ask and bid",
        words="No agent ever earns less by taking part than by staying away.",
        build=with_a_way_out,
        conditions=(AS_STATED, ONE),
        who=("trader_0",),
        outside="never_trade",
        rate=0.1,
        costly=True,
    ),
    rationality(
        id="train_n_trade/taking_part_under_lies",
        market=MARKET,
        paper=PAPER,
        place="section 3.4, prices between ask and bid",
        words="No truthful agent ever earns less by taking part than by staying away, whatever the others report.",
        build=with_a_way_out,
        conditions=(AS_STATED, ONE),
        who=("trader_0",),
        others="random",
        outside="never_trade",
        rate=0.1,
        costly=True,
    ),
    balance(
        id="train_n_trade/budget_balance",
        market=MARKET,
        paper=PAPER,
        place="section 3.4: the price difference is what moves between the parties",
        words="Payments sum to zero, and nobody subsidises the market, whatever is reported.",
        build=partial(traders, 2),
        costly=True,
    ),
)
