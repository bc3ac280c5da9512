"""Wrong data: who owns which examples, what is held out, and what is drawn."""

from __future__ import annotations

from scripts.mutants.mutant import Mutant, of

ROOM, TESTS = "marketenv/data", "tests/data"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/partitions.py",
        f"{TESTS}/test_partitions.py",
        (
            "label skew takes the classes in their order",
            'draws.permutation(draws.fold(keys, "class order"), n_classes)[:, label]',
            "torch.arange(n_classes, device=rows.device).expand(len(keys), -1)[:, label]",
        ),
        ("kept counts are cut, not rounded", "(keep * reach.double() + 0.5).floor()", "(keep * reach.double()).floor()"),
        ("borders of a class are cut, not rounded", "counts[..., None]).round().long()", "counts[..., None]).long()"),
        ("gamma numbers are of another shape", "gammaincinv(alpha + 1.0,", "gammaincinv(alpha,"),
        (
            "agents with overlap draw the same rows",
            'draws.agent_keys(keys, n_agents, "overlap").flatten()',
            'draws.fold(keys[:, None], "overlap").repeat(1, n_agents).flatten()',
        ),
        ("the smallest group comes first", "counts.argsort(descending=True, stable=True)", "counts.argsort(stable=True)"),
        ("rows of an agent keep their order", 'draws.fold(keys, "order")', "torch.zeros_like(keys)"),
    ),
    *of(
        f"{ROOM}/splitting.py",
        f"{TESTS}/test_data_sources.py {TESTS}/test_datasets.py",
        ("fractions are cut, not rounded", "max(1, round(number(", "max(1, int(number("),
        ("parts are drawn without their classes", "mixed[labels[mixed].argsort(stable=True)]", "mixed"),
        (
            "the subset has the classes in proportion",
            "(rank if equal else (rank + 0.5) / counts[label])",
            "((rank + 0.5) / counts[label])",
        ),
        (
            "every split is the same",
            'draws.fold(torch.tensor(seed, device=y.device), "split")',
            'draws.fold(torch.tensor(0), "split")',
        ),
    ),
    *of(
        f"{ROOM}/partitioned.py",
        f"{TESTS}/test_data_sources.py",
        ("the broker judges by the test rows", "self._shared(self.split.validation)", "self._shared(self.split.test)"),
    ),
    *of(
        f"{ROOM}/linear.py",
        f"{TESTS}/test_synthetic_linear.py",
        ("the broker's labels are noisy", "[*self.deviations, 0.0, 0.0]", "[*self.deviations, 1.0, 0.0]"),
        ("distance is absolute", " * first.norm(dim=-1, keepdim=True)", ""),
        (
            "agents train on each other's tasks",
            "torch.where(part < self.n_agents, part, place % self.n_agents)",
            "place % self.n_agents",
        ),
    ),
    *of(
        f"{ROOM}/augmentation.py",
        f"{TESTS}/test_augmentation.py",
        ("nine images of ten are mirrored", "x.shape[1]) < 0.5", "x.shape[1]) < 0.9"),
        ("crops never reach the far side", "2 * pad + 1, batch", "2 * pad, batch"),
        ("agents are augmented by their neighbour's rule", "[models % self.n_agents]", "[(models + 1) % self.n_agents]"),
    ),
    *of(
        f"{ROOM}/dataset.py",
        f"{TESTS}/test_datasets.py",
        ("white is below 1", ".div_(255.0)", ".div_(256.0)"),
    ),
)
