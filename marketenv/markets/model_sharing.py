"""The model-sharing market of iPFL ("Incentivizing Inclusive Contributions in Model Sharing Markets", arXiv 2505.02462).

A round: every client trains, held near what it bought last (``quote``); clients report (N, c, K), upload a model and
choose their next effort; distances between the uploads and the reports decide who buys whose model and at which price;
buyers get a prox centre, money moves, and who loses may leave (``clear``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property, partial
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import named_part
from marketenv.core.clock import Clock
from marketenv.core.devices import device_of
from marketenv.core.fields import Choice, Field, Fields, Multiple, Share, just_above
from marketenv.core.horizon import share_played
from marketenv.core.lookup import lookup
from marketenv.core.market import Past, Report, Role, Stage
from marketenv.core.pairs import others
from marketenv.core.policy import uniform_random
from marketenv.core.transfers import Ledger
from marketenv.data import Source, make_source
from marketenv.data.sources import LINEAR
from marketenv.learners import Learner, Pull, Scores, Training
from marketenv.markets import own_parts
from marketenv.markets.arguments import make_learner, makes_gains
from marketenv.markets.model_sharing_types import ModelSharingConfig, SharingQuotes, SharingReport, SharingState
from marketenv.markets.sharing_schemes import SCHEMES, Given, Scheme, Shared
from marketenv.markets.sharing_worlds import SharingContent, SharingWorlds, check_drift, open_content
from marketenv.markets.uploads import UPLOADS, Models, drawn_distance, make_uploads
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import (
    GAINS,
    GRAPHS,
    SHARING_PAYMENTS,
    ClientTypes,
    GainFamily,
    SharingOutcome,
    SharingTerms,
    check_sharing,
    cost_breakpoints,
    distance_discounts,
    gains,
    utilities,
)
from marketenv.mechanisms.collaboration_graph import MOST_EXACT
from marketenv.valuation import DISTANCES, ModelDistance

DEFAULT_TRAINING = Training(optimizer="sgd", learning_rate=0.01, momentum=0.9, weight_decay=1e-5, batch_size=64, steps=10)
NO_DATA = (5000.0, 0.6)  # median and log deviation of sizes where nobody has data
LEAVES = -0.9  # whose stay is below leaves
REPORTED = {"cost": "costs", "size": "sizes", "need": "needs"}  # the reported fields, and the types that they tell
LARGEST = 100.0  # loss that anybody is told
WALK = (1e-12, 1e12)  # where drifting costs and needs stay
DUST = 1e-9  # share of the money at stake below which a loss is rounding: a price that takes all of a gain leaves -4e-16 of it


STAY = Choice(
    "stay", options=("leave", "stay"), edges=(LEAVES,), text=f"below {LEAVES} the client leaves for good, before anything is sold"
)
ACTION = Fields(
    (
        *(Multiple(name, decades=1.0, of=name, text=f"reported {name}") for name in REPORTED),
        Share("effort", unit="of full effort", text="effort of the next training: the share of its steps that are done"),
        Choice("upload", options=tuple(UPLOADS), text="kind of upload"),
        STAY,
    )
)


def truthful(observation: Tensor, role: Role, keys: Tensor) -> Tensor:
    """Report one's types, upload one's model, train at full effort and stay: [markets, 6]."""
    types = {name: (observation[..., role.observation.slices[name]] > 0).double() for name in REPORTED}  # 0 is reported as 0
    return role.write(observation, **types, effort=1.0, upload="honest", stay="stay")


def _walked(values: Tensor, steps: Tensor) -> Tensor:
    """Positive values a step of their logs later, not out of ``WALK``, since no sum of money holds much more; 0 stays."""
    low, high = (values.new_tensor(end) for end in WALK)
    ends = values.minimum(low), values.maximum(high)  # what was given beyond them may stay there
    return torch.where(values > 0, (values * steps.exp()).clamp(*ends), values)


POLICIES: dict[str, Any] = {"truthful": truthful, "random": uniform_random}


class ModelSharingMarket:
    """A batch of model-sharing markets; see the module's text for a round and the config for its parts."""

    report_type: type[Report] = SharingReport
    stages: tuple[Stage, ...] = (Stage("share", ("client",)),)
    policies: dict[str, Any] = POLICIES

    def __init__(self, config: ModelSharingConfig | None = None) -> None:
        self.config = c = config or ModelSharingConfig()
        self.device, self.horizon, self.n_agents = device_of(c.device), c.max_cycles, c.n_agents
        self.cut = c.horizon == "cut"
        self.distance: ModelDistance = named_part(c.distance, "distance", DISTANCES, "a ModelDistance object", kind=ModelDistance)
        self.scheme: Scheme = named_part(c.scheme, "scheme", SCHEMES, "a Scheme object", kind=Scheme)
        self._check_money()
        self.source: Source | None = None
        self.learner: Learner | None = None
        self._open: Callable[[Tensor], SharingContent] | None = None
        if c.learner is not None:
            self.source = self._source()
            self.learner = self._learner(self.source)
            if c.data_drift:
                check_drift(self.source, float(c.data_drift), torch.zeros(1, dtype=torch.int64, device=self.device))
            shared = shared_exams(self.source, self.device)
            self._open = partial(open_content, self.source, self.learner, float(c.data_drift), shared)
        self.gain = self._gain()
        self._joins = torch.tensor(c.joins or (0,) * c.n_agents, device=self.device)

    def _check_money(self) -> None:
        """Refuse payments that do not fit the graph, and a graph that would try too many sets."""
        c = self.config
        graph, payment = check_sharing(c.graph, c.payment)
        if payment is SHARING_PAYMENTS["vcg"] and c.graph != "exact":
            raise ValueError(f"payment is 'vcg' with graph {c.graph!r}, wanted graph='exact'; or payment='critical'.")
        if payment is SHARING_PAYMENTS["critical"] and not isinstance(c.graph, str):
            raise ValueError(
                f"payment is 'critical' with graph {c.graph!r}, wanted a graph by name ({', '.join(GRAPHS)}), whose critical "
                "values are known; or payment='marginal', which prices every graph."
            )
        if graph is GRAPHS["exact"] and c.n_agents > MOST_EXACT:
            raise ValueError(
                f"graph is 'exact' with {c.n_agents} clients; it tries 2^(clients - 1) sets and takes at most {MOST_EXACT}. "
                "Use graph='continue'."
            )

    def _source(self) -> Source:
        """The data; the partition's own defaults go only where it deals them out."""
        c = self.config
        options = {"root": c.root, "download": c.download, **c.data_options}
        owned = isinstance(c.data, Source) or (isinstance(c.data, str) and c.data == LINEAR)
        if isinstance(c.partition, str) and c.partition == "dirichlet" and not owned:
            options = {"alpha": 0.1, "min_size": 5} | options
        source: Source = make_source(c.data, c.partition, c.n_agents, **options).to(self.device)
        return source

    def _learner(self, source: Source) -> Learner:
        c = self.config
        return make_learner(c.learner, source, c.training or DEFAULT_TRAINING, c.learner_options)

    def _gain(self) -> GainFamily:
        """The gain; families that need a scale take the mean size of a client's data."""
        given = self.config.gain
        wanted = "a GainFamily object, or a callable scale -> GainFamily"
        gain = given if makes_gains(given) else named_part(given, "gain", GAINS, wanted, kind=GainFamily)
        if makes_gains(gain):
            gain = gain() if gain is GAINS["inverse_sqrt"] else gain(scale=self._mean_size())
        return gain if isinstance(given, str) else own_parts.check_gain(gain)

    def _mean_size(self) -> float:
        """Mean size of a client: as given, of the given interval, of the data, or of what is drawn without data."""
        c = self.config
        if "sizes" in c.types:
            return fmean(c.types["sizes"])
        if c.sizes is not None:
            return sum(c.sizes) / 2
        if self.source is None:
            median, deviation = NO_DATA
            return median * math.exp(deviation**2 / 2)
        seed = torch.zeros(1, dtype=torch.int64, device=self.device)
        return float(self.source.federation(seed).train.size.double().mean())

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """Clients: what each sees by name (``others`` in the order of agents without itself), and what it may do."""
        others = self.n_agents - 1
        seen = Fields(
            (
                Field("size", 1, 0.0, 1e6, "own type: samples, as a multiple of the market's mean"),
                Field("cost", 1, 0.0, 1e6, "own type: money that a sale costs"),
                Field("need", 1, 0.0, 1e6, "own type: K, as a multiple of the market's mean; 0 is a pure seller"),
                Field("effort_cost", 1, 0.0, max(self.config.effort_cost[1], 1e-6), "own type: money per full effort"),
                Field("loss", 1, 0.0, LARGEST, "own loss on validation data weighted by own labels"),
                Field("accuracy", 1, 0.0, 1.0, "own accuracy on them"),
                Field("bought", others, 0.0, 1.0, "whose models one bought in the last round"),
                Field("sold", others, 0.0, 1.0, "to whom one sold"),
                Field("last_paid", 1, 0.0, 1e6, "money paid in the last round"),
                Field("last_earned", 1, 0.0, 1e6, "money received in the last round"),
                Field("present", 1, 0.0, 1.0, "whether one is in the market"),
                Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
            )
        )
        return (Role("client", self.n_agents, seen, ACTION),)

    def reset(self, seeds: Int[Tensor, "markets"]) -> SharingState:
        """Draw data, types and the common first model; effort is 1 for the first training."""
        n, c = self.n_agents, self.config
        world = self.open_worlds(seeds)
        types = self._types(seeds, world)
        nothing = torch.zeros_like(types.sizes)
        ones = torch.ones(len(seeds), n, dtype=torch.float32, device=self.device)
        start = ones[:, :1, None][..., :0]
        if self.learner is not None:
            start = own_parts.first_models(self.learner, draws.fold(seeds, "first model"))[:, None]
        params = start.expand(-1, n, -1)
        low, high = c.effort_cost
        return SharingState(
            seeds=seeds,
            round=torch.zeros_like(seeds),
            params=params,
            trained=params,
            start=start,
            centre=params,
            pull=torch.zeros_like(ones),
            second=params if self.scheme.second else params[..., :0],
            best=params,
            best_accuracy=torch.full_like(ones, -1.0),
            best_loss=torch.full_like(ones, torch.inf),
            loss=torch.zeros_like(ones),
            accuracy=torch.zeros_like(ones),
            effort=ones,
            effort_cost=low + (high - low) * self._drawn(seeds, "effort cost"),
            types=types,
            reported=types,
            gone=torch.zeros_like(ones, dtype=torch.bool),
            ledger=Ledger(nothing + c.cash, nothing + c.credit),
            bought=torch.zeros(len(seeds), n, n, dtype=torch.bool, device=self.device),
            last_paid=nothing,
            last_earned=nothing,
            world=world,
        )

    def quote(self, state: SharingState, past: Past) -> SharingQuotes:
        """Train everybody who is there, held near what it bought last, and score the models."""
        clock, present = Clock(self.device), self.present(state)
        if state.world is None:
            nothing = torch.zeros_like(state.loss)
            return SharingQuotes(state.params, state.second, torch.zeros_like(present), nothing, nothing, present, clock.seconds)
        effort, lessons = torch.where(present, state.effort, 0.0), state.world.material(state.round)
        pull = Pull(state.centre.flatten(0, 1), state.pull.flatten()) if bool((state.pull > 0).any()) else None
        trained, second = self._train(state, lessons, state.params, effort, pull), state.second
        if self.scheme.second:
            second = self._train(state, lessons, second, effort, None)
        clock.lap("train")
        scores = state.world.score(trained, state.round)
        diverged = ~(trained.isfinite().all(-1) & second.isfinite().all(-1) & scores.loss.isfinite())
        if bool(diverged.any()):
            trained = torch.where(diverged[..., None], state.params, trained)
            second = torch.where(diverged[..., None], state.second, second)
            scores = state.world.score(trained, state.round)
        clock.lap("evaluate")
        return SharingQuotes(trained, second, diverged, scores.loss, scores.accuracy, present, clock.seconds)

    def observe(self, state: SharingState, past: Past, quotes: SharingQuotes | None) -> Float[Tensor, "markets agents dim"]:
        """Pack what each client sees; after the last round nothing is quoted, and the last scores stand."""
        loss, accuracy = (state.loss, state.accuracy) if quotes is None else (quotes.loss, quotes.accuracy)
        present = self.present(state) if quotes is None else quotes.present
        types, mean = state.types, {n: getattr(state.types, n).mean(1, keepdim=True).clamp(min=1e-12) for n in ("sizes", "needs")}
        alone = {
            "size": types.sizes / mean["sizes"],
            "cost": types.costs,
            "need": types.needs / mean["needs"],
            "effort_cost": state.effort_cost,
            "loss": loss,
            "accuracy": accuracy,
            "last_paid": state.last_paid,
            "last_earned": state.last_earned,
            "present": present,
            "round": share_played(self, state.round)[:, None].expand_as(types.sizes),
        }
        pairs = {"bought": others(state.bought), "sold": others(state.bought.mT)}
        return self.roles[0].observation.pack(**pairs, **{name: values[..., None] for name, values in alone.items()})

    def clear(self, state: SharingState, past: Past) -> tuple[SharingState, SharingReport]:
        """Take reports and uploads, draw the graph, price it, send the prox centres, move the money, and let losers leave."""
        ((quotes, actions),) = past
        clock, means = Clock(self.device), self._read(state, actions)
        left = quotes.present & (means["stay"] == STAY.number("leave"))
        present = quotes.present & ~left
        reported, kind = self._reported(state, means), means["upload"].long()
        given = self._given(state, quotes, reported, present, kind)
        clock.lap("distances")
        done, broken = self._sound(state, quotes, own_parts.share(self.scheme, given))
        utility = utilities(state.types, self.gain, done.bought, done.prices)
        gain = gains(state.types, self.gain, done.bought)
        transfers = SharingOutcome(done.bought, done.prices).transfers
        ledger = state.ledger.settle(transfers)
        clock.lap("settle")
        paid, received = transfers.sum(2), transfers.sum(1)
        effort = torch.where(quotes.present, state.effort, 0.0)
        gone = state.gone | left | self._exits(state, utility, self._stakes(state, given, done, gain), present)
        new = self._next(state, quotes, done, gone, means["effort"].float())
        new = dataclasses.replace(new, reported=reported, ledger=ledger, last_paid=paid, last_earned=received)
        report = SharingReport(
            rewards=utility - state.effort_cost * effort,
            transfers=transfers,
            terminated=torch.zeros_like(state.round, dtype=torch.bool),
            seconds=quotes.seconds | clock.seconds,
            utility=utility,
            gain=gain,
            paid=paid,
            received=received,
            effort=effort,
            bought=done.bought.sum(2),
            sold=done.bought.sum(1),
            loss=new.loss,
            accuracy=new.accuracy,
            cash=ledger.cash,
            present=present,
            upload=kind,
            reason=self._reasons(given, quotes, done, broken, present),
            distance=given.distance,
            discounts=given.terms.discounts,
            prices=done.prices,
            trades=done.bought,
            reported=reported,
        )
        return new, report

    def present(self, state: SharingState) -> Bool[Tensor, "markets agents"]:
        """Who is in the market: has joined and has not left."""
        return (state.round[:, None] >= self._joins) & ~state.gone

    def test_scores(self, state: SharingState, at: str = "last") -> Scores:
        """Loss and accuracy [markets, agents] on held-out test data, weighted by each client's labels in the last finished round.

        at: ``last`` trained model, or the ``best`` one by the accuracy that ``select`` names. ValueError without a learner.
        """
        if state.world is None:
            raise ValueError("learner is None, so there are no models to test; build the market with a learner.")
        models = lookup({"last": state.trained, "best": state.best}, at, "model to test")
        return state.world.score(models, (state.round - 1).clamp(min=0), held_out=True)

    def cost_breakpoints(self, state: SharingState, past: Past, agent: int) -> Float[Tensor, "markets candidates width"] | None:
        """Actions among which a client's best report of its cost is, all else as it was, for the utility of this round.

        None for graphs, payments and schemes of one's own, where credit is limited (a buyer may go broke in between), where
        reports are not read in this round, and where the true cost is 0, which a multiple cannot reach.
        past: this round's quotes and the actions of all clients
        """
        ((quotes, actions),) = past
        read = self.config.reports == "each_round" or bool((state.round == self._joins[agent]).all())
        named = self.scheme is SCHEMES["ipfl"] and isinstance(self.config.graph, str) and isinstance(self.config.payment, str)
        known = named and bool(state.ledger.purse.isinf().all())
        if not read or not known or bool((state.types.costs[:, agent] == 0).any()):
            return None
        cost, means = ACTION["cost"], self._read(state, actions)
        present = quotes.present & (means["stay"] == STAY.number("stay"))
        given = self._given(state, quotes, self._reported(state, means), present, means["upload"].long())
        points = cost_breakpoints(given.terms, agent, self.config.graph).clamp(min=1e-12)
        met = cost.write((points / state.types.costs[:, agent, None]).nan_to_num(cost.range[1]))
        least, most = cost.range
        truth_and_ends = cost.write(points.new_tensor([least, 1.0, most])).expand(len(met), -1)
        costs = torch.cat([met, just_above(met), -just_above(-met), truth_and_ends], 1)
        return torch.cat([costs[..., None], actions[:, agent, None, 1:].expand(-1, costs.shape[1], -1)], 2)

    def open_worlds(self, seeds: Int[Tensor, "markets"]) -> SharingWorlds | None:
        """What the seeds fix for good: everybody's data, laid out for the learner; None where nobody trains."""
        return None if self._open is None else SharingWorlds.of(self._open, seeds)

    # --- types and reports ----------------------------------------------------------------------------------------------

    def _drawn(self, seeds: Tensor, purpose: str) -> Float64[Tensor, "markets agents"]:
        return draws.uniform(draws.agent_keys(seeds, self.n_agents, purpose))

    def _types(self, seeds: Tensor, world: SharingWorlds | None) -> ClientTypes:
        """True sizes, costs and needs: given, or drawn from the config's intervals."""
        c, like = self.config, torch.zeros((), dtype=torch.float64, device=self.device)
        told = {name: like.new_tensor(values).expand(len(seeds), -1) for name, values in c.types.items()}
        sizes = told["sizes"] if "sizes" in told else self._sizes(seeds, world)
        paper = isinstance(self.gain, GAINS["inverse_sqrt"])
        low, high = c.needs or ((50.0, 100.0) if paper else (7.0, 10.0))
        scale = sizes.mean(1, keepdim=True) if paper else 1.0
        needs = (low + (high - low) * self._drawn(seeds, "needs")) * scale
        costs = c.costs[0] + (c.costs[1] - c.costs[0]) * self._drawn(seeds, "costs")
        return ClientTypes(sizes, told.get("costs", costs), told.get("needs", needs))

    def _sizes(self, seeds: Tensor, world: SharingWorlds | None) -> Float64[Tensor, "markets agents"]:
        if self.config.sizes is not None:
            low, high = self.config.sizes
            return low + (high - low) * self._drawn(seeds, "sizes")
        if world is not None:
            return world.content.train.size[world.at].double()
        median, deviation = NO_DATA
        return median * (deviation * draws.normal(draws.agent_keys(seeds, self.n_agents, "sizes"))).exp()

    def _read(self, state: SharingState, actions: Tensor) -> dict[str, Float64[Tensor, "markets agents"]]:
        """What the clients' actions mean, by field."""
        truth = {name: getattr(state.types, kind)[..., None] for name, kind in REPORTED.items()}
        return {name: meaning[..., 0] for name, meaning in ACTION.read(actions, truth).items()}

    def _reported(self, state: SharingState, means: dict[str, Tensor]) -> ClientTypes:
        """What the clients say: kept from their first round, or said anew; the market's mean stands in for a type of 0."""
        said = {}
        for name, kind in REPORTED.items():
            truth = getattr(state.types, kind)
            new = means[name] * torch.where(truth > 0, truth, truth.mean(1, keepdim=True))
            fresh = (state.round[:, None] == self._joins) | (self.config.reports == "each_round")
            said[kind] = torch.where(fresh, new, getattr(state.reported, kind))
        return ClientTypes(**said)

    def _drifted(self, state: SharingState) -> ClientTypes:
        """The next round's types: c and K walk where they drift."""
        c, types = self.config, state.types
        if not (c.cost_drift or c.need_drift):
            return types
        steps = draws.normal(draws.agent_keys(draws.fold(state.seeds, state.round), self.n_agents, "drift"), 2)
        costs, needs = _walked(types.costs, c.cost_drift * steps[..., 0]), _walked(types.needs, c.need_drift * steps[..., 1])
        return ClientTypes(types.sizes, costs, needs)

    def _train(self, state: SharingState, lessons: Any, params: Tensor, effort: Tensor, pull: Pull | None) -> Tensor:
        """One round of everybody's training; optimisers start anew in every round."""
        assert self.learner is not None
        keys = draws.agent_keys(draws.fold(state.seeds, state.round), self.n_agents, "train").flatten()
        slots = own_parts.fresh_slots(self.learner, len(keys), self.device)
        models = params.flatten(0, 1)
        return own_parts.train(self.learner, models, slots, lessons, effort.flatten(), keys, pull)[0].view_as(params)

    # --- a round's parts ------------------------------------------------------------------------------------------------

    def _given(self, state: SharingState, quotes: SharingQuotes, reported: ClientTypes, present: Tensor, kind: Tensor) -> Given:
        """What the scheme decides from: uploads, their distances, and the terms."""
        c, keys = self.config, draws.fold(state.seeds, state.round)
        shown = quotes.second if self.scheme.second else quotes.trained
        agents = draws.agent_keys(keys, self.n_agents, "upload")
        centre = torch.where((state.round[:, None] <= self._joins)[..., None], shown, state.centre)  # nothing was sent before
        uploads = make_uploads(Models(shown, state.start, centre, present, agents), kind)
        uploads = torch.where(quotes.diverged[..., None], torch.nan, uploads)
        drawn = self.learner is None
        distance = drawn_distance(keys, kind) if drawn else own_parts.distances(self.distance, uploads, state.start)
        discounts = distance_discounts(reported.sizes, distance, c.strength)
        terms = SharingTerms(reported, discounts, self.gain, present)
        parts = {"eta": c.eta, "strength": c.strength, "kind": self.distance, "graph": c.graph, "payment": c.payment}
        purse = state.ledger.purse
        return Given(uploads, quotes.trained, state.start, distance, terms, purse, **parts)

    def _sound(self, state: SharingState, quotes: SharingQuotes, done: Shared) -> tuple[Shared, Bool[Tensor, "markets agents"]]:
        """What was shared, and who would have got a model that is not finite: it gets nobody's, and no money moves for it.

        The next training starts from ``params`` and ``second``, so their losses have to be finite too; a centre only pulls.
        """
        broken = torch.zeros_like(quotes.diverged)
        got = ((done.params, quotes.trained, True), (done.second, quotes.second, True), (done.centre, quotes.trained, False))
        for models, own, starts in got if state.world is not None else ():
            changed = torch.zeros_like(broken) if models is own else (models != own).any(-1)
            if bool(changed.any()):
                sound = models.isfinite().all(-1)
                if starts and state.world is not None:
                    sound &= state.world.score(models, state.round).loss.isfinite()
                broken |= changed & ~sound
        if not bool(broken.any()):
            return done, broken
        row, before = broken[..., None], {"params": quotes.trained, "centre": quotes.trained, "second": quotes.second}
        kept = {name: torch.where(row, models, getattr(done, name)) for name, models in before.items()}
        kept |= {"prices": done.prices.masked_fill(row, 0.0), "pull": done.pull.masked_fill(broken, 0.0)}
        return dataclasses.replace(done, bought=done.bought & ~row, **kept), broken

    def _stakes(self, state: SharingState, given: Given, done: Shared, gain: Tensor) -> Float64[Tensor, "markets agents"]:
        """All amounts that a client's utility is made of, whatever their sign: what its rounding is measured by."""
        priced = torch.where(done.bought, done.prices.abs() + given.terms.discounts, 0.0)
        return gain + state.types.costs * done.bought.sum(1) + priced.sum(2) + priced.sum(1)

    def _exits(self, state: SharingState, utility: Tensor, stakes: Tensor, present: Tensor) -> Bool[Tensor, "markets agents"]:
        """Who leaves after the round because it lost in it."""
        loses = present & (utility < -DUST * stakes)
        if self.config.exits == "ir_prob":
            chance = draws.uniform(draws.agent_keys(draws.fold(state.seeds, state.round), self.n_agents, "exit"))
            return loses & (chance < 0.5)
        return loses if self.config.exits == "ir_strict" else torch.zeros_like(loses)

    def _next(self, state: SharingState, quotes: SharingQuotes, done: Shared, gone: Tensor, effort: Tensor) -> SharingState:
        """The state that the next round starts from; who has left keeps its best model."""
        scores = self._shown(state, quotes)
        better = quotes.present & (scores.accuracy > state.best_accuracy)
        better |= quotes.present & (scores.accuracy == state.best_accuracy) & (scores.loss < state.best_loss)
        best = torch.where(better[..., None], quotes.trained, state.best)
        kept = gone[..., None]
        joining = state.round[:, None] + 1 == self._joins  # whose first training is at full effort, as everybody's
        return dataclasses.replace(
            state,
            round=state.round + 1,
            params=torch.where(kept, best, done.params),
            trained=torch.where(kept, best, quotes.trained),
            centre=done.centre,
            pull=torch.where(gone, 0.0, done.pull),
            second=torch.where(done.bought.any(2, keepdim=True), done.second, quotes.second)
            if self.scheme.second
            else state.second,
            best=best,
            best_accuracy=torch.where(better, scores.accuracy, state.best_accuracy),
            best_loss=torch.where(better, scores.loss, state.best_loss),
            loss=torch.where(quotes.loss.isfinite(), quotes.loss, LARGEST),  # even the last finite model's may overflow
            accuracy=quotes.accuracy,
            effort=torch.where(joining, 1.0, effort),
            types=self._drifted(state),
            gone=gone,
            bought=done.bought,
        )

    def _shown(self, state: SharingState, quotes: SharingQuotes) -> Scores:
        """The scores of this round's models by which a client's best one is chosen."""
        if state.world is None or self.config.select == "validation":
            return Scores(quotes.loss, quotes.accuracy)
        return state.world.score(quotes.trained, state.round, held_out=True)

    def _reasons(
        self, given: Given, quotes: SharingQuotes, done: Shared, broken: Tensor, present: Tensor
    ) -> Int[Tensor, "markets agents"]:
        """Why each client ended as it did, as a number of ``REASONS``."""
        reason = (
            torch.where(given.terms.reported.needs > 0, 3, 2) if self.scheme.money else torch.full_like(done.bought.sum(2), 8)
        )
        reason = torch.where(done.broke, 4, reason)
        reason = torch.where(done.bought.any(2), 0 if self.scheme.money else 7, reason)
        reason = torch.where(given.uploads.isfinite().all(-1), reason, 5)
        reason = torch.where(broken, 9, reason)
        reason = torch.where(quotes.diverged, 6, reason)
        return torch.where(present, reason, 1)
