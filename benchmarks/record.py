"""Runs scenarios several times, in turn, and keeps their figures with the commit and the machine.

    python -m benchmarks.record benchmarks/results/NAME.json
    python -m benchmarks.record benchmarks/results/NAME.json '--driver postgres --scenario both --seconds 60' '--driver kafka'

Each further argument is what `python -m benchmarks` is given. `make generate` makes tables and plots of what is kept.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import pairs
from benchmarks.machine import commit, machine

RUNS: Final = 3
DEFAULT: Final = (
    *(f"--driver postgres --scenario {scenario}" for scenario in ("both", "drain", "dispatch", "idle", "latency")),
    *(f"--driver sqlite --scenario {scenario}" for scenario in ("both", "drain", "dispatch", "idle")),
    "--driver mariadb --scenario both",
    "--driver kafka --scenario both",
)
_ABOUT: Final = ("scenario", "driver", "load", "extras", "durability", "versions")


def measure(sides: Sequence[pairs.Side], count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run every variant so many times, round by round; one that cannot run is named with the reason. `tell` hears of each run."""
    said: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    missing: dict[str, str] = {}
    for number in range(count):
        # Every second round the other way about: what the machine does meanwhile falls on all.
        for side in sides if number % 2 == 0 else reversed(sides):
            if side.name in missing:
                continue
            tell(f"run {number + 1} of {count}: {side.name}")
            try:
                said[side.name].append(side.run())
            except RuntimeError as error:
                missing[side.name] = str(error).strip().splitlines()[-1]
    rows = [_row(name, runs) for name, runs in said.items() if name not in missing]
    return {"runs": count, "rows": rows, "missing": missing}


def _row(arguments: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [dict(pairs.numbers(each)) for each in runs]
    figures = {name: pairs.column([one[name] for one in values]) for name in values[0] if all(name in one for one in values)}
    return {
        "arguments": arguments,
        **{name: runs[0][name] for name in _ABOUT},
        "kept": all(each["kept"] for each in runs),
        "verdicts": sorted({each["verdict"] for each in runs}),
        "figures": figures,
    }


def write(path: Path, kind: str, said: Mapping[str, Any]) -> None:
    """Keep a result, as `runs` or `peers`, with commit, day and machine."""
    about = {"kind": kind, "commit": commit(), "recorded": datetime.now(UTC).date().isoformat(), "machine": machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, **said}, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and keep; 0 if everything ran and every promise was kept."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.record", description="Measure several times, and keep the figures.", allow_abbrev=False
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where to; a file in benchmarks/results gets a page")
    parser.add_argument("variants", nargs="*", default=DEFAULT, metavar="ARGUMENTS", help="one run each of `python -m benchmarks`")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"of each, in turn (default {RUNS})")
    chosen = parser.parse_intermixed_args(arguments)
    sides = [pairs.here(variant, shlex.split(variant)) for variant in chosen.variants]
    said = measure(sides, chosen.runs, lambda line: print(line, file=sys.stderr))
    write(chosen.file, "runs", said)
    for name, why in said["missing"].items():
        print(f"{name}: {why}", file=sys.stderr)
    return 0 if not said["missing"] and all(row["kept"] for row in said["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
