"""The tutorials are notebooks too: ``make notebooks`` loses no code and breaks no link."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from markdown_pages import ROOT, blocks

pytest.importorskip("jupytext")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

PAGE = ROOT / "docs/tutorials/catch_a_liar.md"  # links to other tutorials and to other pages


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells of the notebook of a page, as (kind, source)."""
    folder = tmp_path_factory.mktemp("notebooks")
    line = ["make", "--old-file=.venvs/notebooks/.installed", "VENVS=.venvs", "EXECUTE="]
    line += [f"NOTEBOOKS={folder}", f"JUPYTEXT={sys.executable} -m jupytext"]
    notebook = folder / f"{PAGE.stem}.ipynb"
    subprocess.run([*line, str(notebook)], cwd=ROOT, check=True, capture_output=True)
    cells = json.loads(notebook.read_text("utf8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


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
