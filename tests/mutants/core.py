"""Wrong books, files, draws and doors."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM, DOORS = "marketenv/core", "marketenv/envs"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/storage.py",
        "tests/core/test_storage.py",
        (
            "the checksum leaves the header out",
            "hashlib.sha256(about.encode())",
            "hashlib.sha256()",
        ),
        ("the checksum leaves the names out", 'digest.update(f"{name} ', 'digest.update(f"'),
        (
            "a state file is written in place",
            "with whole_file(path) as part:",
            "for part in (Path(path),):",
        ),
    ),
    *of(
        f"{ROOM}/plain_forms.py",
        "tests/core/test_checks.py",
        (
            "True is a real number",
            "isinstance(plain, Real) and not isinstance(plain, bool)",
            "isinstance(plain, Real)",
        ),
    ),
    *of(
        f"{ROOM}/checks.py",
        "tests/core/test_checks.py",
        (
            "True is a whole number",
            "least - 1 if isinstance(plain, bool) else operator.index",
            "operator.index",
        ),
        (
            "infinity is finite",
            "above < real < below or (infinite and",
            "above <= real <= below or (True and",
        ),
        ("a point is an interval of two ends", "(apart and ends[0] == ends[1])", "False"),
        (
            "any number of entries is one for each",
            "values is None or (n is not None and len(values) != n)",
            "values is None",
        ),
        ("a class is a part", "if isinstance(value, type):", "if False:"),
        (
            "a part of another kind is let",
            "callable(value) if kind is None else isinstance(value, kind)",
            "True",
        ),
        ("unknown options are let", "if known is not None and key not in known:", "if False:"),
        ("options are the caller's own", "return dict(value)", "return value"),
    ),
    *of(
        f"{ROOM}/ledger.py",
        "tests/core/test_ledger.py",
        ("credit is no part of the purse", "(self.cash + self.credit).clamp", "self.cash.clamp"),
        (
            "money flows backwards",
            "transfers.sum(-2) - transfers.sum(-1)",
            "transfers.sum(-1) - transfers.sum(-2)",
        ),
        (
            "who is paid keeps nothing",
            "change[:, payees].add_(received)",
            "change[:, payees].add_(0 * received)",
        ),
        (
            "a new round counts on",
            "return Ledger(self.cash, self.credit, zeros(self.net.device, *self.net.shape))",
            "return self",
        ),
        ("who pays more than it has is let", "(paid > limit + ROUNDING", "(paid > limit + 1e9"),
        (
            "each payment is checked alone",
            "paid[:, rows[flow.payer]].add_(flow.paid)",
            "paid[:, rows[flow.payer]].copy_(flow.paid)",
        ),
        (
            "an agent spends what it is just paid",
            "limit = before.cash + before.credit",
            "limit = torch.maximum(before.cash, after.cash + paid) + before.credit",
        ),
        (
            "an account cannot pass on what it gets",
            "limit[:, agents:] += after",
            "limit[:, agents:] += 0 * after",
        ),
        (
            "an account pays what it does not have",
            "- before.cash[:, agents:] + paid[:, agents:]",
            "+ 2 * paid[:, agents:]",
        ),
        (
            "payments below 0 are let",
            "return (flow.money >= 0) & (flow.money < torch.inf)",
            "return flow.money < torch.inf",
        ),
        (
            "payments of one pair replace each other",
            "flow.payee]] += flow.money",
            "flow.payee]] = flow.money",
        ),
    ),
    *of(
        f"{ROOM}/floor.py",
        "tests/core/test_floor.py",
        ("a payment's name may be there twice", "if name in self.flows:", "if False:"),
        ("a term's name may be there twice", "if role in by_role:", "if False:"),
        (
            "the first outcome of a kind is found",
            "if outcome is not None and _has(outcome, fields):",
            "if latest is None and outcome is not None and _has(outcome, fields):",
        ),
        (
            "keys are the same in every round",
            "draws.fold(self.seeds, self.round, *purpose)",
            "draws.fold(self.seeds, *purpose)",
        ),
        ("a cut shows how much is played", "share.zero_() if self.cut else share", "share"),
    ),
    *of(
        f"{ROOM}/people.py",
        "tests/core/test_market.py",
        (
            "accounts begin with the agents' cash",
            "cash[: self.count], credit[: self.count] =",
            "cash[:], credit[: self.count] =",
        ),
        (
            "operators have no credit",
            "credit[self.rows[name]] = torch.inf",
            "credit[self.rows[name]] = 0.0",
        ),
        (
            "what is to be empty need not be there",
            "for name in (*self.empty, *self.operators):",
            "for name in self.operators:",
        ),
    ),
    *of(
        f"{ROOM}/market.py",
        "tests/core/test_market.py",
        ("two phases may have one name", "if len(set(names)) < len(names) or", "if"),
        ("the first phase of a kind is found", "return phases[-1]", "return phases[0]"),
        (
            "a role may move nowhere",
            "if all(role.name not in stage.moves for stage in self.stages):",
            "if False:",
        ),
    ),
    *of(
        f"{ROOM}/batch.py",
        "tests/core/test_batch.py tests/core/test_batch_files.py",
        (
            "a market is held in mid-round",
            "if hold is not None and len(self.market.stages) > 1:",
            "if False:",
        ),
        (
            "some markets begin anew in mid-round",
            "and not bool(mask.all()) and self.in_round():",
            "and False:",
        ),
        (
            "ends show the next round",
            "observe_end(self.market, last)",
            "observe(self.market, rounds.begun(self.market, last))",
        ),
        ("an end is told twice", "(over & ~old).nonzero()", "over.nonzero()"),
    ),
    *of(
        f"{ROOM}/phase.py",
        "tests/markets/test_two_of_a_kind.py tests/markets/test_who_reads_what.py",
        ("a second phase of a kind draws as the first", "else (*parts, self.name)", "else parts"),
    ),
    *of(
        f"{ROOM}/market.py",
        "tests/core/test_market.py",
        ("two phases may tell one fact", "if fact in teller:", "if False:"),
    ),
    *of(
        f"{ROOM}/batch_state.py",
        "tests/core/test_batch.py tests/core/test_batch_files.py",
        (
            "a market that waits is paid",
            "rewards = report.rewards.masked_fill(waits[:, None], 0)",
            "rewards = report.rewards",
        ),
        (
            "a market that is over plays on",
            "waits = before.over if hold is None",
            "waits = before.over & False if hold is None",
        ),
        (
            "moves of a round outlive it",
            "return BatchState(now, (), finished,",
            "return BatchState(now, before.moves, finished,",
        ),
    ),
    *of(
        f"{ROOM}/finished.py",
        "tests/core/test_batch.py tests/core/test_batch_files.py",
        (
            "infos of an episode outlive it",
            "values.masked_fill(mask[:, None], 0)",
            "values.masked_fill(mask[:, None] & False, 0)",
        ),
    ),
    *of(
        f"{ROOM}/rounds.py",
        "tests/core/test_rounds.py",
        (
            "all stages of a round draw alike",
            "draws.agent_keys(keys, market",
            "draws.agent_keys(draws.fold(now.floor.seeds, now.floor.round), market",
        ),
        (
            "all rounds draw alike",
            "draws.fold(now.floor.seeds, now.floor.round, stage)",
            "draws.fold(now.floor.seeds, stage)",
        ),
        (
            "actions may lie outside their box",
            "move.action.check(numbers, subject)",
            "numbers",
        ),
        (
            "actions of who does not move are let",
            "if actions.keys() != stage.moves.keys():",
            "if False:",
        ),
        ("at a cut agents see an end", "if not market.cut:", "if True:"),
    ),
    *of(
        f"{ROOM}/rounds.py",
        "tests/core/test_policy.py",
        (
            "policies that draw get no keys",
            "if any(map(draws_keys, players)):",
            "if not any(map(draws_keys, players)):",
        ),
    ),
    *of(
        f"{ROOM}/situation.py",
        "tests/core/test_rounds.py",
        (
            "a term counts for nothing",
            "rewards[:, floor.rows[role]].add_(value)",
            "rewards[:, floor.rows[role]].add_(0 * value)",
        ),
        (
            "money counts for nothing",
            "rewards = floor.ledger.net[:, :agents].clone()",
            "rewards = 0 * floor.ledger.net[:, :agents]",
        ),
        (
            "a cut ends the game",
            "return floor.ended if floor.cut else floor.ended |",
            "return floor.ended |",
        ),
    ),
    *of(
        f"{ROOM}/situation.py",
        "tests/core/test_ledger.py",
        (
            "payments are not checked",
            "ledger.check(floor.ledger,",
            "(lambda *given: None)(floor.ledger,",
        ),
    ),
    *of(
        f"{ROOM}/contract.py",
        "tests/core/test_rounds.py",
        (
            "a reward may be no number",
            "if not finite(rewards):",
            "if False:",
        ),
        ("a phase may change the seeds", 'KEPT = ("seeds", "round",', 'KEPT = ("round",'),
        (
            "a phase may forget what earlier ones came to",
            'for name in ("flows", "terms", "outcomes"):',
            'for name in ("flows", "terms"):',
        ),
        (
            "the books may be changed by hand",
            "and after.ledger is not before.ledger:",
            "and False:",
        ),
        ("a phase may tell undeclared facts", "or set(facts) != set(wanted):", "or False:"),
    ),
    *of(
        f"{ROOM}/observations.py",
        "tests/core/test_rounds.py",
        (
            "a phase may show more than its fields",
            "if fields.keys() - known.keys() or",
            "if",
        ),
    ),
    *of(
        f"{ROOM}/contract.py",
        "tests/core/test_ledger.py",
        (
            "money may stay in an account that is to be empty",
            "for name in market.people.empty]",
            "for name in ()]",
        ),
    ),
    *of(
        f"{ROOM}/saved.py",
        "tests/core/test_batch_files.py",
        (
            "a market that ended may go on",
            "(saved.start.floor.ended & ~ended).any()",
            "(saved.start.floor.ended & False).any()",
        ),
        (
            "actions of a file may be no numbers",
            "move.action.check(extra[name],",
            "(lambda *given: None)(extra[name],",
        ),
    ),
    *of(
        f"{ROOM}/report.py",
        "tests/metrics/test_equilibrium_and_welfare.py",
        (
            "what was paid is no part of the net",
            "- self._payments()",
            "- 0",
        ),
    ),
    *of(
        f"{ROOM}/trajectory.py",
        "tests/core/test_trajectory.py",
        (
            "stages are mixed up",
            "_stacked(parts[k :: len(stages)])",
            "_stacked(parts[:: len(stages)])",
        ),
        (
            "a part of a round is a round",
            "if not ends or ends != list(",
            "if not ends or False and ends != list(",
        ),
    ),
    *of(
        f"{ROOM}/tree.py",
        "tests/core/test_tree.py",
        (
            "a put puts nothing",
            "old.index_put((index,), new)",
            "old.index_put((index[:0],), new[:0])",
        ),
        (
            "what is no tree is left alone",
            "\n    raise TypeError(\n",
            "\n    return first\n    raise TypeError(\n",
        ),
    ),
    *of(
        f"{ROOM}/shards.py",
        "tests/core/test_shards.py tests/markets/test_worlds.py",
        ("joined data keep the first pool's rows", "two.index + len(one.x)", "two.index"),
    ),
    *of(
        f"{ROOM}/fields.py",
        "tests/core/test_fields.py",
        (
            "NaN is told as the least",
            "torch.where(flat.isnan(), self.high",
            "torch.where(flat.isnan(), self.low",
        ),
        (
            "meanings of another length are cut",
            "numbers.expand(wanted)",
            "numbers[..., : field.size].expand(wanted)",
        ),
    ),
    *of(
        f"{ROOM}/kinds.py",
        "tests/core/test_fields.py",
        (
            "money begins at nothing",
            "return least + (actions - self.low)",
            "return (actions - self.low)",
        ),
        (
            "money is written as if it began at nothing",
            "(meanings - least) / (most - least)",
            "meanings / (most - least)",
        ),
        ("powers of ten are powers of two", "tens = 10.0 **", "tens = 2.0 **"),
        ("a type of 0 is read as any other", "torch.where(of > 0, tens, 1 + place)", "tens"),
        (
            "a type of 0 is written as any other",
            "torch.where(of > 0, place, meanings - 1)",
            "place",
        ),
        ("an edge belongs to the option below", "borders, right=True", "borders, right=False"),
        ("a choice of NaN is the first option", ".masked_fill(none, torch.nan)", ""),
        ("the grid misses the upper end", "* steps / (points - 1)", "* steps / points"),
    ),
    *of(
        f"{ROOM}/draws.py",
        "tests/core/test_draws.py",
        (
            "agents of a market draw alike",
            "_each(fold(keys, *parts), n_agents)",
            "_each(fold(keys, *parts), 1).repeat(n_agents, 1)",
        ),
        ("keys of 32 bits are read", "if keys.dtype != torch.int64:", "if False:"),
    ),
    *of(
        f"{ROOM}/policy.py",
        "tests/core/test_policy.py",
        (
            "random play stays in the lower half",
            "low + (high - low) * draws",
            "low + (high - low) / 2 * draws",
        ),
    ),
    *of(
        f"{DOORS}/vector.py",
        "tests/envs/test_vector.py",
        (
            "the last observation is the next episode's",
            "self._final(turn.final,",
            "self._final(turn.observations,",
        ),
    ),
    *of(
        f"{DOORS}/spaces.py",
        "tests/envs/test_actions.py",
        ("a choice has as many levels as a number", "len(_points(field, levels))", "levels"),
        ("any grid is the role's", "if counts == _counts(mover, levels):", "if counts:"),
    ),
    *of(
        f"{DOORS}/opponents.py",
        "tests/envs/test_opponents.py",
        (
            "a role goes before an agent",
            "shared.get(a, shared.get(role.name, truthful))",
            "shared.get(role.name, shared.get(a, truthful))",
        ),
    ),
)
