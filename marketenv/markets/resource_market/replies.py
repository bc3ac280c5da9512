"""Best replies of owners and centres to the others' actions: the contest's best response."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.moves import Move
from marketenv.mechanisms import contest_response

PerMarket = Float64[Tensor, "markets"]
PerOwner = Float64[Tensor, "markets owners"]
Replies = Float[Tensor, "markets candidates width"]
# share that wins the whole prize where the others make no effort; a smaller one is ever better
LEAST = 1e-7


def owners_replies(
    move: Move,
    actions: Float[Tensor, "markets owners width"],
    number: int,
    eta: PerMarket,
    cost: PerMarket,
    caps: PerOwner,
    fields: Sequence[str] | None,
) -> Replies:
    """Replies of an owner that is paid by its report: with this report, and with the best one.

    actions: of all owners;   eta: the payment, money
    cost:    of a unit of data, money;   caps: of x
    """
    meaning = {name: numbers[..., 0] for name, numbers in move.action.read(actions).items()}
    q = meaning["share"] * caps * meaning["report"]
    reports = [meaning["report"]]
    if fields is None or "report" in fields:
        reports.append(torch.ones_like(q))
    replies = []
    for report in reports:
        costs = torch.where(report > 0, cost[:, None] / report, torch.inf)
        x = contest_response(eta, costs, q, caps * report, least=LEAST) / report.clamp(min=1e-300)
        answer = {"share": x / caps, "report": report}
        replies.append(_with(move, actions, number, answer, fields))
    return torch.stack([actions[:, number], *replies], 1)


def centres_replies(
    move: Move,
    actions: Float[Tensor, "markets centres width"],
    number: int,
    fees: PerMarket,
    costs: Float64[Tensor, "markets centres"],
    fields: Sequence[str] | None,
) -> Replies:
    """Replies of a centre that is paid by its share of the work.

    actions: of all centres;   fees: of all owners, money;   costs: of a unit of work, money
    """
    spend = move.action.read(actions)["spend"][..., 0]
    work = contest_response(fees, costs, spend * fees[:, None] / costs, least=LEAST)
    share = torch.where(fees[:, None] > 0, costs * work / fees[:, None].clamp(min=1e-300), 0.0)
    reply = _with(move, actions, number, {"spend": share}, fields)
    return torch.stack([actions[:, number], reply], 1)


def _with(
    move: Move,
    actions: Tensor,
    number: int,
    answer: dict[str, Tensor],
    fields: Sequence[str] | None,
) -> Float[Tensor, "markets width"]:
    """The agent's action, with the answer in those fields that may change."""
    action = actions[:, number].clone()
    for name, values in answer.items():
        if fields is None or name in fields:
            action[:, move.action.slices[name]] = move.action[name].write(values[:, number, None])
    return action
