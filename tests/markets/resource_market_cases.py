"""Small resource markets for the tests: how they are made, played by edited truthful actions,
and what a round came to.
"""

import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training

NAME = "resource_market_v0"
TRAINING = Training(optimizer="sgd", learning_rate=0.5, batch_size=16, steps=2)
COUNTS = {"n_owners": 3, "n_centres": 3, "max_cycles": 2}
SMALL = COUNTS | {
    "learner_options": {"hidden": (4,)},
    "training": TRAINING,
    "communications": 1,
    "dimensions": 4,
}
ALONE = COUNTS | {"learner": None}
FLOAT32 = {"rel": 2e-6, "abs": 1e-7}  # policies see and say numbers of float32
# of the design page
SIX = {"quality": (1.0, 0.97, 0.95, 0.92, 0.90, 0.60), "sigma": (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)}


def market_of(**config):
    """A market whose round takes a fraction of a second; what is tested is given."""
    return make_market(NAME, **SMALL | config)


def game_of(**config):
    """The game alone, without data and training."""
    return make_market(NAME, **ALONE | config)


def equals(count, **config):
    """The page's symmetric game: so many owners and centres of quality 1 and equal costs."""
    return make_market(
        NAME, learner=None, n_owners=count, n_centres=count, quality=(1.0, 1.0), **config
    )


def acted(market, now, edits=()):
    """Truthful actions with some meanings changed; edits: by number of the mover: {field:
    meaning}; "all": of everybody.
    """
    actions = rounds.act(
        market, dict.fromkeys(agent_names(market), market.policies["truthful"]), now
    )
    observed = rounds.observe(market, now)
    for role, move in rounds.stage_of(market, now).moves.items():
        for k in range(move.count):
            said = dict(edits).get("all", {}) | dict(edits).get(k, {})
            if said:
                meant = move.read(observed[role][:, k], actions[role][:, k])
                actions[role][:, k] = move.write(observed[role][:, k], **meant | said)
    return actions


def played(market, now, **edits):
    """A round: edits of the movers by stage; where it ended, and its report."""
    report = None
    while report is None:
        stage = rounds.stage_of(market, now).name
        now, report = rounds.play_stage(market, now, acted(market, now, edits.get(stage, ())))
    return now, report


def one_round(market, seeds=(0,), **edits):
    """The report of a first round."""
    return played(market, rounds.begin(market, torch.tensor(seeds)), **edits)[1]


def begun_again(market, seeds=(0,), **edits):
    """Where a market stands when its second round begins."""
    now, _ = played(market, rounds.begin(market, torch.tensor(seeds)), **edits)
    return rounds.begun(market, now)


def reports(market, seeds=(0,), **edits):
    """The reports of an episode in which every round is edited alike."""
    now, told = rounds.begin(market, torch.tensor(seeds)), []
    for turn in range(market.horizon):
        now = rounds.begun(market, now) if turn else now
        now, report = played(market, now, **edits)
        told.append(report)
    return told


def of_role(report, role, values=None):
    """Utilities, or other numbers of all agents, of a role: [markets, count]."""
    return (report.rewards if values is None else values)[:, report.rows[role]]


def owners(market, *told):
    """Edits by which owner_0 does as said in each market of a batch; what is not said is honest
    and as before.
    """
    number = market.config.conduct.index
    return {0: {"conduct": torch.tensor([[float(number(name))] for name in told]).double()}}


def drawn(now, market, seed, spread):
    """Actions of the movers, drawn from their boxes; with a spread above 1 most lie at an end."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for role, move in rounds.stage_of(market, now).moves.items():
        numbers = spread * (
            2 * torch.rand(len(now.floor.seeds), move.count, move.action.dim, generator=draw) - 1
        )
        made[role] = numbers.clamp(-1.0, 1.0)
    return made
