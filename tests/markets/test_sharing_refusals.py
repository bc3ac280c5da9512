"""What the model-sharing market refuses, and what it takes."""

import math

import numpy as np
import pytest
from sharing_market import (
    market_of,
    one_round,
    trained_market,
)

from marketenv import make_parallel
from marketenv.learners import Training
from marketenv.markets.training import Train
from marketenv.mechanisms import GRAPHS, SHARING_PAYMENTS


@pytest.mark.parametrize("bad", [math.nan, 1.5])
def test_a_bad_action_through_the_door_changes_nothing(bad):
    env = make_parallel("model_sharing_v0", n_agents=3, max_cycles=2, learner=None)
    env.reset(seed=1)
    before, good = env.situation, {a: env.action_space(a).sample() * 0 for a in env.agents}
    wrong = good | {"client_1": good["client_1"] + bad}
    with pytest.raises(ValueError, match="'cost' is"):
        env.step(wrong)
    assert env.situation is before and env.report is None
    env.step(good)
    assert int(env.situation.floor.round[0]) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"types": {"sizes": (1.0, 1.0, 0.0, 1.0)}},
            r"types\['sizes'\]\[2\] is 0.0, wanted a finite number >= 1e-12",
        ),
        ({"types": {"sizes": (1.0, 1.0, -2.0, 1.0)}}, r"types\['sizes'\]"),
        (
            {"types": {"costs": (1.0, 1.0, -1.0, 1.0)}},
            r"types\['costs'\]\[2\] is -1.0, wanted a finite number >= 0",
        ),
        ({"types": {"needs": (1.0, 1.0, -1.0, 1.0)}}, r"types\['needs'\]"),
        ({"types": {"costs": (1.0, 1.0, math.nan, 1.0)}}, r"types\['costs'\]"),
        ({"types": {"needs": (1.0, 1.0, math.inf, 1.0)}}, r"types\['needs'\]"),
        (
            {"types": {"sizes": (1e-300,) * 4}},
            r"types\['sizes'\].*finite number >= 1e-12 and <= 1e\+100",
        ),
        ({"types": {"sizes": (1.0, 1.0, 1.0, 1e101)}}, r"types\['sizes'\]"),
        ({"types": {"needs": (1.0, 1.0, 1.0, 1e308)}}, r"types\['needs'\]"),
        (
            {"sizes": (1e-300, 1e-300)},
            r"sizes is .*wanted an interval \(low, high\), 1e-12 <= low <= high <= 1e\+100",
        ),
        ({"needs": (1.0, 1e308)}, "needs is"),
        ({"types": {"costs": (1.0, 1.0)}}, "wanted a tuple of 4 numbers >= 0, one for each agent"),
        ({"types": {"cost": (1.0,) * 4}}, "no entry of types 'cost'. Did you mean 'costs'"),
        ({"payment": "vcg"}, "payment is 'vcg' with graph 'break'"),
        ({"payment": "vcg", "graph": "continue"}, "graph='exact'"),
        ({"graph": "brake"}, "no graph 'brake'. Did you mean 'break'"),
        ({"payment": "margin"}, "no payment 'margin'"),
        ({"scheme": "fedavrg"}, "no scheme 'fedavrg'. Did you mean 'fedavg'"),
        ({"distance": "cosinus"}, "no distance 'cosinus'"),
        ({"gain": "inverse"}, "no gain 'inverse'"),
        ({"reports": "twice"}, "no reports 'twice'"),
        ({"exits": "ir"}, "no exits 'ir'"),
        ({"select": "train"}, "no select 'train'"),
        ({"n_agents": 1}, "n_agents is 1"),
        ({"max_cycles": 0}, "max_cycles is 0"),
        ({"horizon": "cuts"}, "Did you mean 'cut'"),
        ({"strength": -1.0}, "strength is -1"),
        ({"strength": math.nan}, "strength is nan"),
        ({"eta": math.inf}, "eta is inf"),
        ({"cost_drift": -0.1}, "cost_drift is -0.1"),
        ({"credit": -1.0}, "credit is -1"),
        ({"credit": math.nan}, "credit is nan"),
        ({"cash": math.nan}, "cash is nan"),
        ({"costs": (2.0, 1.0)}, "costs is"),
        ({"costs": (math.nan, 1.0)}, "costs is"),
        ({"sizes": (0.0, 1.0)}, "sizes is"),
        ({"joins": (0, 0)}, "joins is"),
        ({"joins": (0, 0, -1, 0)}, r"joins\[2\] is -1, wanted a whole number >= 0"),
        ({"data_drift": 0.1}, "learner=None has no data"),
        ({"effort_cost": (0.0, math.inf)}, "effort_cost is"),
        ({"joins": ()}, r"joins is \(\), wanted a tuple of 4 rounds"),
        (
            {"strength": 1.0, "eta": 1e-40},
            "strength / eta is 1.0 / 1e-40, wanted a pull of at most 3.4e",
        ),
        (
            {"learner_options": {"hidden": (8,)}},
            "learner is None, which is told neither learner_options nor training",
        ),
        ({"training": Training()}, "learner is None"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        market_of(**config)


@pytest.mark.parametrize(
    "payment", ["critical", SHARING_PAYMENTS["critical"]], ids=["by name", "a function"]
)
def test_critical_payments_want_a_graph_by_name(payment):
    with pytest.raises(
        ValueError, match=r"payment is 'critical' with graph .*wanted a graph by name"
    ):
        market_of(payment=payment, graph=GRAPHS["break"])


@pytest.mark.parametrize("graph", ["exact", GRAPHS["exact"]], ids=["by name", "a function"])
def test_the_exact_graph_is_refused_above_twelve_clients(graph):
    assert one_round(market_of(n_agents=12, graph=graph)).trades.any()
    with pytest.raises(ValueError, match="graph is 'exact' with 13 clients"):
        market_of(n_agents=13, graph=graph)


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"reports": None}, "no reports None.*once"),
        ({"exits": True}, "no exits True"),
        ({"select": ("test",)}, "no select"),
        ({"costs": (1.0,)}, r"costs is \(1.0,\), wanted an interval"),
        ({"costs": 1.0}, "costs is 1.0, wanted an interval"),
        ({"costs": ()}, r"costs is \(\), wanted an interval"),
        ({"costs": None}, "costs is None, wanted an interval"),
        ({"costs": ("1", "2")}, "costs is .*wanted an interval"),
        ({"needs": ()}, r"needs is \(\), wanted an interval"),
        ({"sizes": (1.0, 2.0, 3.0)}, "sizes is .*wanted an interval"),
        ({"joins": 1}, "joins is 1, wanted a tuple of 4 rounds"),
        ({"types": {"costs": 1.0}}, r"types\['costs'\] is 1.0, wanted a tuple of 4 numbers"),
        ({"types": {"costs": ("1",) * 4}}, r"types\['costs'\]"),
        ({"strength": "1"}, "strength is '1', wanted a finite number"),
        ({"cash": None}, "cash is None"),
        ({"credit": "inf"}, "credit is 'inf'"),
    ],
    ids=str,
)
def test_values_of_a_wrong_type_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        market_of(**config)


@pytest.mark.usefixtures("as_for_a_user")
def test_numbers_of_other_types_are_taken():
    config = {
        "strength": 1,
        "eta": np.float64(5.0),
        "costs": [1, 2],
        "types": {"sizes": np.arange(1.0, 5.0)},
        "joins": [0, 0, 1, 0],
    }
    assert one_round(market_of(**config)).reported.sizes[0].tolist() == [1, 2, 3, 4]
    assert one_round(market_of(eta=0.0)).trades.any()


@pytest.mark.parametrize(
    "told", [{"learner_options": {"hidden": (8,)}}, {"training": Training()}], ids=str
)
def test_a_ready_made_learner_is_told_nothing_more(told):
    learner = trained_market().phase(Train).learner
    assert one_round(market_of(learner=learner)).loss.isfinite().all()
    with pytest.raises(ValueError, match=r"learner is a ready-made \w+, which is told neither"):
        market_of(learner=learner, **told)
