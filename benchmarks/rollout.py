"""How long workers go without a new job while servers are replaced: `python -m benchmarks.rollout`.

Two servers on PostgreSQL and a third address, as `tests/rollout` has it: a new process starts, is ready, a preStop hook passes, and
the oldest server gets SIGTERM. Jobs come at a fixed rate, so that each worker would have a new one every few milliseconds. The exit
code is 1 where a call failed, or a promise was not kept.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.times import percentiles
from tests.chaos.killing import after
from tests.chaos.producer import Producer
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore
from tests.postgres import running_cluster
from tests.rollout.fleet import QUEUE, Fleet, all_ended, gaps, moves

_TICK_S: Final = 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found; 0 if every promise was kept."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="protojobs-rollout-") as scratch, running_cluster() as cluster:
        home = Path(scratch) / "run" / "stand"
        home.mkdir(parents=True)
        said = asyncio.run(_run(chosen, Stand(home, PostgresStore(cluster=cluster, database=cluster.create_database()))))
    print(json.dumps(said, indent=2) if chosen.json else "\n".join(f"{name:<24}{value}" for name, value in said.items()))
    return 0 if said["kept"] else 1


async def _run(chosen: argparse.Namespace, stand: Stand) -> dict[str, Any]:
    try:
        fleet = await Fleet.start(stand)
        producer = stand.producer(strict=False)
        workers = [await stand.add_worker(f"worker-{number}", concurrency=8, ttl=30.0) for number in range(1, chosen.workers + 1)]
        await fleet.begin()
        over = asyncio.Event()
        load = asyncio.ensure_future(drip(producer, chosen.rate, over))
        await after(chosen.settle)()
        calm_from = time.time()
        await after(chosen.settle)()
        calm_until = time.time()
        for _ in range(chosen.rounds):
            await fleet.replace(after(chosen.pre_stop))
            await after(chosen.settle)()
        over.set()
        calls = await load
        await all_ended(stand, producer)
        report = await stand.judge()
        told = moves(stand, workers)
        failed = sum(event["phase"] != "ok" for event in stand.seen("dispatch") if event["phase"] != "invoke")
        return {
            "servers replaced": chosen.rounds,
            "workers": chosen.workers,
            "jobs per s": chosen.rate,
            "calls": calls,
            "failed calls": failed,
            "repeated runs": report.repeated_runs,
            "moves": len(told),
            "gap at a move, ms": percentiles(move.gap for move in told),
            "gap in calm, ms": percentiles(gap for worker in workers for gap in gaps(stand, worker, calm_from, calm_until)),
            "checker": str(report),
            "kept": report.ok and not failed and not report.repeated_runs,
        }
    finally:
        await stand.close()


async def drip(producer: Producer, per_s: float, over: asyncio.Event) -> int:
    """Dispatch so many jobs a second, whatever became of those before; return the number of calls."""
    began, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        calls = 0
        while not over.is_set():
            await asyncio.sleep(_TICK_S)
            due = int((time.monotonic() - began) * per_s)
            group.create_task(_send(producer, due - sent))
            sent, calls = due, calls + 1
    return calls


async def _send(producer: Producer, jobs: int) -> None:
    if jobs:
        await producer.dispatch(jobs, queue=QUEUE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rollout",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    count, span = partial(_positive, int), partial(_positive, float)
    parser.add_argument("--rounds", type=count, default=20, help="servers that are replaced")
    parser.add_argument("--workers", type=count, default=4, help="worker processes of 8 slots")
    parser.add_argument("--rate", type=span, default=400.0, help="jobs per second")
    parser.add_argument("--pre-stop", type=span, default=5.0, metavar="SECONDS", help="time from ready to SIGTERM")
    parser.add_argument("--settle", type=span, default=5.0, metavar="SECONDS", help="time between two replacements")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _positive(kind: type[float], text: str) -> float:
    number = kind(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
