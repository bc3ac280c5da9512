"""Random model-sharing markets, and the small one of the counterexamples."""

import torch

from marketenv.core import draws
from marketenv.mechanisms import ClientTypes, SharingTerms, distance_discounts


def money(values):
    return torch.tensor(values, dtype=torch.float64)


def random_market(seed, markets, clients, spread=0.6):
    """N lognormal(log 5000, spread), c ~ U(.2, 2), K ~ U(2.5e5, 5e5), d symmetric in (0, 1):
    types and distances.
    """
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, clients) for k in range(2)]
    sizes = 5000 * torch.exp(spread * draws.normal(draws.fold(key, 2), markets, clients))
    upper = draws.uniform(draws.fold(key, 3), markets, clients, clients).triu(1)
    return ClientTypes(sizes, 0.2 + 1.8 * u[0], 2.5e5 * (1 + u[1])), upper + upper.mT


def terms_of(reported, distance, strength=1.0, **options):
    return SharingTerms(reported, distance_discounts(reported.sizes, distance, strength), **options)


def random_terms(seed, markets, clients, spread=0.6, **options):
    return terms_of(*random_market(seed, markets, clients, spread), **options)


def alone(terms, m):
    """Market m of a batch as a batch of one."""
    one = slice(m, m + 1)
    types = (terms.reported.sizes, terms.reported.costs, terms.reported.needs)
    present = None if terms.present is None else terms.present[one]
    return SharingTerms(
        ClientTypes(*(x[one] for x in types)), terms.discounts[one], terms.gain, present
    )


def three(sizes=(1, 1, 1), costs=(0, 1.5, 2), needs=(100, 0, 0)):
    """One buyer and two sellers: types of one market."""
    return ClientTypes(*(money([[float(x) for x in row]]) for row in (sizes, costs, needs)))
