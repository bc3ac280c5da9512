"""Any torch module as a learner: torch.func over all models on a GPU, a plain loop on a CPU."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.checks import check_fields
from marketenv.core.generators import no_hidden_draws
from marketenv.core.precision import full_precision
from marketenv.core.shards import Shards
from marketenv.learners import batch_statistics, exams, objectives
from marketenv.learners.exams import Exam
from marketenv.learners.feed import open_feed
from marketenv.learners.module_checks import OPTIONS, check_module, check_names, try_module
from marketenv.learners.module_passes import Passes
from marketenv.learners.optimizers import optimizer_of, slot_count
from marketenv.learners.protocol import Permutations, Scores
from marketenv.learners.randomness import ADVICE, check_augment
from marketenv.learners.stacks import open_stacks
from marketenv.learners.training import DEFAULT, Pull, Training, check_round, schedule


def _owners(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Parameter names grouped by the submodule that owns them, in order."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    return tuple(tuple(group) for group in groups.values())


def _with_parameters(module: nn.Module, layout: Layout, flat: Tensor) -> nn.Module:
    """Copy the module to the device of these parameters and give it their values."""
    if flat.shape != (layout.size,):
        raise ValueError(
            f"flat has shape {list(flat.shape)}, wanted [{layout.size}]: one model, such as"
            " params[0, 0]."
        )
    net = copy.deepcopy(module).to(flat.device)
    with torch.no_grad():
        for name, view in layout.views(flat).items():
            net.get_parameter(name).copy_(view)
    return net


@dataclass(frozen=True, eq=False)
class ModuleLearner:
    """Train and score copies of any nn.Module that maps [batch, *features] to [batch, n_outputs].

    init draws each tensor as its mean + its own standard deviation * normal, both of the user's
    module: ones and zeros stay, no global generator is touched, and a module's own rule holds up to
    the distribution's shape.

    Batch norms keep no running statistics: training takes those of the minibatch, scoring those of
    the whole exam, so that after a merge they are those of the merged model (RESET in Jordan et
    al., "REPAIR", 2022). Padding, and single examples, are therefore refused; ``export`` returns a
    module that has statistics of its own.

    module:       the model; it is copied, never changed
    permutations: permutation name -> (tensor name, axis) pairs; None: its models cannot be aligned
    layers:       tensor names of each layer; () groups parameters by the submodule that owns them
    engine:       "loop" one model at a time | "vmap" all at once | "auto": the loop on a CPU, where
                  vmap over convolutions took 1.4 to 1.6 times its time at 28 x 28 and 32 x 32 (half
                  to all of it at 8 x 8 and 12 x 12: name "vmap" there), and vmap elsewhere
    memory:       bytes that one vmap over models may take, as measured with two models

    Raises ValueError for dropout and other random draws, frozen parameters, outputs of another
    shape, and batch norms that are trained on single examples or given padded ones.

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
    # the module without running statistics: what is trained and scored
    _pure: nn.Module = field(init=False, repr=False)
    _activations: int = field(init=False, repr=False)  # numbers per example

    def __post_init__(self) -> None:
        objectives.check_task(self)
        check_fields(self, OPTIONS)
        optimizer_of(self.training)
        check_module(self.module)
        object.__setattr__(self, "module", copy.deepcopy(self.module).cpu().eval())
        object.__setattr__(self, "_pure", batch_statistics.without_statistics(self.module))
        if self.pooled and self.training.batch_size == 1:
            raise ValueError(
                "batch_size is 1, but the module has batch norms, which need 2 examples or more."
            )
        with full_precision():
            count = try_module(self._pure, self.feature_shape, self.n_outputs, self.task)
        object.__setattr__(self, "_activations", count)
        check_augment(self.training.augment, self.feature_shape)
        names = tuple(dict(self.module.named_parameters()))
        object.__setattr__(self, "layers", self.layers or _owners(names))
        check_names(self.permutations, self.layers, dict(self.layout.shapes))

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
        """Draw every tensor normally, with its mean and deviation in the module; a model a key."""
        parts = []
        for name, p in self.module.named_parameters():
            mean, deviation = float(p.detach().mean()), float(p.detach().std(correction=0))
            parts.append(mean + deviation * draws.normal(draws.fold(keys, "init", name), p.numel()))
        return torch.cat(parts, 1).float()

    def fresh_slots(
        self, n_models: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "models slots"]:
        """Optimiser numbers before the first step: zeros."""
        return torch.zeros(n_models, self.slots, dtype=torch.float32, device=device)

    def prepare(self, shards: Shards) -> Shards:
        """Check the models' data; minibatches are drawn from the data as they are."""
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        if self.pooled:
            return batch_statistics.trainable(shards, self.training.batch_size)
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
        """Train every model for one round of steps; see MLP.train for weights below 1."""
        check_round(self.layout.size, self.slots, params, slots, effort, keys, pull)
        optimizer, whole = optimizer_of(self.training), Layout((("flat", (self.layout.size,)),))
        with torch.no_grad():
            order, steps = schedule(effort, self.training.steps)
            stacks = open_stacks(whole, optimizer, params, slots, order, pull)
            feed = open_feed(material, self.training.batch_size, order, keys, self.training.augment)
            passes = self.passes
            for step in steps:
                theta, count = stacks.theta["flat"][: step.active], stacks.begin(step)
                gradient = stacks.pulled("flat", passes.gradients(theta, *feed.batch(step)), step)
                buffers = tuple(buffer[: step.active] for buffer in stacks.buffers["flat"])
                optimizer.descend(theta, buffers, gradient, step, count)
            return stacks.close()

    def forward(
        self, views: dict[str, Tensor], x: Float[Tensor, "batch *features"]
    ) -> Float[Tensor, "batch outputs"]:
        """Outputs of one model."""
        buffers = {name: b.to(x.device) for name, b in self._pure.named_buffers()}
        return functional_call(self._pure, views | buffers, (x,))

    @cached_property
    def passes(self) -> Passes:
        """Gradients and scores of many models, and the memory that they take."""
        return Passes(
            forward=self.forward,
            module=self.module,
            layout=self.layout,
            objective=objectives.OBJECTIVES[self.task],
            activations=self._activations,
            pooled=self.pooled,
            engine=self.engine,
            memory=self.memory,
        )

    def exam(self, shards: Shards) -> Exam:
        """Gather each owner's examples; owners [markets], or [1] to be shared by all markets."""
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        if self.pooled:
            shards = batch_statistics.unpadded(shards, "this is an exam")
        return exams.exam_of(shards)

    def scores(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        """Score k models of every market: mean loss, and share of right labels or R^2."""
        return self._scored(params, exam, ())

    def class_scores(
        self, params: Float[Tensor, "markets k params"], exam: Exam, sizes: tuple[int, ...]
    ) -> Scores:
        """Scores on each class of a shared exam in one pass, as ``ByClass`` says.

        Batch norms pool all examples of the exam, so that their scores are other ones.
        """
        exams.check_sizes(exam, sizes)
        return self._scored(params, exam, sizes)

    @no_hidden_draws("the module", ADVICE)
    @full_precision()
    def _scored(self, params: Tensor, exam: Exam, sizes: tuple[int, ...]) -> Scores:
        exams.check_exam(params, self.layout.size, exam.owners)
        with torch.no_grad():
            return self.passes.scores(params, exam, sizes)

    @full_precision()
    def export(
        self, flat: Float[Tensor, "params"], x: Float[Tensor, "rows *features"] | None = None
    ) -> nn.Module:
        """Return the user's own module with these parameters, in eval mode, to use elsewhere.

        Running statistics of batch norms are set from x, all of it at once: mean and variance
        (biased: sum of squares / n) of each norm's inputs, averaged over its calls. So the module
        answers x as scoring does, to rounding; torch itself would keep the variance n / (n - 1)
        times as large. Instance norms stay without statistics, as in training.

        flat: one model's parameters [params]
        x:    examples for the statistics [rows, *features]; None for no statistics

        Raises ValueError where the statistics of batch norms need x, and for parameters or features
        of another shape.

        >>> net = ModuleLearner((4,), 3, "classification", module=nn.Linear(4, 3))
        >>> net.export(torch.ones(15))(torch.ones(1, 4)).tolist()
        [[5.0, 5.0, 5.0]]
        """
        net = _with_parameters(self.module, self.layout, flat)
        return batch_statistics.with_statistics(net, x, self.feature_shape)
