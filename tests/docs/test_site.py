"""The site of the documentation: a strict build, every public name, pictures, nothing from the net.

The build wants the extra ``docs``; what needs the standard library alone is tested everywhere.
"""

import ast
import importlib.util
import os
import re
import subprocess
import sys

import pytest
from markdown_pages import ROOT

from marketenv.envs import MARKETS

SITE = ROOT / "docs/_site"
NEEDED = ("mkdocs", "material", "mkdocstrings_handlers", "griffe")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
with_extra = pytest.mark.skipif(
    bool(MISSING), reason=f"wants the extra docs: pip install -e '.[docs]' (missing: {MISSING})"
)
NET = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)="?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site built with every warning as an error, in a process of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    command += ["--config-file", str(SITE / "mkdocs.yml"), "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return folder


@pytest.fixture
def site_code(monkeypatch):
    """The site's own modules, importable by their names in one test."""
    monkeypatch.syspath_prepend(str(SITE))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(SITE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def exported(file):
    """The names in a file's ``__all__``, read without the site's code."""
    for part in ast.parse(file.read_text("utf8")).body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__all__":
            return ast.literal_eval(part.value)
    return []


@pytest.fixture(scope="module")
def exports():
    """The public names of every module that has any."""
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): names
        for package in ("marketenv", "agents")
        for file in sorted((ROOT / package).rglob("*.py"))
        if (names := exported(file))
    }


@with_extra
@pytest.mark.long
def test_the_reference_has_every_public_name_and_each_is_described_once(site, exports):
    assert len(exports) > 20 and "contest" in exports["marketenv.mechanisms"]
    for module, names in exports.items():
        page = (site / f"reference/{module}.html").read_text("utf8")
        headings = [
            re.sub(r"<.*?>", "", heading).replace("&para;", "").split()
            for heading in re.findall(r"<h2\b.*?</h2>", page, re.S)
        ]
        for name in names:
            assert sum(name in heading for heading in headings) == 1, f"{module}.{name}"


@with_extra
@pytest.mark.long
def test_a_function_has_its_formula_tables_source_and_code(site):
    """The parts of ``contest``: its letters as in its docstring, its units and its shapes."""
    page = (site / "reference/marketenv.mechanisms.html").read_text("utf8")
    entry = page.split('id="marketenv.mechanisms.contest.contest"')[1].split("<h2")[0]
    words = " ".join(re.sub(r"<[^>]+>", " ", entry).split())
    assert "<msub><mi>q</mi><mi>i</mi></msub>" in entry and "≤" in entry
    assert "c > 0, money per unit of effort; inf does not take part" in words.replace("&gt;", ">")
    assert (
        entry.count("<code>[markets, contestants]</code>") == 3
    )  # costs, caps and what it returns
    for part in ("Raises:", "ValueError", "Source:", "2501.14588", "Source code in", "tensor"):
        assert part in words


@with_extra
@pytest.mark.long
@pytest.mark.parametrize("name", [name.removesuffix("_v0") for name in MARKETS])
def test_an_environment_opens_with_a_picture_of_its_market(site, name):
    page = (site / f"environments/{name}.html").read_text("utf8")
    article = page.split("<h1")[1]
    first = re.search(r"<(img|p)\b[^>]*>\s*(?:<img[^>]*>)?", article.split("</h1>")[1])[0]
    assert f'src="pictures/{name}.png"' in first
    for file in (site / "environments/pictures").glob(f"{name}.*"):
        assert 5_000 < file.stat().st_size < 300_000, file.name


@with_extra
@pytest.mark.long
def test_no_page_loads_anything_from_the_net(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    loads = [(page.name, NET.search(page.read_text("utf8"))) for page in pages]
    assert [load for load in loads if load[1]] == []
    styles = "".join(file.read_text("utf8") for file in site.rglob("*.css"))
    assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", styles)
    assert "search_index.js" in {file.name for file in site.rglob("*.js")}
    assert {file.suffix for file in site.rglob("*.py*")} == set(), "the site's own code"


@with_extra
@pytest.mark.long
def test_every_list_of_the_index_has_a_tab_by_its_heading(site):
    page = (site / "index.html").read_text("utf8")
    tabs = re.findall(r'<a [^>]*class="?md-tabs__link[^>]*>(.*?)</a>', page, re.S)
    index = (ROOT / "docs/index.md").read_text("utf8")
    lists = re.findall(r"^## (.+)\n\n\* ", index, re.M)
    assert "Tutorials" in lists and [tab.strip() for tab in tabs] == ["Home", *lists, "Reference"]


@with_extra
@pytest.mark.long
def test_every_link_of_a_page_to_another_file_of_the_site_leads_to_one(site):
    dead, count = [], 0
    for page in site.rglob("*.html"):
        links = re.findall(r'<(?:a|img)\b[^>]*?\b(?:href|src)="?([^"\s>]+)', page.read_text("utf8"))
        files = [link.split("#")[0] for link in links if not re.match(r"\w+:|/", link)]
        count += len(files)
        dead += [(page.name, file) for file in files if not (page.parent / file).exists()]
    assert count > 1000 and dead == []


@with_extra
@pytest.mark.long
def test_formulas_of_pages_are_typeset_and_code_is_not(site):
    theory = (site / "theory/resource_market.html").read_text("utf8")
    assert theory.count("<math") == 4  # every indented block of the page
    assert "<math" not in (site / "guides/training_agents.html").read_text("utf8")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("U_i = P q_i", "<msub><mi>U</mi><mi>i</mi></msub>"),
        ("x_(k-1) <= 1", "<msub><mi>x</mi><mrow><mi>k</mi><mo>\u2212</mo><mn>1</mn></mrow></msub>"),
        ("eta* = 1", "<msup><mi>η</mi><mo>*</mo></msup>"),
        ("y = 2 * x", "<mo>·</mo>"),
        ("y = cost_per_point", "<mtext>cost_per_point</mtext>"),
        ("y = sum_A c", "<msub><mo>∑</mo><mi>A</mi></msub>"),
        ("y < 1 & z", '<mo>&lt;</mo>'),
    ],
)  # fmt: skip
def test_a_formula_keeps_its_letters(site_code, line, parts):
    formulas = site_code("formulas")
    assert formulas.is_formula(line)
    assert parts in formulas.mathml([line])


def test_labels_of_formulas_stand_in_a_column_of_their_own(site_code):
    drawn = site_code("formulas").mathml(["leader   U = 1", "z = 2"])
    first, second = drawn.split("<mtr>")[1:]
    assert first.count("<mtd>") == second.count("<mtd>") == 2
    assert "leader" in first.split("</mtd>")[0] and "<mi>z</mi>" not in second.split("</mtd>")[0]


@pytest.mark.parametrize(
    "line", ["Sellers offer prices that are <= 1.", "call `x = 1` first", "no relation here"]
)
def test_sentences_and_code_are_no_formulas(site_code, line):
    assert not site_code("formulas").is_formula(line)


def test_a_name_is_found_where_it_is_defined(site_code, exports):
    names = site_code("names")
    contest = "marketenv.mechanisms.contest"  # the module and the function have one name
    assert names.home("marketenv.mechanisms", "contest") == (contest, "contest")
    assert names.home("marketenv", "make_vec") == ("marketenv.envs.make", "make_vec")
    assert names.home("marketenv", "reference_v0") == ("marketenv.reference_v0", "")
    assert {module: list(some) for module, some in names.public_modules().items()} == exports


DOCSTRING = """One sentence.

x = a_i / sum a

a:    numbers > 0,
      one each        [markets]
b, c: two more;   d: the last
Returns x [markets].
Raises ValueError for a
  shape that is wrong.
Source: a book,
the second edition.

>>> 1 + 1
2
"""


@with_extra
def test_a_docstring_parts_into_sections(site_code):
    made = site_code("docstrings").sections(DOCSTRING, dict.fromkeys("abcd"))
    kinds = [section.kind.value for section in made]
    assert kinds == ["text", "text", "parameters", "text", "raises", "text", "examples"]
    rows = [(row.name, row.description) for row in made[2].value]
    assert rows == [
        ("a", "numbers > 0, one each `[markets]`"),
        ("b", "two more"),
        ("c", "two more"),
        ("d", "the last"),
    ]
    assert made[4].value[0].description == "for a shape that is wrong."
    assert made[5].value == "**Source:** a book, the second edition."
