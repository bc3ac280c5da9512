"""Wrong books, files, draws and doors."""

from __future__ import annotations

from scripts.mutants.mutant import Mutant, of

ROOM, DOORS = "marketenv/core", "marketenv/envs"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/storage.py",
        "tests/core/test_storage.py",
        ("the checksum leaves the header out", "hashlib.sha256(about.encode())", "hashlib.sha256()"),
        ("the checksum leaves the names out", 'digest.update(f"{name} ', 'digest.update(f"'),
        ("a state file is written in place", "with whole_file(path) as part:", "for part in (Path(path),):"),
    ),
    *of(
        f"{ROOM}/checks.py",
        "tests/core/test_checks.py",
        ("True is a whole number", "least - 1 if isinstance(plain, bool) else operator.index", "operator.index"),
        ("True is a real number", "isinstance(plain, Real) and not isinstance(plain, bool)", "isinstance(plain, Real)"),
        ("infinity is finite", "above < found < below or (infinite and", "above <= found <= below or (True and"),
        ("a point is an interval of two ends", "(apart and ends[0] == ends[1])", "False"),
        ("any number of entries is one for each", "found is None or (n is not None and len(found) != n)", "found is None"),
        ("a class is a part", "if isinstance(value, type):", "if False:"),
        ("a part of another kind is let", "callable(value) if kind is None else isinstance(value, kind)", "True"),
        ("unknown options are let", "if known is not None and key not in known:", "if False:"),
        ("options are the caller's own", "return dict(value)", "return value"),
    ),
    *of(
        f"{ROOM}/transfers.py",
        "tests/core/test_transfers.py",
        ("credit is no part of the purse", "(self.cash + self.credit).clamp", "self.cash.clamp"),
        ("money flows backwards", "transfers.sum(-2) - transfers.sum(-1)", "transfers.sum(-1) - transfers.sum(-2)"),
        ("who pays more than it has is let", "over = paid > self.purse", "over = paid > 1e9 + self.purse"),
    ),
    *of(
        f"{ROOM}/batch.py",
        "tests/core/test_batch.py tests/core/test_relay_doors.py",
        ("all later episodes are the same", 'draws.fold(base, "episode", episode)', 'draws.fold(base, "episode")'),
        (
            "infos of an episode outlive it",
            "values.masked_fill(mask[:, None], 0)",
            "values.masked_fill(mask[:, None] & False, 0)",
        ),
    ),
    *of(
        f"{ROOM}/rounds.py",
        "tests/core/test_rounds.py tests/core/test_relay_doors.py",
        ("all stages of a round draw alike", "now.state.round, len(now.past))", "now.state.round)"),
        ("all rounds draw alike", "draws.fold(now.state.seeds, now.state.round, ", "draws.fold(now.state.seeds, "),
    ),
    *of(
        f"{ROOM}/tree.py",
        "tests/core/test_tree.py",
        ("a put puts nothing", "old.index_put((index,), new)", "old.index_put((index[:0],), new[:0])"),
        ("what is no tree is left alone", "\n    raise TypeError(\n", "\n    return first\n    raise TypeError(\n"),
    ),
    *of(
        f"{ROOM}/shards.py",
        "tests/core/test_shards.py tests/markets/test_worlds.py",
        ("joined data keep the first pool's rows", "two.index + len(one.x)", "two.index"),
    ),
    *of(
        f"{ROOM}/fields.py",
        "tests/core/test_fields.py",
        ("NaN is told as the least", "torch.where(flat.isnan(), high, flat)", "torch.where(flat.isnan(), low, flat)"),
        ("meanings of another length are cut", "numbers.expand(wanted)", "numbers[..., : field.size].expand(wanted)"),
    ),
    *of(
        f"{ROOM}/kinds.py",
        "tests/core/test_fields.py",
        ("money begins at nothing", "return least + (actions - self.low)", "return (actions - self.low)"),
        ("money is written as if it began at nothing", "(meanings - least) / (most - least)", "meanings / (most - least)"),
        ("powers of ten are powers of two", "tens = 10.0 **", "tens = 2.0 **"),
        ("a type of 0 is read as any other", "torch.where(of > 0, tens, 1 + place)", "tens"),
        ("a type of 0 is written as any other", "torch.where(of > 0, place, meanings - 1)", "place"),
        ("an edge belongs to the option below", "borders, right=True", "borders, right=False"),
        ("a choice of NaN is the first option", ".masked_fill(none, torch.nan)", ""),
        ("the grid misses the upper end", "* steps / (points - 1)", "* steps / points"),
    ),
    *of(
        f"{ROOM}/draws.py",
        "tests/core/test_draws.py",
        ("agents of a market draw alike", "*parts, torch.arange(n_agents", "*parts, 0 * torch.arange(n_agents"),
    ),
    *of(
        f"{ROOM}/policy.py",
        "tests/core/test_policy.py",
        ("random play stays in the lower half", "low + (high - low) * draws", "low + (high - low) / 2 * draws"),
    ),
    *of(
        f"{DOORS}/vector.py",
        "tests/envs/test_vector.py",
        ("the last observation is the next episode's", "turn.final_seen", "turn.seen"),
    ),
    *of(
        f"{DOORS}/spaces.py",
        "tests/envs/test_actions.py",
        ("a choice has as many levels as a number", "len(field.grid(levels)) for", "levels for"),
        ("any grid is the role's", "if counts == _counts(role, levels):", "if counts:"),
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
