"""How fast the client of each language drains a queue, and how fast it dispatches by stream, one after the other on one machine.

    make bench CLIENTS=1 ARGS='--driver postgres --jobs 50000 --only go java'

For each language whose toolchain is here: a new store and server, a backlog of jobs whose handler does nothing, one worker process
of that language with 100 slots, measured from its first Welcome until everything is settled; then one process that dispatches as
many jobs by the language's stream. What the worker and the producer are is in clients/README.md: the program `interop`, quiet.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, get_args

from benchmarks.courses import Course, Measured
from benchmarks.drivers import Driver
from benchmarks.stack import running_stack
from tests.interop.languages import Language, NotOnThisMachine, present

JOBS: Final = 50_000
SLOTS: Final = 100

_STANDARD: Final = "python"


@dataclass(slots=True, kw_only=True)
class Runs:
    """What a language has done, round by round, and what of it was wrong."""

    drain: list[Measured] = field(default_factory=list[Measured])
    dispatch: list[Measured] = field(default_factory=list[Measured])
    wrong: list[str] = field(default_factory=list[str])


def run_once(language: Language, driver: Driver, jobs: int, slots: int, runs: Runs, about: dict[str, Any]) -> None:
    """Run a language once, and add to its runs; `about` learns what of the stack belongs to the result."""
    with running_stack(driver) as stack, stack.connect() as client:
        about.update(durability=stack.durability(), versions=stack.versions())
        course = Course(language, stack, client, jobs, slots)
        try:
            runs.drain.append(course.drain())
            runs.dispatch.append(course.dispatch())
        except AssertionError as error:  # what a program has not done
            runs.wrong.append(str(error))
        runs.wrong += course.wrong


def measure(chosen: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    """Build all programs, then run the languages in turn, round by round. `tell` hears of each run."""
    found: dict[str, Runs] = {}
    missing: dict[str, str] = {}
    for language in chosen.languages:
        try:
            language.build()
        except NotOnThisMachine as error:
            missing[language.name] = f"not on this machine: {error}"
        else:
            found[language.name] = Runs()
    about: dict[str, Any] = {}
    here = [language for language in chosen.languages if language.name in found]
    for number in range(chosen.rounds):
        # Every second round the other way about: what the machine does meanwhile falls on all.
        for language in here if number % 2 == 0 else reversed(here):
            tell(f"round {number + 1}: {language.name}")
            run_once(language, chosen.driver, chosen.jobs, chosen.slots, found[language.name], about)
    return {
        "driver": chosen.driver,
        "jobs": chosen.jobs,
        "slots": chosen.slots,
        "rounds": chosen.rounds,
        "languages": {name: _figures(runs, found.get(_STANDARD)) for name, runs in found.items()},
        "missing": missing,
        **about,
        "cpus": os.cpu_count(),
    }


def _figures(runs: Runs, standard: Runs | None) -> dict[str, Any]:
    """Return medians, and every run."""
    said: dict[str, Any] = {}
    for name, phases in (("drain", runs.drain), ("dispatch", runs.dispatch)):
        if phases:
            cpu = {who: median(each.cpu_s[who] for each in phases) for who in phases[0].cpu_s}
            middle = Measured(jobs=phases[0].jobs, seconds=median(each.seconds for each in phases), cpu_s=cpu)
            said[name] = {**middle.row(), "runs": [each.row() for each in phases]}
            theirs = getattr(standard, name) if standard is not None else []
            if theirs:
                ratio = median(each.seconds for each in theirs) / middle.seconds
                said[name]["of_python"] = round(ratio, 3)
    return {**said, "kept": not runs.wrong, "verdict": "; ".join(runs.wrong) or "all stored, all completed"}


def table(said: dict[str, Any]) -> str:
    """Return the result for people."""
    lines = [f"{said['jobs']} jobs on {said['driver']}, {said['slots']} slots, {said['rounds']} rounds"]
    cells = "".join(f"{name:>10}" for name in ("jobs/s", "of python", "client", "server", "store"))
    lines += [f"{'':<12}{'drain; CPU s per 1000 jobs':^50}{'dispatch; CPU s per 1000 jobs':^50}", f"{'':<12}{cells}{cells}"]
    for name, row in said["languages"].items():
        lines.append(f"{name:<12}{_cells(row.get('drain'))}{_cells(row.get('dispatch'))}  {row['verdict']}")
    lines += [f"{name:<12}  {why}" for name, why in said["missing"].items()]
    return "\n".join(lines)


def _cells(phase: dict[str, Any] | None) -> str:
    if phase is None:
        return f"{'-':>10}" * 5
    cpu = phase["cpu_s_per_1000_jobs"]
    used = "".join(f"{cpu[who]:>10.3f}" if who in cpu else f"{'':>10}" for who in ("client", "server", "store"))
    ratio = f"{phase['of_python']:>10.2f}" if "of_python" in phase else f"{'':>10}"
    return f"{phase['jobs_per_s']:>10,.0f}{ratio}{used}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if every language that is here kept every promise."""
    languages = {language.name: language for language in present()}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clients", description="Measure the clients of all languages.", allow_abbrev=False
    )
    parser.add_argument("--driver", choices=get_args(Driver), default="postgres")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"of each phase (default {JOBS})")
    parser.add_argument("--slots", type=int, default=SLOTS, help=f"of the worker (default {SLOTS})")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each language, in turn; medians are printed (default 1)")
    parser.add_argument("--only", nargs="+", choices=list(languages), default=list(languages), metavar="LANGUAGE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    chosen.languages = [languages[name] for name in chosen.only]
    said = measure(chosen, lambda line: print(line, file=sys.stderr))
    print(json.dumps(said, indent=2) if chosen.json else table(said))
    return 0 if all(row["kept"] for row in said["languages"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
