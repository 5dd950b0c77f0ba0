"""The command line of the comparison with peers."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from protojobs_client import ProtoJobsError

from benchmarks.machine import cpu_model
from benchmarks.peers import course, ours
from benchmarks.peers.figures import OURS, Figures, Load, Outcome
from benchmarks.peers.kinds import NAMES, NotInstallable, Peer, install
from benchmarks.peers.tables import ratios, summarise, table
from benchmarks.record import write

_BROKEN: Final = (RuntimeError, OSError, subprocess.SubprocessError, ProtoJobsError)  # TimeoutError is an OSError


@dataclass(slots=True, kw_only=True)
class Runner:
    """One that runs the scenarios, and what came of it."""

    version: str
    setup: str
    measure: Callable[[str], Outcome]
    rounds: list[Figures] = field(default_factory=list[Figures])
    wrong: list[str] = field(default_factory=list[str])

    def run(self, scenarios: Sequence[str]) -> None:
        """Run every scenario once. One that breaks is noted, and costs its figures alone."""
        figures: Figures = {}
        for scenario in scenarios:
            try:
                outcome = self.measure(scenario)
            except _BROKEN as error:
                self.wrong.append(f"{scenario}: {error}")
            else:
                figures |= outcome.figures
                self.wrong += [f"{scenario}: {each}" for each in outcome.wrong]
        self.rounds.append(figures)


def compare(chosen: argparse.Namespace, load: Load, tell: Callable[[str], None]) -> dict[str, Any]:
    """Install the peers, and run them and Proto Jobs in turn, round by round. `tell` hears of each run."""
    about: dict[str, Any] = {"durability": {}, "versions": {}}
    missing: dict[str, str] = {}
    runners = {OURS: _ourselves(load, about)}
    for name in chosen.only:
        tell(f"installing {name}")
        try:
            runners[name] = _peer(install(name), load, about)
        except NotInstallable as error:
            missing[name] = str(error)
    names = list(runners)
    for number in range(chosen.rounds):
        # Every second round the other way about: what the machine does meanwhile falls on all.
        for name in names if number % 2 == 0 else reversed(names):
            tell(f"round {number + 1} of {chosen.rounds}: {name}")
            runners[name].run(chosen.scenarios)
    found = {name: summarise(runner.rounds) for name, runner in runners.items()}
    return {
        "rounds": chosen.rounds,
        "load": asdict(load),
        "runners": {name: _said(runner, found[name], found[OURS]) for name, runner in runners.items()},
        "missing": missing,
        **about,
        "cpus": os.cpu_count(),
        "cpu": cpu_model(),
    }


def _ourselves(load: Load, about: dict[str, Any]) -> Runner:
    def measure(scenario: str) -> Outcome:
        outcome, about["durability"], about["versions"] = ours.measure(scenario, load)
        return outcome

    return Runner(version=version(ours.PACKAGE), setup=ours.SETUP, measure=measure)


def _peer(peer: Peer, load: Load, about: dict[str, Any]) -> Runner:
    def measure(scenario: str) -> Outcome:
        outcome, durability = course.run(peer, scenario, load)
        if about["durability"] not in ({}, durability):
            raise RuntimeError("its PostgreSQL has other settings of durability than that of Proto Jobs")
        return outcome

    setup = peer.setup if peer.fraction == 1 else f"{peer.setup}; {load.share(peer.fraction)} jobs"
    return Runner(version=peer.version, setup=setup, measure=measure)


def _said(runner: Runner, figures: dict[str, Any], standard: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": runner.version,
        "setup": runner.setup,
        "figures": figures,
        "ratios": ratios(standard, figures),
        "kept": not runner.wrong,
        "verdict": "; ".join(runner.wrong) or "none lost",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if everyone who is here has run every job."""
    default = Load()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Measure Proto Jobs beside other job queues.", allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="PEER", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--scenarios", nargs="+", choices=list(course.SCENARIOS), default=list(course.SCENARIOS))
    parser.add_argument("--jobs", type=int, default=default.jobs, help=f"of drain (default {default.jobs})")
    parser.add_argument("--seconds", type=float, default=default.seconds, help=f"of the others (default {default.seconds:g})")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn (default 3)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the result; a file in benchmarks/results gets a page")
    parser.add_argument("--json", action="store_true", help="print JSON, with every value")
    chosen = parser.parse_args(arguments)
    load = Load(jobs=chosen.jobs, seconds=chosen.seconds)
    said = compare(chosen, load, lambda line: print(line, file=sys.stderr))
    if chosen.record is not None:
        write(chosen.record, "peers", said)
    print(json.dumps(said, indent=2) if chosen.json else table(said))
    return 0 if all(each["kept"] for each in said["runners"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
