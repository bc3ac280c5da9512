"""Ours beside others: what is timed, that all sides do the same work, and that every case runs."""

from subprocess import CompletedProcess

import pytest
import torch

from agents.benchmarks import peers
from agents.benchmarks.peers import auction, federated, flower, side_by_side, training
from agents.benchmarks.peers.side_by_side import Comparison, ratios, ready


class Clock:
    """A clock that only a side's work moves: CPU seconds and clock seconds."""

    def __init__(self, monkeypatch):
        self.cpu = self.clock = 0.0
        monkeypatch.setattr(side_by_side.time, "process_time", lambda: self.cpu)
        monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: self.clock)

    def side(self, cpu, clock, result=2.0):
        """Take these seconds a turn, one after another, and 100 seconds to prepare each."""
        cpus, clocks = iter(cpu), iter(clock)

        def work():
            self.cpu += next(cpus)
            self.clock += next(clocks)
            return result

        def prepare():
            self.cpu += 100.0
            self.clock += 100.0
            return work

        return prepare


def values(rows):
    return {row["name"].split(" / ours, ")[1]: row["value"] for row in rows}


def test_ratios_by_hand(monkeypatch):
    clock = Clock(monkeypatch)
    # a turn that warms up, two turns on one thread, one on two threads
    ours = clock.side(cpu=[9, 2, 3, 4], clock=[9, 5, 4, 2])  # least: 2 CPU; clock 4, then 2
    theirs = clock.side(cpu=[9, 7, 6, 1], clock=[9, 7, 6, 8], result=2.1)  # 6; clock 6, then 8
    comparison = Comparison("work", ours, {"loop": theirs}, float, "loss", 0.1)
    before = torch.get_num_threads()
    rows = ratios(comparison, turns=2, least=0.0)
    assert values(rows) == pytest.approx(
        {"CPU, one thread": 6 / 2, "clock, best number of threads": 6 / 2, "loss": 2.1 / 2.0}
    )
    assert all(row["name"].startswith("work: loop / ours, ") for row in rows)
    assert [row["unit"] for row in rows] == ["times", "times", "ratio"]
    assert torch.get_num_threads() == before


def test_short_work_takes_more_turns(monkeypatch):
    clock, calls = Clock(monkeypatch), []
    work = clock.side(cpu=[1.0] * 9, clock=[1.0] * 9)

    def counted():
        calls.append(work)
        return work()

    side_by_side.shortest({"ours": counted}, turns=1, least=250.0)
    assert len(calls) == 3  # 101 seconds each, preparation and work


@pytest.mark.parametrize("theirs", [2.3, 1.7, float("nan")])
def test_two_times_of_different_work_have_no_ratio(theirs):
    sides = {"loop": ready(lambda: theirs)}
    comparison = Comparison("work", ready(lambda: 2.0), sides, float, "loss reached", 0.1)
    with pytest.raises(RuntimeError, match=r"work: the loss reached is .* by 'loop' and 2 by ours"):
        ratios(comparison, turns=1, least=0.0, threads=(1,))


WORKS = {
    "networks": lambda: training.networks(2, hidden=4, rows=8, batch=8),
    "images": lambda: training.image_networks(2, rows=4, batch=4),
}


@pytest.mark.parametrize("kind", WORKS)
def test_other_ways_train_to_our_parameters(kind):
    work = WORKS[kind]()
    # one batch is an epoch, so that no order matters
    ours = training.stacked(work)()()
    assert float((ours - work.params).abs().max()) > 0.01 and work.gain(ours) > 0.1
    ways = [training.looped(work, loader) for loader in training.LOADERS.values()]
    for way in (*ways, training.vmapped(work)):
        torch.testing.assert_close(way()(), ours, rtol=1e-4, atol=1e-5)


def test_both_loaders_give_each_example_once_an_epoch():
    x, y = torch.arange(10.0)[:, None], torch.arange(10)
    for loader in training.LOADERS.values():
        batches = loader(x, y, 4, seed=0)
        epochs = [torch.cat([labels for _, labels in batches]).tolist() for _ in range(2)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10)) and epochs[0] != epochs[1]
        assert all(features[:, 0].tolist() == labels.tolist() for features, labels in batches)


def test_client_objects_average_to_our_centre():
    work = training.networks(3, hidden=4, rows=8, batch=8)
    ours = federated.averaged(work, 2)()()
    assert float((ours - work.params[0]).abs().max()) > 0.01
    theirs = federated.client_objects(work, 2)()()
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # the mean of parameters that differ, by hand
        clients = [federated.Client(work, i, work.net) for i in range(2)]
        for client, value in zip(clients, (1.0, 3.0), strict=True):
            for p in client.model.parameters():
                p.fill_(value)
        mean = federated.mean_model(clients)
        assert all((p == 2.0).all() for p in mean.parameters())


def test_flower_averages_to_our_centre():
    pytest.importorskip("flwr")
    work = training.networks(3, hidden=4, rows=8, batch=8)
    ours, theirs = federated.averaged(work, 2)()(), flower.simulated(work, 2)()()
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_without_flower_a_line_says_so(monkeypatch, capsys):
    for module in (peers, federated):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    (make,) = federated.comparisons(quick=True)
    assert list(make().theirs) == ["like PFLlib"]
    monkeypatch.setattr(peers.subprocess, "run", ran(stdout="[]"))
    assert peers.cases() == [] and "pip install 'marketenv[peers]'" in capsys.readouterr().out


def test_a_failure_in_the_process_of_its_own_is_told(monkeypatch):
    monkeypatch.setattr(peers.subprocess, "run", ran(returncode=1, stderr="no loop is ours"))
    with pytest.raises(RuntimeError, match=r"(?s)the benchmark of peers failed.*no loop is ours"):
        peers.cases()


def test_the_process_of_its_own_measures_in_full(monkeypatch, capsys):
    def run(command, **more):
        assert more["env"]["OMP_NUM_THREADS"] == "1" and command[1] == "-c"
        capsys.readouterr()
        exec(command[2])
        return CompletedProcess(command, 0, "a line before\n" + capsys.readouterr().out, "")

    monkeypatch.setattr(peers, "measured", lambda quick=False: [{"name": f"quick: {quick}"}])
    monkeypatch.setattr(peers.subprocess, "run", run)
    assert peers.cases() == [{"name": "quick: False"}]


def ran(returncode=0, stdout="", stderr=""):
    return lambda *args, **more: CompletedProcess(args, returncode, stdout, stderr)


def test_every_auction_by_hand_gives_our_prices():
    bids, asks = auction.reports(3, 4)
    bids[0, 0], bids[1, :, 1] = 0.0, asks[1, 1]  # no bids, and ties
    ours = auction.double_auction(bids, asks)
    assert 0 < int(ours.allocation.sum()) < bids.numel()
    for way in auction.WAYS.values():
        torch.testing.assert_close(
            torch.from_numpy(way(bids.numpy(), asks.numpy())), ours.prices, rtol=1e-12, atol=0.0
        )


def test_every_comparison_runs_at_tiny_size():
    rows = peers.cases(quick=True)
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names) and all(row["value"] > 0 for row in rows[:-2])
    subjects = ("networks", "images", "clients", "double auction", "weight matching")
    assert all(any(subject in name for name in names) for subject in subjects)
    scores = [row["value"] for row in rows if row["unit"] == "ratio"]
    assert scores == pytest.approx([1.0] * len(scores), abs=1e-4)
    assert [name for name in names[-2:] if name.startswith("load of the machine")] == names[-2:]
