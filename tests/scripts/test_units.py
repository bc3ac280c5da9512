"""Units of work: kept as they come, tried again, reported, and named for all that they stand on."""

from pathlib import Path

import pytest

from agents.papers.core import units
from agents.papers.core.units import Crew, Unit, run


def double(folder, value):
    return 2 * value


def fails_until(folder, marks, times):
    """Fails as often as it is told, counting in a file."""
    seen = len(Path(marks).read_text()) if Path(marks).exists() else 0
    if seen < times:
        Path(marks).write_text("x" * (seen + 1))
        raise RuntimeError(f"planted failure {seen + 1}")
    return "at last"


ONE = Crew(workers=1)


def some(tmp_path, times):
    bad = Unit(fails_until, {"marks": str(tmp_path / "marks"), "times": times})
    return [Unit(double, {"value": 1}), bad, Unit(double, {"value": 3})]


@pytest.fixture(autouse=True)
def _stable(monkeypatch):
    # the marks change while a unit runs; here they name no data
    monkeypatch.setattr(units, "_stamp", lambda text: [])


@pytest.mark.parametrize("crew", [ONE, Crew(workers=2)], ids=["here", "processes"])
def test_a_unit_that_fails_once_is_tried_again(tmp_path, crew):
    ran = run(some(tmp_path, 1), tmp_path / "units", "units", crew)
    assert ran.results == [2, "at last", 6] and ran.errors == {} and ran.all() == ran.results
    assert not list((tmp_path / "units").glob("*.error"))  # what went wrong before is forgotten


def test_a_unit_that_fails_again_is_reported_and_the_others_are_kept(tmp_path):
    ran = run(some(tmp_path, 2), tmp_path / "units", "units", ONE)
    assert ran.results == [2, None, 6] and ran.errors == {1: "RuntimeError: planted failure 2"}
    (told,) = (tmp_path / "units").glob("*.error")
    assert "planted failure 2" in told.read_text() and "Traceback" in told.read_text()
    with pytest.raises(
        RuntimeError, match=r"1 of 3 units failed.*unit 1: RuntimeError: planted failure 2"
    ):
        ran.all()
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "units").glob("*.json")}
    # the third try
    assert run(some(tmp_path, 2), tmp_path / "units", "units", ONE).all() == [2, "at last", 6]
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())


def test_how_often_a_unit_is_tried_is_a_choice(tmp_path):
    assert run(some(tmp_path, 1), tmp_path / "a", "units", Crew(workers=1, tries=1)).errors == {
        1: "RuntimeError: planted failure 1"
    }
    # one failure was spent before
    assert run(some(tmp_path, 3), tmp_path / "b", "units", Crew(workers=1, tries=3)).errors == {}


def test_fresh_does_everything_again(tmp_path):
    once = [Unit(double, {"value": 4})]
    run(once, tmp_path, "units", ONE)
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text().replace("8", "9"))
    assert run(once, tmp_path, "units", ONE).all() == [9]
    assert run(once, tmp_path, "units", ONE, fresh=True).all() == [8]


@pytest.mark.parametrize("text", ["", '{"result": 8, "sec', "[]", '{"result": 8}', "9"])
def test_a_damaged_result_is_refused_by_its_file_before_any_work(text, tmp_path):
    once, another = Unit(double, {"value": 4}), Unit(double, {"value": 5})
    run([once], tmp_path, "units", ONE)
    (file,) = tmp_path.glob("*.json")
    file.write_text(text)
    with pytest.raises(ValueError, match=f"{file.name} is damaged: .* Delete it, and"):
        run([another, once], tmp_path, "units", ONE)
    assert list(tmp_path.glob("*.json")) == [file]
    file.unlink()
    assert run([another, once], tmp_path, "units", ONE).all() == [10, 8]


def test_a_unit_is_another_where_what_it_stands_on_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "ROOT", tmp_path)
    (tmp_path / "agents" / "stress").mkdir(parents=True)
    file = tmp_path / "agents" / "stress" / "deviation.py"
    names = []
    for text in ("one = 1", "one = 2", "one = 1"):
        file.write_text(text)
        units._code.cache_clear()
        names.append(
            [
                Unit(double, {"value": 1}, stands=stands).name()
                for stands in (("agents",), ("marketenv",))
            ]
        )
    units._code.cache_clear()
    (first, apart), (second, apart_too), (third, _) = names
    assert first == third != second and apart == apart_too  # only what it stands on counts


def test_audit_units_stand_on_library_and_all_agents():
    from agents.papers.core import audit as evidence

    seen = []

    def note(work, *arguments, **options):
        seen.extend(work)
        return units.Ran(
            [None] * len(work), [0.0] * len(work), dict.fromkeys(range(len(work)), "none")
        )

    claims = dict(list(evidence.find_claims("planted_claims:CLAIMS").items())[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "run", note)
        evidence.audit(claims, "planted_claims:CLAIMS", "quick", Path("/nowhere"), ONE)
    assert seen[0].stands[:2] == ("marketenv", "agents")
    assert any(path.endswith("planted_claims.py") for path in seen[0].stands[2:])


def test_crews_that_cannot_work_are_refused():
    for wrong, said in (
        ({"engine": "rai"}, "Did you mean 'ray'"),
        ({"address": "1.2.3.4:6379"}, "only ray has one"),
        (
            {"workers": -1},
            "^workers is -1, wanted a whole number >= 0; 0 takes one per processor.$",
        ),
        ({"tries": 0}, "^tries is 0, wanted a whole number >= 1.$"),
    ):
        with pytest.raises(ValueError, match=said):
            Crew(**wrong)


def test_ray_that_is_not_there_names_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'marketenv\[ray\]'"):
        Crew(engine="ray")
