"""How far processes scale on one store, and what its distance costs: `python -m benchmarks.scaling --driver postgres`.

Each cell is a run of `python -m benchmarks`, in turn, so that what the machine does meanwhile falls on all. The load is the same in
every cell and comes by many connections: the kernel gives each of them to one process by chance. Options that are not named here
go to every run.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks.pairs import here

_LOAD: Final = ("--producers", "4", "--workers", "8")
_CPU: Final = ("server", "store", "producers", "workers")


class Cell(NamedTuple):
    """One point of the curve."""

    scenario: str
    store_latency: float
    processes: int

    @property
    def arguments(self) -> list[str]:
        """Return how a run is asked for it."""
        latency, processes = f"{self.store_latency:g}", str(self.processes)
        return ["--scenario", self.scenario, "--store-latency", latency, "--processes", processes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every cell so many times; 0 if every promise was kept in all of them."""
    chosen, others = _parser().parse_known_args(arguments)
    cells = [Cell(*each) for each in product(chosen.scenarios, chosen.store_latency, chosen.processes)]
    runs: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in cells}
    for number in range(chosen.rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            name = f"{cell.scenario}, {cell.processes} processes, store {cell.store_latency:g} ms away"
            said = here(name, ["--driver", chosen.driver, *cell.arguments, *_LOAD, *others]).run()
            runs[cell].append(said)
            print(f"round {number + 1}, {name}: {said['jobs_per_s']:,.0f} jobs/s, {said['verdict']}", file=sys.stderr)
    rows = list(_rows(runs))
    kept = all(said["kept"] for each in runs.values() for said in each)
    first = runs[cells[0]][0]
    said = {"driver": chosen.driver, "rounds": chosen.rounds, "kept": kept, "rows": rows}
    same = {name: first[name] for name in ("load", "durability", "versions", "cpus")}
    print(json.dumps({**said, **same}, indent=2) if chosen.json else _table(rows))
    return 0 if kept else 1


def _rows(runs: Mapping[Cell, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    for cell, all_said in runs.items():
        speeds = [said["jobs_per_s"] for said in all_said]
        cpu = {who: median(said["cpu_s_per_1000_jobs"].get(who, 0.0) for said in all_said) for who in _CPU}
        yield {
            **cell._asdict(),
            "jobs_per_s": median(speeds),
            "min": min(speeds),
            "max": max(speeds),
            "p99_ms": median(said["dispatch_to_start_ms"]["p99"] for said in all_said),
            "cpu_s_per_1000_jobs": cpu,
            "wal_bytes_per_job": all_said[0].get("wal_bytes_per_job"),
            "server_rss_mb": median(said["server_rss_mb"] for said in all_said),
        }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("scenario", "store ms", "processes", "jobs/s", "min", "max", "p99 ms", "server ms/job", "store ms/job", "RSS MB")
    lines = ["".join(f"{each:>15}" for each in head)]
    for row in rows:
        cpu = row["cpu_s_per_1000_jobs"]
        cells = (
            *(row["scenario"], f"{row['store_latency']:g}", row["processes"]),
            *(f"{row[name]:,.0f}" for name in ("jobs_per_s", "min", "max", "p99_ms")),
            *(f"{cpu['server']:.4f}", f"{cpu['store']:.4f}", f"{row['server_rss_mb']:.0f}"),
        )
        lines.append("".join(f"{each:>15}" for each in cells))
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__, allow_abbrev=False)
    parser.add_argument("--driver", choices=["postgres", "mariadb"], default="postgres")
    parser.add_argument("--scenarios", nargs="+", choices=["both", "drain"], default=["both", "drain"])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4], metavar="N")
    parser.add_argument("--store-latency", nargs="+", type=float, default=[0, 1, 5], metavar="MS", help="round trip to the store")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
