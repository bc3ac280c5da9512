"""Every public name of the packages, and where it is defined; nothing is imported."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("marketenv", "agents")
DOORS = "_v0"  # modules whose three names are made at import, of one class


@cache
def public_modules() -> dict[str, tuple[str, ...]]:
    """The names in ``__all__`` of every module that has one, by the module's dotted name."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    found = {dotted(file): exported(dotted(file)) for file in files}
    return {module: names for module, names in found.items() if names}


def dotted(file: Path) -> str:
    """The name by which a file is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_of(module: str) -> Path:
    """The file of a module or of a package, which exists only where the module does."""
    path = ROOT / module.replace(".", "/")
    package = path / "__init__.py"
    return package if package.exists() else path.with_suffix(".py")


@cache
def tree(module: str) -> tuple[ast.stmt, ...]:
    """The statements of a module, with those under ``if`` beside the others."""
    body = ast.parse(file_of(module).read_text("utf8")).body
    return tuple(
        inner for part in body for inner in (part.body if isinstance(part, ast.If) else [part])
    )


def exported(module: str) -> tuple[str, ...]:
    """The names in a module's ``__all__``; none where it has none."""
    if "__all__" not in file_of(module).read_text("utf8"):
        return ()  # most modules: nothing to parse
    for part in tree(module):
        if isinstance(part, ast.Assign) and getattr(part.targets[0], "id", "") == "__all__":
            return tuple(ast.literal_eval(part.value))
    return ()


@cache
def home(module: str, name: str) -> tuple[str, str]:
    """The module that defines a name and its name there, through all imports."""
    for part in tree(module):
        if isinstance(part, ast.ImportFrom):
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    return _through(_source(module, part), alias.name)
    return module, name


def _through(module: str, name: str) -> tuple[str, str]:
    """The home of an imported name, which may be a module itself."""
    if file_of(f"{module}.{name}").exists() and not _defines(module, name):
        return f"{module}.{name}", ""
    return home(module, name)


def _defines(module: str, name: str) -> bool:
    """Whether a module binds a name that is also the name of a file beside it."""
    return any(
        getattr(part, "name", "") == name
        or (
            isinstance(part, ast.ImportFrom)
            and any((alias.asname or alias.name) == name for alias in part.names)
            and _source(module, part) != module
        )
        for part in tree(module)
    )


def _source(module: str, part: ast.ImportFrom) -> str:
    """The module that an import names, relative or not."""
    if not part.level:
        return part.module or ""
    package = module if file_of(module).name == "__init__.py" else module.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) - part.level + 1]
    return ".".join([*above, *filter(None, [part.module])])
