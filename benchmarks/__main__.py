"""The command line of the benchmarks."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from protojobs_worker.options import TraceParent

from benchmarks import pairs
from benchmarks.drivers import Driver
from benchmarks.extras import Extras
from benchmarks.run import Load, Result
from benchmarks.scenarios import NEEDS, SCENARIOS, Needs
from benchmarks.sizes import positive, size_options
from benchmarks.stack import Stack, running_stack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one scenario, or two variants of it in turn; 0 if every promise was kept."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    chosen = parser.parse_args(given)
    needs = NEEDS.get(chosen.scenario, Needs())
    chosen.auth |= needs.auth
    if chosen.driver not in needs.drivers:
        parser.error(f"{chosen.scenario} runs with --driver {' or '.join(needs.drivers)}")
    if chosen.auth and chosen.driver == "memory":
        parser.error("tokens need a store that holds them, which memory is not")
    if chosen.store_latency and chosen.driver in ("sqlite", "memory"):
        parser.error("--store-latency needs a database that a server reaches by a network")
    if chosen.pairs is not None:
        return _compare(parser, chosen, given)
    load = Load(**{name: value for name in Load.__slots__ if (value := getattr(chosen, name)) is not None})
    with running_stack(chosen.driver, _extras(chosen), needs.settings) as stack:
        with stack.connect() as client:
            result = SCENARIOS[chosen.scenario](stack, client, load)
        said = _describe(chosen.scenario, stack, load, result)
    print(json.dumps(said, indent=2) if chosen.json else _table(said))
    if not result.report.ok:
        print(result.report, file=sys.stderr)
    return 0 if result.ok else 1


def _extras(chosen: argparse.Namespace) -> Extras:
    return Extras(**{each.name: getattr(chosen, each.name) for each in fields(Extras)})


def _compare(parser: argparse.ArgumentParser, chosen: argparse.Namespace, given: Sequence[str]) -> int:
    _, one_run = _pair_options().parse_known_args(given)
    _, plain = _extra_options().parse_known_args(one_run)
    if chosen.against is not None:
        try:
            a = pairs.there(chosen.against.resolve(), one_run)
        except ValueError as error:
            parser.error(str(error))
    elif len(plain) < len(one_run):
        a = pairs.here(" ".join(["benchmarks", *plain]), plain)
    else:
        parser.error("--pairs compares with --against PATH, or with the same run without --auth, --tls and the other extras")
    b = pairs.here(" ".join(["benchmarks", *one_run]), one_run)
    said = pairs.compare(a, b, chosen.pairs, lambda line: print(line, file=sys.stderr))
    print(json.dumps(said, indent=2) if chosen.json else pairs.table(said))
    return 0 if said["kept"] else 1


def _describe(scenario: str, stack: Stack, load: Load, result: Result) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "driver": stack.driver,
        "jobs_per_s": result.jobs_per_s,
        "jobs": result.jobs,
        "seconds": round(result.seconds, 3),
        "lost": result.lost,
        **result.figures,
        "verdict": result.verdict,
        "checker": result.report.summary(),
        "extras": {**asdict(stack.extras), "spans": stack.spans()},
        "load": asdict(load),
        "durability": stack.durability(),
        "versions": stack.versions(),
        "cpus": os.cpu_count(),
    }


def _table(said: dict[str, Any]) -> str:
    lines = [f"{said['scenario']} on {said['driver']}: {said['jobs_per_s']:,.0f} jobs/s"]
    lines += [f"  {name:<27} {_shown(value)}" for name, value in said.items() if name not in {"scenario", "driver", "jobs_per_s"}]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return json.dumps(value).translate(_PLAIN) if value.__class__ is dict else str(value)


_PLAIN = str.maketrans("", "", '{}"')


def _pair_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--pairs", type=positive, metavar="N", help="run two variants in turn, N times each, and compare them")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="with --pairs: another checkout, instead of this one without extras"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _extra_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--auth", action="store_true", help="the server asks for tokens; producers and workers have one each")
    parser.add_argument("--tls", action="store_true", help="connections are encrypted")
    parser.add_argument(
        "--tracing", type=_share, metavar="SHARE", help="trace server, producers and workers; 0.01 keeps 1 %% of traces"
    )
    parser.add_argument(
        "--trace-parent", choices=get_args(TraceParent), default="link", help="what workers make of a job's trace, with --tracing"
    )
    parser.add_argument("--metrics", action="store_true", help="server, producers and workers push metrics")
    parser.add_argument("--processes", type=positive, default=1, metavar="N", help="processes of the server, behind one port")
    parser.add_argument(
        "--store-latency", type=float, default=0.0, metavar="MS", help="milliseconds of a round trip between server and database"
    )
    return parser


def _parser() -> argparse.ArgumentParser:
    default = Load()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Proto Jobs.",
        allow_abbrev=False,
        parents=[_pair_options(), _extra_options(), size_options()],
    )
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="both")
    parser.add_argument("--driver", choices=get_args(Driver), default="sqlite")
    parser.add_argument("--seconds", type=float, help=f"how long to dispatch (default {default.seconds:g})")
    parser.add_argument("--jobs", type=positive, help="how many jobs to dispatch instead")
    parser.add_argument("--producers", type=positive, help=f"producer processes (default {default.producers})")
    parser.add_argument(
        "--outstanding", type=positive, help=f"batches on their way at once, per producer (default {default.outstanding})"
    )
    parser.add_argument("--batch", type=positive, help=f"jobs per dispatch (default {default.batch})")
    parser.add_argument("--workers", type=positive, help=f"worker processes, one stream each (default {default.workers})")
    parser.add_argument("--window", type=positive, help=f"jobs delivered and not settled, per worker (default {default.window})")
    parser.add_argument("--concurrency", type=positive, help=f"slots of a worker (default {default.concurrency})")
    return parser


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("between 0 and 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
