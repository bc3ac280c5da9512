"""What the site has beside the pages under docs/: root pages, the reference, pictures, formulas."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from formulas import is_formula, mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from names import ROOT, public_modules
from pictures import CONFIGS, opening, pictures
from reference import described, pages, uri

PATHS = [str(Path(__file__).parent), str(ROOT)]  # of the docstrings' reader, and of the markets
SOURCE = "https://github.com/marketenv/marketenv/blob/main/"
ROOT_PAGES = {"README.md": "start.md", "CONTRIBUTING.md": "contributing.md"}
ROOT_PAGES |= {"CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^(```.*?^```\s*?$)", re.M | re.S)
CODE = re.compile(r'<details class="mkdocstrings-source">.*?</details>', re.S)
CODE_PLACE = "<!-- source code -->"
CODE_OF_PAGE: dict[str, list[str]] = {}
INDENTED = re.compile(r"(?<=\n\n)((?:    \S.*\n)+)(?=\n|\Z)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from docs/index.md, so that no page stands in two lists."""
    # mkdocs takes the folder of its hooks from the path once they are loaded
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    groups: dict[str, list[Any]] = {}
    for line in (ROOT / "docs/index.md").read_text("utf8").splitlines():
        if heading := re.fullmatch(r"## (.+)", line):
            title = heading[1]
        elif entry := re.match(r"\* \[(.+?)\]\((.+?)\)", line):
            path = entry[2].removeprefix("../")
            groups.setdefault(title, []).append({entry[1]: ROOT_PAGES.get(path, path)})
    groups["Background"].append({"Changelog": "changelog.md"})
    modules = [{module: uri(module)} for module in public_modules()]
    reference = {"Reference": ["reference/index.md", *modules]}
    named = [{name: entries} for name, entries in groups.items()]
    config.nav = [{"Home": ["index.md", {"README": "start.md"}]}, *named, reference]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that are made while the site is built."""
    roots = {to: (ROOT / name).read_text("utf8") for name, to in ROOT_PAGES.items()}
    for path, content in {**roots, **pages(), **pictures()}.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to pages of the site, typeset formulas, and open markets with their picture."""
    path = page.file.src_uri
    if path.startswith("reference/"):
        return markdown
    theirs = {to: name for name, to in ROOT_PAGES.items()}.get(path, f"docs/{path}")
    parts = FENCE.split(markdown)
    parts[::2] = [prose(part, theirs, path) for part in parts[::2]]
    name = posixpath.basename(path).removesuffix(".md")
    if path.startswith("environments/") and name in CONFIGS:
        parts[0] = re.sub(r"\A(# .*\n)", lambda head: f"{head[1]}\n{opening(name)}", parts[0])
    return "".join(parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take out source code, which the search is not to find; ``on_post_page`` puts it back."""
    CODE_OF_PAGE[page.file.src_uri] = CODE.findall(html)
    return CODE.sub(CODE_PLACE, html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Put the source code back."""
    codes = iter(CODE_OF_PAGE.pop(page.file.src_uri))
    return re.sub(CODE_PLACE, lambda _: next(codes), output)


def prose(text: str, source: str, path: str) -> str:
    """A page's text without its fenced code; ``source`` is its place in the repository."""
    if path.startswith(("theory/", "environments/")):
        text = INDENTED.sub(formulas, text)
    return LINK.sub(lambda link: target(link[1], link[2] or "", source, path), text)


def formulas(block: re.Match[str]) -> str:
    """A block of formulas typeset; another block stays as it is."""
    lines = block[1].rstrip().splitlines()
    return f"{mathml(lines)}\n" if all(is_formula(line) for line in lines) else block[1]


def target(link: str, anchor: str, source: str, path: str) -> str:
    """Where a link of the repository leads on the site: a page, a place there, or the source."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if place in described():
        goal = described()[place]
    elif place in ROOT_PAGES or (place.startswith("docs/") and not place.endswith(".json")):
        goal = ROOT_PAGES.get(place, place.removeprefix("docs/"))
    else:
        return SOURCE + place + anchor
    return posixpath.relpath(goal, posixpath.dirname(path) or ".") + anchor
