"""Any torch module as a learner: torch.func over all models on an accelerator, a plain loop over them on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.checks import check_fields
from marketenv.core.generators import no_hidden_draws
from marketenv.core.lookup import lookup
from marketenv.core.precision import full_precision
from marketenv.core.shards import Shards
from marketenv.learners import batch_statistics, exams, objectives
from marketenv.learners.exams import Exam
from marketenv.learners.feed import open_feed
from marketenv.learners.module_checks import OPTIONS, check_module, try_module
from marketenv.learners.optimizers import optimizer_of, slot_count
from marketenv.learners.protocol import Permutations, Scores
from marketenv.learners.randomness import ADVICE, check_augment
from marketenv.learners.stacks import open_stacks
from marketenv.learners.training import DEFAULT, Pull, Training, check_round, schedule

COPIES = 6  # of a model's parameters that a step holds at once: parameters, gradient, their unflattened and flat copies


def _owners(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Parameter names grouped by the submodule that owns them, in order."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    return tuple(tuple(group) for group in groups.values())


@dataclass(frozen=True, eq=False)
class ModuleLearner:
    """Train and score copies of any nn.Module that maps [batch, *features] to [batch, n_outputs].

    init draws each tensor as its mean + its own standard deviation * normal, from the module as it was given: ones
    and zeros stay, no global generator is touched, and a module's own rule is kept up to the distribution's shape.

    Batch norms keep no running statistics: training takes those of the minibatch, scoring those of the whole exam, so that
    after a merge they are those of the merged model (RESET in Jordan et al., "REPAIR", 2022). Padding, and examples that stand
    alone, are therefore refused; ``export`` gives a module that has statistics of its own.

    module:       the model; it is copied, never changed
    permutations: permutation name -> (tensor name, axis) pairs; None: its models cannot be aligned
    layers:       tensor names of each layer; () groups parameters by the submodule that owns them
    engine:       "loop" one model at a time | "vmap" all at once | "auto": the loop on a CPU, where vmap over
                  convolutions took 1.4 to 1.6 times its time at 28 x 28 and 32 x 32 (half to all of it at 8 x 8 and
                  12 x 12: name "vmap" there), and vmap elsewhere
    memory:       bytes that one vmap over models may take, by the numbers that the module's parts put out and its parameters

    Raises ValueError for dropout and other random draws, frozen parameters, outputs of another shape, and batch norms that are
    trained on single examples or given padded ones.

    >>> net = ModuleLearner((4,), 3, "classification", Training(), module=nn.Linear(4, 3))
    >>> net.layout.shapes
    (('weight', (3, 4)), ('bias', (3,)))
    """

    feature_shape: tuple[int, ...]
    n_outputs: int
    task: str
    training: Training = DEFAULT
    module: nn.Module = field(kw_only=True)
    permutations: Permutations | None = None
    layers: tuple[tuple[str, ...], ...] = ()
    engine: str = "auto"
    memory: int = 2**28
    _pure: nn.Module = field(init=False, repr=False)  # the module without running statistics: what is trained and scored
    _activations: int = field(init=False, repr=False)  # numbers per example

    def __post_init__(self) -> None:
        objectives.check_task(self)
        check_fields(self, OPTIONS)
        optimizer_of(self.training)
        check_module(self.module)
        object.__setattr__(self, "module", copy.deepcopy(self.module).cpu().eval())
        object.__setattr__(self, "_pure", batch_statistics.without_statistics(self.module))
        if self.pooled and self.training.batch_size == 1:
            raise ValueError("batch_size is 1, but the module has batch norms, which need 2 examples or more.")
        with full_precision():
            object.__setattr__(self, "_activations", try_module(self._pure, self.feature_shape, self.n_outputs, self.task))
        check_augment(self.training.augment, self.feature_shape)
        object.__setattr__(self, "layers", self.layers or _owners(tuple(dict(self.module.named_parameters()))))
        for name in [n for pairs in (self.permutations or {}).values() for n, _ in pairs] + [n for g in self.layers for n in g]:
            lookup(dict(self.layout.shapes), name, "parameter")

    @cached_property
    def pooled(self) -> bool:
        """Whether batch norms make the answer to one example depend on the others beside it."""
        return batch_statistics.pooled(self.module)

    @cached_property
    def layout(self) -> Layout:
        """The module's own parameters in its own order."""
        return Layout(tuple((name, tuple(p.shape)) for name, p in self.module.named_parameters()))

    @property
    def slots(self) -> int:
        """Optimiser numbers per model."""
        return slot_count(self.training, self.layout.size)

    def init(self, keys: Int[Tensor, "models"]) -> Float[Tensor, "models params"]:
        """Draw every tensor normally, with the mean and deviation that it has in the module; one model per key."""
        parts = []
        for name, p in self.module.named_parameters():
            mean, deviation = float(p.detach().mean()), float(p.detach().std(correction=0))
            parts.append(mean + deviation * draws.normal(draws.fold(keys, "init", name), p.numel()))
        return torch.cat(parts, 1).float()

    def fresh_slots(self, n_models: int, device: torch.device | str = "cpu") -> Float[Tensor, "models slots"]:
        """Optimiser numbers before the first step: zeros."""
        return torch.zeros(n_models, self.slots, dtype=torch.float32, device=device)

    def prepare(self, shards: Shards) -> Shards:
        """Check the models' data, which minibatches are drawn from as they are."""
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        if self.pooled and self.training.batch_size is None:
            return batch_statistics.unpadded(shards, "batch_size is None")
        if self.pooled and int(shards.size.min()) < 2:
            raise ValueError("an owner has a single example, but the module has batch norms, which need 2 examples or more.")
        return shards

    @no_hidden_draws("the module", ADVICE)
    @full_precision()
    def train(
        self,
        params: Float[Tensor, "models params"],
        slots: Float[Tensor, "models slots"],
        material: Shards,
        effort: Float[Tensor, "models"],
        keys: Int[Tensor, "models"],
        pull: Pull | None = None,
    ) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Train every model for one round of steps; see MLP.train for what a weight below 1 scales."""
        check_round(self.layout.size, self.slots, params, slots, effort, keys, pull)
        optimizer, whole = optimizer_of(self.training), Layout((("flat", (self.layout.size,)),))
        with torch.no_grad():
            order, steps = schedule(effort, self.training.steps)
            stacks = open_stacks(whole, optimizer, params, slots, order, pull)
            feed = open_feed(material, self.training.batch_size, order, keys, self.training.augment)
            for step in steps:
                theta, count = stacks.theta["flat"][: step.active], stacks.begin(step)
                gradient = stacks.pulled("flat", self._gradients(theta, *feed.batch(step)), step)
                optimizer.descend(theta, tuple(h[: step.active] for h in stacks.held["flat"]), gradient, step, count)
            return stacks.close()

    def forward(self, views: dict[str, Tensor], x: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch outputs"]:
        """Outputs of one model."""
        buffers = {name: b.to(x.device) for name, b in self._pure.named_buffers()}
        return functional_call(self._pure, views | buffers, (x,))

    def _stacked(self, device: torch.device) -> bool:
        """Whether models run under vmap; refuses recurrent modules there, which torch.func cannot batch."""
        stacked = self.engine == "vmap" or (self.engine == "auto" and device.type != "cpu")
        for name, part in self.module.named_modules():
            if stacked and isinstance(part, nn.RNNBase):
                raise ValueError(
                    f"{name or 'the module'} is a nn.{type(part).__name__}, which vmap cannot batch; write the cell as matrix "
                    "products, or pass engine='loop'."
                )
        return stacked

    def _cost(self, examples: int, passes: int) -> int:
        """Bytes of one model at so many examples: activations, their slopes too in 2 passes, and copies of its parameters.

        Under vmap on a CPU 2 passes of a ResNet took 1.0 times this, of a CNN .9 times; 1 pass .5 and .6 times.
        """
        return 4 * (passes * self._activations * examples + COPIES * self.layout.size)

    def _loss(self, flat: Tensor, x: Tensor, y: Tensor, share: Tensor) -> Tensor:
        outputs = self.forward(self.layout.views(flat), x)
        return (objectives.OBJECTIVES[self.task].losses(outputs.mT, y) * share).sum()

    def _gradients(self, theta: Float[Tensor, "active params"], x: Tensor, y: Tensor, share: Tensor) -> Tensor:
        share = share.expand(y.shape)
        if self._stacked(theta.device):
            return vmap(grad(self._loss), chunk_size=max(1, self.memory // self._cost(x.shape[1], 2)))(theta, x, y, share)
        return torch.stack([self._gradient(*one) for one in zip(theta, x, y, share, strict=True)])

    def _gradient(self, flat: Float[Tensor, "params"], x: Tensor, y: Tensor, share: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            flat, x, y, share = (t.clone() if t.is_inference() else t for t in (flat, x, y, share))  # autograd keeps no others
            # leaves are the views: through slices of one flat leaf autograd would fill a whole gradient per tensor
            views = {name: v.detach().requires_grad_() for name, v in self.layout.views(flat).items()}
            losses = objectives.OBJECTIVES[self.task].losses(self.forward(views, x).mT, y)
            parts = torch.autograd.grad((losses * share).sum(), list(views.values()))
        return torch.cat([part.flatten() for part in parts])

    def exam(self, shards: Shards) -> Exam:
        """Gather each owner's examples; owners [markets], or [1] to be shared by all markets."""
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        return exams.exam_of(batch_statistics.unpadded(shards, "this is an exam") if self.pooled else shards)

    @no_hidden_draws("the module", ADVICE)
    @full_precision()
    def scores(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        """Score k models of every market: mean loss, and share of right labels or R^2, each [markets, k]."""
        exams.check_exam(params, self.layout.size, exam.owners)
        stacked = self._stacked(params.device)
        score: Callable[[Tensor, Exam], Scores] = self._score_stacked if stacked else self._score_loop
        with torch.no_grad():
            return exams.in_pieces(score, params, exam, self._cost(self._rows(exam.x.shape[1]), 1), self.memory)

    def _rows(self, examples: int) -> int:
        """Examples that one model answers at once: as many as fit the memory, all of them where they see each other."""
        return examples if self.pooled else min(examples, max(1, self.memory // (4 * self._activations)))

    def _grade(self, flat: Tensor, x: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        views, objective = self.layout.views(flat), objectives.OBJECTIVES[self.task]
        outputs = torch.cat([self.forward(views, part) for part in x.split(self._rows(len(x)))]).mT
        return (objective.losses(outputs, y) * share).sum(), objective.accuracy(outputs, y, share)

    def _score_stacked(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        inner = vmap(self._grade, in_dims=(0, None, None, None))
        if exam.owners == 1:
            loss, accuracy = inner(params.flatten(0, 1), exam.x[0], exam.y[0], exam.share[0])
            return exams.finite(params, loss.view(params.shape[:2]), accuracy.view(params.shape[:2]))
        return exams.finite(params, *vmap(inner)(params, exam.x, exam.y, exam.share))

    def _score_loop(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        owner = [0 if exam.owners == 1 else market for market in range(params.shape[0])]
        grades = [
            self._grade(flat, exam.x[o], exam.y[o], exam.share[o])
            for models, o in zip(params, owner, strict=True)
            for flat in models
        ]
        loss, accuracy = (torch.stack(part).view(params.shape[:2]) for part in zip(*grades, strict=True))
        return exams.finite(params, loss, accuracy)

    @full_precision()
    def export(self, flat: Float[Tensor, "params"], x: Float[Tensor, "rows *features"] | None = None) -> nn.Module:
        """Give the user's own module with these parameters, in eval mode, as a plain module to use elsewhere.

        Running statistics of batch norms are set from x, all of it at once: mean and variance (biased: sum of squares / n) of
        what each norm sees there, averaged over its calls. So the module answers x as scoring does, to rounding; torch
        itself would keep the variance n / (n - 1) times as large. Instance norms stay without statistics, as they were trained.

        flat: one model's parameters [params];   x: examples for the statistics [rows, *features]; None where there are none

        Raises ValueError where the statistics of batch norms need x, and for parameters or features of another shape.

        >>> net = ModuleLearner((4,), 3, "classification", module=nn.Linear(4, 3))
        >>> net.export(torch.ones(15))(torch.ones(1, 4)).tolist()
        [[5.0, 5.0, 5.0]]
        """
        if flat.shape != (self.layout.size,):
            raise ValueError(f"flat has shape {list(flat.shape)}, wanted [{self.layout.size}]: one model, such as params[0, 0].")
        net = copy.deepcopy(self.module).to(flat.device)
        with torch.no_grad():
            for name, view in self.layout.views(flat).items():
                net.get_parameter(name).copy_(view)
        return batch_statistics.with_statistics(net, x, self.feature_shape)
