"""The resource market in batches: singles, seeds, files from every stage, restarts, devices by
name.
"""

import pytest
import torch
from resource_market_cases import ALONE, NAME, game_of, market_of, of_role, owners

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names
from marketenv.markets.resource_market import CONDUCTS

SEEDS = [4, 5]
CASES = {
    "the game alone": (game_of, {"quality": (0.5, 1.0), "sigma": (0.1, 2.0)}),
    "posted prices": (game_of, {"pricing": "posted", "sigma": (0.5, 1.5)}),
    "names, ranks, no escrow": (
        game_of,
        {"identities": 3, "rank": True, "escrow": False, "fees": "matched"},
    ),
    "authors' play": (
        game_of,
        {"solver": "official_foc", "preferences": "official", "ratchet": True},
    ),
    "trained": (market_of, {"max_cycles": 2}),
    "unlike sizes": (
        market_of,
        {
            "partition": "dirichlet",
            "data_options": {"alpha": 0.3},
            "aggregation": "sequential_accept",
        },
    ),
    "loss drop": (market_of, {"audit": "loss_drop"}),
    "held-out drop": (
        market_of,
        {"audit": "heldout", "gain": "accuracy", "conduct": ("honest", "junk", "few")},
    ),
    "shapley": (
        market_of,
        {"audit": "shapley", "partition": "dirichlet", "data_options": {"alpha": 0.3}},
    ),
    "distances": (market_of, {"audit": "wasserstein", "audit_rows": 16, "vocabulary": 1.0}),
}


def played_out(market, seeds, policy="random"):
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    return [r for _, _, r in rounds.play(market, policies, torch.tensor(seeds)) if r is not None]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("policy", ["random", "truthful"])
def test_a_batch_and_its_singles_agree(name, policy):
    """Every number of both rounds; a batch's products round otherwise than a single's."""
    make, config = CASES[name]
    market = make(**config)
    together = played_out(market, SEEDS, policy)
    for k, seed in enumerate(SEEDS):
        for one, two in zip(together, played_out(market, [seed], policy), strict=True):
            for fact, values in one.infos().items():
                assert torch.allclose(
                    values[k].double(), two.infos()[fact][0].double(), atol=1e-4, rtol=1e-4
                ), fact
            for kind, outcome in one.outcomes.items():
                assert type(two.outcomes[kind]) is type(outcome)
            assert torch.equal(one.outcomes["match"].centre[k], two.outcomes["match"].centre[0])


def test_one_owners_conduct_is_its_own_markets_business():
    """In a batch of one seed only the markets in which owner_0 cheats are otherwise."""
    market = market_of(audit="heldout", audit_round=0)
    names = [name for name in CONDUCTS if name != "honest"]
    cheats = [part for name in names for part in ("honest", name)]
    now = rounds.begin(market, torch.full((len(cheats),), 3))
    for stage in market.stages:
        actions = rounds.act(
            market, dict.fromkeys(agent_names(market), market.policies["truthful"]), now
        )
        if stage.name == "contribute":
            move = stage.moves["owner"]
            seen = rounds.observe(market, now)["owner"][:, 0]
            meant = (
                move.read(seen, actions["owner"][:, 0])
                | owners(market, *cheats)[0]
                | {"share": 1.0}
            )
            actions["owner"][:, 0] = move.write(seen, **meant)
        now, report = rounds.play_stage(market, now, actions)
    scores = report.outcomes["audit"].scores
    assert torch.equal(scores[::2], scores[:1].expand(len(names), -1))
    assert (scores[1::2, 0] != scores[0, 0]).all()


@pytest.mark.parametrize("make", [game_of, market_of])
def test_a_seed_decides_everything_and_markets_differ(make):
    market = make(quality=(0.5, 1.0)) if make is game_of else make()
    one, two = played_out(market, [1, 2]), played_out(make(**vars_of(market)), [1, 2])
    assert all(torch.equal(a.rewards, b.rewards) for a, b in zip(one, two, strict=True))
    assert not torch.allclose(one[0].rewards[0], one[0].rewards[1])
    assert not torch.allclose(one[0].rewards, one[1].rewards)


def vars_of(market):
    """The arguments of a market, from which it can be made again."""
    return dict(vars(market.config))


STAGED = {  # all stages, of which each is one to save at
    "contest": {"escrow": False, "rank": True, "ratchet": True, "identities": 2},
    "posted": {"escrow": False, "pricing": "posted", "horizon": "cut"},
}


@pytest.mark.parametrize("stages", range(6))
@pytest.mark.parametrize("pricing", STAGED)
def test_a_saved_market_goes_on_to_the_bit_from_any_stage(tmp_path, stages, pricing):
    market = market_of(max_cycles=3, audit="heldout", audit_round=1, **STAGED[pricing])
    assert len(market.stages) == 4
    a, b = Batch(market, 2), Batch(make_market(NAME, **vars_of(market)), 2)
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    a.reset(3)
    for _ in range(stages):
        a.step(a.act(policies))
    a.save(tmp_path / "market.safetensors")
    seen = b.load(tmp_path / "market.safetensors")
    assert all(
        torch.equal(seen[role], values)
        for role, values in rounds.observe(market, a.running()).items()
    )
    for _ in range(4):
        x, y = a.step(a.act(policies)), b.step(b.act(policies))
        assert all(
            torch.equal(y.observations[role], values) for role, values in x.observations.items()
        )
        assert torch.equal(x.rewards, y.rewards) and torch.equal(x.terminated, y.terminated)
    held, wanted = tree.leaves(a.now), tree.leaves(b.now)
    assert held.keys() == wanted.keys() and all(
        torch.equal(held[name], wanted[name]) for name in held
    )


def test_a_file_of_another_game_is_refused(tmp_path):
    batch = Batch(game_of(), 2)
    batch.reset(0)
    batch.save(tmp_path / "market.safetensors")
    with pytest.raises(ValueError, match="alpha"):
        Batch(game_of(alpha=6.0), 2).load(tmp_path / "market.safetensors")


def test_what_is_over_starts_anew_with_other_data_and_the_same_seed_comes_again():
    market = market_of(max_cycles=1)
    batch = Batch(market, 2)
    first = batch.reset(3)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    for _ in market.stages:
        turn = batch.step(batch.act(policies), restart=True)
    assert turn.terminated.all() and set(turn.observations) == {"leader"}
    assert not torch.equal(turn.observations["leader"], first["leader"])
    assert torch.equal(batch.reset(3)["leader"], first["leader"])
    types = batch.running().floor.types
    assert (
        torch.equal(types["owner"]["standing"], types["owner"]["quality"])
        and (types["owner"]["identities"] == 1).all()
    )
    assert not types["owner"]["last_share"].any() and not types["centre"]["last_work"].any()


def test_types_and_cash_are_carried_over_and_costs_stay():
    market = game_of(sigma=(0.5, 2.0), quality=(0.5, 1.0))
    now = rounds.begin(market, torch.tensor([0, 1]))
    before = now.floor.types
    first, second = played_out(market, [0, 1], "truthful")
    assert torch.allclose(second.ledger.cash, first.ledger.cash + second.net, atol=1e-9)
    low, high = before["centre"]["sigma"].aminmax()
    assert 0.5 <= float(low) < float(high) <= 2.0 and torch.equal(
        before["centre"]["sigma"], before["centre"]["cost"]
    )
    assert not torch.equal(before["centre"]["sigma"][0], before["centre"]["sigma"][1])
    assert (
        0.5
        <= float(before["owner"]["quality"].min())
        < float(before["owner"]["quality"].max())
        <= 1.0
    )
    # in a stationary game every round is played alike
    assert torch.allclose(of_role(first, "owner"), of_role(second, "owner"), atol=1e-6)


def test_a_device_is_named():
    market = make_market(NAME, **ALONE, device="cpu")
    assert (
        market.device == torch.device("cpu")
        and played_out(market, [0], "truthful")[0].rewards.device.type == "cpu"
    )


def test_a_device_that_is_none_is_refused():
    with pytest.raises(ValueError, match="device is 'gpu9', which cannot be used here"):
        make_market(NAME, **ALONE, device="gpu9")
