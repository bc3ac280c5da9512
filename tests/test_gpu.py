"""What runs on a GPU, run on a CPU too: there torch's default device holds no numbers, so that a
tensor which is made without saying where shows.
"""

import contextlib
import sys
import time

import pytest
import torch

from agents.benchmarks import gpu, gpu_networks, sharing
from agents.benchmarks import learners as learners_speed
from agents.benchmarks.instruments import allocated
from agents.benchmarks.learners import synthetic
from marketenv.learners import LEARNERS, Training

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
CPU = torch.device("cpu")


@contextlib.contextmanager
def nowhere():
    """No tensor is made here by those who do not say where."""
    with torch.device("meta"):
        yield


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
def test_every_measurement_of_a_gpu_runs(device):
    with nowhere():
        parts = list(gpu.cases(True, device))
    rows = [row for part in parts for row in part]
    assert all(row["value"] > 0 for row in rows)
    names, units = [row["name"] for row in rows], {row["unit"] for row in rows}
    assert all(any(market in name for name in names) for market in gpu.MARKETS)
    assert {"agent-train-steps/s", "agent-steps/s", "market-rounds/s", "GiB", "min"} <= units


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
def test_learners_and_sharing_are_measured_on_any_device(device):
    small = {"models": 2, "batch": 4, "steps": 1, "repeats": 1, "threads": (1,)}
    with nowhere():
        parts = [case(**small, device=torch.device(device)) for case in learners_speed.cases()]
        parts += sharing.cases(True, device)
    rows = [row for part in parts for row in part]
    apart = [row["value"] for row in rows if "difference" in row["name"]]
    assert len(apart) == 2 and max(apart) < 1e-4
    assert any("class by class / one pass" in row["name"] for row in rows)


KINDS = {
    "mlp": ("mlp", (64,), {}),
    "cnn": ("cnn", (1, 8, 8), {"width": 2}),
    "resnet": ("resnet", (1, 8, 8), {"depth": 10}),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_models_are_trained_and_scored_alike_everywhere(kind, device):
    """Three models, a step and the scores on three classes; a GPU sums in another order."""
    name, shape, options = KINDS[kind]

    def made(device):
        learner = LEARNERS[name](shape, 3, "classification", Training(steps=1), **options)
        keys, pool = torch.arange(3, device=device), synthetic(3, 6, 64, 3, device)
        pool = type(pool)(pool.x.view(-1, *shape), pool.y, pool.index, pool.size)
        params, slots = learner.init(keys), learner.fresh_slots(3, device)
        effort = torch.ones(3, dtype=torch.float32, device=device)
        params, _ = learner.train(params, slots, learner.prepare(pool), effort, keys)
        exam = learner.exam(type(pool)(pool.x, pool.y, pool.index[:1], pool.size[:1]))
        return [params, *learner.class_scores(params[None], exam, (3, 1, 2))]

    wanted = made(CPU)
    with nowhere():
        found = made(torch.device(device))
    for one, other in zip(found, wanted, strict=True):
        assert one.device.type == device
        torch.testing.assert_close(one.cpu(), other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_the_memory_of_a_call_is_what_it_allocates(device):
    # 4 million bytes, twice at once, of which none stay
    call = lambda: torch.ones(10**6, dtype=torch.float32, device=device) * 2  # noqa: E731
    assert allocated(call, torch.device(device)) == pytest.approx(8e6, rel=0.01)


def spoken(folder, text):
    """Use of a GPU by a program that says this, whatever it is asked, and waits to be stopped."""
    program, mark = folder / "fake-smi", folder / "mark"
    mark.unlink(missing_ok=True)
    code = f"import pathlib, time; print({text!r}, flush=True); pathlib.Path({str(mark)!r}).touch()"
    program.write_text(f"#!{sys.executable}\n{code}; time.sleep(600)\n")
    program.chmod(0o755)

    def until_spoken():
        while not mark.exists():
            time.sleep(0.01)

    return gpu.sampled(str(program), 0, until_spoken)


def test_golden_use_of_a_gpu(tmp_path):
    """Two samples: 90 and 100 % busy, 1,000 and 3,000 MiB; half a line is no sample."""
    assert spoken(tmp_path, "90, 1000\n100, 3000\n7") == (95.0, 3000.0)
    with pytest.raises(RuntimeError, match="reported nothing"):
        spoken(tmp_path, "")
    assert gpu.use_of_gpu("a CPU", pytest.fail, CPU, sys.executable) == []


@pytest.mark.parametrize("device", DEVICES)
def test_exams_are_shared_or_owned_under_vmap(device):
    learner = LEARNERS["cnn"]((1, 8, 8), 3, "classification", engine="vmap", width=2)
    calls = gpu_networks.vmap_calls(learner, 2, 3, torch.device(device))
    shared, own = (calls[f"scores of {exam}"]() for exam in ("a shared exam", "own exams"))
    # all examples are alike, and so are all exams
    torch.testing.assert_close(shared.loss[0], own.loss[:, 0])
    assert calls["gradients"]().shape == (2, learner.layout.size)
