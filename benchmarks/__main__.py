"""The command line of the benchmarks."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.scenarios import SCENARIOS, Load, Result
from benchmarks.stack import Stack, running_stack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one scenario; 0 if every promise was kept."""
    chosen = _parser().parse_args(arguments)
    given = {name: value for name in ("seconds", "jobs", "producers", "outstanding", "batch", "workers", "window", "concurrency")
             if (value := getattr(chosen, name)) is not None}  # fmt: skip
    load = Load(**given)
    with running_stack(chosen.driver) as stack:
        result = SCENARIOS[chosen.scenario](stack, load)
        said = _describe(chosen.scenario, stack, load, result)
    print(json.dumps(said, indent=2) if chosen.json else _table(said))
    if not result.report.ok:
        print(result.report, file=sys.stderr)
    return 0 if result.report.ok and not said["lost"] else 1


def _describe(scenario: str, stack: Stack, load: Load, result: Result) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "driver": stack.driver,
        "jobs_per_s": result.jobs_per_s,
        "jobs": result.jobs,
        "seconds": round(result.seconds, 3),
        **result.figures,
        "verdict": "every invariant holds" if result.report.ok else f"broken: {', '.join(sorted(result.report.broken()))}",
        "checker": result.report.summary(),
        "load": {name: getattr(load, name) for name in load.__slots__},
        "durability": stack.durability(),
        "versions": stack.versions(),
        "cpus": os.cpu_count(),
    }


def _table(said: dict[str, Any]) -> str:
    lines = [f"{said['scenario']} on {said['driver']}: {said['jobs_per_s']:,.0f} jobs/s"]
    lines += [f"  {name:<22}{_shown(value)}" for name, value in said.items() if name not in {"scenario", "driver", "jobs_per_s"}]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return json.dumps(value).translate(_PLAIN) if value.__class__ is dict else str(value)


_PLAIN = str.maketrans("", "", '{}"')


def _parser() -> argparse.ArgumentParser:
    default = Load()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Proto Jobs.")
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="both")
    parser.add_argument("--driver", choices=["postgres", "mariadb", "sqlite", "memory"], default="sqlite")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seconds", type=float, help=f"how long to dispatch (default {default.seconds:g})")
    parser.add_argument("--jobs", type=int, help="how many jobs to dispatch instead")
    parser.add_argument("--producers", type=int, help=f"producer processes (default {default.producers})")
    parser.add_argument(
        "--outstanding", type=int, help=f"batches on their way at once, per producer (default {default.outstanding})"
    )
    parser.add_argument("--batch", type=int, help=f"jobs per dispatch (default {default.batch})")
    parser.add_argument("--workers", type=int, help=f"worker processes, one stream each (default {default.workers})")
    parser.add_argument("--window", type=int, help=f"jobs delivered and not settled, per worker (default {default.window})")
    parser.add_argument("--concurrency", type=int, help=f"slots of a worker (default {default.concurrency})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
