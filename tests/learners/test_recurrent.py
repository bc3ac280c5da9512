"""The recurrent learner: torch's own GRU with the same weights, both engines, and what it
refuses.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import start
from torch import nn

from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, Training
from marketenv.learners.recurrent import CharacterGRU, recurrent
from marketenv.learners.reference import loop_train


def echoes(owners=3, width=24, length=4, characters=5):
    """Windows that count up; what follows is the first character again, so it must be
    remembered.
    """
    first = torch.arange(owners * width) % characters
    x = (first[:, None] + torch.arange(length)) % characters
    rows = torch.arange(owners * width).view(owners, width)
    return Shards(x.float(), first, rows, torch.tensor([width - 3 * i for i in range(owners)]))


@given(
    st.integers(2, 9), st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(0, 99)
)
@settings(max_examples=20)
def test_the_network_is_torchs_gru(characters, hidden, embedding, length, seed):
    mine, draw = CharacterGRU(characters, 3, hidden, embedding), torch.Generator().manual_seed(seed)
    torch.nn.utils.vector_to_parameters(
        torch.randn(sum(p.numel() for p in mine.parameters()), generator=draw), mine.parameters()
    )
    its = nn.GRU(embedding, hidden, batch_first=True)
    named = {"weight_ih_l0": mine.inputs.weight, "bias_ih_l0": mine.inputs.bias}
    named |= {"weight_hh_l0": mine.recurrent.weight, "bias_hh_l0": mine.recurrent.bias}
    its.load_state_dict(named)
    ids = torch.randint(characters, (6, length), generator=draw)
    states, _ = its(nn.functional.embedding(ids, mine.embedding.weight.mT))
    torch.testing.assert_close(mine(ids.float()), mine.linear(states[:, -1]), atol=1e-5, rtol=1e-5)


def test_a_state_by_hand():
    # one hidden number, weights 0 but biases: inputs (0, 0, 1), state's (0, 0, 2): r = z = 1/2, n =
    # tanh(1 + 2/2) = tanh 2, h1 = n / 2, h2 = n / 2 + h1 / 2 = 3 n / 4; output weight 1
    net = CharacterGRU(2, 1, 1, 1)
    with torch.no_grad():
        [p.zero_() for p in net.parameters()]
        net.inputs.bias[2], net.recurrent.bias[2], net.linear.weight[0, 0] = 1.0, 2.0, 1.0
    for length, share in ((1, 0.5), (2, 0.75)):
        torch.testing.assert_close(
            net(torch.zeros(1, length)).detach(), share * torch.tanh(torch.tensor([[2.0]]))
        )


@pytest.mark.parametrize(
    "settings_",
    [{}, {"batch_size": 6, "momentum": 0.5}, {"optimizer": "adam", "learning_rate": 0.01}],
)
def test_both_engines_equal_the_loop_with_autograd(settings_):
    shards, effort = echoes(), torch.tensor([0.5, 1.0, 0.9])
    learners = [
        recurrent((4,), 5, "classification", Training(steps=3, **settings_), hidden=6, engine=e)
        for e in ("loop", "vmap")
    ]
    keys, params, slots, _ = start(learners[0], 3)
    one, other = (
        learner.train(params, slots, learner.prepare(shards), effort, keys) for learner in learners
    )
    autograd = loop_train(learners[0], params, slots, shards, effort, keys)
    for a, b, c in zip(one, other, autograd, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(a, c, atol=1e-5, rtol=1e-5)
    mine, its = (learner.scores(one[0][:, None], learner.exam(shards)) for learner in learners)
    torch.testing.assert_close(mine.loss, its.loss, atol=1e-5, rtol=1e-5)


def test_it_learns_to_remember():
    # what follows is a function of the window (first = last - 3 modulo 5), so all of it can be
    # learned
    learner = LEARNERS["recurrent"](
        (4,),
        5,
        "classification",
        Training(steps=80, optimizer="adam", learning_rate=0.03),
        hidden=8,
    )
    keys, params, slots, effort = start(learner, 3)
    trained, _ = learner.train(params, slots, learner.prepare(echoes()), effort, keys)
    assert bool((learner.scores(trained[:, None], learner.exam(echoes())).accuracy > 0.95).all())


def test_it_starts_with_characters_of_variance_one_and_biases_of_zero():
    learner = recurrent((4,), 60, "classification", hidden=40, embedding=20)
    views = learner.layout.views(learner.init(torch.arange(20)))
    for name, inputs in (
        ("embedding.weight", 1),
        ("inputs.weight", 20),
        ("recurrent.weight", 40),
        ("linear.weight", 40),
    ):
        assert float(views[name].std()) == pytest.approx(inputs**-0.5, rel=0.05)
    assert all(
        float(views[f"{part}.bias"].abs().max()) == 0 for part in ("inputs", "recurrent", "linear")
    )


REFUSED = {
    "images": (lambda: recurrent((1, 4, 4), 5, "classification"), "use learner 'cnn' for images"),
    "a regression": (lambda: recurrent((4,), 1, "regression"), "task is 'regression'"),
    "no state": (lambda: recurrent((4,), 5, "classification", hidden=0), "hidden is 0"),
    "no characters": (
        lambda: recurrent((4,), 5, "classification", characters=0),
        "characters is 0, wanted a whole number >= 1",
    ),
    "few characters": (
        lambda: recurrent((4,), 5, "classification", characters=3).prepare(echoes()),
        r"hold [34], .* 0\.\.2",
    ),
    "an exam's": (
        lambda: recurrent((4,), 5, "classification", characters=3).exam(echoes()),
        r"0\.\.2",
    ),
    "fractions": (
        lambda: recurrent((4,), 5, "classification").prepare(
            Shards(echoes().x + 0.5, echoes().y, echoes().index, echoes().size)
        ),
        "hold 0.5",
    ),
    "nan": (
        lambda: recurrent((4,), 5, "classification").prepare(
            Shards(echoes().x * torch.nan, echoes().y, echoes().index, echoes().size)
        ),
        "hold nan",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_what_is_no_text_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
