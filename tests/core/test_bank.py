"""The parameter bank: names, places, and views that share memory."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.bank import Layout

SHAPES = st.lists(
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), min_size=1, max_size=5
)


def test_tensors_lie_one_after_the_other():
    layout = Layout((("weight", (2, 3)), ("bias", (2,)), ("scale", (1,))))
    assert layout.size == 9  # 2 * 3 + 2 + 1
    assert layout.slices == {"weight": slice(0, 6), "bias": slice(6, 8), "scale": slice(8, 9)}
    # row-major: weight[1, 0] is the fourth number
    assert layout.views(torch.arange(9.0))["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_views_share_memory_with_the_bank():
    layout = Layout((("weight", (2, 3)), ("bias", (2,))))
    bank = torch.zeros(4, 5, layout.size)
    layout.views(bank)["bias"][1, 2] = 7.0
    assert bank[1, 2].tolist() == [0] * 6 + [7, 7] and bank.sum() == 14


def test_a_mask_marks_the_named_tensors():
    layout = Layout((("a", (2,)), ("b", (1, 3)), ("c", (2,))))
    assert layout.mask(["a", "c"]).tolist() == [1, 1, 0, 0, 0, 1, 1]
    assert layout.mask([]).sum() == 0


@given(SHAPES, st.integers(1, 3))
def test_flat_undoes_views(shapes, batch):
    layout = Layout(tuple((f"t{k}", shape) for k, shape in enumerate(shapes)))
    bank = torch.arange(float(batch * layout.size)).reshape(batch, layout.size)
    assert torch.equal(layout.flat(layout.views(bank)), bank)
    assert layout.mask(name for name, _ in layout.shapes).sum() == layout.size
