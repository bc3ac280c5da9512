"""Where large data sets are looked for."""

from agents.papers.core.data_folder import data_folder


def test_large_data_lie_where_the_variable_says_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKETENV_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("MARKETENV_DATA", str(tmp_path / "nothing"))
    assert data_folder() is None
    monkeypatch.setenv("MARKETENV_DATA", "")
    assert data_folder() is None
    monkeypatch.delenv("MARKETENV_DATA")
    assert data_folder() is None
