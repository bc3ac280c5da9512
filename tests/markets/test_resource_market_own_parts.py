"""A user's own parts of a resource market: what each returns is checked by its name before any
money moves.
"""

import pytest
import torch
from resource_market_cases import COUNTS, SMALL, TRAINING, acted, of_role, one_round, reports

from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.resource_market import AUDITS, Audited, Committed, Matched
from marketenv.mechanisms import COMPUTE_FEES, PREFERENCES, QUALITY_SCALES, STACKELBERG_SOLVERS

NAME = "resource_market_v0"
MARKETS = (0, 1, 2, 3)  # four markets, three owners, two centres: no two axes are of one length
pytestmark = pytest.mark.usefixtures("as_for_a_user")


def game(**config):
    return make_market(NAME, **COUNTS | {"n_centres": 2, "learner": None} | config)


def trained(**config):
    return make_market(NAME, **SMALL | {"n_centres": 2, "training": TRAINING} | config)


def whole(part, change):
    return lambda *given: change(part(*given))


def place(part, number, change):
    """The same part with one of the tensors that it returns changed."""

    def changed(*given):
        parts = list(part(*given))
        parts[number] = change(parts[number])
        return tuple(parts)

    return changed


SOLVER = STACKELBERG_SOLVERS["sne"]
PARTS = {  # words that the error begins with -> a market whose own part's result is changed
    "solver returned eta": lambda c: game(solver=place(SOLVER, 0, c)),
    "solver returned x": lambda c: game(solver=place(SOLVER, 1, c)),
    "preferences returned ranks of centres": lambda c: game(
        preferences=place(PREFERENCES["volume"], 0, c)
    ),
    "preferences returned ranks of owners": lambda c: game(
        preferences=place(PREFERENCES["volume"], 1, c)
    ),
    "fees returned money": lambda c: game(fees=whole(COMPUTE_FEES["proportional"], c)),
    "scale returned quality": lambda c: trained(scale=whole(QUALITY_SCALES["minmax"], c)),
    "audit returned scores": lambda c: trained(audit=whole(AUDITS["heldout"], c), audit_round=0),
}


@pytest.mark.parametrize("said", PARTS)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda t: t[0],
            "wanted .*the first axis is missing; one call is for all|make it of that shape",
        ),
        (lambda t: t[:1], "of shape .*make it of that shape"),  # a silent broadcast otherwise
        (
            lambda t: t.movedim(0, -1) if t.dim() > 1 else t[:, None],
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
    with pytest.raises(ValueError, match=f"^{said} .*({why})"):
        one_round(PARTS[said](change), MARKETS)


@pytest.mark.parametrize("said", PARTS)
def test_what_is_right_is_taken_and_its_gradients_end(said):
    with torch.enable_grad():
        mine = reports(PARTS[said](lambda t: t.clone().requires_grad_()), MARKETS)
    audit = {"audit": "heldout", "audit_round": 0} if said.startswith("audit") else {}
    plain = reports(trained(**audit) if said.split()[0] in ("scale", "audit") else game(), MARKETS)
    for one, two in zip(mine, plain, strict=True):
        assert torch.allclose(one.rewards, two.rewards, atol=1e-6) and not one.rewards.requires_grad
        assert not any(values.requires_grad for values in one.infos().values())


VALUES = {
    "a payment below 0": (
        "solver returned eta",
        lambda t: t - 9,
        "solver returned eta or x that are not finite, or an eta below",
    ),
    "a payment without a number": (
        "solver returned eta",
        lambda t: t * torch.nan,
        "solver returned eta or x that are not finite",
    ),
    "shares without a number": (
        "solver returned x",
        lambda t: t / 0,
        "solver returned eta or x that are not finite",
    ),
    "ranks without a number": (
        "preferences returned ranks of owners",
        lambda t: t * torch.nan,
        "preferences returned NaN, wanted",
    ),
    "a fee below 0": (
        "fees returned money",
        lambda t: t - 1,
        "fees returned an amount that is negative",
    ),
    "a fee without a number": (
        "fees returned money",
        lambda t: t * torch.nan,
        "fees returned an amount that is negative or not",
    ),
    "more than the charge": (
        "fees returned money",
        lambda t: t * 1.01,
        "fees returned more than an owner is charged",
    ),
    "a quality above 1": (
        "scale returned quality",
        lambda t: t + 0.5,
        r"scale returned quality outside 0\.\.1",
    ),
    "a quality below 0": (
        "scale returned quality",
        lambda t: t - 2,
        r"scale returned quality outside 0\.\.1",
    ),
    "a quality without a number": (
        "scale returned quality",
        lambda t: t * torch.nan,
        r"scale returned quality outside 0\.\.1",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_nonsense_is_refused_by_its_name(name):
    said, change, error = VALUES[name]
    with pytest.raises(ValueError, match=error):
        one_round(PARTS[said](change), MARKETS)


def test_a_scale_is_held_to_its_range_where_an_audit_uses_it_too():
    """It is right at the start, when nobody is audited, and wrong in the first audit."""

    def scale(scores):
        return 0 * scores + (1.0 if bool((scores > 0).all()) else 3.0)

    market = trained(
        scale=scale, audit=lambda case: -1.0 - case.floor.world.size.double(), audit_round=0
    )
    with pytest.raises(ValueError, match=r"scale returned quality outside 0\.\.1"):
        one_round(market, MARKETS)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            {"solver": lambda game: game.quality},
            r"solver returned a Tensor, wanted Stackelberg\(eta, x, d, leader, owners, centres\)",
        ),
        ({"solver": lambda game: None}, "solver returned None, wanted Stackelberg"),
        (
            {"preferences": lambda x, d, sigma: x},
            "preferences returned a Tensor, wanted .ranks that owners give centres",
        ),
        (
            {"preferences": lambda x, d, sigma: (x, d, sigma)},
            "preferences returned a tuple, wanted .ranks that owners",
        ),
    ],
)
def test_another_object_is_refused_with_what_was_wanted(part, said):
    with pytest.raises(ValueError, match=said):
        one_round(game(**part), MARKETS)


@pytest.mark.parametrize(
    "said",
    [name for name in PARTS if name not in ("solver returned eta", "scale returned quality")],
)
def test_nothing_has_changed_where_a_part_is_refused(said):
    """Markets stand where they stood: with what was held, before what was refused."""
    market = PARTS[said](lambda t: t[:1])
    now = rounds.begin(market, torch.tensor(MARKETS))
    while True:
        before, cash = now, now.floor.ledger.cash.clone()
        try:
            now, report = rounds.play_stage(market, now, acted(market, now))
        except ValueError as error:
            assert str(error).startswith(said)
            break
        assert report is None
    assert before is now and torch.equal(now.floor.ledger.cash, cash) and now.playing


def test_edits_in_place_change_nothing_of_the_markets():
    """Each part spoils what it is given after it has read it."""

    def spoils(part):
        def spoiling(*given):
            copies = [
                value.clone() if isinstance(value, torch.Tensor) else value for value in given
            ]
            found = part(*copies)
            for value in given:
                if isinstance(value, torch.Tensor):
                    value.fill_(0)
            return found

        return spoiling

    def audit(case):
        found = AUDITS["heldout"](case)
        case.rows.x.fill_(0.0)
        case.floor.models["leader"].params.fill_(0.0)
        return found

    own = {
        "preferences": spoils(PREFERENCES["volume"]),
        "fees": spoils(COMPUTE_FEES["proportional"]),
    }
    own |= {"scale": spoils(QUALITY_SCALES["minmax"]), "audit": audit}
    mine, plain = (
        reports(trained(audit_round=0, **parts), MARKETS) for parts in (own, {"audit": "heldout"})
    )
    for one, two in zip(mine, plain, strict=True):
        assert torch.equal(one.rewards, two.rewards)
        assert torch.equal(one.of(Audited).scores, two.of(Audited).scores)
        assert torch.equal(
            one.outcomes["train_matched"].realised, two.outcomes["train_matched"].realised
        )


def test_own_parts_are_played():
    """A solver that always pays 1 and contributes .1 of everybody, fees that are the half,
    ranks that turn numbers round.
    """

    def solver(game):
        like = game.quality
        return (like[:, 0] * 0 + 1.0, like * 0 + 0.1, game.sigma, like[:, 0], like, game.sigma)

    def preferences(x, work, sigma):
        ranks = torch.arange(x.shape[1]).flip(0).expand(len(x), work.shape[1], -1)
        # whole numbers are taken
        return torch.arange(work.shape[1]).expand(len(x), x.shape[1], -1), ranks

    half = whole(COMPUTE_FEES["proportional"], lambda fees: fees / 2)
    market = game(
        solver=solver, preferences=preferences, fees=half, n_centres=3, quality=(1.0, 1.0)
    )
    report = one_round(market)
    assert float(report.of(Committed).eta) == pytest.approx(1.0, rel=1e-6)
    # all want centre 0 most, which likes owner 2 best
    assert report.of(Matched).centre.tolist() == [[2, 1, 0]]
    assert report.flows["charge"].money.sum() == pytest.approx(0.3, rel=1e-6)
    assert report.flows["fee_back"].money.sum() == pytest.approx(0.15, rel=1e-6)
    assert of_role(report, "owner")[0].tolist() == pytest.approx([1 / 3 - 0.05] * 3, rel=1e-6)
