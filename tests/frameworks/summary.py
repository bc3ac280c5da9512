"""Print one line per framework from pytest's JUnit files; the exit status says whether all of them
passed.

A file that is missing or cut off (the installation failed), a skipped test or none at all counts as
a failure: in a framework's own virtual environment everything must run.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def read(path):
    """(what to print, whether it is good) of one framework."""
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return "FAILED  no result: see the output above", False
    total, failed, errors, skipped = (
        sum(int(s.get(key, 0)) for s in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    passed = total - failed - errors - skipped
    versions = " ".join(
        dict.fromkeys(
            p.get("value", "")
            for s in suites
            for p in s.iter("property")
            if p.get("name") == "version"
        )
    )
    seconds = sum(float(s.get("time", 0)) for s in suites)
    good = passed > 0 and passed == total
    counts = f"{passed} passed, {failed + errors} failed, {skipped} skipped"
    return f"{'passed' if good else 'FAILED'}  {counts} in {seconds:.0f} s  {versions}", good


def main(paths):
    """0 where every framework's recipes ran and passed, else 1."""
    found = {Path(path).stem: read(Path(path)) for path in paths}
    for name, (line, _) in found.items():
        print(f"{name:<10} {line}")
    return 0 if found and all(good for _, good in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
