"""One-to-one matching by deferred acceptance: data owners propose to computing centres."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.mechanisms.sales import refuse

Scores = Float[Tensor, "markets rows columns"]
Proposers = (
    Float[Tensor, "markets proposers receivers"] | Int[Tensor, "markets proposers receivers"]
)
Receivers = (
    Float[Tensor, "markets receivers proposers"] | Int[Tensor, "markets receivers proposers"]
)
Matching = Int[Tensor, "markets proposers"]
PerOwner = Float64[Tensor, "markets owners"]
PerCentre = Float64[Tensor, "markets centres"]
Ranks = tuple[Float64[Tensor, "markets owners centres"], Float64[Tensor, "markets centres owners"]]


def deferred_acceptance(proposers: Proposers, receivers: Receivers) -> Matching:
    """The stable matching that is best for every proposer.

    Each free proposer asks the next receiver on its list; each receiver keeps the best that asked.

    proposers: rank of every receiver to every proposer     [markets, proposers, receivers]
    receivers: rank of every proposer to every receiver     [markets, receivers, proposers]
        Lower is better and inf is unacceptable; equal ranks go to the lower number. Where
        preferences are scores, pass ``preference_ranks(scores)``.
    Returns the receiver of each proposer, -1 where it has none: int64 [markets, proposers].

    Truthful for proposers, not for receivers. Takes at most proposers * receivers steps, each for
    all markets at once; no step where all proposers agree and all receivers agree.
    Raises ValueError for shapes that disagree and for NaN.
    Source: Gale and Shapley, American Mathematical Monthly 69 (1962); truthfulness: Dubins and
    Freedman 1981, Roth 1982. Owners propose in arXiv 2501.14588.

    >>> ranks = torch.tensor([[[0, 1], [0, 1]]])  # both want receiver 0, and both receivers want 0
    >>> deferred_acceptance(ranks, ranks)
    tensor([[0, 1]])
    """
    check_ranks(proposers, receivers)
    if _alike(proposers) and _alike(receivers):
        return _one_after_another(proposers[:, 0], receivers[:, 0])
    lists, acceptable = proposers.argsort(dim=-1, stable=True), ~torch.isposinf(proposers)
    acceptable = acceptable & ~torch.isposinf(receivers).mT
    places = _places(receivers)
    markets, count, others = proposers.shape
    matching = torch.full((markets, count), -1, device=proposers.device)
    step = torch.zeros_like(matching)  # of each proposer along its list
    free = (step < others).expand_as(matching)
    while bool(free.any()):
        target = lists.gather(-1, step.clamp(max=others - 1)[..., None])[..., 0]
        asks = free & acceptable.gather(-1, target[..., None])[..., 0]
        matching = _accepted(torch.where(asks, target, matching), places, count)
        step = step + free
        free = (matching < 0) & (step < others)
    return matching


def _alike(
    ranks: Float[Tensor, "markets rows columns"] | Int[Tensor, "markets rows columns"],
) -> bool:
    """Whether in every market all rows give the same ranks, none of which refuses anybody."""
    if not ranks.numel():
        return False
    return bool((ranks == ranks[:, :1]).all()) and not bool(torch.isinf(ranks[:, 0]).any())


def _one_after_another(
    of_receivers: Float[Tensor, "markets receivers"] | Int[Tensor, "markets receivers"],
    of_proposers: Float[Tensor, "markets proposers"] | Int[Tensor, "markets proposers"],
) -> Matching:
    """The matching where all agree: the first proposer gets the first receiver, and so on.

    of_receivers, of_proposers: the ranks that all give them
    """
    count = min(of_receivers.shape[1], of_proposers.shape[1])
    receivers, proposers = (r.argsort(dim=-1, stable=True) for r in (of_receivers, of_proposers))
    nobody = torch.full_like(proposers, -1)
    return nobody.scatter(-1, proposers[:, :count], receivers[:, :count])


def _accepted(wishes: Tensor, places: Tensor, worst: int) -> Tensor:
    """Of the proposers at each receiver, the one that it likes best; -1 for the others."""
    target = wishes.clamp(min=0)
    place = places.mT.gather(-1, target[..., None])[..., 0].masked_fill(wishes < 0, worst)
    best = torch.full_like(places[..., 0], worst).scatter_reduce(-1, target, place, "amin")
    return torch.where((wishes >= 0) & (place == best.gather(-1, target)), wishes, -1)


def blocking_pairs(
    matching: Matching, proposers: Proposers, receivers: Receivers
) -> Bool[Tensor, "markets proposers receivers"]:
    """Pairs in which both sides prefer each other to what a matching gives them.

    matching: as ``deferred_acceptance`` returns;   proposers, receivers: the ranks given to it
    Returns bool [markets, proposers, receivers]; a matching is stable where none is True.

    >>> ranks = torch.tensor([[[0, 1], [0, 1]]])
    >>> blocking_pairs(torch.tensor([[1, 0]]), ranks, ranks)[0]
    tensor([[ True, False],
            [False, False]])
    """
    by_proposers, by_receivers = proposers.double(), receivers.double().mT
    pair = matching[..., None] == torch.arange(proposers.shape[-1], device=matching.device)
    if not pair.numel():
        return torch.zeros_like(pair)
    of_proposers = torch.where(pair, by_proposers, torch.inf).amin(-1, keepdim=True)
    of_receivers = torch.where(pair, by_receivers, torch.inf).amin(-2, keepdim=True)
    return (by_proposers < of_proposers) & (by_receivers < of_receivers)


def preference_ranks(scores: Scores) -> Float64[Tensor, "markets rows columns"]:
    """Ranks of scores: 0 the best, equal scores by number, inf (unacceptable) for -inf.

    scores: what each row thinks of each column, the higher the better   [markets, rows, columns]
    Returns float64 of the same shape. Raises ValueError for NaN.

    >>> preference_ranks(torch.tensor([[[2.0, 5.0, 2.0, -torch.inf]]]))
    tensor([[[1., 0., 2., inf]]], dtype=torch.float64)
    """
    refuse("score", scores, scores.isnan(), "a number, the higher the better; -inf is unacceptable")
    return _places(-scores).double().masked_fill(scores == -torch.inf, torch.inf)


def _places(values: Tensor) -> Int[Tensor, "markets rows columns"]:
    """The place of every number in its row, from 0 for the least; equal ones by number."""
    order = values.argsort(dim=-1, stable=True)
    numbers = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, numbers)


def volume_preferences(x: PerOwner, d: PerCentre, sigma: PerCentre) -> Ranks:
    """Owners want the centre that offers most work, centres the owner that contributes most data.

    x: contributions [markets, owners];   d: work offered, sigma: cost of work   [markets, centres]
    Returns the ranks of ``deferred_acceptance``, [markets, owners, centres] and [markets, centres,
    owners]. Source: ours.

    >>> one = torch.ones(1, 1).double()
    >>> volume_preferences(torch.tensor([[1.0, 2.0]]).double(), one, one)[1]
    tensor([[[1., 0.]]], dtype=torch.float64)
    """
    return _ranks(x, d, x[:, None])


def official_preferences(x: PerOwner, d: PerCentre, sigma: PerCentre) -> Ranks:
    """The preferences of the authors' public code, with lambda = rho = eps = 1.

    owners: by sigma_m, which the code calls power here, and takes as a cost in U_m
    centres: by (1 - sigma_m) x_n, which is U_m at d_m = x_n

    So a centre of sigma 1 likes all owners alike, and one of a higher sigma likes small ones.
    Arguments and result as in ``volume_preferences``.
    Source: ``make_proposals`` and ``make_preferences`` of leaveWhite9088/QD-RDFL.

    >>> two = 2 * torch.ones(1, 1).double()
    >>> official_preferences(torch.tensor([[1.0, 2.0]]).double(), two, two)[1]
    tensor([[[0., 1.]]], dtype=torch.float64)
    """
    return _ranks(x, sigma, (1 - sigma)[..., None] * x[:, None])


def _ranks(x: Tensor, wanted: Tensor, liked: Tensor) -> Ranks:
    """Ranks where all owners score centres by ``wanted``, and centres score owners by ``liked``.

    liked: a row for every centre, or one for all   [markets, centres or 1, owners]
    """
    by_owners, by_centres = preference_ranks(wanted[:, None]), preference_ranks(liked)
    # every owner and centre has numbers of its own, which preferences of one's own may change
    return by_owners.repeat(1, x.shape[1], 1), by_centres.expand(-1, wanted.shape[1], -1).clone()


def check_ranks(proposers: Tensor, receivers: Tensor) -> None:
    """Refuse ranks whose shapes disagree, and NaN, by ValueError."""
    if proposers.dim() != 3 or receivers.shape != proposers.mT.shape:
        raise ValueError(
            f"proposers {list(proposers.shape)} and receivers {list(receivers.shape)} do not fit;"
            " wanted [markets, proposers, receivers] and [markets, receivers, proposers]."
        )
    for name, ranks in (("proposers' rank", proposers), ("receivers' rank", receivers)):
        refuse(name, ranks, ranks.isnan(), "a number, the lower the better; inf is unacceptable")


PREFERENCES: dict[str, Callable[[Tensor, Tensor, Tensor], Ranks]] = {
    "volume": volume_preferences,
    "official": official_preferences,
}
