"""How the command ``marketenv`` is read; the standard library reads it, so it needs no extra."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from marketenv.cli.check import EXAMPLE, check_market
from marketenv.cli.markets import list_markets, show_market
from marketenv.cli.versions import list_versions

# exit codes; the last one is that of a command whose reader goes, as shells count it
FAULTY, WRONG, CLOSED = 1, 2, 141
ROOT = Path(__file__).resolve().parents[2]  # the checkout, where there is one
SOURCE = "https://github.com/marketenv/marketenv"
# what is no part of the package: it needs the folders agents/ and scripts/ of the repository
SCRIPTS = {
    "play": "one episode, round by round, reports beside the truth",
    "train": "an agent learns to beat a payment rule",
    "reproduce": "tables and figures of the papers beside ours",
    "audit": "every claim of the papers, put to the test",
    "demo": "the whole marketplace, and a page of results",
    "benchmark": "how fast markets are",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 for a faulty market, or 2 for unusable arguments.

    The code is 141 where the reader of its output goes before the end.

    words: of the command line; None for those of ``sys.argv``
    """
    words = sys.argv[1:] if words is None else words
    try:
        if words and words[0] in SCRIPTS:  # their options are their own
            raise ValueError(where_is(words[0]))
        code = _run(_parser().parse_args(words))
        print(end="", flush=True)  # there may be no output at all, as after >&-
        return code
    except BrokenPipeError:  # the reader has what it wants, as in marketenv list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG


def _run(given: argparse.Namespace) -> int:
    if given.command == "check":
        sound = check_market(given.market, given.arguments, given.seed, print)
        return 0 if sound else FAULTY
    if given.command is None:
        _parser().print_help()
    elif given.command == "list":
        _print(list_markets())
    elif given.command == "show":
        _print(show_market(given.market))
    else:
        _print(list_versions())
    return 0


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines))


def where_is(script: str, root: Path = ROOT) -> str:
    """Where a script of the repository is: in the checkout, or where a checkout is to be had.

    root: the folder above the package
    """
    extra = "pip install -e '.[scripts]'"
    if (file := root / "scripts" / f"{script}.py").is_file():
        return f"{script} is a script of the repository: run python {file} ({extra} first)."
    where = f"no part of the package but a script of the repository, {SOURCE}"
    run = f"python scripts/{script}.py"
    return f"{script} is {where}: in a checkout of it, run {extra} and then {run}."


def _parser() -> argparse.ArgumentParser:
    scripts = "\n".join(f"  {name:<11}{text}" for name, text in SCRIPTS.items())
    parser = argparse.ArgumentParser(
        prog="marketenv",
        description="Markets in which agents train, trade parameters and settle payments.",
        epilog=f"scripts of the repository, no part of the package:\n{scripts}\n\n{SOURCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser("list", help="all markets, with their roles and stages")
    show = commands.add_parser("show", help="one market: its arguments, their defaults and meaning")
    show.add_argument("market", help="a name from the list, for instance reference_v0")
    commands.add_parser("versions", help="versions of the packages, the platform and the device")
    _add_check(commands)
    return parser


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "run the library's checks on a market of your own; exit code 1 for a faulty one"
    check = commands.add_parser("check", help=about, description=about)
    check.add_argument(
        "market",
        metavar="module:factory",
        help=f"a function that returns a Market or a MarketParallelEnv: {EXAMPLE}",
    )
    check.add_argument(
        "--arguments", nargs="+", default=(), metavar="key=value", help="arguments of the function"
    )
    check.add_argument("--seed", type=int, default=0, help="of the episodes; 0 by default")
