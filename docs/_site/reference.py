"""The pages of the reference: one a module that exports names, every name on it once."""

from __future__ import annotations

import ast
import json
from functools import cache

from names import DOORS, ROOT, file_of, home, public_modules, tree

DOORS_AT = "marketenv.envs.make"


@cache
def pages() -> dict[str, str]:
    """The Markdown of every page, by its path on the site."""
    made = {uri(module): page(module, names) for module, names in public_modules().items()}
    return {"reference/index.md": contents(), **made}


def uri(module: str) -> str:
    """The path of a module's page."""
    return f"reference/{module}.md"


def contents() -> str:
    """The page that lists all modules with their first sentences."""
    rows = [
        f"| [`{module}`]({module}.md) | {len(names)} | {summary(module)} |"
        for module, names in public_modules().items()
    ]
    head = "# Reference\n\nEvery public name, by the module that exports it.\n\n"
    return head + "| Module | Names | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def summary(module: str) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file_of(module).read_text("utf8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def page(module: str, names: tuple[str, ...]) -> str:
    """One module: its docstring, then its names in the order of ``__all__``."""
    head = f"# {module}\n\n{directive(module, members=False, heading=False)}\n"
    if module.endswith(DOORS):
        return head + "\n".join(f"## {name}\n\n{door(name)}\n" for name in names)
    return head + "\n".join(entry(module, name) for name in names)


def door(name: str) -> str:
    """The first sentence of one of the three functions that build a market."""
    doors = next(part for part in tree(DOORS_AT) if getattr(part, "name", "") == "Doors")
    method = next(part for part in doors.body if getattr(part, "name", "") == name)
    return ast.get_docstring(method) or ""


def entry(module: str, name: str) -> str:
    """One name: the thing itself, or a link to the page of the module that it is."""
    at, own = home(module, name)
    if not own:
        page_of = f"[`{at}`]({at}.md)" if at in public_modules() else f"`{at}`"
        return f"## {name}\n\nThe module {page_of}. {summary(at)}\n"
    if exporter(at, own) != module:
        other = exporter(at, own)
        return f"## {name}\n\n[`{other}.{name}`]({other}.md#{at}.{own})\n"
    if (code := shared_assignment(at, own)) is not None:
        return f"## {name}\n\n```python\n{code}\n```\n"
    return directive(f"{at}.{own}", own=name)


def shared_assignment(module: str, name: str) -> str | None:
    """The code that gives values to several names at once, which mkdocstrings does not read."""
    for part in tree(module):
        targets = part.targets[0] if isinstance(part, ast.Assign) else None
        if isinstance(targets, ast.Tuple) and name in {ast.unparse(one) for one in targets.elts}:
            return ast.unparse(part)
    return None


@cache
def exporter(at: str, own: str) -> str:
    """The one module on whose page a name is described: the shallowest that exports it."""
    return min(
        (m for m, names in public_modules().items() for n in names if home(m, n) == (at, own)),
        key=lambda module: (module.count("."), module),
    )


def directive(path: str, own: str = "", members: bool = True, heading: bool = True) -> str:
    """What mkdocstrings replaces by the documentation of an object."""
    options: dict[str, bool | str] = {"show_root_heading": heading, "show_root_toc_entry": heading}
    if not members:
        options["members"] = False
    if own:
        options |= {"heading": own, "toc_label": own}
    return f"::: {path}\n    options: {json.dumps(options)}\n"


@cache
def described() -> dict[str, str]:
    """Where links to a source file lead: the first name of the reference that it defines."""
    places: dict[str, str] = {}
    for module, names in public_modules().items():
        places[str(file_of(module).relative_to(ROOT))] = uri(module)
        for name in names:
            at, own = home(module, name)
            if own and exporter(at, own) == module:
                places.setdefault(str(file_of(at).relative_to(ROOT)), f"{uri(module)}#{at}.{own}")
    return places
