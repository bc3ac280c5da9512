"""The studies of the model-sharing market run end to end at toy size and say what they are compared with."""

import json

import numpy as np
import pytest
import torch

from marketenv.core import rounds
from marketenv.markets.sharing_schemes import SCHEMES
from scripts.studies import sharing, sharing_data, sharing_reports

TOY = {"seeds": 2, "rounds": 2, "clients": 3, "steps": 1, "workers": 1}


def found(out, name):
    for ending in ("json", "csv", "png"):
        assert (out / f"{name}.{ending}").stat().st_size > 0
    rows = json.loads((out / f"{name}.json").read_text())["rows"]
    return {row["what"]: row for row in rows}


def test_every_scheme_is_compared_on_both_partitions_and_kept(tmp_path):
    config = sharing.Sharing(out=tmp_path, **TOY)
    sharing.ipfl_niid(config)
    rows = found(tmp_path, "ipfl_niid_digits")
    for dealt in ("Dirichlet .1", "5 classes each"):
        for scheme in SCHEMES:
            assert 0 <= rows[f"{scheme}, {dealt}, test accuracy, last round"]["ours"] <= 100
        assert rows[f"local, {dealt}, summed utility"]["points"] == [0, 0]  # who shares nothing gains and pays nothing
        # truthful reports: nobody loses in a round (theorem 1); utilities are float64 sums
        assert rows[f"ipfl, {dealt}, least utility of any client in any round"]["ours"] >= -1e-9
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "units").glob("*.json")}
    assert len(kept) == 2 * len(SCHEMES) * 2  # partitions x schemes x seeds
    sharing.ipfl_niid(config)
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())


def test_finance_shows_the_numbers_of_the_summary(tmp_path):
    sharing.ipfl_niid(sharing.Sharing(out=tmp_path, setting="finance", **TOY))
    rows = found(tmp_path, "ipfl_niid_finance")
    # arXiv 2505.02462, summary: 5.55 % accuracy and 58.3 utility more than the baselines in finance
    assert rows["ipfl less the best other, Dirichlet .1, test accuracy"]["paper"] == 5.55
    assert rows["ipfl less the best other, Dirichlet .1, summed utility"]["paper"] == 58.3


def test_lambda_and_attacks(tmp_path):
    sharing.ipfl_lambda(sharing.Lambdas(out=tmp_path, strengths=(0.1, 10.0), **TOY))
    edges = found(tmp_path, "ipfl_lambda")
    assert edges["lambda 10, models sold"]["ours"] <= edges["lambda 0.1, models sold"]["ours"]  # distance costs more
    sharing.ipfl_attack(sharing.Attacks(out=tmp_path, strengths=(1000.0,), attacks=("gauss", "relay"), **TOY))
    rows = found(tmp_path, "ipfl_attack")
    # at distance about 1 the discount is about 1000 N_j / N_i, far above any gain g(x) - g(x - N) < sqrt(K / N_i)
    assert rows["lambda 1000, gauss: buyers of client 0"]["ours"] == 0
    assert rows["lambda 1000, gauss: utility of client 0"]["ours"] <= rows["lambda 1000, honest: utility of client 0"]["ours"]


def test_lies_about_cost_pay_only_by_understating_to_marginal_payments(tmp_path):
    sharing_reports.ipfl_liars(sharing_reports.Liars(out=tmp_path, seeds=10, points=4, workers=1))
    rows = found(tmp_path, "ipfl_liars")
    gains = {payment: rows[f"{payment}: c down, clients that gain"]["ours"] for payment in sharing_reports.PRICED}
    assert gains["critical"] == gains["vcg"] == 0 < gains["marginal"]  # design page: derived, 0 violations against 47 %
    assert all(rows[f"{payment}: c up, clients that gain"]["ours"] == 0 for payment in sharing_reports.PRICED)
    # without training an hour saved is all gain: k_i > 0
    assert rows["marginal: effort down, clients that gain"]["ours"] == 100


def test_a_liar_lies_alone():
    market = sharing_reports.priced_market("marginal")
    n = market.n_agents
    start = rounds.begin(market, torch.arange(2).repeat_interleave(n))
    truth = sharing_reports.earned(market, start, "c up", 0.0)
    _, report = rounds.advance(market, start, rounds.act(market, sharing_reports.find_profile(market), start))
    # the truth told as a lie with a = 0 is the truth, for every client of every seed
    torch.testing.assert_close(truth, report.utility.view(2, n, n)[:, 0])


def test_sizes_of_markets(tmp_path):
    sharing_reports.ipfl_scale(sharing_reports.Scale(out=tmp_path, clients=(3, 6), seeds=1))
    rows = found(tmp_path, "ipfl_scale")
    size = 64 * 32 + 32 + 32 * 10 + 10  # the default network on digits: 64-32-10
    sent = rows["3 clients: sent"]["ours"] * 1e6 / (4 * size)
    assert 3 <= round(sent, 6) <= 6 and round(sent, 6) % 1 == 0  # three uploads, and a prox centre for each buyer
    assert rows["6 clients: edges"]["ours"] <= 30


def test_a_table_becomes_features():
    numbers, categories = np.array([[1.0], [3.0]], dtype=np.float32), np.array([[0, -1], [2, 1]])
    made = sharing_data.of_table(numbers, categories, np.array([0, 1]), "table")
    # (1, 3) has mean 2 and deviation 1; columns: number, category 0, category 2, and category 1 of the second, missing in row 0
    assert made.x.tolist() == [[-1, 1, 0, 0], [1, 0, 1, 1]]


def test_what_cannot_run_is_refused(tmp_path):
    for wrong, said in (
        ({"setting": "mnits"}, "Did you mean 'mnist'"),
        ({"clients": 2}, "wanted >= 3"),
        ({"rounds": 0}, "wanted >= 1"),
    ):
        with pytest.raises(ValueError, match=said):
            sharing.Sharing(**wrong)
    with pytest.raises(ValueError, match=r"give --data FILE\.npz"):
        sharing.Sharing(data=tmp_path / "none.npz").arguments()
    with pytest.raises(ValueError, match="Did you mean 'gauss'"):
        sharing.Attacks(attacks=("gaus",))
    with pytest.raises(ValueError, match="wanted one or more of marginal, critical, vcg"):
        sharing_reports.Liars(payments=("first_price",))


@pytest.mark.parametrize("setting", ["mnist", "shakespeare"])
def test_settings_beside_the_embedded_ones(setting, tmp_path):
    config = sharing.Sharing(out=tmp_path, setting=setting, **TOY | {"rounds": 1, "seeds": 1})
    try:
        config.arguments()
    except ValueError as error:
        pytest.skip(f"{setting} is not at hand: {error}")
    sharing.ipfl_niid(config)
    assert found(tmp_path, f"ipfl_niid_{setting}")
