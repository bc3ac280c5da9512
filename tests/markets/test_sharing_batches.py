"""Model sharing in batches: singles, seeds and files."""

import pytest
import torch
from sharing_market import (
    episode,
    market_of,
    models_of,
    told,
    trained_market,
    truth,
)

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names


def test_a_batch_and_its_singles_agree():
    config = {"exits": "ir_prob", "cost_drift": 0.1, "joins": (0, 1, 0, 0)}
    edits = ((1, "upload", "relay"), (2, "cost", -0.5), (3, "upload", "gauss"))
    together = episode(market_of(**config), [4, 5, 6], *edits)
    for k, seed in enumerate((4, 5, 6)):
        for (_, _, a), (_, _, b) in zip(
            together, episode(market_of(**config), [seed], *edits), strict=True
        ):
            for name in ("rewards", "prices", "distance", "cash", "present"):
                assert torch.equal(getattr(a, name)[k], getattr(b, name)[0]), name


def test_a_batch_of_trained_models_and_its_singles_agree_in_each_stage():
    market = trained_market()
    start = rounds.opened(market, torch.tensor([4, 5, 6]))
    for before, after, report in episode(market, [4, 5, 6]):
        for k in range(3):
            now = rounds.begun(market, tree.rows(start, torch.tensor([k])))
            assert torch.allclose(models_of(now).params[0], models_of(before).params[k], atol=1e-5)
            alone = told(rounds.play_stage(market, now, truth(market, now))[1])
            assert torch.allclose(alone.distance[0], report.distance[k], atol=1e-5)
            assert torch.allclose(alone.prices[0], report.prices[k], atol=1e-4)
            assert torch.equal(alone.trades[0], report.trades[k])
        start = after


@pytest.mark.parametrize("scheme", ["ipfl", "ditto"])
def test_a_saved_market_goes_on_to_the_bit(tmp_path, scheme):
    market = trained_market(
        scheme=scheme,
        exits="ir_prob",
        cost_drift=0.1,
        data_drift=0.1,
        joins=(0, 0, 2, 0),
        max_cycles=5,
    )
    a, b = Batch(market, 2), Batch(make_market("model_sharing_v0", **vars(market.config)), 2)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    a.reset(3)
    for _ in range(2):
        a.step(a.act(policies))
    a.save(tmp_path / "market.safetensors")
    assert torch.equal(
        b.load(tmp_path / "market.safetensors")["client"],
        rounds.observe(market, a.running())["client"],
    )
    for _ in range(3):
        x, y = a.step(a.act(policies)), b.step(b.act(policies))
        assert (
            torch.equal(x.observations["client"], y.observations["client"])
            and torch.equal(x.rewards, y.rewards)
            and torch.equal(x.terminated, y.terminated)
        )
    assert (
        torch.equal(models_of(a.running()).params, models_of(b.running()).params)
        and x.terminated.all()
    )


def test_a_seed_decides_everything_and_markets_differ():
    a, b = episode(trained_market(), [5, 6]), episode(trained_market(), [5, 7])
    assert torch.equal(a[-1][2].rewards[0], b[-1][2].rewards[0])
    assert not torch.equal(a[-1][2].rewards[1], b[-1][2].rewards[1])
    c = episode(trained_market(), [5, 6])
    assert torch.equal(models_of(a[-1][1]).params, models_of(c[-1][1]).params) and torch.equal(
        a[-1][2].rewards, c[-1][2].rewards
    )
