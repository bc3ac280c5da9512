"""Messages of a trader among which a best reply to the others' messages always is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.fields import Multiple, just_above
from marketenv.core.moves import Move
from marketenv.markets.parameter_trading.exchanges import critical_bids, critical_markups
from marketenv.markets.parameter_trading.reports import Messages


def replies(
    move: Move,
    messages: Messages,
    worth: Float64[Tensor, "markets buyers sellers"],
    open_: Bool[Tensor, "markets buyers sellers"],
    agent: int,
    exclusive: bool,
    action: Float[Tensor, "markets width"],
) -> Float[Tensor, "markets candidates width"]:
    """Actions of an agent, one of which is a best reply for the utility of this round.

    worth:  of each purchase, money
    open_:  purchases that a buyer gains from, bids for and can pay
    exclusive: whether a seller has only one copy
    action: what the agent does; its effort stays
    """
    bid, ask = move.action["bid"], move.action["ask"]
    bids = critical_bids(messages, agent, exclusive)
    relative = isinstance(bid, Multiple)
    exact = bid.write(bids / worth[:, agent, :, None].clamp(min=1e-300) if relative else bids)
    exact = torch.cat([exact[:, :agent], exact[:, agent + 1 :]], 1)
    points = torch.cat([exact, just_above(exact)], 2)  # float32 may round a bid below the ask
    alone = torch.eye(points.shape[1], dtype=torch.bool, device=points.device)[:, None]
    # one purchase is enough: bid for one seller, nothing for the others
    buys = torch.where(alone, points[..., None], bid.low).flatten(1, 2)
    buys = torch.cat([buys, torch.full_like(buys[:, :1], bid.low)], 1)
    asks = ask.write(critical_markups(messages, agent, open_))
    ends = asks.new_tensor([ask.low, ask.high]).expand(len(asks), -1)
    asks = torch.cat([asks, -just_above(-asks), ends], 1)
    shape = (len(asks), buys.shape[1], asks.shape[1])
    parts = buys[:, :, None].expand(*shape, -1), asks[:, None, :, None].expand(*shape, 1)
    effort = action[:, -1:][:, None, None].expand(*shape, 1)
    return torch.cat([*parts, effort], 3).flatten(1, 2)


def only(
    move: Move,
    fields: Sequence[str] | None,
    action: Float[Tensor, "markets width"],
    replies: Float[Tensor, "markets candidates width"],
) -> Float[Tensor, "markets candidates width"]:
    """The replies with all fields but the named ones as in the action; None lets all change."""
    replies = replies.clone()
    for name, where in move.action.slices.items():
        if fields is not None and name not in fields:
            replies[..., where] = action[:, None, where]
    return replies
