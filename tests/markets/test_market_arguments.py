"""Arguments of every market are checked alike at every door: a ValueError says what came, what
was wanted and what to do.
"""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import marketenv
from marketenv.envs import make_aec, make_market, make_parallel, make_sb3, make_single, make_vec
from marketenv.envs.make import MARKETS
from marketenv.learners import LEARNERS, MLP, Training
from marketenv.markets.model_sharing import ShareModels
from marketenv.markets.parameter_trading import Traded
from marketenv.mechanisms import GAINS, Sales

pytestmark = pytest.mark.usefixtures("as_for_a_user")

TRADING, SHARING, REFERENCE = "parameter_trading_v0", "model_sharing_v0", "reference_v0"
DATA, RESOURCE, PLACE = "data_market_v0", "resource_market_v0", "marketplace_v0"
TRAINED = (TRADING, SHARING, DATA, RESOURCE)
X, Y = torch.arange(240.0).view(60, 4) / 240, torch.arange(60) % 3
SMALL = {
    "n_agents": 2,
    "data": (X, Y),
    "partition": "balanced",
    "max_cycles": 2,
    "training": Training(steps=1),
}
SOLD = {  # the same of a data market, whose pilots are a few rows
    **{name: value for name, value in SMALL.items() if name != "n_agents"},
    **{
        "n_sellers": 2,
        "pilots": (2, 4),
        "points": 6,
        "communications": 1,
        "anchors": 2,
        "mixtures": 2,
    },
}
SHARED_OUT = {  # the same of a resource market
    **{name: value for name, value in SMALL.items() if name != "n_agents"},
    **{"n_owners": 2, "n_centres": 2, "communications": 1},
}
WHOLE = {  # the same of a marketplace
    **{name: value for name, value in SMALL.items() if name != "n_agents"},
    **{"n_owners": 2, "resource_market": {"communications": 1}},
}
BASES = {  # arguments beside which every other one is tried
    TRADING: [SMALL],
    SHARING: [SMALL, {"n_agents": 3, "learner": None, "max_cycles": 2}],
    DATA: [SOLD],
    RESOURCE: [SHARED_OUT, {"n_owners": 2, "n_centres": 2, "learner": None, "max_cycles": 2}],
    PLACE: [WHOLE, {"n_owners": 2, "learner": None, "trade": None, "max_cycles": 2}],
    REFERENCE: [{}, {"game": "first_price"}],
}
DOORS = {
    "make_market": make_market,
    "make_parallel": make_parallel,
    "make_aec": make_aec,
    "make_single": make_single,
    "make_vec": lambda name, **config: make_vec(name, 2, **config),
    "make_sb3": lambda name, **config: make_sb3(name, 2, **config),
    **{
        door: lambda name, door=door, **config: getattr(getattr(marketenv, name), door)(**config)
        for door in ("env", "raw_env")
    },
    "parallel_env": lambda name, **config: getattr(marketenv, name).parallel_env(**config),
}

# what came -> the markets that refuse it, the arguments, and what the error says
ROWS = {
    "training as a dict": (
        TRAINED,
        {"training": {"steps": 3}},
        r"training is {'steps': 3}, wanted .*Training\(steps=3\)",
    ),
    "a module as the learner": (
        TRAINED,
        {"learner": nn.Linear(4, 3), "training": None},
        r"learner is Linear\(.*pass learner='module', learner_options={'module': <this module>}",
    ),
    "no learner to trade": (
        (TRADING,),
        {"learner": None, "training": None},
        "learner is None, wanted a name .* or a Learner",
    ),
    "a learner's class": (
        TRAINED,
        {"learner": MLP, "training": None},
        "learner is .*this is the class MLP, make an object of it",
    ),
    "a class of modules": (
        TRAINED,
        {"learner": "module", "learner_options": {"module": nn.Linear}},
        (
            "module is .*Linear'>, wanted a torch.nn.Module object: this is the class Linear, make"
            " an object of it"
        ),
    ),
    "no module": (
        TRAINED,
        {"learner": "module"},
        "learner is 'module' .*learner_options={'module': <your module>}",
    ),
    "a module of another width": (
        TRAINED,
        {"learner": "module", "learner_options": {"module": nn.Linear(5, 3)}},
        (
            r"cannot take examples of feature_shape \(4,\) .* wanted a module that maps \[batch,"
            r" 4\] to \[batch, 3\]"
        ),
    ),
    "a width alone": (
        TRAINED,
        {"learner_options": {"hidden": 32}},
        r"hidden is 32, wanted a tuple of widths such as \(32,\)",
    ),
    "a misspelt option": (
        TRAINED,
        {"learner_options": {"hiden": (32,)}},
        "'hiden'. Did you mean 'hidden'",
    ),
    "an option that the market gives": (
        TRAINED,
        {"learner_options": {"task": 1}},
        "learner_options 'task'. Known: hidden",
    ),
    "options of a ready-made learner": (
        TRAINED,
        {
            "learner": LEARNERS["mlp"]((4,), 3, "classification"),
            "learner_options": {"hidden": (2,)},
        },
        "learner is a ready-made MLP, which is told neither learner_options nor training",
    ),
    "money as a number": (
        (TRADING,),
        {"money_per_loss": 5.0},
        r"money_per_loss is 5.0, wanted an interval \(low, high\)",
    ),
    "a coalition of one number": (
        (TRADING,),
        {"coalition": 1},
        "coalition is 1, wanted a tuple of numbers of agents",
    ),
    "noise for too many": (
        (TRADING,),
        {"sabotage": [0, 0, 0]},
        r"sabotage is \[0, 0, 0\], wanted a tuple of 2 numbers >= 0",
    ),
    "no gain": (
        (SHARING,),
        {"gain": None},
        "gain is None, wanted a name .*inverse_sqrt.* or a GainFamily object",
    ),
    "no payment": (
        (SHARING,),
        {"payment": None},
        "payment is None, wanted a name .*marginal.* or a callable",
    ),
    "no distance": (
        (SHARING,),
        {"distance": None},
        "distance is None, wanted a name .*cosine.* or a ModelDistance object",
    ),
    "a number as a scheme": (
        (SHARING,),
        {"scheme": 5},
        "scheme is 5, wanted a name .*ipfl.* or a Scheme object",
    ),
    "a number as a graph": (
        (SHARING,),
        {"graph": 5},
        "graph is 5, wanted a name .*break.* or a callable",
    ),
    "a number as a rule": (
        (TRADING, REFERENCE),
        {"mechanism": 5},
        r"mechanism is 5, wanted a name .*second_price.* or a callable \(bids, asks\) -> Sales",
    ),
    "a rule of bids alone": (
        (TRADING, REFERENCE),
        {"mechanism": lambda bids: 0},
        "mechanism is .* it is called with 2 arguments",
    ),
    "a number as a valuation": (
        (TRADING,),
        {"valuation": 5},
        "valuation is 5, wanted a name .* or a callable Trial -> Gain",
    ),
    "a number as an alignment": (
        (TRADING,),
        {"alignment": 5},
        "alignment is 5, wanted a name .*auto.* or a callable",
    ),
    "a number as an exchange": (
        (TRADING,),
        {"exchange": 5},
        "exchange is 5, wanted a name .*fedavg.* or a callable",
    ),
    "labels as floats to a data market": (
        (DATA,),
        {"data": (X, Y.float())},
        "real-valued targets, wanted classes: the distances of the data market compare labels",
    ),
    "no learner to buy data for": (
        (DATA,),
        {"learner": None, "training": None},
        "learner is None, wanted a learner: the market",
    ),
    "pilots that fall": (
        (DATA,),
        {"pilots": (4, 2)},
        r"pilots are \(4, 2\) and points 6, wanted two rising numbers of points",
    ),
    "pilots beyond the points": (
        (DATA,),
        {"pilots": (4, 8)},
        r"pilots are \(4, 8\) and points 6, wanted two rising numbers",
    ),
    "sellers as text": (
        (DATA,),
        {"n_sellers": "3"},
        "n_sellers is '3', wanted a whole number from 1 to 10000",
    ),
    "a number as a data rule": (
        (DATA,),
        {"rule": 5},
        "rule is 5, wanted a name .*procurement.* or a DataRule object",
    ),
    "a number as a selection": (
        (DATA,),
        {"selection": 5},
        "selection is 5, wanted a name .*oracle.* or a callable SelectionCase",
    ),
    "a number as a release": (
        (DATA,),
        {"release": 5},
        "release is 5, wanted a name .*proportional.* or a callable",
    ),
    "a misspelt release": (
        (DATA,),
        {"release": "all"},
        "no release 'all'.*Known: all_or_nothing, proportional",
    ),
    "a misspelt estimator": (
        (DATA,),
        {"estimator": "projector"},
        "no estimator 'projector'. Did you mean 'projektor'",
    ),
    "a misspelt alignment": ((DATA,), {"alignment": "matching"}, "no alignment 'matching'"),
    "a conduct that is none": (
        (DATA,),
        {"conduct": ("bribe",)},
        "no conduct 'bribe'.*Known: bait, declared, distinct, flip",
    ),
    "a full mix": ((DATA,), {"mix": 1.0}, "mix is 1.0, wanted a finite number > 0 and < 1"),
    "labels as floats to a resource market": (
        (RESOURCE,),
        {"data": (X, Y.float())},
        "real-valued targets, wanted classes: owners may mislabel, and audits compare labels",
    ),
    "an audit of nothing": (
        (RESOURCE,),
        {"learner": None, "training": None, "audit": "heldout"},
        "learner is None and the market has audit 'heldout', wanted a learner for it",
    ),
    "a gain in accuracy of nothing": (
        (RESOURCE,),
        {"learner": None, "training": None, "gain": "accuracy"},
        "learner is None and the market has gain 'accuracy', wanted a learner for it",
    ),
    "paid by no audit": (
        (RESOURCE,),
        {"basis": "audited"},
        "basis is 'audited' and audit None, wanted an audit to pay by",
    ),
    "ranks where prices decide": (
        (RESOURCE,),
        {"rank": True, "pricing": "posted"},
        "rank is True and pricing 'posted', wanted one of them",
    ),
    "an audit after the end": (
        (RESOURCE,),
        {"audit": "heldout", "max_cycles": 2, "audit_round": 2},
        "audit_round is 2 and max_cycles 2, wanted a round that is played",
    ),
    "scores off the scale": (
        (RESOURCE,),
        {"audit": "wasserstein", "scale": "fixed"},
        (
            "audit is 'wasserstein' and its scale 'fixed', which measures from 0 to 1: there all"
            " its scores are the worst"
        ),
    ),
    "noisy characters": (
        (RESOURCE,),
        {"measure": "text"},
        (
            r"measure is 'text' and noise \(0.0, 0.1\), wanted noise=\(0, 0\): a character with"
            r" noise is no character"
        ),
    ),
    "characters as images": (
        (RESOURCE,),
        {"learner": "recurrent"},
        "measure is 'image' and learner 'recurrent', which reads characters: pass measure='text'",
    ),
    "costs of nothing": (
        (RESOURCE,),
        {"sigma": (0.0, 1.0)},
        r"sigma is \(0.0, 1.0\), wanted an interval .* 1e-06 <= low",
    ),
    "a quality above the best": (
        (RESOURCE,),
        {"quality": (0.5, 1.5)},
        r"quality is \(0.5, 1.5\), wanted .* low <= high <= 1\.",
    ),
    "no alpha": (
        (RESOURCE,),
        {"alpha": 0.0},
        "alpha is 0.0, wanted a finite number >= 1e-06 and <= 1e\\+06",
    ),
    "a cap of nothing": (
        (RESOURCE,),
        {"caps": 0.0},
        "caps is 0.0, wanted .*the share of its data that an owner may contribute",
    ),
    "caps for too many": (
        (RESOURCE,),
        {"caps": [0.5, 0.5, 1.0]},
        r"caps is \[0.5, 0.5, 1.0\], wanted a tuple of 2 numbers",
    ),
    "types for too many": (
        (RESOURCE,),
        {"types": {"quality": (0.5, 0.5, 1.0)}},
        r"types\['quality'\] has 3 numbers, wanted 2, one for each owner",
    ),
    "types of one centre": (
        (RESOURCE,),
        {"types": {"sigma": (1.0,)}},
        r"types\['sigma'\] has 1 numbers, wanted 2, .* centre",
    ),
    "types that are none": (
        (RESOURCE,),
        {"types": {"size": (1.0, 1.0)}},
        "no entry of types 'size'.*Known: quality, sigma",
    ),
    "a lie before the truth": (
        (RESOURCE,),
        {"conduct": ("junk", "honest")},
        r"conduct is \('junk', 'honest'\), wanted 'honest' first",
    ),
    "a conduct twice": (
        (RESOURCE,),
        {"conduct": ("honest", "junk", "junk")},
        "wanted 'honest' first, and every kind of .* once",
    ),
    "a misspelt conduct": (
        (RESOURCE,),
        {"conduct": ("honest", "junky")},
        "no conduct 'junky'. Did you mean 'junk'",
    ),
    "too many names": (
        (RESOURCE,),
        {"identities": 9},
        "identities is 9, wanted a whole number from 1 to 8",
    ),
    "a number as a solver": (
        (RESOURCE,),
        {"solver": 5},
        "solver is 5, wanted a name .*official_foc.* or a callable TripartiteGame",
    ),
    "a solver of two games": (
        (RESOURCE,),
        {"solver": lambda a, b: 0},
        "solver is .* it is called with 1 argument",
    ),
    "a number as fees": (
        (RESOURCE,),
        {"fees": 5},
        r"fees is 5, wanted a name .*matched.* or a callable \(charges, d, matching\)",
    ),
    "a number as preferences": (
        (RESOURCE,),
        {"preferences": 5},
        r"preferences is 5, wanted a name .*volume.* or a callable \(x, d",
    ),
    "a number as an audit": (
        (RESOURCE,),
        {"audit": 5},
        "audit is 5, wanted a name .*loss_drop.* or a callable AuditCase -> scores",
    ),
    "a number as a scale": (
        (RESOURCE,),
        {"scale": 5},
        "scale is 5, wanted a name .*minmax.* or a callable scores -> quality",
    ),
    "a misspelt audit": (
        (RESOURCE,),
        {"audit": "held_out"},
        "no audit 'held_out'. Did you mean 'heldout'",
    ),
    "a misspelt scale": (
        (RESOURCE,),
        {"scale": "minimax"},
        "no scale 'minimax'. Did you mean 'minmax'",
    ),
    "a misspelt basis": (
        (RESOURCE,),
        {"basis": "audit"},
        "no basis 'audit'. Did you mean 'audited'",
    ),
    "an aggregation that is none": (
        (RESOURCE,),
        {"aggregation": "mean"},
        "no aggregation 'mean'.*Known: sequential_accept, weighted",
    ),
    "owners as text": (
        (RESOURCE,),
        {"n_owners": "3"},
        "n_owners is '3', wanted a whole number from 1 to 10000",
    ),
    "a number as an augmentation": (
        (TRADING,),
        {"augmentation": 5},
        "augmentation is 5, wanted a name .*flip.* or a callable",
    ),
    "a number as a partition": (
        TRAINED,
        {"partition": 5},
        "partition is 5, wanted a name .*dirichlet.* or a function like them",
    ),
    "no bid mode": ((TRADING,), {"bid_mode": None}, "no bid_mode None. Known: absolute, gain"),
    "a number as a disclosure": (
        (TRADING,),
        {"disclosure": 5},
        "no disclosure 5. Known: bounds, full, none",
    ),
    "a flag as a choice": (
        (TRADING,),
        {"after_purchase": True},
        "no after_purchase True. Known: keep, reset",
    ),
    "agents as text": (
        (TRADING, SHARING),
        {"n_agents": "3"},
        "n_agents is '3', wanted a whole number >= 2",
    ),
    "buyers as text": (
        (REFERENCE,),
        {"n_buyers": "3"},
        "n_buyers is '3', wanted a whole number >= 1, or None",
    ),
    "no rounds": (MARKETS, {"max_cycles": None}, "max_cycles is None, wanted a whole number >= 1"),
    "rounds without end": (
        MARKETS,
        {"max_cycles": math.nan},
        "max_cycles is nan, wanted a whole number >= 1",
    ),
    "half a round": (MARKETS, {"max_cycles": 2.5}, "max_cycles is 2.5, wanted a whole number >= 1"),
    "alpha as text": (
        TRAINED,
        {"partition": "dirichlet", "data_options": {"alpha": "0.5"}},
        r"alpha is '0.5', wanted a finite number >= 0.001",
    ),
    "no seed of the data": (
        TRAINED,
        {"data_options": {"seed": None}},
        "seed is None, wanted a whole number >= 0",
    ),
    "half a seed of the data": (
        TRAINED,
        {"data_options": {"seed": 0.5}},
        "seed is 0.5, wanted a whole number >= 0",
    ),
    "a misspelt data option": (
        TRAINED,
        {"partition": "dirichlet", "data_options": {"alfa": 1.0}},
        "no option of partition 'dirichlet' 'alfa'. Did you mean 'alpha'",
    ),
    "data among their options": (
        TRAINED,
        {"data_options": {"data": "digits"}},
        "data_options has 'data': 'digits'.*pass data=",
    ),
    "a folder that is none": (TRAINED, {"root": 5}, "root is 5, wanted a path"),
    "data that are none": (TRAINED, {"data": 5}, "data is 5, wanted a name"),
    "one target": (
        (TRADING,),
        {"data": (X, X[:, 0]), "data_options": {"validation_size": 1}},
        (
            "the targets of the broker's 1 examples do not differ.*pass bid_max=<money>, or a"
            " larger validation_size"
        ),
    ),
    "minibatches of a linear learner": (
        (SHARING,),
        {"data": "linear", "learner": "linear", "training": None},
        r"batch_size is 64, but 'linear' .*pass training=Training\(batch_size=None\)",
    ),
    "labels as floats": (
        TRAINED,
        {"data": (X, Y.double()), "partition": "dirichlet"},
        r"Float y make a regression \(n_outputs 1\).*give whole labels, as y.astype\(int\)",
    ),
    "labels as floats for a module": (
        (TRADING, SHARING),
        {
            "data": (X, Y.double()),
            "learner": "module",
            "learner_options": {"module": nn.Linear(4, 3)},
        },
        (
            r"maps 2 examples to \(2, 3\), wanted \(2, 1\).*float targets make a regression, for a"
            r" classification give whole labels"
        ),
    ),
    "no such argument": (MARKETS, {"max_cycle": 3}, "'max_cycle'. Did you mean 'max_cycles'"),
    "no such device": (MARKETS, {"device": 5j}, "device is 5j, which cannot be used here"),
}
CASES = [
    (row, name, door) for row, (names, _, _) in ROWS.items() for name in names for door in DOORS
]


@pytest.mark.parametrize(("row", "name", "door"), CASES)
def test_what_a_market_cannot_take_is_refused_at_every_door(row, name, door):
    _, wrong, said = ROWS[row]
    with pytest.raises(ValueError, match=f"(?s){said}"):
        DOORS[door](name, **BASES[name][0] | wrong)


# --- every field, whatever comes ------------------------------------------------------------------

NONSENSE = [
    *(
        None,
        "x",
        "",
        "0.5",
        math.nan,
        math.inf,
        -1,
        0.5,
        10**30,
        -1e300,
        object(),
        [],
        {},
        (),
        1j,
        True,
        b"x",
        dict,
        lambda: 0,
    ),
    *(
        (None,),
        [[]],
        {1: 2},
        (0, math.nan),
        {"a"},
        range(3),
        np.zeros((2, 2)),
        np.ma.masked,
        torch.tensor(1j),
    ),
]
# ("data" is said by its parts, x and y)
FIELDS = [
    (name, k, field.name)
    for name, (config, *_) in MARKETS.items()
    for k, base in enumerate(BASES[name])
    for field in dataclasses.fields(config)
    # without a learner nobody asks them
    if not ("learner" in base and field.name in ("data", "partition"))
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "k", "field"), FIELDS)
def test_whatever_comes_is_taken_and_played_or_refused_by_name_when_the_market_is_made(
    name, k, field
):
    for value in NONSENSE:
        try:
            env = make_parallel(name, **BASES[name][k] | {field: value})
        except ValueError as error:
            assert field in str(error) or field in ("data", "data_options")
            continue
        env.reset(seed=0)  # nothing else is refused later
        for _ in env.market.stages:
            env.step(
                {agent: (space.low + space.high) / 2 for agent, space in env.action_spaces.items()}
            )
        assert type(pickle.loads(pickle.dumps(env.market.config))) is MARKETS[name][0]


# --- equal things make equal configs --------------------------------------------------------------

PLAIN = {
    TRADING: {
        "n_agents": (np.int64(3), 3),
        "max_cycles": (torch.tensor(4), 4),
        "max_purchases": (np.uint8(2), 2),
        "money_per_loss": ([5, 15], (5.0, 15.0)),
        "effort_cost": (np.array([0.25, 0.5]), (0.25, 0.5)),
        "cash": (np.float32(2), 2.0),
        "bid_max": (3, 3.0),
        "sabotage": ([0, 1, np.float64(2)], (0.0, 1.0, 2.0)),
        "layers": ([np.int64(1)], (1,)),
        "offered_layers": ([None, [0], (1,)], (None, (0,), (1,))),
        "coalition": (range(2), (0, 1)),
        "download": (np.False_, False),
    },
    SHARING: {
        "n_agents": (np.int64(3), 3),
        "costs": ([1, 2], (1.0, 2.0)),
        "needs": (torch.tensor([1.0, 2.0]), (1.0, 2.0)),
        "types": ({"sizes": np.array([1.0, 2.0, 3.0])}, {"sizes": (1.0, 2.0, 3.0)}),
        "joins": (np.array([0, 0, 1]), (0, 0, 1)),
        "credit": (np.float64(math.inf), math.inf),
        "strength": (1, 1.0),
    },
    DATA: {
        "n_sellers": (np.int64(2), 2),
        "pilots": ([np.int64(4), 8], (4, 8)),
        "conduct": (["bait", "flip"], ("bait", "flip")),
        "cost_per_point": (torch.tensor([0.5, 1.0]), (0.5, 1.0)),
        "credit": (3, 3.0),
        "private": (np.True_, True),
        "verify": (1, 1.0),
    },
    RESOURCE: {
        "n_owners": (np.int64(3), 3),
        "caps": (torch.tensor([0.5, 0.25, 1.0]), (0.5, 0.25, 1.0)),
        "sigma": ([1, 2], (1.0, 2.0)),
        "types": ({"quality": np.array([0.5, 0.25, 1.0])}, {"quality": (0.5, 0.25, 1.0)}),
        "conduct": (["honest", "few"], ("honest", "few")),
        "alpha": (np.float32(2), 2.0),
        "escrow": (np.False_, False),
        "identities": (np.uint8(2), 2),
        "credit": (3, 3.0),
    },
    PLACE: {
        "resource_market": (
            {"caps": [0.5, 1.0], "types": {"quality": np.array([0.5, 0.25])}, "k": np.float64(2)},
            {"caps": (0.5, 1.0), "types": {"quality": (0.5, 0.25)}, "k": 2.0},
        ),
        "parameter_trading": (
            {"offered_layers": [None, [0]], "partners": torch.tensor(1)},
            {"offered_layers": (None, (0,)), "partners": 1},
        ),
    },
    REFERENCE: {
        "values": ([0, 2], (0.0, 2.0)),
        "reserve": (0, 0.0),
        "max_cycles": (np.int32(2), 2),
        "n_buyers": (np.int64(1), 1),
    },
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_config_holds_plain_values_whatever_kind_came(name):
    config = MARKETS[name][0]
    given = config(**{field: came for field, (came, _) in PLAIN[name].items()})
    plain = config(**{field: wanted for field, (_, wanted) in PLAIN[name].items()})
    for field, (_, wanted) in PLAIN[name].items():
        found = getattr(given, field)
        assert found == wanted and type(found) is type(wanted), field
    assert given == plain and repr(given) == repr(plain)
    assert pickle.dumps(given) == pickle.dumps(plain)
    assert dataclasses.replace(given) == given  # a plain form is its own


def test_counts_of_numpy_are_counts():
    market = make_market(
        TRADING,
        **SMALL | {"n_agents": np.int64(2), "data_options": {"validation_size": np.int64(5)}},
    )
    assert market.people.count == 2 and market.source.split.sizes["validation"] == 5


def test_more_purchases_than_there_are_sellers_are_as_many_as_there_are():
    # tried one by one they would not end
    env = make_parallel(TRADING, **SMALL | {"max_purchases": 2**40})
    env.reset(seed=0)
    env.step({agent: space.high for agent, space in env.action_spaces.items()})
    assert int(env.report.of(Traded).bought.max()) <= 1


def test_options_are_copies_that_nobody_changes_from_outside():
    options = {"hidden": (2,)}
    config = MARKETS[TRADING][0](learner_options=options)
    options["hidden"] = "wide"
    assert config.learner_options == {"hidden": (2,)}


# --- doors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("door", [make_vec, make_sb3])
@pytest.mark.parametrize("number", ["4", None, 0, 2.5, math.nan, True, [4]])
def test_the_number_of_markets_is_whole(name, door, number):
    with pytest.raises(ValueError, match=r"num_envs is .*, wanted a whole number >= 1"):
        door(name, number, **BASES[name][0])


def test_a_number_of_numpy_is_one():
    assert (
        make_vec(REFERENCE, np.int64(3)).num_envs
        == make_sb3(REFERENCE, np.int64(3), agent="buyer_0").num_envs
        == 3
    )


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("agent", [0, "", "traders", ["trader_0"], False])
def test_an_agent_is_a_known_name(name, agent):
    for make in (
        make_single,
        lambda name, **more: make_vec(name, 2, **more),
        lambda name, **more: make_sb3(name, 2, **more),
    ):
        with pytest.raises(ValueError, match=r"no agent .* Known: .*_0"):
            make(name, agent=agent, **BASES[name][0])


@pytest.mark.parametrize("name", MARKETS)
def test_an_unknown_opponent_is_told_what_else_may_play(name):
    for make in (make_single, lambda name, **more: make_vec(name, 2, **more)):
        with pytest.raises(
            ValueError,
            match=(
                r"no policy 'shade'.*Known: random, truthful. Or give 'trained:name'.*'module:name'"
                r".*agents.markets"
            ),
        ):
            make(name, opponents="shade", **BASES[name][0])


@pytest.mark.parametrize("opponents", [5, None, [], dict, {"buyer_0": 5}])
def test_what_is_no_policy_plays_nobody(opponents):
    with pytest.raises(
        ValueError,
        match=r"policy .* is not callable; wanted policy\(observation, move, keys\) -> actions",
    ):
        make_vec(REFERENCE, 2, opponents=opponents)


@pytest.mark.parametrize("levels", ["3", 1, 2.5, True, [3], 10**9])
def test_levels_are_whole_numbers_of_grid_points(levels):
    for make in (make_parallel, make_single, lambda name, **more: make_vec(name, 2, **more)):
        with pytest.raises(
            ValueError,
            match=(
                r"action_levels is .*, wanted a whole number from 2 to 1000000: grid points per"
                r" action, or None"
            ),
        ):
            make(REFERENCE, action_levels=levels)


@pytest.mark.parametrize("name", [5, None, ["reference_v0"]])
def test_a_market_has_a_name(name):
    for make in (
        make_market,
        make_parallel,
        make_single,
        lambda name: make_vec(name, 2),
        lambda name: make_sb3(name, 2),
    ):
        with pytest.raises(
            ValueError,
            match=r"name is .*, wanted text: data_market_v0, marketplace_v0, model_shar",
        ):
            make(name)


# --- what a rule of one's own returns -------------------------------------------------------------

NO_OUTCOMES = {
    "a tensor": (
        lambda bids: bids,
        r"mechanism returned a Tensor, wanted Sales\(allocation, prices\)",
    ),
    "a tuple": (
        lambda bids: (bids > 0, bids, bids),
        r"mechanism returned a tuple of 3, wanted Sales\(allocation, prices\)",
    ),
    "nothing": (
        lambda bids: None,
        r"mechanism returned None, wanted Sales\(allocation, prices\)",
    ),
    "a float allocation": (
        lambda bids: Sales(bids, 0 * bids),
        "mechanism returned allocation .*float64.*compute it as bool",
    ),
    "no prices": (
        lambda bids: Sales(bids > 0, None),
        "mechanism returned prices as None, wanted .*return a torch tensor",
    ),
}


@pytest.mark.parametrize("name", [TRADING, REFERENCE])
@pytest.mark.parametrize("returned", NO_OUTCOMES)
def test_what_a_rule_returns_is_refused_by_its_name_and_nothing_has_changed(name, returned):
    rule, said = NO_OUTCOMES[returned]
    env = make_parallel(name, **BASES[name][0] | {"mechanism": lambda bids, asks: rule(bids)})
    env.reset(seed=0)
    before = env.situation
    with pytest.raises(ValueError, match=said):
        env.step({agent: space.high for agent, space in env.action_spaces.items()})
    assert env.situation is before and env.agents == env.possible_agents and env.report is None


# --- gains whose two halves disagree --------------------------------------------------------------


class Flatter(GAINS["inverse_sqrt"]):
    """A marginal gain of one's own beside the paper's ``beyond``, which no longer is its
    inverse.
    """

    def marginal(self, before, added, need):
        return need * torch.log1p(added / (self.scale + before))


class Whole(Flatter):
    """The same with the ``beyond`` that follows from any marginal."""

    beyond = GAINS["log"].beyond


class Straight(GAINS["log"]):
    """A gain of one price a sample, whose total is anything where its worth is met exactly:
    both ends are right.
    """

    def marginal(self, before, added, need):
        return need * added + 0 * before

    def beyond(self, worth, added, need):
        return torch.where(need * added > worth, torch.inf, 0.0) + 0 * worth


def test_a_gain_whose_beyond_is_of_another_marginal_is_refused_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"gain.beyond disagrees with gain.marginal: .* Define beyond too"
    ):
        make_market(SHARING, learner=None, gain=Flatter())
    for gain in (Whole(), Straight(), GAINS["inverse_sqrt"](scale=2.0), GAINS["hill"]()):
        assert make_market(SHARING, learner=None, gain=gain).phase(ShareModels).rules.gain is gain
