"""How long jobs of a killed server wait until they run elsewhere: `python -m benchmarks.takeover`.

Two servers on Kafka with settings as they come, and jobs at a fixed rate. One server gets SIGKILL: the group gives its partitions
to the other one after `kafka.session_timeout`, and what lay in them runs there. The exit code is 1 where a promise was not kept,
or a job waited longer than the session timeout and 2 s.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from protojobs_service.drivers.kafka.options import Options

from benchmarks.rollout import drip
from benchmarks.times import percentiles
from tests.brokers.cluster import running_brokers
from tests.chaos.kafka_store import KafkaStore
from tests.chaos.killing import after
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore
from tests.postgres import running_cluster
from tests.rollout.fleet import all_ended

_BEYOND_S: Final = 2.0
"""What taking partitions over may take beyond the time after which the group misses their owner."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found; 0 if every promise was kept."""
    chosen = _parser().parse_args(arguments)
    with ExitStack() as exits:
        scratch = exits.enter_context(tempfile.TemporaryDirectory(prefix="protojobs-takeover-"))
        cluster, kafka = exits.enter_context(running_cluster()), exits.enter_context(running_brokers())
        home = Path(scratch) / "run" / "stand"
        home.mkdir(parents=True)
        side = PostgresStore(cluster=cluster, database=cluster.create_database())
        said = asyncio.run(_run(chosen, Stand(home, KafkaStore(brokers=kafka, side=side))))
    print(json.dumps(said, indent=2) if chosen.json else "\n".join(f"{name:<28}{value}" for name, value in said.items()))
    return 0 if said["kept"] else 1


async def _run(chosen: argparse.Namespace, stand: Stand) -> dict[str, Any]:
    try:
        servers = [await stand.add_server() for _ in range(2)]
        producer = stand.producer(strict=False)
        for number in range(1, chosen.workers + 1):
            await stand.add_worker(f"worker-{number}", concurrency=50, ttl=10.0)
        over = asyncio.Event()
        load = asyncio.ensure_future(drip(producer, chosen.rate, over))
        killed_at: list[float] = []
        for round_ in range(chosen.rounds):
            await after(chosen.settle)()
            killed_at.append(time.monotonic())
            servers[round_ % 2].program.kill()
            await after(chosen.settle)()
            await servers[round_ % 2].start()
        over.set()
        await load
        await all_ended(stand, producer)
        report = await stand.judge()
        waits = [_longest_wait(stand, at, at + chosen.settle) for at in killed_at]
        bound = Options(brokers="").session_timeout_s + _BEYOND_S
        return {
            "servers killed": chosen.rounds,
            "jobs per s": chosen.rate,
            "session timeout, s": bound - _BEYOND_S,
            "longest wait at a kill, ms": percentiles(waits),
            "repeated runs": report.repeated_runs,
            "checker": str(report),
            "kept": report.ok and max(waits) <= bound,
        }
    finally:
        await stand.close()


def _longest_wait(stand: Stand, begin: float, end: float) -> float:
    """Return the longest time from its acknowledgement to its start of a job that was acknowledged in between, in seconds."""
    stored = {job: event["t"] for event in stand.seen("dispatch") if event["phase"] == "ok" for job in event["jobs"]}
    began: dict[str, float] = {}
    for event in stand.seen("start"):
        began.setdefault(event["job"], event["t"])
    waits: list[float] = [began[job] - at for job, at in stored.items() if begin - _BEYOND_S <= at <= end]
    return max(waits)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.takeover",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--rounds", type=int, default=6, help="kills, of each server in turn")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of 50 slots")
    parser.add_argument("--rate", type=float, default=400.0, help="jobs per second")
    parser.add_argument("--settle", type=float, default=20.0, metavar="SECONDS", help="time between two kills")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
