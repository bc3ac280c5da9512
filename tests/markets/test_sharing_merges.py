"""Shared models that overflow: no purchase, no money, a reason, and everything stays finite."""

import dataclasses

import pytest
import torch
from sharing_market import episode, models_of, trained_market

from marketenv.markets.model_sharing.schemes import SCHEMES, Scheme


def sharing(**config):
    """What an episode of three markets comes to, all truthful."""
    return episode(
        trained_market(
            **(
                {"learner_options": {"hidden": (8, 8)}, "costs": (0.2, 0.3), "max_cycles": 4}
                | config
            )
        ),
        range(3),
    )


def finite(told, after):
    numbers = (told.rewards, told.transfers, told.cash, *told.infos().values())
    models = [
        tensor
        for part in after.floor.models.values()
        for tensor in (part.params, part.centre, part.pull)
    ]
    return all(bool(tensor.isfinite().all()) for tensor in (*numbers, *models))


def spoiled(name, part, value, client=0):
    """A scheme of the table that would send one client this in the first round."""
    scheme = SCHEMES[name]

    def settle(given):
        done = scheme.settle(given)
        return dataclasses.replace(
            done, **{part: getattr(done, part).index_fill(1, torch.tensor([client]), value)}
        )

    return Scheme(settle, scheme.second, scheme.money)


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [
        *(
            (name, part, torch.inf)
            for name in ("ipfl", "fedavg", "fedprox", "pfedgraph", "ditto")
            for part in ("params", "centre")
        ),
        ("ditto", "second", torch.nan),
        ("fedavg", "params", 1e30),  # finite, but its loss overflows
        ("ditto", "second", 1e30),
    ],
)
def test_who_would_get_a_broken_model_gets_none_and_pays_nothing(name, part, value):
    found = sharing(scheme=spoiled(name, part, value))
    plain = sharing(scheme=name)
    (before, after, report), (_, plain_after, same) = found[0], plain[0]
    assert same.trades[:, 0].any() and report.reason[:, 0].eq(9).all()
    assert (
        not report.trades[:, 0].any()
        and not report.transfers[:, 0].any()
        and not report.gain[:, 0].any()
    )
    assert torch.equal(models_of(after).params[:, 0], models_of(before).params[:, 0])
    assert not models_of(after).pull[:, 0].any()
    assert torch.equal(report.transfers[:, 1:], same.transfers[:, 1:]) and torch.equal(
        report.reason[:, 1:], same.reason[:, 1:]
    )
    assert torch.equal(models_of(after).params[:, 1:], models_of(plain_after).params[:, 1:])
    for _, end, told in found:
        assert finite(told, end)
        assert torch.allclose(told.cash.sum(1), torch.zeros(3).double(), atol=1e-9)


def test_a_prox_centre_that_overflows_is_no_purchase():
    # eta = 1e39 is beyond float32's 3.4e38: every centre that pulls anywhere is inf, at a pull of 1
    # / 1e39
    for before, after, report in sharing(eta=1e39):
        assert not report.trades.any() and not report.transfers.any() and finite(report, after)
        assert (
            torch.equal(models_of(after).centre, models_of(before).params)
            and not models_of(after).pull.any()
        )
    assert (report.reason == 9).any()
