"""Wrong resource markets: what is held and paid, who is matched and trained, what owners do,
and what audits see.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of, some

ROOM, TESTS = "marketenv/markets/resource_market", "tests/markets"
GAME, ROUNDS = f"{TESTS}/test_resource_market_game.py", f"{TESTS}/test_resource_market_rounds.py"
TRAINING, AUDITS = (
    f"{TESTS}/test_resource_market_training.py",
    f"{TESTS}/test_resource_market_audits.py",
)
OWN, MONEY = f"{TESTS}/test_resource_market_own_parts.py", f"{TESTS}/test_resource_market_money.py"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/commit.py",
        f"{ROUNDS} {GAME}",
        ("a leader commits what it does not have", "torch.where(refused, 0.0, wanted)", "wanted"),
        ("whoever commits all is refused", "+ TOLERANCE *", "- TOLERANCE *"),
        (
            "one centre is enough to pay for",
            'fields["sigma"].shape[1] > 1',
            'fields["sigma"].shape[1] > 0',
        ),
        (
            "the leader believes in one name an owner",
            '"identities": owners["identities"]',
            '"identities": 1 + 0 * owners["cap"]',
        ),
        (
            "the leader knows the truth",
            '"quality": owners["standing"]',
            '"quality": owners["quality"]',
        ),
    ),
    *of(
        f"{ROOM}/contribute.py",
        f"{ROUNDS} {GAME}",
        (
            "a share is one of all data",
            'meaning["share"].clamp(min=0.0) * types["cap"]',
            'meaning["share"].clamp(min=0.0)',
        ),
        (
            "owners compute on credit that they do not have",
            "x = x.minimum(purse / unit)",
            "x = x + 0",
        ),
        ("a ratchet holds nothing", 'ratchet(x, types["last_share"]) if self.ratchet else x', "x"),
        (
            "junk is as true as rows",
            'types["quality"] * soundness(conduct, self.conduct)',
            'types["quality"] + 0',
        ),
        (
            "nobody is charged for computing",
            "torch.diag_embed(charge)",
            "0 * torch.diag_embed(charge)",
        ),
        (
            "a first name counts twice",
            '"identities": 1 + meaning.get',
            '"identities": 2 + meaning.get',
        ),
        (
            "owners see themselves as they are known",
            '"own_quality": types["quality"]',
            '"own_quality": types["standing"]',
        ),
    ),
    *of(
        f"{ROOM}/compute.py",
        f"{ROUNDS} {GAME}",
        ("work costs nothing", 'work = cost / types["cost"]', "work = cost"),
        (
            "centres spend more than the fees",
            "clamp(0.0, 1.0) * fees",
            "clamp(0.0, 1.0) * 2 * fees",
        ),
        (
            "everybody serves",
            "cheapest_shares(floor.of(Posted).price)",
            "cheapest_shares(0 * floor.of(Posted).price + 1)",
        ),
    ),
    *of(
        f"{ROOM}/post.py",
        GAME,
        (
            "a centre asks what its rival asks",
            "torch.where(own < price, less, own)",
            "torch.where(own < price, price, own)",
        ),
        ("owners pay the dearest", "price.amin(1)", "price.amax(1)"),
    ),
    *of(
        f"{ROOM}/match.py",
        ROUNDS,
        ("one owner is a market", "enough = owners > 1 and centres > 1", "enough = centres > 1"),
        ("one centre is a market", "enough = owners > 1 and centres > 1", "enough = owners > 1"),
        (
            "there is trade without work",
            "& (computed.work.sum(1) > 0)",
            "& (computed.work.sum(1) >= 0)",
        ),
        (
            "what centres say is not heard",
            "by_centres = preference_ranks(computed.liking)",
            "by_centres = by_centres + 0",
        ),
        (
            "a centre takes one owner",
            "places = -(-x.shape[1] // computed.work.shape[1])",
            "places = 1",
        ),
    ),
    *of(
        f"{ROOM}/pay.py",
        f"{ROUNDS} {GAME}",
        (
            "the leader gains by what is said",
            "owners.x * owners.true",
            "owners.x * owners.reported",
        ),
        ("payments are by data alone", "served * owners.x * quality", "served * owners.x"),
        (
            "what is left stays in escrow",
            "floor.cash(ESCROW).clamp(min=0)[..., None]",
            "0 * floor.cash(ESCROW)[..., None]",
        ),
        (
            "who cannot trade pays for it",
            "served_owners(floor) * floor.of(Contributed).charge",
            "floor.of(Contributed).charge",
        ),
        (
            "work without trade costs",
            "cost = matched.trade[:, None] * computed.cost",
            "cost = computed.cost",
        ),
        ("work is free", "CENTRE, -cost)", "CENTRE, 0 * cost)"),
        (
            "a leader pays in full whatever it says",
            " * eta).minimum(floor",
            " * 0 + eta).minimum(floor",
        ),
        (
            "everybody is known for good",
            'types = {"standing": known,',
            'types = {"standing": floor.types[OWNER]["standing"] + 0 * known,',
        ),
        ("the gain is linear", "q.sum(1, keepdim=True).log1p()", "q.sum(1, keepdim=True)"),
    ),
    *of(
        f"{ROOM}/pay.py",
        some(TRAINING, "the_accuracy_that_counts_is_of_the_leaders_examples_and_another_one_tests"),
        (
            "accuracy counts, not its rise",
            "(trained.realised - trained.before)",
            "trained.realised",
        ),
    ),
    *of(
        f"{ROOM}/play.py",
        GAME,
        (
            "each name has the whole cap",
            (
                "self._split(caps / identities, identities)\n        if self.solver"
                " is sne:\n            x"
            ),
            ("self._split(caps, identities)\n        if self.solver is sne:\n            x"),
        ),
        (
            "an answer to another payment is that to one's own",
            "torch.where(best > 0, eta / best, 0.0)",
            "torch.where(best > 0, 1.0, 0.0)",
        ),
        (
            "unused names contest too",
            "used = torch.arange(self.identities, device=values.device) < identities[..., None]",
            (
                "used = torch.arange(self.identities, device=values.device) < 1 + 0 *"
                " identities[..., None]"
            ),
        ),
    ),
    *of(
        f"{ROOM}/train_matched.py",
        TRAINING,
        (
            "whoever has no centre is trained too",
            "served = (floor.of(Matched).centre >= 0) &",
            "served = (floor.of(Matched).centre >= -1) &",
        ),
        (
            "models count alike",
            "pool, market, weight[market, owner], keys)",
            "pool, market, 1 + 0 * weight[market, owner], keys)",
        ),
        ("what harms is kept", "(accuracy > best)[:, None]", "(accuracy > -1)[:, None]"),
        (
            "the last owner's accuracy is the one to beat",
            "best = best.maximum(accuracy)",
            "best = accuracy",
        ),
        (
            "all rows are trained on",
            "(owners.x * size - 1e-9).ceil()",
            "(0 * owners.x + size).ceil()",
        ),
    ),
    *of(
        f"{ROOM}/conduct.py",
        TRAINING,
        (
            "the same rows every round",
            'draws.uniform(draws.fold(keys, "rows")',
            'draws.uniform(draws.fold(0 * keys, "rows")',
        ),
        (
            "few are a sixth in float32",
            "lots.new_tensor([way.part for way in ways])[conduct]",
            "torch.tensor([way.part for way in ways]).to(lots)[conduct]",
        ),
        ("copies are few", "torch.where(copied > 0, rows, unique)", "unique"),
        (
            "one owner's conduct is everybody's",
            "chosen = (conduct == number).double()",
            "chosen = (conduct == number).double().amax(-1, keepdim=True).expand_as(conduct)",
        ),
        (
            "every label is half random",
            "odd = torch.arange(y.shape[-1], device=y.device) % 2 > 0",
            "odd = torch.arange(y.shape[-1], device=y.device) >= 0",
        ),
        ("junk of texts is no text", "x = _characters(x, train) if text else x", "x = x + 0"),
        (
            "half random rows are worth all",
            '"half_random": Conduct(0.5',
            '"half_random": Conduct(1.0',
        ),
    ),
    *of(
        f"{ROOM}/worlds.py",
        TRAINING,
        ("all owners have the most noise", "rates = low + (high - low) *", "rates = high + 0 *"),
        (
            "noise is of each feature's deviation",
            "return Moments(zeros, zeros + 1)",
            "return Moments(zeros, x.std(2))",
        ),
        ("owners measure what they do not give", '{"train": noisy,', '{"train": train,'),
        ("texts may be anything", "if bool(odd.any()):", "if False:"),
        ("hidden labels are seen", "if content.labelled is not None:", "if False:"),
    ),
    *of(
        f"{ROOM}/market.py",
        some(GAME, "exact_types_and_caps_are_those_of_float64")
        + " "
        + some(TRAINING, "given_types_stand_in_the_place_of_what_is_measured"),
        (
            "exact types are of float32",
            'uniform.new_tensor(c.types["quality"])',
            'torch.tensor(c.types["quality"]).to(uniform)',
        ),
        (
            "exact caps are of float32",
            "quality.new_tensor(c.caps)",
            "torch.tensor(c.caps).to(quality)",
        ),
        (
            "measures win over what is given",
            'if "quality" in c.types:',
            'if "quality" in c.types and world is None:',
        ),
    ),
    *of(
        f"{ROOM}/market.py", AUDITS, ("an audit is heard whatever the basis", "c.basis ", '"auto" ')
    ),
    *of(
        f"{ROOM}/audit.py",
        AUDITS,
        (
            "a copy is trained as long as the widest owner's",
            "-(-self.most // BATCH)",
            "-(-self.rows.y.shape[-1] // BATCH)",
        ),
        ("an audit comes a round late", "floor.round >= self.first", "floor.round > self.first"),
        (
            "a loss drop is of epochs four",
            "first, last = case.own_loss(case.tuned(1))",
            "first, last = case.own_loss(case.tuned(2))",
        ),
        (
            "what is not finite is the best",
            "torch.where(finite, scores, torch.inf).amin(1, keepdim=True)",
            "torch.where(finite, scores, -torch.inf).amax(1, keepdim=True)",
        ),
        ("Shapley values round apart", ".round(decimals=DIGITS)", ".round(decimals=30)"),
        ("a distance is a merit", "return -case.distances.wad", "return case.distances.wad"),
        (
            "an audit looks at all rows",
            "floor.world.size.clamp(max=self.rows)",
            "floor.world.size.clamp(max=10**9)",
        ),
        (
            "a coalition is worth its loss",
            "return -torch.cat([case.held_out",
            "return torch.cat([case.held_out",
        ),
    ),
    *of(
        f"{ROOM}/own_parts.py",
        OWN,
        (
            "fees may pass the charge",
            "if bool((paid.sum(2) > charge * (1 + RELATIVE) + ROUNDING).any())",
            "if False",
        ),
        ("a fee may be negative", "((paid >= 0) & paid.isfinite()).all()", "paid.isfinite().all()"),
        ("quality has no end", "((quality >= 0) & (quality <= 1)).all()", "(quality >= 0).all()"),
        ("a payment may be NaN", "((eta >= 0) & eta.isfinite()).all()", "(~(eta < 0)).all()"),
        (
            "ranks may be NaN",
            "if bool(by_owners.isnan().any() | by_centres.isnan().any())",
            "if bool(by_owners.isnan().any())",
        ),
        (
            "preferences edit the market",
            "tree.apart(preferences, preferences not in PREFERENCES.values())",
            "preferences",
        ),
        (
            "fees edit the market",
            "tree.apart(fees, own)(charge, work, centre)",
            "fees(charge, work, centre)",
        ),
    ),
)
