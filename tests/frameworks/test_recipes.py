"""Frameworks are complete: a target, an extra, a section and tests for each; the summary tells
every way to fail.
"""

import re
import tomllib

import pytest
import summary
from recipes import PAGE, ROOT, page_code

TITLES = re.findall(r"^## (.+)$", PAGE.read_text("utf8"), re.M)
FRAMEWORKS = [title.lower() for title in TITLES]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"][
    "optional-dependencies"
]


def test_every_framework_is_complete():
    made = re.search(r"^FRAMEWORKS := (.+)$", (ROOT / "Makefile").read_text("utf8"), re.M)
    tested = {
        path.stem.removeprefix("test_") for path in (ROOT / "tests/frameworks").glob("test_*.py")
    } - {"recipes"}
    assert set(made[1].split()) == set(FRAMEWORKS) == tested <= set(EXTRAS)
    for title in TITLES:
        assert f'| {title} | `pip install -e ".[{title.lower()}]"` |' in PAGE.read_text("utf8")
        file = (ROOT / f"tests/frameworks/test_{title.lower()}.py").read_text("utf8")
        assert f'run_page("{title}"' in file and f'need("{title.lower()}"' in file
        assert page_code(title) or page_code(title, "python")


def test_blocks_that_the_usual_tests_leave_out_stand_on_one_page():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    marked = {page for page in pages if re.search(r"^```py$", page.read_text("utf8"), re.M)}
    assert marked == {PAGE}
    every = [
        code.strip()
        for title in TITLES
        for language in ("py", "python")
        for code in page_code(title, language)
    ]
    assert len(every) == len(re.findall(r"^```py", PAGE.read_text("utf8"), re.M)) and all(every)


SUITE = (
    '<testsuites><testsuite tests="{}" failures="{}" errors="{}" skipped="{}" time="2.4">'
    "<properties>{}</properties></testsuite></testsuites>"
)
VERSION = '<property name="version" value="x 1.2"/>'


@pytest.mark.parametrize(
    ("counts", "line", "good"),
    [
        ((3, 0, 0, 0), "passed  3 passed, 0 failed, 0 skipped in 2 s  x 1.2", True),
        ((3, 1, 0, 0), "FAILED  2 passed, 1 failed, 0 skipped in 2 s  x 1.2", False),
        ((3, 0, 1, 0), "FAILED  2 passed, 1 failed, 0 skipped in 2 s  x 1.2", False),
        # in its own environment all must run
        ((3, 0, 0, 1), "FAILED  2 passed, 0 failed, 1 skipped in 2 s  x 1.2", False),
        ((0, 0, 0, 0), "FAILED  0 passed, 0 failed, 0 skipped in 2 s  x 1.2", False),
    ],
)
def test_summary(counts, line, good, tmp_path, capsys):
    (tmp_path / "one.xml").write_text(SUITE.format(*counts, VERSION))
    assert summary.read(tmp_path / "one.xml") == (line, good)
    (tmp_path / "fine.xml").write_text(SUITE.format(1, 0, 0, 0, VERSION))
    assert summary.main([tmp_path / "fine.xml", tmp_path / "one.xml"]) == (0 if good else 1)
    assert capsys.readouterr().out.splitlines()[1] == f"one        {line}"


def test_summary_of_what_was_never_installed(tmp_path, capsys):
    assert summary.main([tmp_path / "none.xml"]) == 1 and summary.main([]) == 1
    (tmp_path / "cut.xml").write_text("<testsuites><test")  # pytest was killed while it wrote
    assert summary.main([tmp_path / "cut.xml"]) == 1
    assert capsys.readouterr().out.count("FAILED  no result") == 2
