"""The demo's first part: data, computing and parameters traded by one population, all truthful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from agents.demos.line_ups import STANDS, market_of
from agents.lineups import find_profile
from agents.papers.core.units import Unit, beat
from marketenv.core import rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.resource_market import Contributed, Matched
from marketenv.render import Payments, figure_of_kinds, notes, picture

MARKET = "marketplace_v0"
WORDS = ("n_developers=3", "own_data=True", "partition=class_imbalance")
ROUNDS, SEED = 5, 0


def units() -> list[Unit]:
    """One episode."""
    return [Unit(play, {"words": WORDS, "n_rounds": ROUNDS}, rounds=ROUNDS, stands=STANDS)]


def play(folder: Path, words: Sequence[str], n_rounds: int) -> dict[str, Any]:
    """An episode of one market in which everybody is truthful, as plain data.

    shares:   share of its rows that an owner sold, mean over rounds   [developers, owners]
    digits:   rows of each owner by label           [owners, labels]
    centres:  number of the centre that computed for an owner in each round, -1 for none
                                                  [rounds, developers, owners]
    bought:   number of rounds in which a developer bought another one's parameters
                                                  [buyers, sellers]
    accuracy: of the developers' models on test data, before and after
    kinds, names, roles: payments of the episode, as in ``Payments``;   utilities: by agent, money
    """
    market = market_of(MARKET, words, n_rounds)
    now = rounds.begin(market, torch.tensor([SEED]))
    digits, before = _digits(market, now), rounds.test_scores(market, now).accuracy[0]
    reports: list[Report] = []
    profile = find_profile(market)
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        if report is not None:
            reports.append(report)
            beat(folder, len(reports))
    after = rounds.test_scores(market, now).accuracy[0]
    return {
        "shares": torch.stack([one.of(Contributed).x for one in reports]).mean(0).tolist(),
        "digits": digits.tolist(),
        "centres": [one.of(Matched).centre.tolist() for one in reports],
        "bought": torch.stack([one.of(Traded).trades[0] for one in reports]).sum(0).tolist(),
        "accuracy": [before.tolist(), after.tolist()],
        "n_rounds": len(reports),
        **_money(market, reports),
    }


def _digits(market: Market, now: rounds.Situation) -> torch.Tensor:
    """Rows of each owner by label [owners, labels]."""
    shards = now.floor.world.parts["resource_market"].train
    labels = shards.y[shards.index[0]]  # padded beyond an owner's size
    real = torch.arange(labels.shape[1]) < shards.size[0][:, None]
    known = torch.arange(market.source.n_outputs)
    return ((labels[..., None] == known) & real[..., None]).sum(1)


def _money(market: Market, reports: Sequence[Report]) -> dict[str, Any]:
    """Payments by kind and utilities of an episode."""
    payments = Payments.of(reports)
    earned = torch.stack([one.rewards[0] for one in reports]).sum(0).tolist()
    return {
        "kinds": {kind: paid.tolist() for kind, paid in payments.kinds.items()},
        "names": list(payments.names),
        "roles": {role: list(members) for role, members in payments.roles.items()},
        "utilities": dict(zip(agent_names(market), earned, strict=True)),
    }


def payments_of(result: Mapping[str, Any]) -> Payments:
    """The payments of an episode."""
    kinds = {kind: np.array(paid) for kind, paid in result["kinds"].items()}
    roles = {role: tuple(members) for role, members in result["roles"].items()}
    return Payments(kinds, tuple(result["names"]), roles)


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What happened in the episode, one sentence for each kind of trade, and who earned what."""
    return [
        _of_data(result),
        _of_compute(result),
        _of_parameters(result),
        _of_models(result),
        _of_earnings(result),
    ]


def _of_data(result: Mapping[str, Any]) -> str:
    money = payments_of(result).kinds["data"].sum(0)
    first, digits = _place(result, "owner"), np.array(result["digits"])
    owner = int(np.argmax(money[first : first + len(digits)]))
    common = sorted(np.argsort(-digits[owner], kind="stable")[:5].tolist())
    part = digits[owner, common].sum() / digits[owner].sum()
    shares = np.array(result["shares"])[:, owner]
    return (
        f"owner_{owner}, {_percent(part)} of whose {digits[owner].sum()} images show the digits"
        f" {_listed(common)}, was paid most for data: {money[first + owner]:.2f} money in"
        f" {result['n_rounds']} rounds; in the mean it sold {_percent(shares.mean())} of them to"
        " each developer in a round."
    )


def _of_compute(result: Mapping[str, Any]) -> str:
    last = np.array(result["centres"])[-1, 0]
    served = [
        f"centre_{m} (for {_listed([f'owner_{n}' for n in np.flatnonzero(last == m)])})"
        for m in sorted(set(last[last >= 0].tolist()))
    ]
    if not served:
        return "In the last round no centre computed for developer_0."
    paid = payments_of(result).kinds["compute"].sum()
    return (
        f"In the last round {_listed(served)} computed on what owners sold to developer_0; in all"
        f" rounds owners paid the centres {paid:.2f} money for computing."
    )


def _of_parameters(result: Mapping[str, Any]) -> str:
    bought, paid = np.array(result["bought"]), payments_of(result).kinds["parameters"]
    if not bought.any():
        return "No developer bought another one's parameters."
    buyer, seller = np.unravel_index(int(np.argmax(paid)), paid.shape)
    return (
        f"Developers bought each other's parameters {bought.sum()} times, for {paid.sum():.2f}"
        f" money; developer_{buyer} paid developer_{seller} most of it, {paid[buyer, seller]:.2f}"
        f" money in {bought[buyer, seller]} rounds."
    )


def _of_models(result: Mapping[str, Any]) -> str:
    before, after = (np.mean(accuracy) for accuracy in result["accuracy"])
    return (
        f"The developers' models began at an accuracy of {_percent(before)} on test images and"
        f" ended at {_percent(after)}, in the mean."
    )


def _of_earnings(result: Mapping[str, Any]) -> str:
    utilities = result["utilities"]
    best = max(utilities, key=lambda name: utilities[name])
    totals = {
        role: sum(utilities[name] for name in members if name in utilities)
        for role, members in result["roles"].items()
    }
    every = [f"all {role}s {total:.2f} money" for role, total in totals.items()]
    return (
        f"{best} earned most, {utilities[best]:.2f} money; together earned {_listed(every)}:"
        " payments, the value of better models, and costs."
    )


def _place(result: Mapping[str, Any], role: str) -> int:
    return result["names"].index(result["roles"][role][0])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _listed(words: Sequence[object]) -> str:
    """Words in a row: a, b and c."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def drawing(result: Mapping[str, Any]) -> Figure:
    """Who paid whom for what in the episode, and what everybody earned."""
    when = f"in {result['n_rounds']} rounds"
    return figure_of_kinds(payments_of(result), result["utilities"], when)


def section(result: Mapping[str, Any]) -> tuple[str, str]:
    """The report's section of this market as (heading, HTML)."""
    counts = [f"{len(members)} {role}s" for role, members in result["roles"].items()]
    about = (
        f"{_listed(counts)} in one market with one ledger, all truthful, seed {SEED}. Developers"
        " train networks on images of their own and on those of the owners, whom they pay by a"
        " contest; owners pay the centres that compute; developers sell each other parameters by"
        " bargaining."
    )
    caption = (
        "An arrow leads from who pays to who is paid, accounts left out; its colour says for what,"
        " its width how much. Each role's utilities have their own scale."
    )
    return (
        "The whole marketplace: who sold what, and who earned what",
        notes([about]) + picture(drawing(result), caption) + _paragraphs(sentences(result)),
    )


def _paragraphs(texts: Sequence[str]) -> str:
    return "<ol>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ol>"
