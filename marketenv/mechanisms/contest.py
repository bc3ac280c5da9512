"""The proportional-share contest: a prize is divided in proportion to efforts that cost money.

Owners of data contest the leader's payment, and computing centres contest the owners' fees.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.capped_contest import equilibria
from marketenv.mechanisms.procurement import check_money, settled
from marketenv.mechanisms.sales import refuse

Prize = Float64[Tensor, "markets"]
PerContestant = Float64[Tensor, "markets contestants"]


def contest(prize: Prize, costs: PerContestant, caps: PerContestant | None = None) -> PerContestant:
    """The only Nash equilibrium of a proportional-share contest.

    U_i = P q_i / sum q - c_i q_i,   0 <= q_i <= cap_i
    without caps: q_i = K P (1 - c_i K) for the active set A, 0 for others, K = (|A| - 1) / sum_A c
    with caps:    q_i = min(cap_i, max(0, Q (1 - c_i Q / P))), where Q = sum q is found exactly

    prize: P, money >= 0                                                     [markets]
    costs: c > 0, money per unit of effort; inf does not take part           [markets, contestants]
    caps:  the most effort, >= 0; 0 does not take part; None: no caps        [markets, contestants]
    Returns efforts q >= 0 [markets, contestants]. Where fewer than two take part there is no
    equilibrium (ever less effort wins the whole prize), and all efforts are 0.

    Raises ValueError for shapes that disagree, another dtype, and numbers out of these ranges.
    Source: followers of arXiv 2501.14588 (utilities as in the authors' public code), derived here;
    the active set as in Stein, Public Choice 113 (2002); caps by the share functions of Cornes and
    Hartley, Economic Theory 26 (2005).

    >>> contest(torch.ones(1).double(), torch.tensor([[1.0, 1.0, 3.0]]).double())  # K = 1/2
    tensor([[0.2500, 0.2500, 0.0000]], dtype=torch.float64)
    """
    check_contest(prize, costs, caps)
    if caps is None:
        return interior_efforts(prize, costs, active_set(costs))
    takes_part = _taking_part(costs, caps)
    able = torch.where(takes_part, costs, torch.inf)
    efforts = interior_efforts(prize, able, active_set(able))
    # elsewhere no cap binds, and the equilibrium is the one without caps
    tight = (efforts > caps).any(-1).nonzero()[:, 0]
    if len(tight):
        efforts = efforts.index_put(
            (tight,), _capped(prize[tight], costs[tight], caps[tight], takes_part[tight])
        )
    return efforts


def _capped(
    prize: Prize, costs: PerContestant, caps: PerContestant, takes_part: Tensor
) -> PerContestant:
    """Efforts of ``contest`` where caps bind."""
    paths = equilibria(costs, caps, active_set(torch.where(takes_part, costs, torch.inf)))
    total = paths.total(prize)[:, None]
    efforts = total * (1 - costs * total / prize.clamp(min=torch.finfo(prize.dtype).tiny)[:, None])
    return torch.where(takes_part & (total > 0), efforts.clamp(min=0.0).minimum(caps), 0.0)


def active_set(costs: PerContestant) -> Bool[Tensor, "markets contestants"]:
    """Who makes an effort where there are no caps; the prize does not matter.

    The k of lowest cost, for the largest k with c_k (k - 2) < c_1 + ... + c_(k-1), in order.

    costs: as in ``contest``. Returns bool [markets, contestants]; nobody where fewer than two take
    part. Contestants of equal cost are all active or none is.

    >>> active_set(torch.tensor([[1.0, 3.0, 1.0], [1.0, torch.inf, torch.inf]]).double())
    tensor([[ True, False,  True],
            [False, False, False]])
    """
    ordered, order = costs.sort(dim=-1, stable=True)
    before = torch.nn.functional.pad(ordered.cumsum(-1)[..., :-1], (1, 0))
    place = torch.arange(costs.shape[-1], device=costs.device)
    fits = (place < 2) | (ordered * (place - 1) < before)
    first = (fits & ordered.isfinite()).cummin(-1).values
    active = torch.zeros_like(first).scatter(-1, order, first)
    return active & (first.sum(-1, keepdim=True) >= 2)


def interior_efforts(
    prize: Prize, costs: PerContestant, active: Bool[Tensor, "markets contestants"]
) -> PerContestant:
    """Efforts that meet the first-order conditions of those who are active, whatever their sign.

    q_i = K P (1 - c_i K),   K = ``intensity(costs, active)``

    The equilibrium where ``active`` is the active set. Where more are active, some q_i is <= 0.

    >>> everybody = torch.ones(1, 3, dtype=torch.bool)  # K = 2/5
    >>> interior_efforts(
    ...     torch.ones(1).double(), torch.tensor([[1.0, 1.0, 3.0]]).double(), everybody
    ... )
    tensor([[ 0.2400,  0.2400, -0.0800]], dtype=torch.float64)
    """
    rate = intensity(costs, active)[:, None]
    return torch.where(active, rate * prize[:, None] * (1 - costs * rate), 0.0)


def intensity(costs: PerContestant, active: Bool[Tensor, "markets contestants"]) -> Prize:
    """Total effort per unit of the prize where no cap binds: K = (|A| - 1) / sum_A c, [markets].

    0 where nobody is active.

    >>> costs = torch.tensor([[1.0, 1.0, 3.0]]).double()
    >>> intensity(costs, active_set(costs))
    tensor([0.5000], dtype=torch.float64)
    """
    total = torch.where(active, costs, 0.0).sum(-1)
    return torch.where(total > 0, (active.sum(-1) - 1) / total, 0.0)


def proportional_shares(
    efforts: Float64[Tensor, "*batch contestants"],
) -> Float64[Tensor, "*batch contestants"]:
    """Shares of the sum, 0 where the sum is 0: numbers >= 0 [..., contestants] -> the same shape.

    Also the weights p_n = x_n / sum x by which models are averaged (arXiv 2501.14588, objective).

    >>> proportional_shares(torch.tensor([[1.0, 3.0], [0.0, 0.0]]).double())
    tensor([[0.2500, 0.7500],
            [0.0000, 0.0000]], dtype=torch.float64)
    """
    total = efforts.sum(-1, keepdim=True)
    return torch.where(total > 0, efforts / total, 0.0)


def proportional_payments(prize: Prize, efforts: PerContestant) -> PerContestant:
    """Divide a prize in proportion to efforts: P q_i / sum q, and 0 where nobody makes an effort.

    prize: money >= 0 [markets];   efforts: >= 0 [markets, contestants]
    Returns money [markets, contestants]; its sum is never above the prize, to the bit. Only a prize
    below 1e-290, whose parts have hardly any digits, may be passed by some of its last ones.

    >>> proportional_payments(torch.tensor([8.0]).double(), torch.tensor([[1.0, 3.0]]).double())
    tensor([[2., 6.]], dtype=torch.float64)
    """
    offers = prize[:, None] * proportional_shares(efforts)
    return settled(efforts > 0, offers, prize).prices[:, 0]


def contest_utilities(prize: Prize, costs: PerContestant, efforts: PerContestant) -> PerContestant:
    """Utility of every contestant: U_i = P q_i / sum q - c_i q_i, money [markets, contestants].

    Where nobody makes an effort nothing is paid, so that U = 0.
    Source: U_n and U_m of arXiv 2501.14588, with c_n = lambda rho / f_n and c_m = eps sigma_m.

    >>> efforts = torch.tensor([[0.25, 0.25, 0.0]]).double()
    >>> contest_utilities(torch.ones(1).double(), torch.tensor([[1.0, 1.0, 3.0]]).double(), efforts)
    tensor([[0.2500, 0.2500, 0.0000]], dtype=torch.float64)
    """
    spent = torch.where(efforts == 0, 0.0, costs * efforts)  # inf * 0 is no cost
    return prize[:, None] * proportional_shares(efforts) - spent


def contest_response(
    prize: Prize,
    costs: PerContestant,
    efforts: PerContestant,
    caps: PerContestant | None = None,
    *,
    least: float | int = 0.0,
) -> PerContestant:
    """The exact best response of every contestant to the efforts of the others.

    q_i = min(cap_i, max(0, sqrt(P R / c_i) - R)),   R = sum of the others' efforts

    prize, costs, caps: as in ``contest``;   efforts: >= 0                    [markets, contestants]
    least: the effort of who finds no effort of others: any effort then wins the whole prize, and
           ever less is ever better, so that no best response exists. With 0, no effort by anybody
           is a trap that nobody leaves.
    Returns efforts [markets, contestants], each against the given efforts of the others.

    Raises ValueError as ``contest``, and for efforts that are negative or not finite.
    Source: the followers' first-order condition, arXiv 2501.14588. We differ: x_n > 0 there.

    >>> one = torch.ones(1).double()
    >>> contest_response(one, torch.ones(1, 2).double(), torch.tensor([[0.25, 0.16]]).double())
    tensor([[0.2400, 0.2500]], dtype=torch.float64)
    """
    check_contest(prize, costs, caps)
    check_efforts(efforts, costs)
    least = number(least, "least", 0.0, fix=": the effort against no effort of others")
    others = _others(efforts)
    wanted = others.sqrt() * ((prize[:, None] / costs).sqrt() - others.sqrt())
    alone = (others == 0) & (prize[:, None] > 0) & costs.isfinite()
    response = torch.where(alone, least, wanted.clamp(min=0.0))
    return response if caps is None else response.minimum(caps)


def _others(efforts: Tensor) -> Tensor:
    """Sum of the others' efforts, without a subtraction, so that small ones keep their digits."""
    before = torch.nn.functional.pad(efforts.cumsum(-1)[..., :-1], (1, 0))
    after = torch.nn.functional.pad(efforts.flip(-1).cumsum(-1)[..., :-1], (1, 0)).flip(-1)
    return before + after


def _taking_part(costs: Tensor, caps: Tensor) -> Tensor:
    """Contestants whose effort can be above 0, if they are two or more."""
    able = costs.isfinite() & (caps > 0)
    return able & (able.sum(-1, keepdim=True) >= 2)


def check_contest(prize: Tensor, costs: Tensor, caps: Tensor | None) -> None:
    """Refuse a contest that has no meaning: the ranges of ``contest``, by ValueError."""
    shapes = [list(x.shape) for x in (prize, costs)] + ([] if caps is None else [list(caps.shape)])
    if costs.dim() != 2 or shapes[0] != shapes[1][:1] or shapes[2:] not in ([], [shapes[1]]):
        said = "" if caps is None else f" and caps {shapes[2]}"
        raise ValueError(
            f"prize {shapes[0]}, costs {shapes[1]}{said} do not fit; wanted prize [markets], and"
            " costs and caps [markets, contestants] of the same markets."
        )
    check_money(prize=prize, costs=costs, **({} if caps is None else {"caps": caps}))
    refuse("prize", prize, ~(prize.isfinite() & (prize >= 0)), "a finite amount >= 0")
    refuse("cost", costs, ~(costs > 0), "money per unit of effort > 0; inf does not take part")
    if caps is not None:
        refuse("cap", caps, ~(caps >= 0), "the most effort, >= 0; 0 does not take part")


def check_efforts(efforts: Tensor, costs: Tensor) -> None:
    """Refuse efforts of another shape or type than the costs, negative ones, and infinite ones."""
    if efforts.shape != costs.shape:
        raise ValueError(
            f"efforts {list(efforts.shape)} and costs {list(costs.shape)} do not fit; wanted both"
            " [markets, contestants]."
        )
    check_money(efforts=efforts)
    refuse("effort", efforts, ~(efforts.isfinite() & (efforts >= 0)), "a finite number >= 0")
