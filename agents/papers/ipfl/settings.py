"""Types, payments, and data of the claims and of the studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market

from ..core.words import AS_STATED

# K = 5e5 at N = 5000, c = 1
PAPER_TYPES: dict[str, Any] = {"costs": (1.0, 1.0), "needs": (100.0, 100.0)}
SIX = 6  # clients of exact searches: all replies of an episode, and all sets of sellers, are tried

# --- one round, distances drawn, nobody trains ----------------------------------------------------

CRITICAL = "sellers are paid their critical value"
CLARKE = "the exact graph with Clarke payments, six clients"
Rules = dict[str, Any]  # the graph and the payment, as ``share_models`` takes them
PAYMENTS: dict[str, Rules] = {
    "marginal": {"graph": "break", "payment": "marginal"},  # Algorithm 2 and the paper's payment
    "critical": {"graph": "break", "payment": "critical"},
    "vcg": {"graph": "exact", "payment": "vcg"},
}
CLIENTS = {"marginal": 10, "critical": 10, "vcg": SIX}
NAMES = {AS_STATED: "marginal", CRITICAL: "critical", CLARKE: "vcg"}  # by condition of the claims
RULES = {condition: PAYMENTS[name] for condition, name in NAMES.items()}


def drawn_market(clients: int, n_rounds: int = 1, **more: Any) -> Market:
    """A market whose distances are drawn and in which nobody trains.

    N ~ lognormal(5000, 0.6), c ~ U(0.2, 2), K ~ U(50, 100) mean N, d ~ U(0, 1), lambda 1
    """
    return make_market(
        "model_sharing_v0", learner=None, n_agents=clients, max_cycles=n_rounds, **more
    )


# --- digits of the claims -------------------------------------------------------------------------

FIVE: dict[str, Any] = {"partition": "label_skew", "data_options": {"classes_per_agent": 5}}
FREE: dict[str, Any] = {"types": {"costs": (0.0, *(1.0,) * 9)}}
MANY = "ten clients on embedded digits"
FIVE_2, FIVE_1 = (f"{MANY}, five classes each, lambda {k}" for k in (2, 1))
APART_2, APART_1 = (f"{MANY}, Dirichlet .1, lambda {k}" for k in (2, 1))
ON_DIGITS = (APART_2, APART_1, FIVE_2, FIVE_1)  # two partitions and two lambdas of the paper's
GIVEN_AWAY = f"{APART_1}, client_0 sells at no cost"
DRAWN = "one round, distances drawn"
DIGITS: dict[str, dict[str, Any]] = {  # by condition; the market deals by Dirichlet .1 itself
    FIVE_2: PAPER_TYPES | FIVE | {"strength": 2.0},
    FIVE_1: PAPER_TYPES | FIVE | {"strength": 1.0},
    APART_2: PAPER_TYPES | {"strength": 2.0},
    APART_1: PAPER_TYPES | {"strength": 1.0},
    GIVEN_AWAY: PAPER_TYPES | FREE | {"strength": 1.0},
    DRAWN: PAPER_TYPES | {"learner": None, "max_cycles": 1},
}


def digits(condition: str, n_rounds: int, **more: Any) -> Market:
    """The market of a condition."""
    return make_market("model_sharing_v0", **({"max_cycles": n_rounds} | DIGITS[condition] | more))


# --- tasks of the studies -------------------------------------------------------------------------

PARTITIONS: dict[str, dict[str, Any]] = {  # the options of each partition
    "dirichlet": {"alpha": 0.1, "min_size": 8},
    "label_skew": FIVE["data_options"],
    "by_group": {},
}
SHORT = {"dirichlet": "Dirichlet .1", "label_skew": "5 classes each", "by_group": "by speaker"}


@dataclass(frozen=True)
class Task:
    """A data set, its partitions, and what trains on it.

    data:       a name of ``DATASETS``, or an .npz file in the folder of data sets
    strength, eta: the paper's, where it names them;   scaled: what is not as in the paper
    partitions: names of ``PARTITIONS``
    """

    data: str
    learner: str
    strength: float
    eta: float
    title: str
    scaled: str
    partitions: tuple[str, ...] = ("dirichlet", "label_skew")


NOT_PAPER = "a task of ours"
CONVOLUTIONS = "two small convolutions for the paper's CNN"
TASKS = {
    "digits": Task("digits", "mlp", 1.0, 5.0, "digits of 8 x 8 pixels", NOT_PAPER),
    "mnist": Task(
        "small/mnist_6k_1k.npz",
        "mlp",
        1.0,
        5.0,
        "MNIST",
        f"{NOT_PAPER}, 6,000 training and 1,000 test rows",
    ),
    "fashion_mnist": Task(
        "small/fashion_mnist_6k_1k.npz",
        "cnn",
        0.001,
        5.0,
        "Fashion-MNIST",
        f"6,000 training and 1,000 test rows for 60,000 and 10,000; {CONVOLUTIONS}",
    ),
    "cifar10": Task(
        "small/cifar10_8k_2k.npz",
        "cnn",
        2.0,
        5.0,
        "CIFAR-10",
        f"8,000 training and 2,000 test rows for 50,000 and 10,000; {CONVOLUTIONS}",
    ),
    "finance": Task(
        "german_credit",
        "mlp",
        5.0,
        1.0,
        "finance: German credit",
        "credit decisions by a small network for the paper's instruction tuning of a language"
        " model",
        partitions=("dirichlet",),
    ),
    "shakespeare": Task(
        "shakespeare",
        "recurrent",
        2.0,
        5000.0,
        "Shakespeare, a client per speaker",
        "a small recurrent network for the paper's LSTM",
        partitions=("by_group",),
    ),
}
