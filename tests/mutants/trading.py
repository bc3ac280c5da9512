"""Wrong parameter markets, and wrong trainings, which markets share."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM, TESTS = "marketenv/markets/parameter_trading", "tests/markets/test_parameter_trading.py"
TRAINING = "tests/markets/test_training.py"
PARTNERS = "tests/markets/test_partners.py tests/markets/test_partner_rules.py"


MUTANTS: tuple[Mutant, ...] = (
    *of(
        "marketenv/markets/training.py",
        f"{TESTS} {TRAINING}",
        ("the held-out test set is the broker's", "floor.round, held_out=True)", "floor.round)"),
        ("effort costs nothing", '["effort_cost"] * effort\n', '["effort_cost"] * 0 * effort\n'),
        (
            "training is worth nothing",
            "loss=scores.loss, accuracy",
            "before=scores.loss, loss=scores.loss, accuracy",
        ),
        (
            "every round trains on the same draws",
            "agent_keys(floor.keys(), count[1]",
            "agent_keys(floor.seeds, count[1]",
        ),
        (
            "a diverged agent keeps its optimiser",
            "slots = torch.where(row, fresh.unflatten(0, diverged.shape), slots)",
            "slots = slots.clone()",
        ),
    ),
    *of(
        "marketenv/markets/training.py",
        TRAINING,
        (
            "the absent train",
            "torch.where(floor.present[:, floor.where(self.role)], models.effort, 0.0)",
            "models.effort",
        ),
        (
            "a second model is held too",
            "lesson(floor.models[self.second], None)",
            "lesson(floor.models[self.second], _pull(before))",
        ),
        ("a second model may diverge", "in trained.values()]).all(0)", "in trained.values()])[0]"),
        ("slots that are none are carried on", "models.slots.shape[-1] == 0", "True"),
    ),
    *of(
        f"{ROOM}/score.py",
        TESTS,
        (
            "losses are worth money",
            "(models.before.double() - models.loss.double())",
            "(models.loss.double() - models.before.double())",
        ),
        (
            "every round is valued from the first loss",
            "replace(models, before=models.loss)",
            "models",
        ),
    ),
    *of(
        f"{ROOM}/trade.py",
        TESTS,
        (
            "last_paid and last_received are exchanged",
            "paid, received = prices.sum(2), prices.sum(1)",
            "paid, received = prices.sum(1), prices.sum(2)",
        ),
        (
            "last_paid and last_received are shown in each other's place",
            '"last_paid": own.last_paid, "last_received": own.last_received',
            '"last_paid": own.last_received, "last_received": own.last_paid',
        ),
        (
            "bids are multiples of what a buyer would lose, too",
            "gain.worth.double().clamp(min=0)",
            "gain.worth.double().abs()",
        ),
        (
            "the harm of a sale is the buyer's",
            "(messages.cost * trades).sum(1)",
            "(messages.cost * trades).sum(2)",
        ),
        (
            "everybody starts its optimiser afresh",
            "buyers = settlement.trades.any(2)[..., None]",
            "buyers = (settlement.trades.sum(2) >= 0)[..., None]",
        ),
        (
            "sellers are told their own bounds",
            '"buyer_low": quotes.low.mT',
            '"buyer_low": quotes.low',
        ),
    ),
    *of(
        f"{ROOM}/broker.py",
        TESTS,
        (
            "a diverged seller still sells",
            "weights.loss.masked_fill(partners.theirs(diverged), torch.inf)",
            "weights.loss",
        ),
        (
            "sabotage noise is alike in every round",
            "self.layer_masks, keys, partners",
            "self.layer_masks, floor.seeds, partners",
        ),
    ),
    *of(
        f"{ROOM}/disclosure.py",
        TESTS,
        (
            "the upper bound takes the lower end of the prior",
            "(m_high * high).clamp",
            "(m_low * high).clamp",
        ),
        (
            "the lower bound takes the upper end of the prior",
            "(m_low * low).clamp",
            "(m_high * low).clamp",
        ),
        (
            "bounds are told of a seller with noise",
            "~(noise[:, :, None] | noise[:, None])",
            "~noise[:, :, None]",
        ),
    ),
    *of(
        f"{ROOM}/moves.py",
        TESTS,
        (
            "truth bids half of the worth in money",
            'return factor * fields["money_',
            'return factor / 2 * fields["money_',
        ),
        (
            "absolute bids are twice as high",
            'Money("bid", others, most=',
            'Money("bid", others, most=2 * ',
        ),
        (
            "asks are twice as high",
            'Money("ask", most=scales.ask_max',
            'Money("ask", most=2 * scales.ask_max',
        ),
    ),
    *of(
        f"{ROOM}/memory.py",
        TESTS,
        (
            "sabotage noise is alike in every market and round",
            'draws.agent_keys(keys, trained.shape[1], "sabotage")',
            'draws.agent_keys(torch.zeros_like(keys), trained.shape[1], "sabotage")',
        ),
        (
            "layers held back are offered",
            "bool((options.offered < 1).any())",
            "bool((options.offered < 0).any())",
        ),
    ),
    *of(
        f"{ROOM}/reports.py",
        TESTS,
        (
            "effort is mapped by its square root",
            'means["effort"][..., 0].float()',
            'means["effort"][..., 0].sqrt().float()',
        ),
        (
            "a coalition asks its mean",
            "markup.masked_fill(~coalition, 0.0).amax(1",
            "markup.masked_fill(~coalition, 0.0).mean(1",
        ),
    ),
    *of(
        f"{ROOM}/exchanges.py",
        TESTS,
        (
            "the largest bid comes first, not the largest surplus",
            "torch.where(payable, messages.bids - messages.asks, -torch.inf)",
            "torch.where(payable, messages.bids, -torch.inf)",
        ),
        (
            "a second purchase is bought with the same money",
            "left - (pick * messages.bids).sum(2)",
            "left",
        ),
        (
            "averaging forgets who has how much data",
            "(shares @ quotes.trained)",
            "quotes.trained.mean(1, keepdim=True)",
        ),
        (
            "layers that are not traded are merged too",
            "alpha * inputs.mask * (chosen - params)",
            "alpha * (chosen - params)",
        ),
        ("later purchases are merged first", "for pick in order:", "for pick in reversed(order):"),
    ),
    *of(
        f"{ROOM}/exchanges.py",
        "tests/markets/test_broken_purchases.py",
        (
            "who merges to a broken model pays",
            "prices=settlement.prices.masked_fill(row, 0.0)",
            "prices=settlement.prices",
        ),
        (
            "who merges to a broken model has bought",
            "trades=settlement.trades & ~row",
            "trades=settlement.trades",
        ),
    ),
    *of(
        f"{ROOM}/weights.py",
        "tests/markets/test_weights.py",
        (
            "data weigh the buyer's own model",
            "alpha = others / (",
            "alpha = shares[:, :, None] / (",
        ),
        (
            "the closed form is never taken",
            "if merger.world.quadratic else grid",
            "if False else grid",
        ),
        (
            "what is not traded is merged too",
            "offers, alpha, self.mask)",
            "offers, alpha, torch.ones_like(self.mask))",
        ),
    ),
    *of(
        f"{ROOM}/own_parts.py",
        "tests/markets/test_weights.py",
        (
            "a weight of one's own may be any number",
            "if own and not bool(((alpha",
            "if False and not bool(((alpha",
        ),
    ),
    *of(
        f"{ROOM}/worlds.py",
        "tests/markets/test_own_parts.py",
        (
            "parts of one's own learner may give other losses than whole models",
            "if own_parts.is_own(learner):",
            "if False:",
        ),
    ),
    *of(
        "marketenv/markets/own_parts.py",
        "tests/markets/test_own_parts.py",
        (
            "accuracies of one's own learner may be any numbers",
            "        _check_shares(accuracy)\n",
            "        pass\n",
        ),
    ),
    *of(
        f"{ROOM}/partners.py",
        PARTNERS,
        ("partners have the smallest scores", "dim=2, descending=True", "dim=2"),
        (
            "equal scores go by number",
            "chance = draws.permutation(draws.agent_keys(keys, n), n)",
            "chance = torch.arange(n, device=keys.device).expand_as(scores).contiguous()",
        ),
        (
            "who was never tried comes last",
            "torch.full((n_markets, n, n), torch.inf, device",
            "torch.full((n_markets, n, n), -torch.inf, device",
        ),
        ("the farthest are tried", "return -distance", "return distance"),
        (
            "what is not traded counts for the distance",
            "candidates.models.double() * candidates.mask",
            "candidates.models.double()",
        ),
        (
            "gains are forgotten",
            "torch.where(partners.tried, gain, self.gain)",
            "torch.where(partners.tried, gain, torch.inf)",
        ),
    ),
    *of(
        f"{ROOM}/partner_offers.py",
        PARTNERS,
        (
            "offers lie on the seller",
            "aligned.offers[pair, buyer, 1 - buyer]",
            "aligned.offers[pair, 1 - buyer, buyer]",
        ),
        (
            "every alignment starts anew",
            "torch.cat([orders, unknown], 1)[market, row]",
            "torch.cat([orders, unknown], 1)[market, 0 * row - 1]",
        ),
        (
            "only the buyer of the lower number knows its orders",
            "place.maximum(place.mT)",
            "place",
        ),
    ),
    *of(
        f"{ROOM}/exchanges.py",
        PARTNERS,
        (
            "void bids are heard",
            "bids = torch.where(tried, messages.bids, 0.0)",
            "bids = messages.bids",
        ),
    ),
    *of(
        f"{ROOM}/reports.py",
        PARTNERS,
        (
            "a partner's place is its number",
            "self.partners.place(seller).flatten()",
            "seller.clamp(max=self.offers.shape[2] - 1).flatten()",
        ),
    ),
    *of(
        f"{ROOM}/broker.py",
        PARTNERS,
        (
            "what is not tried may have a gain",
            "torch.where(partners.tried, gain.worth, 0.0)",
            "gain.worth",
        ),
    ),
    *of(
        f"{ROOM}/trade.py",
        PARTNERS,
        (
            "void bids have no reason of their own",
            "torch.where(unsaid, 9,",
            "torch.where(unsaid, 2,",
        ),
    ),
    *of(
        f"{ROOM}/weights.py",
        PARTNERS,
        (
            "shares are those of the first agents",
            ".gather(2, merger.sellers)",
            "[..., : merger.offers.shape[2]]",
        ),
    ),
    *of(
        f"{ROOM}/own_parts.py",
        PARTNERS,
        (
            "an exchange may sell what is not tried",
            "_check_tried(settlement.trades & ~quotes.partners.tried)",
            "_check_tried(settlement.trades & False)",
        ),
    ),
)
