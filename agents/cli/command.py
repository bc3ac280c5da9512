"""Command lines: how they are read, how they end, where they write, and tables of full width."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import tyro
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

GOES_ON = "Finished work is kept, and the same command goes on from there."
# exit codes: of wrong arguments; of Ctrl-C and of a reader that is gone, as shells count them
WRONG, INTERRUPTED, CLOSED = 2, 130, 141
# stands for an empty path, which Path takes for the present folder; nobody can type it
NOWHERE = Path("\0")
Config = TypeVar("Config")
PATHS = tyro.constructors.ConstructorRegistry()

# --- how a command line is read -------------------------------------------------------------------


@PATHS.primitive_rule
def _path_rule(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Path] | None:
    """Paths are read as tyro reads them, except that an empty path is not the present folder."""
    if info.type is not Path:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: Path(words[0]) if words[0].strip() else NOWHERE,
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


def read(config: type[Config], about: str | None, words: Sequence[str] | None = None) -> Config:
    """The config of a command line.

    about: what --help says of the script
    words: of the command line; None for those of ``sys.argv``
    Raises ValueError, which names the option, for an empty path and for what the config refuses.
    """
    return checked(
        config, tyro.cli(unchecked(config), description=about, args=words, registry=PATHS)
    )


def read_study(
    studies: Mapping[str, Callable[[Any], None]],
    about: str | None,
    words: Sequence[str] | None = None,
) -> None:
    """Run the study that the command line names, with its config; raises as ``read`` does."""
    flat = (tyro.conf.OmitArgPrefixes,)
    named = {name: _of_words(study) for name, study in studies.items()}
    tyro.extras.subcommand_cli_from_dict(
        named, description=about, args=words, config=flat, registry=PATHS
    )


def _of_words(study: Callable[[Any], None]) -> Callable[[Any], None]:
    """The study as a function of an unchecked config."""
    kind = typing.get_type_hints(study)["config"]

    # no def: tyro would read the annotations of a function that is wrapped, as tests wrap each def
    of_words: Any = lambda config: study(checked(kind, config))  # noqa: E731
    of_words.__name__, of_words.__doc__ = study.__name__, study.__doc__  # tyro refuses <lambda>
    of_words.__annotations__ = {"config": unchecked(kind), "return": None}
    return of_words


def unchecked(config: type[Config]) -> type[Config]:
    """A config of the same fields that refuses nothing: tyro would print a refusal in a box."""
    parts = {
        "__doc__": config.__doc__,
        "__module__": config.__module__,
        "__post_init__": lambda self: None,
    }
    return type(config.__name__, (config,), parts)


def checked(config: type[Config], given: Config) -> Config:
    """The checked config of the same values; raises ValueError as ``read`` does."""
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}  # type: ignore[arg-type]
    for name, value in values.items():
        if NOWHERE in (value if isinstance(value, tuple) else (value,)):
            raise ValueError(f"{flag(name)} is empty, wanted a path; a dot is the present folder.")
    try:
        return config(**values)
    except ValueError as error:
        raise ValueError(_with_flag(str(error), config, values)) from error


def flag(name: str) -> str:
    """A field as it is typed.

    >>> flag("num_envs")
    '--num-envs'
    """
    return f"--{name.replace('_', '-')}"


def _with_flag(words: str, config: type, values: Mapping[str, Any]) -> str:
    """The words of a refusal, after the wrong option: the only one without which all is right."""
    wrong = [
        field.name
        for field in dataclasses.fields(config)
        if values[field.name] != field.default
        and _takes(config, {**values, field.name: field.default})
    ]
    if len(wrong) != 1:  # several are wrong, and the words concern the first of them
        return _first_as_flag(words, values)
    name, (first, _, rest) = wrong[0], words.partition(" ")
    # a part of the config may have another name for the option
    alike = first == name or rest.startswith(f"is {values[name]},")
    return f"{flag(name)} {rest}" if alike else f"{flag(name)}: {words}"


def _first_as_flag(words: str, names: Collection[str]) -> str:
    """The words with the option in place of the field that they begin with."""
    first, _, rest = words.partition(" ")
    return f"{flag(first)} {rest}" if first in names else words


@contextlib.contextmanager
def flags_named(config: type) -> Iterator[None]:
    """A ValueError of the body that begins with a config's field begins with the option instead."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            _first_as_flag(str(error), [field.name for field in dataclasses.fields(config)])
        ) from error


def _takes(config: type, values: Mapping[str, Any]) -> bool:
    try:
        config(**values)
    except (ValueError, ImportError):
        return False
    return True


# --- how it ends ----------------------------------------------------------------------------------


def run(script: Callable[[], int | None], interrupted: str = GOES_ON) -> NoReturn:
    """Run a script and exit with its code; wrong arguments and Ctrl-C give one line on stderr.

    interrupted: what Ctrl-C leaves, as one sentence
    Exit codes: 2 for ValueError, OSError and ImportError, which the user can mend; 130 for Ctrl-C;
    141 where the reader of the output is gone, as after ``| head``.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        code = script()
        print(end="", flush=True)  # there may be no output at all, as after >&-
    except KeyboardInterrupt:
        code = _print_error(INTERRUPTED, f"Interrupted. {interrupted}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CLOSED
    except (ValueError, OSError, ImportError) as error:
        code = _print_error(WRONG, f"error: {error}")
    sys.exit(code or 0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop the cleaning up
    raise KeyboardInterrupt


def _print_error(code: int, words: str) -> int:
    """Print words as one line on stderr; returns the code."""
    print(end="", flush=True)
    print(" ".join(words.split()), file=sys.stderr)
    return code


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Processes that the body starts ignore Ctrl-C; this process gets it later, and ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # processes inherit ignored signals
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- what is checked before any work --------------------------------------------------------------


def check_folder(*folders: Path, option: str = "--out") -> None:
    """Make folders for results before any work; ValueError for one that cannot be written to.

    option: by which the user named them
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ValueError(
                f"{option}: nothing can be written to {folder}: {error.strerror}. Give another"
                f" {option}."
            ) from error


def check_file(file: Path, option: str = "--out") -> None:
    """Make the folder of a file before any work; ValueError for a file that cannot be written."""
    check_folder(file.parent, option=option)
    if file.exists() and not file.is_file():
        raise ValueError(f"{option}: {file} is no file. Give another {option}.")


def check_least(least: int, **counts: int) -> None:
    """Raise ValueError for a count that is too small.

    >>> check_least(1, seeds=0)
    Traceback (most recent call last):
    ValueError: seeds is 0, wanted a whole number >= 1.
    """
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} is {count}, wanted a whole number >= {least}.")


def check_seed(seed: int) -> None:
    """Raise ValueError for a number that is no seed.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ValueError: seed is -1, wanted a whole number from 0 to 2**63 - 1.
    """
    if not 0 <= seed < 2**63:  # markets keep seeds as int64
        raise ValueError(f"seed is {seed}, wanted a whole number from 0 to 2**63 - 1.")


# --- tables ---------------------------------------------------------------------------------------


def show(*tables: Table) -> None:
    """Print tables at one width that cuts no word; lines that are too long the terminal wraps."""
    measure = Console(width=10_000)
    width = max(_needed(table, measure) for table in tables)
    console = Console(width=max(width, Console().width))
    for table in tables:
        console.print(table)


def _needed(table: Table, measure: Console) -> int:
    """The least width at which a table shows all words and all cells that must not wrap."""
    for column in table.columns:
        cells = (
            Measurement.get(measure, measure.options, cell)
            for cell in (column.header, *column.cells)
        )
        column.min_width = max(cell.maximum if column.no_wrap else cell.minimum for cell in cells)
    return Measurement.get(measure, measure.options, table).minimum
