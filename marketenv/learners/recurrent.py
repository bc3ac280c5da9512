"""A small recurrent network, as matrix products, that predicts the next character of a text."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from marketenv.core import draws
from marketenv.core.checks import whole
from marketenv.core.shards import Shards
from marketenv.learners.exams import Exam
from marketenv.learners.module import ModuleLearner
from marketenv.learners.training import DEFAULT, Training


class OneHot(nn.Module):
    """Turn numbers 0..size - 1 into rows with a single 1; anything else into zeros."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch size"]:
        """Compare every number with all of them.

        A product with the rows then picks weights, and its sums have a fixed order.
        """
        return (x[..., None] == torch.arange(self.size, device=x.device, dtype=x.dtype)).to(x.dtype)


class CharacterGRU(nn.Module):
    """Read characters one by one into a hidden state, and score the next character.

    i_t = W_i e(x_t) + b_i;  s_t = W_h h_{t-1} + b_h;  h_0 = 0
    (each in three parts r, z, n of length ``hidden``)
    r = sigmoid(i_r + s_r);  z = sigmoid(i_z + s_z);  n = tanh(i_n + r * s_n)
    h_t = (1 - z) n + z h_{t-1};  outputs = W h_length + b

    x: numbers of characters, as floats [batch, length];   returns scores [batch, n_outputs]

    Source: Cho et al., EMNLP 2014, with the reset after the product and the order of gates of
    torch.nn.GRU.
    """

    def __init__(self, characters: int, n_outputs: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.characters = OneHot(characters)
        self.embedding = nn.Linear(characters, embedding, bias=False)
        self.inputs = nn.Linear(embedding, 3 * hidden)
        self.recurrent = nn.Linear(hidden, 3 * hidden)
        self.linear = nn.Linear(hidden, n_outputs)

    def forward(self, x: Float[Tensor, "batch length"]) -> Float[Tensor, "batch outputs"]:
        """Scores of the next character."""
        # of all places at once: only the state goes from place to place
        inputs = self.inputs(self.embedding(self.characters(x)))
        state = x.new_zeros(len(x), self.hidden)
        for place in inputs.unbind(1):
            state = self._next(state, place)
        return self.linear(state)

    def _next(self, state: Tensor, inputs: Tensor) -> Tensor:
        own_r, own_z, own_n = self.recurrent(state).chunk(3, -1)
        in_r, in_z, in_n = inputs.chunk(3, -1)
        new = torch.tanh(in_n + torch.sigmoid(in_r + own_r) * own_n)
        keep = torch.sigmoid(in_z + own_z)
        return new + keep * (state - new)


def _filled(module: CharacterGRU) -> CharacterGRU:
    """Give the module its first values from keyed draws.

    Biases are 0; the variance of characters is 1, that of weights 1 / inputs.
    """
    module = module.to_empty(device="cpu").float()  # whatever type torch makes by default
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() == 1:
                p.zero_()
                continue
            key = draws.fold(torch.tensor(0, device="cpu"), "recurrent", name)
            noise = draws.normal(key, *p.shape)
            # of the characters only one is not 0
            inputs = 1 if name == "embedding.weight" else p.shape[1]
            p.copy_((noise - noise.mean()) / noise.std(correction=0) / math.sqrt(inputs))
    return module


class CharacterLearner(ModuleLearner):
    """A ``ModuleLearner`` of ``CharacterGRU``, which refuses examples that are no characters.

    Raises ValueError where features are not whole numbers 0..characters - 1.
    """

    def prepare(self, shards: Shards) -> Shards:
        """Check the models' data; minibatches are drawn from the data as they are."""
        return super().prepare(self._checked(shards))

    def exam(self, shards: Shards) -> Exam:
        """Gather each owner's examples; owners [markets], or [1] to be shared by all markets."""
        return super().exam(self._checked(shards))

    def _checked(self, shards: Shards) -> Shards:
        size, x = dict(self.layout.shapes)["embedding.weight"][1], shards.x
        wrong = (x < 0) | (x >= size) | (x != x.floor())
        if bool(wrong.any()):
            raise ValueError(
                f"features hold {float(x[wrong][0]):g}, wanted numbers of characters, whole and in"
                f" 0..{size - 1}; pass characters=<how many there are>, or use learner 'mlp' for"
                " features that are no text."
            )
        return shards


def recurrent(
    feature_shape: tuple[int, ...],
    n_outputs: int,
    task: str,
    training: Training = DEFAULT,
    *,
    hidden: int = 32,
    embedding: int = 8,
    characters: int | None = None,
    engine: str = "vmap",
    memory: int = 2**28,
) -> CharacterLearner:
    """Make a learner that reads a window of characters and predicts the next one.

    Its models cannot be aligned.

    feature_shape: (length,), of characters' numbers as floats
    n_outputs:     classes, the characters that may come next
    hidden:        numbers of the state;   embedding: numbers of a character
    characters:    how many there are; None: n_outputs
    engine, memory: as in ``ModuleLearner``, but "vmap" on a CPU too: as fast as the loop for 10
                   models, twice as fast for 50

    Raises ValueError for other feature shapes and tasks, and sizes below 1.

    >>> recurrent((20,), 65, "classification").layers[0]
    ('embedding.weight',)
    """
    hidden, embedding = whole(hidden, "hidden", 1), whole(embedding, "embedding", 1)
    count = n_outputs
    if characters is not None:
        count = whole(characters, "characters", 1, fix=", or None for n_outputs")
    if len(feature_shape) != 1 or task != "classification":
        raise ValueError(
            f"feature_shape is {feature_shape} and task is {task!r}, wanted (length,) and"
            " 'classification': windows of characters and the one that follows; use learner 'cnn'"
            " for images and 'mlp' for other features."
        )
    with torch.device("meta"):  # no values: torch's own would come from the global generator
        module = CharacterGRU(count, n_outputs, hidden, embedding)
    return CharacterLearner(
        feature_shape,
        n_outputs,
        task,
        training,
        module=_filled(module),
        engine=engine,
        memory=memory,
    )
