"""Run the interoperability tests and print what came of them: `make interop`, or print it of a report: `--tables FILE`.

Two tables: pairs of languages on each store (dispatcher down, worker across), and requirements by language. A cell is the number of
tests that passed; one with an exclamation mark has some that failed, a dash stands for what is not on this machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.processes import ROOT
from tests.interop.languages import present

ARGUMENTS: Final = ("-m", "interop", "tests/interop", "-n", "3", "--dist", "loadgroup")

_GREEN, _RED, _PLAIN = "\033[32m", "\033[31m", "\033[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one test, and what it was about."""

    outcome: str
    properties: dict[str, str]
    requirements: tuple[str, ...]


@dataclass(slots=True)
class Cell:
    """What became of the tests of one place in a table."""

    counts: Counter[str] = field(default_factory=Counter[str])

    def __str__(self) -> str:
        passed, failed = self.counts["passed"], self.counts["failed"]
        if failed:
            return _painted(f"{passed}/{passed + failed}!", _RED)
        return _painted(str(passed), _GREEN) if passed else "-"


def main() -> int:
    """Run the tests with the arguments of the command; return their exit code."""
    parser = argparse.ArgumentParser(description="Every other argument is for pytest.")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="run nothing; print what this report tells")
    chosen, arguments = parser.parse_known_args()
    if chosen.tables is not None:
        print_tables(list(read(chosen.tables)))
        return 0
    with tempfile.TemporaryDirectory() as home:
        report = Path(home) / "report.xml"
        command = [str(Path(sys.executable).parent / "pytest"), "-q", *ARGUMENTS, f"--junitxml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if report.exists():
            print_tables(list(read(report)))
    return code


def read(report: Path) -> Iterator[Result]:
    """Read a report of pytest."""
    # Our own pytest wrote it a moment ago.
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        told = [(each.get("name", ""), each.get("value", "")) for each in case.iter("property")]
        bad = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        yield Result(
            outcome="failed" if bad else "skipped" if skipped else "passed",
            properties=dict(told),
            requirements=tuple(value for name, value in told if name == "requirement"),
        )


def print_tables(results: Iterable[Result]) -> None:
    """Print both tables."""
    results = list(results)
    languages = [language.name for language in present()]
    for store in sorted({result.properties["store"] for result in results if "dispatcher" in result.properties}):
        cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
        for result in results:
            told = result.properties
            if "dispatcher" in told and told["store"] == store:
                cells[told["dispatcher"], told["worker"]].counts[result.outcome] += 1
        print_table(f"{store}: dispatcher down, worker across", languages, languages, cells)
    held: dict[tuple[str, str], Cell] = defaultdict(Cell)
    for result in results:
        told = result.properties
        language = told.get("language") or told.get("streaming") or told.get("calling") or told.get("worker")
        for requirement in result.requirements:
            if language is not None:
                held[requirement, language].counts[result.outcome] += 1
    print_table("requirements of clients/README.md", sorted({requirement for requirement, _ in held}), languages, held)


def print_table(title: str, rows: Iterable[str], columns: list[str], cells: dict[tuple[str, str], Cell]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"{'':<14}" + "".join(f"{column:>12}" for column in columns))
    for row in rows:
        print(f"{row:<14}" + "".join(_aligned(str(cells[row, column]), 12) for column in columns))


def _aligned(text: str, width: int) -> str:
    shown = len(text.replace(_GREEN, "").replace(_RED, "").replace(_PLAIN, ""))
    return " " * (width - shown) + text


def _painted(text: str, colour: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"{colour}{text}{_PLAIN}"


if __name__ == "__main__":
    sys.exit(main())
