"""Actions of owners and centres among which a best reply to the others' actions always is: the
contest's best response.
"""

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
# share that wins the whole prize where nobody else makes an effort; ever less would be ever better
LEAST = 1e-7


def owners_replies(
    move: Move,
    done: Float[Tensor, "markets owners width"],
    number: int,
    eta: PerMarket,
    cost: PerMarket,
    caps: PerOwner,
    fields: Sequence[str] | None,
) -> Replies:
    """Replies of an owner that is paid by what it reports: that of its report, and that of the best
    report.

    done: what all owners do;   eta: the payment, money;   cost: of a unit of data, money;
        caps: of x
    """
    said = {name: value[..., 0] for name, value in move.action.read(done).items()}
    q = said["share"] * caps * said["report"]
    reports = [said["report"]] + [torch.ones_like(q)] * (fields is None or "report" in fields)
    replies = []
    for report in reports:
        costs = torch.where(report > 0, cost[:, None] / report, torch.inf)
        x = contest_response(eta, costs, q, caps * report, least=LEAST) / report.clamp(min=1e-300)
        answer = {"share": x / caps, "report": report}
        replies.append(_with(move, done, number, answer, fields))
    return torch.stack([done[:, number], *replies], 1)


def centres_replies(
    move: Move,
    done: Float[Tensor, "markets centres width"],
    number: int,
    fees: PerMarket,
    costs: Float64[Tensor, "markets centres"],
    fields: Sequence[str] | None,
) -> Replies:
    """Replies of a centre that is paid by its share of the work.   fees: of all owners, money;
    costs: of a unit of work
    """
    spend = move.action.read(done)["spend"][..., 0]
    work = contest_response(fees, costs, spend * fees[:, None] / costs, least=LEAST)
    share = torch.where(fees[:, None] > 0, costs * work / fees[:, None].clamp(min=1e-300), 0.0)
    return torch.stack([done[:, number], _with(move, done, number, {"spend": share}, fields)], 1)


def _with(
    move: Move, done: Tensor, number: int, answer: dict[str, Tensor], fields: Sequence[str] | None
) -> Float[Tensor, "markets width"]:
    """What the agent does, with other meanings of those fields that may change."""
    actions = done[:, number].clone()
    for name, value in answer.items():
        if fields is None or name in fields:
            actions[:, move.action.slices[name]] = move.action[name].write(value[:, number, None])
    return actions
