"""Wrong data: who owns which examples, what is held out, and what is drawn."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

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
        (
            "kept counts are cut, not rounded",
            "(keep * reach.double() + 0.5).floor()",
            "(keep * reach.double()).floor()",
        ),
        (
            "borders of a class are cut, not rounded",
            "counts[..., None]).round().long()",
            "counts[..., None]).long()",
        ),
        ("gamma numbers are of another shape", "gammaincinv(alpha + 1.0,", "gammaincinv(alpha,"),
        (
            "the smallest group comes first",
            "counts.argsort(descending=True, stable=True)",
            "counts.argsort(stable=True)",
        ),
    ),
    *of(
        f"{ROOM}/gathering.py",
        f"{TESTS}/test_partitions.py {TESTS}/test_class_blocks.py",
        (
            "agents with overlap draw the same rows",
            'draws.agent_keys(keys, n_agents, "overlap").flatten()',
            'draws.fold(keys[:, None], "overlap").repeat(1, n_agents).flatten()',
        ),
        (
            "rows of an agent keep their order",
            'draws.fold(keys, "order")',
            "torch.zeros_like(keys)",
        ),
    ),
    *of(
        f"{ROOM}/class_blocks.py",
        f"{TESTS}/test_partitions.py {TESTS}/test_class_blocks.py",
        (
            "the rest is spread over the own block too",
            "(1 - own) / (n_classes - mine)",
            "(1 - own) / n_classes",
        ),
        (
            "the last blocks are the larger ones",
            "(block < n_classes % n_blocks)",
            "(block >= n_blocks - n_classes % n_blocks)",
        ),
        (
            "rows of agents who overlap are cut, not rounded",
            "(wanted.cumsum(-1) + chance).floor()",
            "wanted.cumsum(-1).floor()",
        ),
        (
            "rows of agents are cut, not rounded",
            "(wanted.T.cumsum(-1) + chance).floor()",
            "wanted.T.cumsum(-1).floor()",
        ),
        ("rows that are left go to the next agent", "% (n_agents + 1)", "% n_agents"),
        (
            "agents who overlap leave rows to others",
            "mix.max(0).values if overlap else mix.sum(0)",
            "mix.sum(0)",
        ),
    ),
    *of(
        f"{ROOM}/splitting.py",
        f"{TESTS}/test_data_sources.py {TESTS}/test_datasets.py",
        ("fractions are cut, not rounded", "max(1, round(number(", "max(1, int(number("),
        (
            "parts are drawn without their classes",
            "mixed[labels[mixed].argsort(stable=True)]",
            "mixed",
        ),
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
        f"{ROOM}/wrong_labels.py",
        f"{TESTS}/test_wrong_rows.py",
        ("a flip may keep the label", "1 + draws.integers(", "draws.integers("),
        (
            "a cycle does not close",
            "(place + 1) % lengths.clamp(min=1)[..., None]",
            "(place + 1).clamp(max=len(cycle) - 1)",
        ),
        (
            "labels that share one permutation are taken",
            "not bool((maps.sort(-1).values == classes).all())",
            "False",
        ),
    ),
    *of(
        f"{ROOM}/wrong_features.py",
        f"{TESTS}/test_wrong_rows.py",
        (
            "noise of all features is alike",
            "* spread.unsqueeze(keys.dim()) * noise",
            "* spread.mean() * noise",
        ),
        (
            "padding counts",
            "share = over(weights / total, x)",
            "share = over(torch.ones_like(weights) / weights.shape[-1], x)",
        ),
        (
            "rows move to public rows of any class",
            "(counts.cumsum(0) - counts)[y], 0)",
            "0 * counts[y], 0)",
        ),
        (
            "an offset is another for each row",
            "(known.spread * vector).unsqueeze(keys.dim())",
            "known.spread.unsqueeze(keys.dim()) * normals(keys, x)",
        ),
    ),
    *of(
        f"{ROOM}/wrong_rows.py",
        f"{TESTS}/test_wrong_rows.py",
        (
            "copies are of the last rows",
            "% unique[..., None]",
            "% unique[..., None] + (n - unique)[..., None]",
        ),
        ("noise tells of the row", "noise = mean.unsqueeze(axis) +", "noise = x +"),
        ("noise keeps its labels", "torch.where(noisy, labels, y)", "y"),
    ),
    *of(
        f"{ROOM}/owned_rows.py",
        f"{TESTS}/test_wrong_rows.py",
        (
            "all rows of an owner have one noise",
            "torch.arange(x.shape[keys.dim()], device=keys.device)",
            "keys.new_zeros(x.shape[keys.dim()])",
        ),
        ("rates above the most are taken", "(rates >= 0) & (rates <= most)", "(rates >= 0)"),
    ),
    *of(
        f"{ROOM}/corruptions.py",
        f"{TESTS}/test_corruptions.py",
        ("all labels of an agent may be hidden", "hidden.minimum(size - 1)", "hidden"),
        (
            "padding counts among the hidden labels",
            "mask.shape[-1]), 2.0)",
            "mask.shape[-1]), 0.0)",
        ),
        (
            "agents are bad alike in all markets",
            "draws.fold(seeds.to(device),",
            "draws.fold(0 * seeds.to(device),",
        ),
        ("rows that are clean are copied", "y != train.y[train.index])", "touched[..., None])"),
        ("what was hidden is shown again", "known & clean.labelled", "known"),
        (
            "a second corruption draws what the first one drew",
            "self.corruption, self._beneath)",
            "self.corruption)",
        ),
        (
            "padding shows clean rows",
            "index = torch.where(train.mask, index, index[..., :1])",
            "index = index + 0",
        ),
    ),
    *of(
        f"{ROOM}/federation.py",
        f"{TESTS}/test_corruptions.py",
        (
            "learners are given hidden labels",
            "known = self.labelled & self.train.mask",
            "known = self.train.mask",
        ),
    ),
    *of(
        f"{ROOM}/partitioned.py",
        f"{TESTS}/test_data_sources.py",
        (
            "the broker judges by the test rows",
            "self._shared(self.split.validation)",
            "self._shared(self.split.test)",
        ),
    ),
    *of(
        f"{ROOM}/linear.py",
        f"{TESTS}/test_synthetic_linear.py",
        (
            "the broker's labels are noisy",
            "[*self.deviations, 0.0, 0.0]",
            "[*self.deviations, 1.0, 0.0]",
        ),
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
        (
            "agents are augmented by their neighbour's rule",
            "of_agent[models % self.n_agents]",
            "of_agent[(models + 1) % self.n_agents]",
        ),
    ),
    *of(
        f"{ROOM}/dataset.py",
        f"{TESTS}/test_datasets.py",
        ("white is below 1", ".div_(255.0)", ".div_(256.0)"),
    ),
)
