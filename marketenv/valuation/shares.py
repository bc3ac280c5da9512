"""What each seller adds to the score of coalitions: leave-one-out and Shapley values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Keys
from marketenv.core.checks import whole
from marketenv.core.parts import NUMBERS
from marketenv.valuation.estimator import Estimator
from marketenv.valuation.mixtures import checked_mixtures, finite

# coalitions bool [.., coalitions, sellers] -> what each is worth [.., coalitions]; it is asked of
# the empty one too
SetFunction = Callable[[Tensor], Tensor]

EXACT = 12  # sellers whose coalitions, 4,096, are all asked for
AT_ONCE = 2**24  # entries of the coalitions that one call gets


@dataclass(frozen=True)
class Shapley:
    """Shapley values and their standard errors, 0 where exact   [.., sellers] each."""

    values: Float64[Tensor, "*batch sellers"]
    errors: Float64[Tensor, "*batch sellers"]


def leave_one_out(
    value: SetFunction, n_sellers: int, device: torch.device | str = "cpu"
) -> Float64[Tensor, "..."]:
    """What all sellers together are worth more than all but one.

    loo_i = v(all) - v(all but i)

    value: coalitions bool [sellers + 1, sellers] -> [.., sellers + 1], for all markets in one call
    Returns float64 [.., sellers], in the unit of the value. Copies of one another are worth 0 each.

    Raises ValueError for a value of another shape, or that is not finite.

    >>> pair = lambda coalitions: (
    ...     coalitions[..., :2].all(-1).double()
    ... )  # sellers 0 and 1 are worth 1 together, seller 2 nothing
    >>> leave_one_out(pair, 3)
    tensor([1., 1., 0.], dtype=torch.float64)
    """
    n_sellers = whole(n_sellers, "n_sellers", 1)
    every = torch.ones(1, n_sellers, dtype=torch.bool, device=device)
    worth = _worth(
        value, torch.cat([every, ~torch.eye(n_sellers, dtype=torch.bool, device=device)])
    )
    return worth[..., :1] - worth[..., 1:]


def shapley(
    value: SetFunction,
    n_sellers: int,
    permutations: int | None = None,
    keys: Keys | None = None,
    device: torch.device | str = "cpu",
) -> Shapley:
    """Mean over orders of what a seller adds to the sellers before it.

    phi_i = sum over C without i of |C|! (S - |C| - 1)! / S! (v(C + i) - v(C));
    sum_i phi_i = v(all) - v(nobody)

    value: coalitions bool [.., coalitions, sellers] -> [.., coalitions]; exact values ask once, of
        [2^S, S] coalitions
    permutations: None for exact values, up to 12 sellers; else how many orders are drawn, 2 or more
    keys: int64 [..], one for each market whose orders are drawn; with permutations only
    device: of the coalitions where there are no keys

    Drawn values have a standard error, the spread over orders / sqrt(permutations); their sum is
    exact all the same. Raises ValueError for more than 12 sellers without permutations, for
    permutations without keys or keys without permutations, and for a value of another shape or that
    is not finite.
    Source: Shapley (1953); sampling: Castro, Gomez and Tejada, Computers & Operations Research 36
    (2009).

    >>> glove = lambda some: (
    ...     some[..., 0] & some[..., 1:].any(-1)
    ... )  # seller 0 has the only left glove, two have a right one
    >>> shapley(lambda some: glove(some).double(), 3).values
    tensor([0.6667, 0.1667, 0.1667], dtype=torch.float64)
    """
    n_sellers = whole(n_sellers, "n_sellers", 1)
    if (permutations is None) != (keys is None):
        raise ValueError(
            "shapley got one of permutations and keys; give both to draw orders, or neither for"
            " exact values."
        )
    if keys is not None:
        return _drawn(value, n_sellers, whole(permutations, "permutations", 2), keys)
    if n_sellers > EXACT:
        raise ValueError(
            f"n_sellers is {n_sellers}, wanted at most {EXACT} for exact values, which ask for 2^n"
            " coalitions. Give permutations=100 and keys, such as the markets' seeds."
        )
    values = _exact(value, n_sellers, device)
    return Shapley(values, torch.zeros_like(values))


def predicted_value(
    estimator: Estimator,
    p: Float[Tensor, "*#batch sellers"],
    wad: Callable[[Tensor], Tensor],
    empty: float = 0.0,
) -> SetFunction:
    """The value of coalitions by an estimator: the predicted score of their data alone.

    v(C) = L_hat(p_C, W(p_C)),   p_C = p on C and 0 elsewhere, divided by its sum;
    v = empty where that sum is 0

    p:   the mixture of all sellers   [.., sellers]
    wad: mixtures [.., coalitions, sellers] -> distances [.., coalitions]
    empty: score without any data, such as the accuracy of guessing

    >>> from marketenv.valuation import fit_estimator
    >>> fit = fit_estimator(
    ...     torch.eye(2), torch.tensor([0.0, 1.0]), torch.tensor([0.9, 0.5]), "ot_only"
    ... )  # .9 - .4 W
    >>> leave_one_out(
    ...     predicted_value(fit, torch.tensor([0.5, 0.5]), lambda p: p[..., 1]), 2
    ... )  # .7 - .5 and .7 - .9
    tensor([ 0.2000, -0.2000], dtype=torch.float64)
    """
    whole_mixture = checked_mixtures(p)[..., None, :]

    def value(coalitions: Tensor) -> Tensor:
        part = whole_mixture * coalitions
        total = part.sum(-1, keepdim=True)
        mixtures = torch.where(total > 0, part / total, whole_mixture)
        return torch.where(total.squeeze(-1) > 0, estimator.predict(mixtures, wad(mixtures)), empty)

    return value


def averaged(
    models: Float[Tensor, "*batch owners params"],
    weights: Float[Tensor, "*batch owners"],
    start: Float[Tensor, "*batch params"],
) -> Callable[[Tensor], Tensor]:
    """Models of coalitions: the weighted mean of the members' models, as in federated averaging.

    theta_C = sum over n in C of w_n theta_n / sum over n in C of w_n;
    theta_C = start where that sum is 0

    models: parameters after training on each owner's data alone   [.., owners, params]
    weights: w >= 0, such as delivered rows   [.., owners];   start: the model before
        the round   [.., params]
    Returns a function from coalitions bool [.., coalitions, owners] to parameters [.., coalitions,
    params] in the type of the models. With a score of models after it, it is a value for
    ``shapley``; ask for as many coalitions as memory holds.

    Raises ValueError for shapes that disagree, and for numbers that are not finite or weights below
    0. Source: aggregation of arXiv 2501.14588, w_n = x_n; McMahan et al., AISTATS 2017.

    >>> models = averaged(
    ...     torch.tensor([[2.0], [8.0]]), torch.tensor([1.0, 2.0]), torch.tensor([1.0])
    ... )  # (2 + 2 * 8) / 3
    >>> models(torch.tensor([[False, False], [True, False], [True, True]])).flatten()
    tensor([1., 2., 6.])
    >>> shapley(lambda some: -(models(some)[..., 0] - 6).abs(), 2).values  # losses 5, 4, 2 and 0
    tensor([1.5000, 3.5000], dtype=torch.float64)
    """
    if (
        models.ndim < 2
        or weights.shape != models.shape[:-1]
        or start.shape != models.shape[:-2] + models.shape[-1:]
    ):
        raise ValueError(
            f"models {list(models.shape)}, weights {list(weights.shape)} and start"
            f" {list(start.shape)} do not fit; wanted [.., owners, params], [.., owners] and [..,"
            " params]."
        )
    for numbers, name in ((models, "models"), (start, "start")):
        finite(
            numbers, name, " Give an owner whose training diverged the model that it started from."
        )
    weights = finite(weights, "weights")
    if bool((weights < 0).any()):
        raise ValueError(f"weights hold {float(weights[weights < 0][0]):g}; wanted numbers >= 0.")

    def model(coalitions: Tensor) -> Tensor:
        part = torch.where(coalitions, weights[..., None, :], 0.0)
        total = part.sum(-1, keepdim=True)
        shares = part / torch.where(total > 0, total, 1.0)
        return torch.where(total > 0, shares.to(models.dtype) @ models, start[..., None, :])

    return model


def _exact(value: SetFunction, n_sellers: int, device: torch.device | str) -> Tensor:
    """All coalitions in one call.

    v(C) counts for each of its members by 1 / (S C(S-1, |C|-1)), against all others by 1 / (S
    C(S-1, |C|)).
    """
    coalitions = (
        torch.arange(2**n_sellers, device=device)[:, None] >> torch.arange(n_sellers, device=device)
    ) & 1 == 1
    orders = [1 / (n_sellers * comb(n_sellers - 1, size)) for size in range(n_sellers)]
    weights = torch.tensor([0.0, *orders, 0.0], dtype=torch.float64, device=device)
    size = coalitions.sum(-1, keepdim=True)
    return _worth(value, coalitions) @ torch.where(coalitions, weights[size], -weights[size + 1])


def _drawn(value: SetFunction, n_sellers: int, permutations: int, keys: Tensor) -> Shapley:
    """Walk along drawn orders, so many at once that their coalitions fit."""
    at_once = max(1, AT_ONCE // (max(1, keys.numel()) * (n_sellers + 1) * n_sellers))
    numbers = torch.arange(permutations, device=keys.device).split(at_once)
    added = torch.cat(
        [
            _walked(value, n_sellers, draws.fold(keys[..., None], "shapley", some))
            for some in numbers
        ],
        -2,
    )
    return Shapley(added.mean(-2), added.std(-2) / permutations**0.5)


def _walked(value: SetFunction, n_sellers: int, keys: Tensor) -> Tensor:
    """What each seller adds in the order of each key: [.., orders] -> [.., orders, sellers]."""
    place = draws.permutation(keys, n_sellers)
    # [.., orders, sellers + 1, sellers]
    come = place[..., None, :] < torch.arange(n_sellers + 1, device=keys.device)[:, None]
    worth = _worth(value, come.flatten(-3, -2)).unflatten(-1, come.shape[-3:-1])
    steps = worth.diff(dim=-1)
    return steps.gather(-1, place.expand(steps.shape))


def _worth(value: SetFunction, coalitions: Tensor) -> Tensor:
    """Values of coalitions as float64 [.., coalitions]; ValueError for missing or infinite ones."""
    worth = value(coalitions.clone())
    wanted = (
        f"numbers [.., {coalitions.shape[-2]}], one for each coalition of {list(coalitions.shape)}"
    )
    if not isinstance(worth, Tensor) or worth.dtype not in NUMBERS:
        got = (
            str(worth.dtype).removeprefix("torch.")
            if isinstance(worth, Tensor)
            else f"a {type(worth).__name__}"
        )
        raise ValueError(f"value returned {got}, wanted {wanted}.")
    if worth.ndim == 0 or worth.shape[-1] != coalitions.shape[-2]:
        raise ValueError(f"value returned {list(worth.shape)}, wanted {wanted}.")
    if not bool(worth.isfinite().all()):
        raise ValueError(
            f"value returned {float(worth[~worth.isfinite()][0]):g}, wanted finite {wanted}, the"
            " empty one too."
        )
    return worth.detach().double()
