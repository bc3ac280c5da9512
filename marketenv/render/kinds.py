"""Pictures of a market that is made of several: who pays whom for which kind of thing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from marketenv.core.ledger import LEFT_OVER
from marketenv.core.report import Report
from marketenv.core.within import Inner
from marketenv.render.pictures import COLOURS, draw_bars

FEES, ACCOUNT = "fees", "account"  # what an account keeps; the role of all accounts
THIN, WIDE = 0.8, 6.0  # widths of arrows of no money and of the most, points
BEND, BULGE = 0.08, 0.6  # of an arrow between two roles, in parts of its length; within one, inches
COLUMN, ROW = 2.1, 0.62  # distances of roles and of agents of one role, inches
BARS = 3.6  # width of the panels of utilities, inches
ROLES = ("#cc79a7", "#e69f00", "#56b4e9", "#594200")  # kinds have the first of COLOURS
GREY = "#777777"  # of fees


@dataclass(frozen=True)
class Payments:
    """Who pays whom in the end for which kind of thing: accounts pass money on.

    kinds: money from payers to payees by kind   [names, names]
    names: of the agents, then of the accounts that keep money
    roles: names by role; accounts are the last one
    """

    kinds: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, reports: Sequence[Report]) -> Payments:
        """The first market's payments in some rounds of an episode, summed.

        Of what an account passes on each of its payers pays a part in proportion to what it paid
        in. Money that comes back to its payer is no payment.
        """
        first = reports[0]
        _, every = first.between_names()  # one for each account
        agents, size = first.rewards.shape[1], (len(every), len(every))
        totals = {kind: np.zeros(size) for kind in (*_goods(first).values(), FEES)}
        for report in reports:
            for kind, money in _by_kind(report).items():
                totals[kind] += money
        paid = np.sum(list(totals.values()), 0)
        rows = [row for row in range(len(every)) if row < agents or paid[:, row].any()]
        kinds = {kind: paid[np.ix_(rows, rows)] for kind, paid in totals.items()}
        names = tuple(every[row] for row in rows)
        where = {role: at for role, at in first.rows.items() if at.start < at.stop <= agents}
        roles = {role: names[at] for role, at in where.items()} | {ACCOUNT: names[agents:]}
        return cls(
            {kind: paid for kind, paid in kinds.items() if kind != FEES or paid.any()},
            names,
            {role: members for role, members in roles.items() if members},
        )


def sells_several(report: Report | None) -> bool:
    """Whether a round was made of phases of several markets, in which several kinds are sold."""
    return report is not None and len(set(_goods(report).values())) > 1


def _goods(report: Report) -> dict[tuple[str, str], str]:
    """By the name of a payment and the role that gets it, what it is for."""
    return {
        (flow, role): kind
        for outcome in report.outcomes.values()
        if isinstance(outcome, Inner)
        for flow in outcome.flows
        for role, kind in outcome.inside.goods.items()
    }


def _by_kind(report: Report) -> dict[str, np.ndarray]:
    """Money by kind from agents to agents, and as fees to accounts that keep it [rows, rows]."""
    goods = _goods(report)
    kinds = {kind: np.zeros((len(report.names),) * 2) for kind in (*goods.values(), FEES)}
    for name, flow in report.flows.items():
        kind = goods.get((name, flow.payee), FEES)
        payers, payees = report.rows[flow.payer], report.rows[flow.payee]
        kinds[kind][payers, payees] += flow.money[0].cpu().numpy()
    for account in range(report.rewards.shape[1], len(report.names)):
        _pass_on(kinds, account)
    most = float(report.transfers[0].max())
    return {kind: _merged(paid, report, LEFT_OVER * most) for kind, paid in kinds.items()}


def _merged(paid: np.ndarray, report: Report, least: float) -> np.ndarray:
    """Money between rows as money between names, without what comes back or rounding leaves."""
    agents = report.rewards.shape[1]
    columns: list[list[int]] = []
    for at in report.rows.values():
        rows = list(range(at.start, at.stop))
        columns += [[row] for row in rows] if at.stop <= agents else [rows]
    into = np.zeros((len(paid), len(columns)))
    for place, rows in enumerate(columns):
        into[rows, place] = 1.0
    np.fill_diagonal(paid, 0.0)
    return into.T @ np.where(paid > least, paid, 0.0) @ into


def _pass_on(kinds: Mapping[str, np.ndarray], account: int) -> None:
    """What an account pays its payers pay in its place, as far as it got that; changes ``kinds``.

    kinds: money by kind [rows, rows]; all that an account gets is of the kind of fees
    """
    into = kinds[FEES][:, account].copy()
    got, spent = into.sum(), sum(paid[account].sum() for paid in kinds.values())
    passed = min(got, spent)
    if passed <= 0:
        return
    for paid in kinds.values():
        through = np.outer(into / got, paid[account] * passed / spent)
        paid[account] *= 1 - passed / spent
        paid += through
    kinds[FEES][:, account] -= into * passed / got


def draw_kinds(axes: Axes, payments: Payments, title: str) -> None:
    """Draw payments as arrows in the colour of their kind; the width grows with the amount.

    Every role has a column. The legend tells the money of each kind.
    """
    places = _places(payments)
    most = max(1e-12, *(float(paid.max()) for paid in payments.kinds.values()))
    for colour, paid in zip(_colours(payments), payments.kinds.values(), strict=True):
        for payer, payee in np.argwhere(paid > 0).tolist():
            width = THIN + (WIDE - THIN) * paid[payer, payee] / most
            _draw_arrow(axes, places[payer], places[payee], colour, width)
    _draw_names(axes, payments, places)
    _draw_legend(axes, payments)
    low, high = places.min(0), places.max(0)
    axes.set(xlim=(low[0] - 0.8, high[0] + 0.6), ylim=(low[1] - 0.5, high[1] + 0.8), title=title)
    axes.set_aspect("equal")
    axes.axis("off")


def _colours(payments: Payments) -> list[str]:
    """A colour for each kind."""
    return [GREY if kind == FEES else COLOURS[k % 10] for k, kind in enumerate(payments.kinds)]


def _places(payments: Payments) -> np.ndarray:
    """Places of the names in inches: a column for each role, centred [names, 2]."""
    most, places = max(map(len, payments.roles.values())), []
    for k, members in enumerate(payments.roles.values()):
        apart = ROW * max(1.0, 0.8 * (most - 1) / max(len(members) - 1, 1))
        rows = (len(members) - 1) / 2 - np.arange(len(members))
        places += [(COLUMN * k, apart * row) for row in rows]
    return np.array(places)


def _draw_arrow(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str, width: float) -> None:
    """Draw one arrow between two circles; between two of one role it leaves room for a third."""
    length = float(np.linalg.norm(end - start))
    bend = BEND if start[0] != end[0] else 2 * BULGE / length
    style = {"arrowstyle": "-|>", "lw": width, "color": colour, "alpha": 0.75}
    style |= {"shrinkA": 18, "shrinkB": 18, "mutation_scale": 8 + 1.5 * width}
    style |= {"connectionstyle": f"arc3,rad={min(bend, 0.6)}"}
    axes.annotate("", xy=tuple(end), xytext=tuple(start), arrowprops=style)


def _draw_names(axes: Axes, payments: Payments, places: np.ndarray) -> None:
    """Draw a circle for each agent, a square for each account, and a head above each role."""
    start, top = 0, places[:, 1].max() + 0.6
    for k, (role, members) in enumerate(payments.roles.items()):
        x, y = places[start : start + len(members)].T
        start += len(members)
        marker, colour = "s" if role == ACCOUNT else "o", ROLES[k % len(ROLES)]
        axes.scatter(
            x, y, s=1000, c="white", edgecolors=colour, linewidths=3, zorder=2, marker=marker
        )
        for name, left, height in zip(members, x, y, strict=True):
            words = name.replace("_", " ").replace(" ", "\n")
            axes.text(left, height, words, ha="center", va="center", fontsize=6.5, zorder=3)
        axes.text(x[0], top, f"{role}s", ha="center", fontsize=9, weight="bold")


def _draw_legend(axes: Axes, payments: Payments) -> None:
    """Draw below the picture what each colour is, and its money."""
    totals = {kind: float(paid.sum()) for kind, paid in payments.kinds.items()}
    decimals = max(0, 2 - math.floor(math.log10(max(1e-12, *totals.values()))))
    lines = [
        Line2D([], [], color=colour, lw=3, label=f"{kind}: {total:.{decimals}f} money")
        for colour, (kind, total) in zip(_colours(payments), totals.items(), strict=True)
    ]
    legend = axes.legend(
        handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(lines), fontsize=8
    )
    legend.set_frame_on(False)


def size_of_kinds(counts: Sequence[int], accounts: int) -> tuple[float, float]:
    """Width and height of a figure of payments by kind, inches.

    counts: of agents by role;   accounts: number of accounts that keep money
    """
    width = COLUMN * (len(counts) + (accounts > 0)) + BARS
    return width, max(ROW * max(*counts, accounts) + 2.2, 1.5 * len(counts))


def figure_of_kinds(
    payments: Payments,
    utilities: Mapping[str, float],
    when: str,
    size: tuple[float, float] | None = None,
) -> Figure:
    """A figure of payments by kind, with the utilities of each role beside it.

    utilities: by agent, money;   when: in words, for instance "in the last round"
    size:      width and height, inches; None: as much as these payments need
    """
    roles = {role: members for role, members in payments.roles.items() if role != ACCOUNT}
    counts = [len(members) for members in roles.values()]
    size = size or size_of_kinds(counts, len(payments.roles.get(ACCOUNT, ())))
    fig = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.add_gridspec(1, 2, width_ratios=[size[0] - BARS, BARS])
    paid = any(money.any() for money in payments.kinds.values())
    draw_kinds(fig.add_subplot(grid[0]), payments, f"{'' if paid else 'no '}money paid {when}")
    heights = [1.2 + len(members) for members in roles.values()]
    panels = grid[1].subgridspec(len(roles), 1, height_ratios=heights)
    for k, (role, members) in enumerate(roles.items()):
        axes = fig.add_subplot(panels[k])
        draw_bars(axes, {name: utilities[name] for name in members}, f"utility of {role}s", "money")
        for bar in axes.patches:
            bar.set_color(ROLES[k % len(ROLES)])
    return fig
