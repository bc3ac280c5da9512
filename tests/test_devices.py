"""The same numbers on any device and whatever torch's global settings are, shown without a second
device.

In ``PLACES`` torch's default device is "meta", which holds no numbers: a tensor that library code
makes without saying where lands there, and the first operation with data on the CPU fails. So what
runs in here, and comes out as it does outside, runs on a GPU too. Its default type is another one
too, and autocast rounds products: a tensor whose type nobody says, and a product that autocast
reaches, change the numbers. Everything that a test itself makes in there says device="cpu" and its
type.
"""

import contextlib
import functools

import numpy as np
import pytest
import torch

import marketenv
from agents.lineups import MixedStrategy, find_profile, play, seat
from agents.stress import (
    Attack,
    Budget,
    best_response,
    curve,
    estimate,
    ex_post_regret,
    families,
    market_nash_conv,
    psro,
    seeds_of,
    solve,
)
from agents.stress.attack import JUDGE
from agents.stress.meta_game import game_of, regrets
from marketenv.alignment import ALIGNMENTS, alpha_closed_form, alpha_grid
from marketenv.core import draws, rounds
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names
from marketenv.core.shards import Shards
from marketenv.data import (
    AUGMENTATIONS,
    DATASETS,
    PARTITIONS,
    Dataset,
    augmentation,
    find_dataset,
    from_arrays,
    make_source,
)
from marketenv.learners import LEARNERS, OPTIMIZERS, Training
from marketenv.learners.mlp_passes import Descent
from marketenv.learners.module import ModuleLearner
from marketenv.learners.reference import loop_train
from marketenv.markets.model_sharing import Shared, ShareModels
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.markets.model_sharing.uploads import UPLOADS
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.parameter_trading.weights import WEIGHTS
from marketenv.markets.reference import GAMES
from marketenv.mechanisms import (
    ASK_RULES,
    COMPUTE_FEES,
    DATA_RULES,
    GAINS,
    GRAPHS,
    MECHANISMS,
    PREFERENCES,
    PRICINGS,
    PRIORS,
    QUALITY_SCALES,
    RELEASES,
    SHARING_PAYMENTS,
    STACKELBERG_SOLVERS,
    Uniform,
    apply_data_rule,
    contest,
    contest_response,
    deferred_acceptance,
    hold_back,
    posted_profits,
    price_response,
    stackelberg,
)
from marketenv.mechanisms.equilibrium import linear_equilibrium_ask, linear_equilibrium_bid
from marketenv.metrics import mean_interval
from marketenv.valuation import DISTANCES, VALUATIONS, theorem_4_1

CPU = torch.device("cpu")


@contextlib.contextmanager
def elsewhere(default=torch.float64, device="meta", autocast=None):
    """A default type, a default device, and autocast to a type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        with (
            torch.device(device),
            torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


# float64 shows types that nobody names and that only meet wider ones, bfloat16 those that numbers
# pass through
PLACES = (elsewhere, functools.partial(elsewhere, torch.bfloat16, "cpu", torch.bfloat16))


@functools.cache
def pixels():
    digits = find_dataset("digits")
    return Dataset("pixels", digits.x[:60].view(-1, 1, 8, 8), digits.y[:60], 10)


def check_same(one, other):
    """Equal to the bit, and on the CPU."""
    assert one.device == other.device == CPU and torch.equal(one, other)


def check_everywhere(done):
    """A list of tensors comes out the same everywhere, and so do torch's own settings.

    A function in the list stands for the tensor that it returns at home: what was made elsewhere is
    called here.
    """
    wanted = done()
    for place in PLACES:
        with place():
            before = torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
            found = done()
            assert (torch.get_default_dtype(), torch.is_autocast_enabled("cpu")) == before
        for one, other in zip(found, wanted, strict=True):
            check_same(*(part() if callable(part) else part for part in (one, other)))


# --- markets --------------------------------------------------------------------------------------

TRADING = {"n_agents": 2, "max_cycles": 2}
LINEAR = {
    "data": "linear",
    "learner": "linear",
    "data_options": {"dimension": 4, "validation_size": 8, "test_size": 8},
}
NETS = {
    "cnn": {"learner_options": {"width": 2}},
    "resnet": {"learner_options": {"depth": 10}, "training": Training(steps=1, batch_size=4)},
    "cnn with batch norms": {"learner": "cnn", "learner_options": {"norm": "batch", "width": 2}},
    "cnn under vmap": {"learner": "cnn", "learner_options": {"engine": "vmap", "width": 2}},
}
PLAYED = {
    "mlp": TRADING,
    "linear": TRADING | LINEAR,
    **{name: TRADING | {"data": pixels, "learner": name} | config for name, config in NETS.items()},
}
PARTS = {
    **{f"valuation {name}": TRADING | LINEAR | {"valuation": name} for name in VALUATIONS},
    **{f"mechanism {name}": TRADING | LINEAR | {"mechanism": name} for name in MECHANISMS},
    **{f"alignment {name}": TRADING | {"alignment": name} for name in ALIGNMENTS},
    **{f"exchange {name}": TRADING | LINEAR | {"exchange": name} for name in EXCHANGES},
    **{f"weight {name}": TRADING | LINEAR | {"alpha": name} for name in WEIGHTS},
    "layers, noise, coalition": (
        TRADING
        | {
            "layers": (0,),
            "sabotage": 0.1,
            "coalition": (0, 1),
            "offered_layers": ((0,), None),
            "after_purchase": "reset",
        }
    ),
    "absolute bids, all told": (
        TRADING
        | {
            "bid_mode": "absolute",
            "disclosure": "full",
            "externality": 0.5,
            "max_purchases": 2,
        }
    ),
}


def episodes(name, config, policies):
    """Rewards and observations of two rounds by each policy, seeds given on the CPU: a list."""
    market, told = marketenv.make_market(name, **config), []
    for policy in policies:
        everyone = dict.fromkeys(agent_names(market), market.policies[policy])
        steps = list(rounds.play(market, everyone, torch.tensor([3, 4], device=CPU)))
        told += [report.rewards for _, _, report in steps if report is not None]
        told += [values for seen, _, _ in steps for values in seen.values()]
    return told


def check_episodes(name, config, *policies):
    check_everywhere(lambda: episodes(name, config, policies))


@pytest.mark.parametrize("case", [*PLAYED, *PARTS])
def test_rounds_of_the_parameter_market(case):
    config = (PLAYED | PARTS)[case]
    data = config.get("data", "digits")
    policies = ("truthful", "random") if case in PLAYED else ("truthful",)
    check_episodes(
        "parameter_trading_v0", config | {"data": data() if callable(data) else data}, *policies
    )


SHARING = {"n_agents": 3, "max_cycles": 2}
SHARED = {
    **{f"scheme {name}": SHARING | {"scheme": name} for name in SCHEMES},
    **{f"gain {name}": SHARING | {"learner": None, "gain": name} for name in GAINS},
    **{f"graph {name}": SHARING | {"learner": None, "graph": name} for name in GRAPHS},
    **{
        f"payment {name}": SHARING | {"learner": None, "graph": "exact", "payment": name}
        for name in SHARING_PAYMENTS
    },
    **{f"distance {name}": SHARING | {"distance": name} for name in DISTANCES},
    "drift, joins, exits": (
        SHARING
        | {
            "cost_drift": 0.1,
            "need_drift": 0.1,
            "data_drift": 0.1,
            "joins": (0, 0, 1),
            "exits": "ir_prob",
            "reports": "each_round",
        }
    ),
    "given types, chosen by test": (
        SHARING | {"types": {"costs": [1.0, 2.0, 3.0], "needs": [1e4, 2e4, 0.0]}, "select": "test"}
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_rounds_of_the_sharing_market(case):
    check_episodes("model_sharing_v0", SHARED[case], "truthful", "random")


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_of_the_sharing_market(name):
    def done():
        market = marketenv.make_market("model_sharing_v0", **SHARING)
        now = rounds.begin(market, torch.tensor([3, 4], device=CPU))
        actions = torch.zeros(2, 3, 6, dtype=torch.float32, device=CPU)
        upload = market.moves[0].action["upload"]
        actions[..., 4] = upload.write(upload.number(name))
        report = rounds.advance(market, now, {"client": actions})[1]
        return [report.of(Shared).distance, report.rewards]

    check_everywhere(done)


def test_what_the_sharing_market_tells_beside_its_rounds():
    def done():
        market = marketenv.make_market("model_sharing_v0", **SHARING)
        now = rounds.begin(market, torch.tensor([3, 4], device=CPU))
        actions = torch.zeros(2, 3, 6, dtype=torch.float32, device=CPU)
        share = market.phase(ShareModels)
        points = share.breakpoints(
            now.floor,
            now.owns[share.name],
            now.quotes,
            {"client": actions},
            ("client", 1),
            ("cost",),
        )
        after = rounds.advance(market, now, {"client": actions})[0]
        return [
            points,
            *rounds.test_scores(market, after),
            *rounds.test_scores(market, after, at="best"),
        ]

    check_everywhere(done)


@pytest.mark.parametrize("game", GAMES)
def test_rounds_of_the_reference_markets(game):
    check_episodes("reference_v0", {"game": game, "max_cycles": 2}, "truthful", "random")


def test_a_running_batch(tmp_path):
    def done():
        batch = Batch(marketenv.make_market("parameter_trading_v0", **TRADING | LINEAR), 2)
        batch.reset(7)
        policies = dict.fromkeys(agent_names(batch.market), batch.market.policies["truthful"])
        zeros = batch.infos()["utility"]
        batch.step(batch.act(policies))
        batch.save(tmp_path / "state")
        seen = batch.load(tmp_path / "state")
        turn = batch.step(batch.act(policies), restart=True)
        return [
            zeros,
            *seen.values(),
            turn.rewards,
            *turn.observations.values(),
            batch.infos()["utility"],
        ]

    check_everywhere(done)


@pytest.mark.parametrize("name", ["parameter_trading_v0", "model_sharing_v0", "reference_v0"])
@pytest.mark.parametrize(
    "place",
    [
        *(
            functools.partial(elsewhere, default, "cpu")
            for default in (torch.float64, torch.float16, torch.bfloat16)
        ),
        *(
            functools.partial(elsewhere, torch.float32, "cpu", to)
            for to in (torch.bfloat16, torch.float16)
        ),
        torch.inference_mode,
    ],
    ids=[
        "float64",
        "float16",
        "bfloat16",
        "autocast bfloat16",
        "autocast float16",
        "inference_mode",
    ],
)
def test_an_environment_plays_alike_under_each_of_torchs_settings(name, place, tmp_path):
    """Reset, step, infos, what a loaded copy is shown; the policies are the market's own, and
    one of a user's.
    """

    def played():
        env = marketenv.make_parallel(
            name,
            **({"max_cycles": 2} if name == "reference_v0" else {"n_agents": 2, "max_cycles": 2}),
        )
        steps = [env.reset(seed=5)]
        for _ in range(2):
            steps.append(
                env.step(
                    {a: np.full(env.action_space(a).shape, 0.5, np.float32) for a in env.agents}
                )
            )
            if env.agents:
                env.save(tmp_path / "state")
        shown, told = env.load(tmp_path / "state")
        steps.append((shown, told))
        return [(np.concatenate([*step[0].values()]).tolist(), step[1:]) for step in steps]

    wanted = played()
    with place():
        assert played() == wanted


# --- learners -------------------------------------------------------------------------------------

OPTIONS = {
    "linear": {},
    "mlp": {"hidden": (6,)},
    "cnn": {"width": 2},
    "resnet": {"depth": 10},
    "module": {},
    "recurrent": {"hidden": 3, "characters": 17},
}
TWO_ENGINES = ("cnn", "resnet", "recurrent", "module")
ENGINES = [
    (name, engine)
    for name in LEARNERS
    for engine in (("loop", "vmap") if name in TWO_ENGINES else ("",))
]


def small(task):
    """Ten images of each of two owners, the second one's padded."""
    data = pixels()
    y = data.y % 3 if task == "classification" else data.x.mean((1, 2, 3))
    return Shards(
        data.x, y, torch.arange(20, device=CPU).view(2, 10), torch.tensor([10, 8], device=CPU)
    )


def learn(name, options, training):
    """What a learner does: first parameters, a round of training, scores of owned and shared
    exams, export.
    """
    task = "regression" if name == "linear" else "classification"
    shards, keys = small(task), torch.arange(2, device=CPU)
    if name == "recurrent":  # grey levels 0..16 as characters
        shards = Shards(
            (shards.x.flatten(1)[:, 20:26] * 16).round(), shards.y, shards.index, shards.size
        )
    learner = LEARNERS[name](
        shards.x.shape[1:], 1 if task == "regression" else 3, task, training, **options
    )
    params, slots, effort = (
        learner.init(keys),
        learner.fresh_slots(2),
        torch.tensor([0.5, 1.0], dtype=torch.float32, device=CPU),
    )
    new, held = learner.train(params, slots, learner.prepare(shards), effort, keys)
    done = [params, new, held]
    # the plain loop takes no part of a learner but its outputs: one net is enough to show it
    if name != "resnet":
        done += loop_train(learner, params, slots, shards, effort, keys)
    for owners in (shards, Shards(shards.x, shards.y, shards.index[:1], shards.size[:1])):
        done += learner.scores(new[:, None], learner.exam(owners))
    if hasattr(learner, "export"):
        done += exported(learner, new[0], shards.x[:4])
    return done


def exported(learner, flat, x):
    """An exported net's tensors and its answer at home: a plain module, it would rightly follow
    torch's settings elsewhere.
    """
    net = learner.export(flat, x)
    return [*net.state_dict().values(), lambda: net(x).detach()]


@pytest.mark.parametrize(
    "optimizer, batch_size", [(name, size) for name in OPTIMIZERS for size in (None, 4)]
)
@pytest.mark.parametrize(
    "name, engine", ENGINES, ids=["-".join(filter(None, pair)) for pair in ENGINES]
)
def test_learners(name, engine, optimizer, batch_size):
    assert name in OPTIONS, f"learner {name!r} is not tried elsewhere: add its options"
    minibatches = (
        {}
        if name == "linear"
        else {
            "batch_size": batch_size,
            "augment": augmentation(("flip_crop", "none"), 2, (1, 8, 8)),
        }
    )
    if name == "recurrent":  # text is not flipped
        minibatches = {"batch_size": batch_size}
    training = Training(steps=2, optimizer=optimizer, learning_rate=0.01, **minibatches)
    options = OPTIONS[name] | ({"engine": engine} if engine else {})
    if name == "module":  # the user's own, made where the user says
        options |= {"module": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))}
    check_everywhere(lambda: learn(name, options, training))


def test_batch_norms_and_export():
    def done():
        learner = LEARNERS["cnn"](
            (1, 8, 8), 3, "classification", Training(batch_size=4, steps=2), norm="batch", width=2
        )
        flat, x = learner.init(torch.arange(1, device=CPU))[0], pixels().x[:8]
        return exported(learner, flat, x)

    check_everywhere(done)


@pytest.mark.parametrize(
    "plant",
    [lambda x: torch.zeros(3), lambda x: torch.arange(x.shape[0]), lambda x: torch.tensor(1.5)],
)
def test_a_tensor_without_a_device_is_seen(plant, monkeypatch):
    # these tests must be able to fail: one tensor of this kind anywhere in training goes red
    inner = Descent.take

    def take(self, step, x, *rest):
        return inner(self, step, x + plant(x).sum() * 0, *rest)

    monkeypatch.setattr(Descent, "take", take)
    learn("mlp", {}, Training(steps=1))  # nothing to be seen at home
    with elsewhere(), pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
        for tensor in learn("mlp", {}, Training(steps=1)):
            check_same(tensor, tensor)


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_without_a_type_is_seen(place, monkeypatch):
    inner = Descent.take

    def take(self, step, x, *rest):
        return inner(self, step, (x * torch.full((1, 1, 1), 1 / 3, device=CPU)).to(x), *rest)

    monkeypatch.setattr(Descent, "take", take)
    wanted = learn("mlp", {}, Training(steps=1))
    with place():
        found = learn("mlp", {}, Training(steps=1))
    assert not torch.equal(found[1], wanted[1])


def test_a_constant_of_an_exported_net_is_seen(monkeypatch):
    """It is in no state_dict: only calling the net shows it."""
    inner = ModuleLearner.export

    def export(self, *given):
        net, third = inner(self, *given), torch.full((), 1 / 3, device=CPU)
        net.register_forward_hook(lambda module, x, y: y + third)
        return net

    monkeypatch.setattr(ModuleLearner, "export", export)
    with pytest.raises(AssertionError, match=r"torch\.equal"):  # 1/3 in bfloat16 is another number
        check_everywhere(lambda: learn("cnn", {"width": 2}, Training(steps=1)))


# --- data -----------------------------------------------------------------------------------------

EMBEDDED = [name for name, load in DATASETS.items() if load.__module__.endswith("embedded")]


def parts(source):
    fed = source.federation(torch.tensor([1, 2], device=CPU))
    shards = [part for part in (fed.train, fed.validation, fed.test) for part in part.padded()]
    return [*shards, *([] if fed.optimum is None else [fed.optimum])]


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_sets(name):
    check_everywhere(lambda: [find_dataset(name).x, find_dataset(name).y])


@pytest.mark.parametrize("name", PARTITIONS)
def test_partitions(name):
    digits = find_dataset("digits")
    groups = torch.arange(len(digits.y), device=CPU) % 4
    data = from_arrays(digits.x, digits.y, groups=groups) if name == "by_group" else "digits"
    check_everywhere(lambda: parts(make_source(data, name, 2, max_examples=300)))


def test_drawn_data_and_arrays_of_the_users_own():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2

    def done():
        mine = from_arrays(x, y)
        return [
            mine.x,
            mine.y,
            *parts(make_source((x.tolist(), y.tolist()), "balanced", 2)),
            *parts(make_source("linear", "balanced", 2)),
        ]

    check_everywhere(done)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations(name):
    x, keys = pixels().x[:12].view(3, 4, 1, 8, 8), torch.arange(3, device=CPU)
    check_everywhere(lambda: [AUGMENTATIONS[name](x, keys)])


# --- the other rooms, by their own functions ------------------------------------------------------

PRIOR_OPTIONS = {
    "truncated_exponential": (0.5,),
    "truncated_lognormal": (0.5, 0.5),
    "power": (2.0,),
    "bounded_pareto": (1.0,),
}


def uniform(*shape):
    return draws.uniform(torch.tensor(5, device=CPU), *shape)


def weights():
    own, offers = uniform(2, 3, 4).float(), uniform(2, 3, 3, 4).float()
    gram = torch.eye(4, dtype=torch.float32, device=CPU)[None]
    mask = torch.ones(4, dtype=torch.float32, device=CPU)
    best = alpha_grid(lambda models: models.square().sum(-1), own, offers, mask)
    return [
        best.alpha,
        best.loss,
        alpha_closed_form(gram, uniform(1, 4).float(), own, offers, mask),
    ]


def distances():
    models, start, weights = uniform(2, 3, 4).float(), uniform(2, 1, 4).float(), uniform(2, 3, 3)
    return [
        part
        for d in DISTANCES.values()
        for part in (d.between(models, start), d.pull(models, start, weights))
    ]


ROOMS = {
    "alignment: weights of offers": weights,
    "valuation: Theorem 4.1": lambda: list(
        theorem_4_1(0.5 + uniform(3), 0.3 + 0.1 * uniform(3), 0.4 + 0.1 * uniform(3))
    ),
    "valuation: distances": distances,
    "mechanisms: equilibria": lambda: [
        linear_equilibrium_bid(uniform(3), 0.5, 0, 1, 0, 1),
        linear_equilibrium_ask(uniform(3), 0.5, 0, 1, 0, 1),
    ],
    "metrics: an interval": lambda: [uniform(1) * 0 + mean_interval(uniform(30), resamples=50).low],
}
for rule in ASK_RULES:
    ROOMS[f"mechanisms: ask {rule}"] = lambda rule=rule: [
        ASK_RULES[rule](Uniform(0.0, 1.0), 0.2 + 0.1 * uniform(3))
    ]
for rule in MECHANISMS:
    ROOMS[f"mechanisms: {rule}"] = lambda rule=rule: [
        MECHANISMS[rule](uniform(2, 1, 1), uniform(2, 1) / 2).prices
    ]
for rule in DATA_RULES:
    ROOMS[f"mechanisms: data rule {rule}"] = lambda rule=rule: [
        apply_data_rule(rule, uniform(2, 5) / 2, uniform(2, 5), uniform(2)).prices,
    ]
for rule in RELEASES:
    ROOMS[f"mechanisms: release {rule}"] = lambda rule=rule: [
        hold_back(
            uniform(2, 1, 3), uniform(2, 1), 0.1 + uniform(2, 1), uniform(2, 1), release=rule
        ).released,
    ]
for solver in STACKELBERG_SOLVERS:
    ROOMS[f"mechanisms: solver {solver}"] = lambda solver=solver: list(
        stackelberg(uniform(3, 5), uniform(3, 4), 8.0, solver=solver),
    )
for scale in QUALITY_SCALES:
    ROOMS[f"mechanisms: quality scale {scale}"] = lambda scale=scale: [
        QUALITY_SCALES[scale](uniform(3, 5))
    ]
for pricing in PRICINGS:
    ROOMS[f"mechanisms: pricing {pricing}"] = lambda pricing=pricing: [
        PRICINGS[pricing](uniform(3, 2), uniform(3, 4))
    ]
for kind in PREFERENCES:
    ROOMS[f"mechanisms: preferences {kind}"] = lambda kind=kind: [
        deferred_acceptance(
            *PREFERENCES[kind](uniform(3, 5), uniform(3, 4), uniform(3, 4))
        ).double(),
    ]
for fees in COMPUTE_FEES:
    ROOMS[f"mechanisms: compute fees {fees}"] = lambda fees=fees: [
        COMPUTE_FEES[fees](
            uniform(3, 5), uniform(3, 4), torch.tensor([[0, -1, 3, 2, 1]] * 3, device=CPU)
        ),
    ]
ROOMS["mechanisms: capped contests"] = lambda: [
    contest(uniform(3), uniform(3, 5), uniform(3, 5)),
    contest_response(uniform(3), uniform(3, 5), uniform(3, 5) / 9, uniform(3, 5), least=0.1),
    *stackelberg(uniform(3, 5), uniform(3, 4), 8.0, caps=uniform(3, 5) / 3),
]
ROOMS["mechanisms: posted prices"] = lambda: [
    posted_profits(uniform(3, 2) + 0.1, uniform(3, 2), uniform(3, 4), 9.0, caps=uniform(3, 4)),
    price_response(uniform(3, 2) + 0.1, uniform(3, 2), uniform(3, 4), 9.0),
]
for kind in PRIORS:
    ROOMS[f"mechanisms: prior {kind}"] = lambda kind=kind: [
        PRIORS[kind](1.0, 4.0, *PRIOR_OPTIONS.get(kind, ())).cdf(1.0 + uniform(3)),
        PRIORS[kind](1.0, 4.0 + uniform(3), *PRIOR_OPTIONS.get(kind, ())).pdf(1.0 + uniform(3)),
    ]


@pytest.mark.parametrize("name", ROOMS)
def test_rooms(name):
    check_everywhere(ROOMS[name])


# --- agents ---------------------------------------------------------------------------------------

BUYERS = {"truth": "truthful", "shade": "shade", "half": "first_price_equilibrium"}
SMALL = Budget(select=32, judge=32, points=5, population=8, generations=2)


def first_price(n=2):
    return marketenv.make_market("reference_v0", game="first_price", n_buyers=n)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64, device=CPU)


def line_ups():
    market, seeds = first_price(), torch.arange(8, device=CPU)
    parts = MixedStrategy((market.policies["truthful"], market.policies["random"]), (0.5, 0.5))
    table, who = seat(market, find_profile(market, {"buyer_0": parts}), seeds)
    return [play(market, table, who[None], seeds).utility]


def meta_game(n):
    game = estimate(first_price(n), {"buyer": BUYERS}, torch.arange(16, device=CPU))
    found = solve(game)
    told = [each.mean for row in regrets(game, found.mix).values() for each in row.values()]
    return [game.payoffs.nan_to_num(), numbers(*found.mix["buyer"].values()), numbers(*told)]


def solved(size, players=2):
    payoffs = torch.stack([uniform(*[size] * players).roll(k, 0) for k in range(players)])
    found = solve(game_of(payoffs))
    return [numbers(*chances.values()) for chances in found.mix.values()]


def responses():
    market = first_price()
    profile = find_profile(market)
    found = best_response(market, profile, "buyer", ("grid", "cross_entropy", "scripted"), SMALL)
    return [found.base, *(one.gains for one in found.deviations)]


def oracle():
    found = psro(first_price(), eps=0.1, attackers=("grid",), budget=SMALL, pairs=8, iterations=2)
    return [
        part
        for turn in found.history
        for part in (turn.game.payoffs.nan_to_num(), turn.responses["buyer"].best.gains)
    ]


def along():
    market = first_price()
    attack = Attack(market, find_profile(market), ("buyer_0",), seeds_of(JUDGE, 16))
    found = curve(attack, families(market.moves[0])["scale price"], 5)
    return [found.parameters, found.gains]


def hindsight():
    market = first_price()
    return [ex_post_regret(market, find_profile(market), "buyer_0", seeds_of(JUDGE, 16)).regret]


def conv():
    market = first_price()
    return [numbers(market_nash_conv(market, find_profile(market), ("grid",), SMALL).total.mean)]


AGENTS = {
    "play": line_ups,
    "estimate and solve: two": lambda: meta_game(2),
    "estimate and solve: three": lambda: meta_game(3),
    "solve: supports": lambda: solved(3),
    "solve: Lemke-Howson": lambda: solved(8),
    "solve: replicator dynamics": lambda: solved(2, 3),
    "best_response": responses,
    "psro": oracle,
    "curve": along,
    "ex_post_regret": hindsight,
    "market_nash_conv": conv,
}


@pytest.mark.parametrize("name", AGENTS)
def test_agents(name):
    check_everywhere(AGENTS[name])
