"""The tutorials are notebooks too: ``make notebooks`` loses no code and breaks no link."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from markdown_pages import ROOT, blocks

pytest.importorskip("jupytext")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

PAGE = ROOT / "docs/tutorials/catch_a_liar.md"  # links to other tutorials and to other pages


def notebook(page, folder, execute=""):
    """The notebook that make writes of a page."""
    line = ["make", "--old-file=.venvs/notebooks/.installed", "VENVS=.venvs", f"EXECUTE={execute}"]
    line += [f"NOTEBOOKS={folder}", f"JUPYTEXT={sys.executable} -m jupytext"]
    file = folder / f"{page.stem}.ipynb"
    run = subprocess.run([*line, str(file)], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(file.read_text("utf8"))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells of the notebook of a page, as (kind, source)."""
    cells = notebook(PAGE, tmp_path_factory.mktemp("notebooks"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


@pytest.mark.long
def test_execute_runs_every_cell(tmp_path, monkeypatch):
    pytest.importorskip("nbconvert")
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the kernel
    made = notebook(ROOT / "docs/tutorials/first_hour.md", tmp_path, "--execute")
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert "buyer_0" in "".join(code[0]["outputs"][0]["text"])


def test_a_notebook_has_the_code_of_its_page(cells):
    code = [source for kind, source in cells if kind == "code"]
    assert code == [code.strip() for _, code in blocks(PAGE.read_text("utf8"))]


def test_a_notebook_links_to_notebooks_beside_it_and_to_pages_of_the_docs(cells):
    words = "\n".join(source for kind, source in cells if kind == "markdown")
    links = re.findall(r"\]\(([^)#]+)", words)
    assert links
    for link in links:
        page = link.removeprefix("../../")
        page = page if page != link else f"docs/tutorials/{link.replace('.ipynb', '.md')}"
        assert link.endswith((".ipynb", ".md")) and (ROOT / page).is_file(), link
