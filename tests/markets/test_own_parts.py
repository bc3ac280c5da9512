"""A user's own part in every market: what it returns is checked by its name, and gradients end
there.
"""

import dataclasses
from functools import partial

import pytest
import torch

from marketenv import make_market
from marketenv.alignment import ALIGNMENTS, Aligned
from marketenv.core import rounds, tree
from marketenv.core.market import agent_names
from marketenv.learners import LEARNERS, MLP, Scores, Training
from marketenv.markets.model_sharing import Shared, ShareModels
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.parameter_trading.weights import WEIGHTS
from marketenv.mechanisms import GAINS, GRAPHS, MECHANISMS, SHARING_PAYMENTS, Sales, apply_rule
from marketenv.valuation import DISTANCES, VALUATIONS

SEEDS = torch.arange(4)  # four markets of three agents, so that no two axes are of one length
SMALL = {"dimension": 5, "examples": 20, "validation_size": 30, "test_size": 30, "noise": 0.5}
LINEAR = {
    "n_agents": 3,
    "max_cycles": 2,
    "data": "linear",
    "data_options": SMALL,
    "partition": "balanced",
}
TRAINING = Training(optimizer="sgd", learning_rate=0.05, momentum=0.5, steps=2)

pytestmark = pytest.mark.usefixtures("as_for_a_user")


def played(name, **config):
    """Reports of an episode in which all are truthful."""
    market = make_market(name, **config)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    return [report for _, _, report in rounds.play(market, policies, SEEDS)]


def traded(**config):
    learner = config.pop("learner", LEARNERS["linear"]((5,), 1, "regression", TRAINING))
    return played("parameter_trading_v0", learner=learner, **LINEAR, **config)


def shared(**config):
    learner = config.pop("learner", LEARNERS["linear"]((5,), 1, "regression", TRAINING))
    return played(
        "model_sharing_v0", learner=learner, costs=(0.1, 0.2), strength=0.1, **LINEAR, **config
    )


def field(part, name, change):
    """The same part with one field of what it returns changed."""

    def changed(*given):
        returned = part(*given)
        value = change(getattr(returned, name))
        return (
            returned._replace(**{name: value})
            if hasattr(returned, "_replace")
            else dataclasses.replace(returned, **{name: value})
        )

    return changed


def whole(part, change):
    return lambda *given: change(part(*given))


@dataclasses.dataclass
class Teacher:
    """A learner of one's own: the linear one with a change in what one method returns."""

    method: str
    change: object
    real: object = dataclasses.field(
        default_factory=lambda: LEARNERS["linear"]((5,), 1, "regression", TRAINING)
    )

    def __getattr__(self, name):
        real = getattr(LEARNERS["linear"]((5,), 1, "regression", TRAINING), name)
        if name != self.method:
            return real
        return lambda *given, **more: self.change(real(*given, **more))


def teacher(method, place=None):
    """Builds that learner from a change of the whole that a method returns, or of one place in
    a tuple.
    """

    def build(change):
        def changed(returned):
            parts = [change(x) if k == place else x for k, x in enumerate(returned)]
            return Scores(*parts) if isinstance(returned, Scores) else tuple(parts)

        return Teacher(method, change if place is None else changed)

    return build


def spoiled(kind, name, change):
    """A named part of a table with one field of its own part's callable changed."""
    return dataclasses.replace(kind, **{name: whole(getattr(kind, name), change)})


def scheme(name, part):
    return lambda change: dataclasses.replace(
        SCHEMES[name], settle=field(SCHEMES[name].settle, part, change)
    )


# words that the error begins with -> what plays a market whose own part's result is changed
PARTS = {
    "mechanism returned allocation": lambda c: traded(
        mechanism=field(MECHANISMS["nash_bargaining"], "allocation", c)
    ),
    "mechanism returned prices": lambda c: traded(
        mechanism=field(MECHANISMS["nash_bargaining"], "prices", c)
    ),
    "valuation returned shown": lambda c: traded(
        valuation=field(VALUATIONS["error_ratio"], "shown", c)
    ),
    "valuation returned worth": lambda c: traded(
        valuation=field(VALUATIONS["error_ratio"], "worth", c)
    ),
    "alignment returned offers": lambda c: traded(alignment=field(ALIGNMENTS["none"], "offers", c)),
    "alignment returned orders": lambda c: traded(alignment=field(ALIGNMENTS["none"], "orders", c)),
    "alpha returned alpha": lambda c: traded(alpha=field(WEIGHTS["closed_form"], "alpha", c)),
    "alpha returned loss": lambda c: traded(alpha=field(WEIGHTS["closed_form"], "loss", c)),
    "exchange returned params": lambda c: traded(exchange=field(EXCHANGES["trade"], "params", c)),
    "exchange returned trades": lambda c: traded(exchange=field(EXCHANGES["trade"], "trades", c)),
    "exchange returned prices": lambda c: traded(exchange=field(EXCHANGES["trade"], "prices", c)),
    "exchange returned reason": lambda c: traded(exchange=field(EXCHANGES["trade"], "reason", c)),
    "graph returned who buys": lambda c: shared(graph=whole(GRAPHS["break"], c)),
    "payment returned prices": lambda c: shared(payment=whole(SHARING_PAYMENTS["marginal"], c)),
    "distance.between returned distances": lambda c: shared(
        distance=spoiled(DISTANCES["cosine"], "between", c)
    ),
    "distance.pull returned forces": lambda c: shared(
        distance=spoiled(DISTANCES["cosine"], "pull", c)
    ),
    **{
        f"scheme returned {part}": lambda c, part=part: shared(scheme=scheme("ditto", part)(c))
        for part in ("trades", "prices", "params", "centre", "pull", "second", "broke")
    },
    **{
        f"learner.{words}": lambda c, build=build: [f(learner=build(c)) for f in (traded, shared)]
        for words, build in {
            "init returned parameters": teacher("init"),
            "fresh_slots returned numbers": teacher("fresh_slots"),
            "train returned parameters": teacher("train", 0),
            "train returned optimiser numbers": teacher("train", 1),
            "scores returned loss": teacher("scores", 0),
            "scores returned accuracy": teacher("scores", 1),
        }.items()
    },
}


@pytest.mark.parametrize("said", PARTS)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t[0], "wanted .*the first axis is missing; one call is for all"),
        (lambda t: t[:1], "of shape .*make it of that shape"),  # today's kind of silent broadcast
        (
            lambda t: t.mT if t.dim() > 1 else t,
            "its axes stand in another order|make it of that shape",
        ),
        (lambda t: t.to(torch.complex64), "complex64 is not converted"),
        (lambda t: t.to("meta"), "lies on meta, wanted cpu"),
        (lambda t: t.tolist(), "as a list, wanted"),
        (lambda t: None, "as None, wanted"),
    ],
    ids=["no markets", "one market", "swapped", "complex", "device", "list", "None"],
)
def test_what_an_own_part_returns_is_refused_by_its_name(said, change, why):
    square = said.split()[-1] in (
        "allocation",
        "prices",
        "shown",
        "worth",
        "trades",
        "buys",
        "distances",
        "alpha",
        "loss",
    )
    if "another order" in why and square:
        change = lambda t: t.movedim(0, 1)  # noqa: E731 - markets and buyers change places
    with pytest.raises(ValueError, match=f"^{said} .*({why})"):
        PARTS[said](change)


@pytest.mark.parametrize("said", [name for name in PARTS if "alloc" not in name])
def test_what_is_right_is_taken_and_its_gradients_end(said):
    def change(tensor):
        return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor

    with torch.enable_grad():
        reports = PARTS[said](change)
    reports = reports if isinstance(reports[0], list) else [reports]
    plain = [traded() if said.split(".")[0].split()[0] in TRADING else shared()]
    plain = [traded(), shared()] if said.startswith("learner") else plain
    if "scheme" in said:
        plain = [shared(scheme="ditto")]
    if "valuation" in said:
        plain = [traded(valuation="error_ratio")]
    for mine, same in zip(reports, plain, strict=True):
        for report, other in zip(mine, same, strict=True):
            assert torch.equal(report.rewards, other.rewards) and not report.rewards.requires_grad
            assert not any(values.requires_grad for values in report.infos().values())
            assert report.transfers.any() or "scheme" in said  # ditto moves no money


TRADING = ("mechanism", "valuation", "alignment", "alpha", "exchange")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            {"mechanism": lambda bids, asks: bids},
            r"mechanism returned a Tensor, wanted Sales\(allocation, prices\)",
        ),
        (
            {"mechanism": lambda bids, asks: (bids > 0, bids)},
            "mechanism returned a tuple of 2, wanted Sales",
        ),
        ({"mechanism": lambda bids, asks: None}, "mechanism returned None, wanted Sales"),
        (
            {"valuation": lambda trial: trial.loss_after},
            r"valuation returned a Tensor, wanted Gain\(shown, worth\)",
        ),
        (
            {"alignment": lambda params, *rest: params},
            r"alignment returned a Tensor, wanted Aligned\(offers, orders\)",
        ),
        (
            {"exchange": lambda *given: None},
            r"exchange returned None, wanted Settlement\(params, trades, prices, reason\)",
        ),
        (
            {"learner": Teacher("train", lambda done: done[0])},
            r"learner.train returned a Tensor, wanted \(params, slots\)",
        ),
        (
            {"learner": Teacher("scores", lambda done: done.loss)},
            r"learner.scores returned a Tensor, wanted Scores\(loss, accuracy\)",
        ),
        (
            {"learner": Teacher("init", lambda params: params / 0)},
            "learner.init returned parameters that are not finite",
        ),
    ],
)
def test_another_object_is_refused_with_what_was_wanted(part, said):
    with pytest.raises(ValueError, match=said):
        traded(**part)


def test_a_pair_of_tensors_is_an_alignment_and_scores():
    pair = lambda *given: tuple(ALIGNMENTS["none"](*given))  # noqa: E731
    learner = Teacher("scores", tuple)
    assert torch.equal(traded(alignment=pair, learner=learner)[-1].rewards, traded()[-1].rewards)
    assert isinstance(pair(torch.zeros(1, 2, 1), None, None, None, None), tuple) and not isinstance(
        pair, Aligned
    )


def test_a_learners_own_losses_are_checked_too():
    def losses(change):
        learner = Teacher("losses", None)
        learner.losses = lambda models, exam: change(learner.real.scores(models, exam).loss)
        return learner

    assert torch.equal(traded(learner=losses(lambda t: t))[-1].rewards, traded()[-1].rewards)
    with pytest.raises(
        ValueError,
        match=r"learner.losses returned losses of shape \[1, 30\] float32, wanted \[4, 30\]",
    ):
        traded(learner=losses(lambda t: t[:1]), alpha="grid")  # 3 pairs of agents x 10 weights


@pytest.mark.parametrize("wrong", [1.7, -0.1, torch.nan])
def test_accuracies_that_are_no_shares_are_refused(wrong):
    learner = teacher("scores", 1)(lambda t: torch.full_like(t, wrong))
    words = rf"learner.scores returned an accuracy of {wrong}, wanted shares from 0 to 1"
    for play in (traded, shared):
        with pytest.raises(ValueError, match=words):
            play(learner=learner)
    # a sum of shares may round to a little more
    assert traded(learner=teacher("scores", 1)(lambda t: torch.ones_like(t) + 1e-6))


class Inherits(MLP):
    """An MLP that counts the models whose losses are asked for."""

    asked = 0

    def losses(self, params, exam):
        Inherits.asked += params.shape[:2].numel()
        return super().losses(params, exam)


class States(Inherits):
    """The same, which says how its first layer is computed."""

    change = staticmethod(lambda losses: losses)

    @property
    def first_linear(self):
        first = MLP.first_linear.fget(self)
        return first._replace(losses=lambda *given: self.change(first.losses(*given)))


class Wrong(States):
    change = staticmethod(lambda losses: losses[:1])
    first_linear = States.first_linear


def test_an_own_learner_is_scored_by_layers_only_where_its_class_says_how():
    rewards = []
    # by layers, two purchases of one buyer are compared with whole models in each of the searches;
    # else all 3 pairs of agents are asked for in 4 markets, at 10 weights
    for kind, asked in ((Inherits, 4 * 30), (States, 2), (MLP, 0)):
        learner = kind((5,), 1, "regression", TRAINING, hidden=(4,))
        Inherits.asked = 0
        reports = traded(learner=learner)
        rewards.append(reports[-1].rewards)
        assert Inherits.asked == len(reports) * asked
    assert torch.allclose(rewards[0], rewards[2], atol=1e-4)
    assert torch.equal(rewards[1], rewards[2])


def test_the_parts_of_an_own_learners_scores_are_checked_too():
    with pytest.raises(
        ValueError, match=r"learner.first_linear.losses returned losses of shape \[1, 30\] float32"
    ):
        traded(learner=Wrong((5,), 1, "regression", TRAINING, hidden=(4,)))


def by_parts(**parts):
    """A learner of a user's own, with these parts in place of those of an MLP."""

    class Own(MLP):
        @property
        def first_linear(self):
            first = MLP.first_linear.fget(self)
            return first._replace(**{name: part(first) for name, part in parts.items()})

    return Own((5,), 1, "regression", TRAINING, hidden=(4,))


@pytest.mark.parametrize(
    "parts",
    [
        {"outputs": lambda first: lambda *given: first.outputs(*given).relu()},
        {"outputs": lambda first: lambda *given: 0 * first.outputs(*given)},
        {"losses": lambda first: lambda *given: 3 * first.losses(*given)},
        {"losses": lambda first: lambda *given: 0 * first.losses(*given)},
    ],
    ids=["not linear", "no outputs", "another scale", "no losses"],
)
def test_parts_that_give_other_losses_than_whole_models_are_refused(parts):
    with pytest.raises(
        ValueError, match=r"learner.first_linear gives losses of .* for models with"
    ):
        traded(learner=by_parts(**parts))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"names": ()}, r"learner.first_linear.names is \(\), wanted a tuple of the tensors"),
        ({"names": ("first",)}, r"names is \('first',\), wanted"),
        ({"names": "layer0.weight"}, "names is 'layer0.weight', wanted"),
        ({"names": ("layer0.weight", "layer1.bias")}, "as many units each on axis 0"),
        ({"outputs": 3}, "learner.first_linear.outputs is 3, wanted a function"),
        ({"at_once": lambda exam: 2.5}, r"at_once\(exam\) is 2.5, wanted a whole number >= 1"),
        ({"at_once": lambda exam: 0}, r"at_once\(exam\) is 0, wanted a whole number >= 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_parts_that_are_none_are_refused_by_their_names(parts, words):
    changed = {name: lambda first, part=part: part for name, part in parts.items()}
    with pytest.raises(ValueError, match=words):
        traded(learner=by_parts(**changed))


def test_nan_gains_are_refused_where_they_would_be_shown_as_the_largest():
    with pytest.raises(ValueError, match="valuation returned NaN, wanted numbers"):
        traded(valuation=field(VALUATIONS["error_ratio"], "worth", lambda t: t * torch.nan))


# --- prices ---------------------------------------------------------------------------------------

BIDS = torch.tensor([[[3.0], [0.1]]], dtype=torch.float64)  # one market, two buyers, one seller
ASKS = torch.ones(1, 1).double()


def rule(prices, sold=(True, False)):
    """A rule that always says the same; prices and sales of the two buyers."""
    return lambda bids, asks: Sales(
        torch.tensor([[[sold[0]], [sold[1]]]]), torch.as_tensor(prices).view(1, 2, 1)
    )


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (
            [-5.0, 0.0],
            r"a price of -5 at index \[0, 0, 0\], wanted a finite amount >= 0. No money moved",
        ),
        ([torch.nan, 0.0], "a price of nan .*wanted a finite amount"),
        ([torch.inf, 0.0], "a price of inf .*which is more than the bid of 3"),
        (
            [3.0001, 0.0],
            "a price of 3.0001 at index .*more than the bid of 3; wanted prices <= bids",
        ),
        ([2.0, 0.5], r"a price of 0.5 at index \[0, 1, 0\], where nothing is sold; wanted 0 there"),
        ([2.0, torch.nan], "a price of nan .*where nothing is sold"),
    ],
)
@pytest.mark.parametrize("where", ["alone", "reference_v0", "parameter_trading_v0"])
def test_every_market_refuses_the_same_prices(prices, said, where):
    if where == "alone":
        with pytest.raises(ValueError, match=said):
            apply_rule(rule(torch.tensor(prices).double()), BIDS, ASKS)
        return

    # the same relation to the bid; of all bids for a seller the highest wins
    def spoiled(bids, asks):
        fair = MECHANISMS["first_price"](bids, asks)
        charged = torch.tensor(prices[0]).double() / 3 * bids
        return Sales(fair.allocation, torch.where(fair.allocation, charged, prices[1]))

    name = {
        "reference_v0": {"game": "first_price"},
        "parameter_trading_v0": LINEAR | {"learner": "linear"},
    }
    words = (
        "where nothing is sold"
        if prices[1]
        else "wanted a finite amount"
        if not prices[0] > 3
        else "more than the bid"
    )
    with pytest.raises(ValueError, match="mechanism returned a price of .*" + words):
        played(where, mechanism=spoiled, **name[where])


def test_prices_of_a_coarser_type_may_pass_the_bid_by_its_rounding_and_are_the_bid_then():
    # float32(0.1) = 0.1 + 1.5e-9, which is 1.5e-8 of the bid: within two rounding units of float32,
    # 2.4e-7
    done = apply_rule(rule(torch.tensor([0.0, 0.1]), (False, True)), BIDS, ASKS)
    assert done.prices.dtype == torch.float64 and float(done.prices[0, 1, 0]) == 0.1
    # in float64 the same number is no rounding
    with pytest.raises(ValueError, match="more than the bid"):
        apply_rule(rule(torch.tensor([0.0, 0.1]).double(), (False, True)), BIDS, ASKS)
    whole = apply_rule(rule(torch.tensor([2, 0])), BIDS, ASKS)
    assert whole.prices.flatten().tolist() == [2, 0]


def test_a_rule_of_a_namespace_without_a_name_is_checked_as_every_own_rule():
    space = {"Sales": Sales}  # as exec() leaves it: without __name__
    exec("def dear(bids, asks): return Sales(bids > 0, 2 * bids)", space)
    with pytest.raises(ValueError, match="more than the bid"):
        apply_rule(space["dear"], BIDS, ASKS)


def test_a_rule_in_float32_trades_as_in_float64():
    def coarse(bids, asks):
        fair = MECHANISMS["first_price"](bids, asks)
        return Sales(fair.allocation, fair.prices.float())

    for mine, same in zip(traded(mechanism=coarse), traded(mechanism="first_price"), strict=True):
        assert torch.allclose(mine.transfers, same.transfers, rtol=1e-6)
        assert torch.equal(mine.of(Traded).trades, same.of(Traded).trades)
    first = played("reference_v0", game="first_price", mechanism=coarse, max_cycles=3)
    same = played("reference_v0", game="first_price", max_cycles=3)
    assert all(
        torch.allclose(a.transfers, b.transfers, rtol=1e-6)
        for a, b in zip(first, same, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("prices", lambda t: t - 5, "exchange returned a price of -"),
        ("prices", lambda t: t / 0, "exchange returned a price of (nan|inf)"),
        ("prices", lambda t: t * 5, "exchange returned a price of .* more than the bid"),
        ("trades", torch.ones_like, "exchange let agent 0 of market 0 buy from itself"),
        (
            "reason",
            lambda t: t * 0 + 99,
            "exchange returned a reason of 99, wanted numbers of REASONS",
        ),
    ],
)
def test_an_own_exchange_is_held_to_fair_prices(name, change, said):
    with pytest.raises(ValueError, match=said):
        traded(exchange=field(EXCHANGES["trade"], name, change))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("prices", lambda t: t + 7, "scheme returned a price of 7 .*nothing is sold"),
        (
            "trades",
            torch.ones_like,
            "scheme let agent 0 of market 0 buy from 0, whose model is its own",
        ),
        (
            "pull",
            lambda t: torch.full_like(t, -1),
            "scheme returned a pull of -1, wanted finite numbers >= 0",
        ),
    ],
)
def test_an_own_scheme_is_held_to_fair_prices(name, change, said):
    with pytest.raises(ValueError, match=said):
        shared(scheme=scheme("ditto", name)(change))


# --- what is lent is not changed ------------------------------------------------------------------


def tensors_of(value):
    """All tensors in what a part is given; worlds are shared, and not its own to copy."""
    if isinstance(value, torch.Tensor):
        return [value]
    held = (
        vars(value).values()
        if dataclasses.is_dataclass(value)
        else value
        if isinstance(value, tuple)
        else ()
    )
    return [] if tree.is_node(value) else [tensor for part in held for tensor in tensors_of(part)]


def vandal(part):
    """The same part, which then wipes everything that it was given."""

    def wiping(*given):
        returned = tree.copied(part(*given))
        for tensor in tensors_of(given):
            tensor.zero_()
        return returned

    return wiping


def wiping(kind, name):
    return dataclasses.replace(kind, **{name: vandal(getattr(kind, name))})


@dataclasses.dataclass
class Wiper(Teacher):
    """A learner of one's own that wipes what one of its methods was given."""

    def __getattr__(self, name):
        real = getattr(LEARNERS["linear"]((5,), 1, "regression", TRAINING), name)
        if name != self.method:
            return real
        return lambda models, *given, **more: vandal(lambda models: real(models, *given, **more))(
            models
        )


@pytest.mark.parametrize(
    ("play", "plain", "spoiled"),
    [
        (traded, {}, {"mechanism": vandal(MECHANISMS["nash_bargaining"])}),
        (traded, {"valuation": "error_ratio"}, {"valuation": vandal(VALUATIONS["error_ratio"])}),
        (traded, {}, {"alpha": vandal(WEIGHTS["closed_form"])}),
        (traded, {}, {"exchange": vandal(EXCHANGES["trade"])}),
        (traded, {}, {"learner": Wiper("train", None)}),
        (traded, {}, {"learner": Wiper("scores", None)}),
        (shared, {}, {"graph": vandal(GRAPHS["break"]), "payment": "marginal"}),
        (shared, {}, {"distance": wiping(DISTANCES["cosine"], "between")}),
        (shared, {"scheme": "ditto"}, {"scheme": wiping(SCHEMES["ditto"], "settle")}),
        (shared, {}, {"learner": Wiper("train", None)}),
    ],
    ids=[
        "rule",
        "valuation",
        "alpha",
        "exchange",
        "train",
        "scores",
        "graph",
        "distance",
        "scheme",
        "sharing train",
    ],
)
def test_a_part_that_edits_what_it_was_given_changes_nothing(play, plain, spoiled):
    for one, other in zip(play(**plain), play(**spoiled), strict=True):
        assert torch.equal(one.rewards, other.rewards) and torch.equal(
            one.transfers, other.transfers
        )


# --- graphs, payments and gains of one's own ------------------------------------------------------


def test_a_graph_buys_only_what_is_for_sale():
    everything = shared(graph=lambda terms: torch.ones_like(terms.pairs))
    others = shared(graph=lambda terms: terms.pairs)
    for mine, same in zip(everything, others, strict=True):
        trades = mine.of(Shared).trades
        assert torch.equal(trades, same.of(Shared).trades) and torch.equal(
            mine.rewards, same.rewards
        )
        assert not trades.diagonal(dim1=1, dim2=2).any() and trades.sum(2).eq(2).all()


def test_a_payment_prices_only_what_is_bought():
    with pytest.raises(ValueError, match=r"payment returned a price of 1 .*nothing is sold"):
        shared(payment=lambda terms, trades, graph: torch.ones_like(terms.discounts))
    with pytest.raises(ValueError, match=r"payment returned a price of 1\.5e\+308"):
        shared(payment=lambda terms, trades, graph: trades.double() * 1.5e308)


@dataclasses.dataclass(frozen=True)
class OwnGain(GAINS["log"]):
    change: object = None
    beyond_change: object = None

    def marginal(self, before, added, need):
        return self.change(super().marginal(before, added, need))

    def beyond(self, worth, added, need):
        found = GAINS["log"](self.scale).beyond(worth, added, need)
        return found if self.beyond_change is None else self.beyond_change(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t[0],
            r"gain.marginal returned money of shape \[3, 4\] float64, wanted \[2, 3, 4\]",
        ),
        (
            lambda t: t.mean(0, keepdim=True).expand_as(t),
            "gain.marginal returned other money for a market alone",
        ),
        (
            lambda t: t.float(),
            "gain.marginal returned money as torch.float32, wanted torch.float64",
        ),
        (
            lambda t: t * torch.ones((), requires_grad=True),
            "gain.marginal returned money with gradients",
        ),
        (lambda t: None, "gain.marginal returned money as None"),
    ],
)
def test_a_gain_of_ones_own_is_tried_when_the_market_is_made(change, said):
    with pytest.raises(ValueError, match=said):
        make_market("model_sharing_v0", learner=None, gain=OwnGain(change=change))
    with torch.no_grad(), pytest.raises(ValueError, match=said):
        make_market("model_sharing_v0", learner=None, gain=partial(OwnGain, change=change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.float(),
            "gain.beyond returned samples as torch.float32, wanted torch.float64",
        ),
        (
            lambda t: t[0],
            r"gain.beyond returned samples of shape \[3, 4\] float64, wanted \[2, 3, 4\]",
        ),
        (
            lambda t: t.mean(0, keepdim=True).expand_as(t),
            "gain.beyond returned other samples for a market alone",
        ),
        (
            lambda t: t * torch.ones((), requires_grad=True),
            "gain.beyond returned samples with gradients",
        ),
    ],
)
def test_the_method_that_a_graph_asks_of_a_gain_is_tried(change, said):
    with pytest.raises(ValueError, match=said):
        make_market(
            "model_sharing_v0", learner=None, gain=OwnGain(change=lambda t: t, beyond_change=change)
        )


def test_a_threshold_of_ones_own_is_refused_since_no_market_asks_it():
    class Asked(GAINS["log"]):
        def threshold(self, worth, added, need):
            return 2 * added

    with pytest.raises(ValueError, match=r"gain.threshold is never asked; define gain.beyond"):
        make_market("model_sharing_v0", learner=None, gain=Asked())


def test_a_gain_that_is_none_is_refused_and_a_right_one_is_taken():
    for gain, said in (
        (3.0, "gain is 3.0, wanted a name .* or a GainFamily"),
        (lambda scale: 7, "gain is a int, wanted a GainF"),
    ):
        with pytest.raises(ValueError, match=said):
            make_market("model_sharing_v0", learner=None, gain=gain)
    market = make_market("model_sharing_v0", learner=None, gain=OwnGain(2.0, change=lambda t: t))
    assert market.phase(ShareModels).rules.gain.scale == 2


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference_v0", "parameter_trading_v0", "model_sharing_v0"])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_networks_as_policies_leave_no_graph_behind_and_the_users_mode_as_it_was(name, mode):
    market = make_market(
        name,
        **({} if name == "reference_v0" else LINEAR | {"learner": "linear", "training": TRAINING}),
    )
    torch.manual_seed(0)
    nets = {
        move.name: torch.nn.Linear(move.observation.dim, move.action.dim) for move in market.moves
    }

    def policy(observation, move, keys):
        return nets[move.name](observation / (1 + observation.abs())).tanh()

    with mode():
        enabled, now = torch.is_grad_enabled(), rounds.begin(market, SEEDS)
        while now.playing:
            assert not any(seen.requires_grad for seen in rounds.observe(market, now).values())
            actions = rounds.act(market, dict.fromkeys(agent_names(market), policy), now)
            assert not any(values.requires_grad for values in actions.values())
            leaves = {
                role: values.clone().requires_grad_(enabled) for role, values in actions.items()
            }
            now, report = rounds.advance(market, now, leaves)
            everything = tree.leaves(now) | tree.leaves(report)
            assert len(everything) > 5 and not any(
                tensor.requires_grad for tensor in everything.values()
            )
            assert torch.is_grad_enabled() == enabled


@pytest.mark.parametrize("options", [{"engine": "loop"}, {"engine": "vmap"}], ids=str)
def test_training_under_no_grad_and_inference_mode_is_the_same(options):
    network = torch.nn.Sequential(torch.nn.Linear(5, 1))
    config = LINEAR | {
        "learner": "module",
        "learner_options": {"module": network} | options,
        "training": TRAINING,
    }
    plain = played("parameter_trading_v0", **config)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            reports = played("parameter_trading_v0", **config)
        assert all(torch.equal(a.rewards, b.rewards) for a, b in zip(reports, plain, strict=True))


def test_true_parameters_count_only_for_models_of_their_form():
    """The linear data's true parameters say nothing of a model with a bias: it is traded by its
    loss, as any other.
    """
    network = torch.nn.Linear(5, 1)
    config = LINEAR | {
        "learner": "module",
        "learner_options": {"module": network},
        "training": TRAINING,
    }
    assert played("parameter_trading_v0", **config)[0].transfers.any()
    with pytest.raises(ValueError, match="error_ratio got a trial without parameter errors"):
        played("parameter_trading_v0", valuation="error_ratio", **config)
