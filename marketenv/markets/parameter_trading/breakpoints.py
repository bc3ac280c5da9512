"""Reports of a trader among which a best reply to the others' reports always is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.fields import Multiple, just_above
from marketenv.core.moves import Move
from marketenv.markets.parameter_trading.exchanges import critical_bids, critical_markups
from marketenv.markets.parameter_trading.reports import Reports


def replies(
    move: Move,
    reports: Reports,
    worth: Float64[Tensor, "markets buyers sellers"],
    open_: Bool[Tensor, "markets buyers sellers"],
    agent: int,
    exclusive: bool,
    done: Float[Tensor, "markets width"],
) -> Float[Tensor, "markets candidates width"]:
    """Actions of an agent of which one is a best reply for the utility of this round; the effort
    stays as it was.

    worth: of each purchase, money;
        open_: purchases that a buyer gains from, bids for and can afford
    exclusive: a seller has only one copy;   done: what the agent did
    """
    bid, ask = move.action["bid"], move.action["ask"]
    bids = critical_bids(reports, agent, exclusive)
    relative = isinstance(bid, Multiple)
    met = bid.write(bids / worth[:, agent, :, None].clamp(min=1e-300) if relative else bids)
    met = torch.cat([met[:, :agent], met[:, agent + 1 :]], 1)
    met = torch.cat([met, just_above(met)], 2)  # float32 may have rounded it below the ask
    alone = torch.eye(met.shape[1], dtype=torch.bool, device=met.device)[:, None]
    # a purchase is of one seller: nothing to the others
    buys = torch.where(alone, met[..., None], bid.low).flatten(1, 2)
    buys = torch.cat([buys, torch.full_like(buys[:, :1], bid.low)], 1)
    asks = ask.write(critical_markups(reports, agent, open_))
    asks = torch.cat(
        [asks, -just_above(-asks), asks.new_tensor([ask.low, ask.high]).expand(len(asks), -1)], 1
    )
    shape = (len(asks), buys.shape[1], asks.shape[1])
    parts = buys[:, :, None].expand(*shape, -1), asks[:, None, :, None].expand(*shape, 1)
    effort = done[:, -1:][:, None, None].expand(*shape, 1)
    return torch.cat([*parts, effort], 3).flatten(1, 2)


def only(
    move: Move,
    fields: Sequence[str] | None,
    done: Float[Tensor, "markets width"],
    replies: Float[Tensor, "markets candidates width"],
) -> Float[Tensor, "markets candidates width"]:
    """The replies with all but some fields as they were done; None lets all change."""
    kept = [
        where
        for name, where in move.action.slices.items()
        if fields is not None and name not in fields
    ]
    replies = replies.clone()
    for where in kept:
        replies[..., where] = done[:, None, where]
    return replies
