"""Keep killing while a load goes on, then judge the whole history: `make chaos`.

Servers, workers and, on Kafka, brokers are killed in turn, one at a time, and started again. Producers dispatch until so many jobs
are acknowledged; once every job has ended the checker judges what clients, handlers and the store say. The exit code is 1 where a
promise was not kept.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.brokers.broker import Broker
from tests.brokers.cluster import running_brokers
from tests.chaos.kafka_store import KafkaStore
from tests.chaos.killing import Victim, after, kill_in_turn
from tests.chaos.producer import Producer
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore, SqliteStore, Store
from tests.chaos.waiting import until
from tests.checker import Recorder, Report
from tests.postgres import running_cluster

_QUEUE: Final = "main"
_BATCH: Final = 500
_DRAINED_WITHIN_S: Final = 900.0


class BrokerVictim:
    """A broker that can be killed and started again."""

    def __init__(self, broker: Broker, nemesis: Recorder) -> None:
        self.name = f"broker-{broker.node}"
        self._broker = broker
        self._nemesis = nemesis

    async def kill_and_start(self) -> None:
        """Kill it, and wait until it serves again."""
        self._nemesis.write("fault", "begin", action="kill", target=self.name)
        await asyncio.to_thread(self._broker.kill)
        await asyncio.to_thread(self._broker.start)
        self._nemesis.write("fault", "end", action="start", target=self.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and say what became of it."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="protojobs-chaos-") as scratch, _store(chosen, Path(scratch)) as (store, brokers):
        home = chosen.keep or Path(scratch) / "run" / "stand"
        home.mkdir(parents=True)
        return asyncio.run(_run(chosen, Stand(home, store), brokers))


async def _run(chosen: argparse.Namespace, stand: Stand, brokers: Sequence[Broker]) -> int:
    began = time.monotonic()
    try:
        servers = [await stand.add_server() for _ in range(chosen.servers)]
        workers = [
            await stand.add_worker(f"worker-{number}", concurrency=chosen.slots, ttl=10.0)
            for number in range(1, chosen.workers + 1)
        ]
        # A worker, a server, a broker, and then the next of each.
        turns = itertools.zip_longest(workers, servers, [BrokerVictim(broker, stand.nemesis) for broker in brokers])
        victims: list[Victim] = [victim for turn in turns for victim in turn if victim is not None]
        killed: list[str] = []
        stored = await _load_and_kill(chosen, stand, victims, killed)
        producer = stand.producers[0]
        print(f"{stored} jobs are acknowledged after {time.monotonic() - began:.0f} s", flush=True)
        await until("every job has ended", lambda: producer.is_quiet([_QUEUE]), _DRAINED_WITHIN_S, every=1.0)
        print(f"every job has ended after {time.monotonic() - began:.0f} s; judging", flush=True)
        report = await stand.judge()
        _say(report, killed)
        return 0 if report.ok else 1
    finally:
        await stand.close()


async def _load_and_kill(chosen: argparse.Namespace, stand: Stand, victims: Sequence[Victim], killed: list[str]) -> int:
    """Dispatch until enough is acknowledged, while the victims are killed in turn; return how many are."""
    over = asyncio.Event()
    # Calls last as long as it takes any of them to come back; what is unknown then stays unknown in the history.
    producers = [stand.producer(f"producer-{number}", strict=False) for number in range(1, chosen.producers + 1)]

    def stored() -> int:
        return sum(producer.stored for producer in producers)

    async def load(producer: Producer) -> None:
        while stored() < chosen.jobs:
            await producer.dispatch(_BATCH, queue=_QUEUE)
        over.set()

    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(load(producer))
        await kill_in_turn(itertools.cycle(victims), after(chosen.every), over, killed)
    return stored()


def _say(report: Report, killed: Sequence[str]) -> None:
    kinds = Counter(name.rpartition("-")[0] for name in killed)
    print(f"killed: {', '.join(f'{count} x {kind}' for kind, count in sorted(kinds.items())) or 'nobody'}")
    print(f"jobs run more than once because whoever ran them was killed or cut off: {report.repeated_runs}")


@contextmanager
def _store(chosen: argparse.Namespace, scratch: Path) -> Generator[tuple[Store, Sequence[Broker]]]:
    with ExitStack() as exits:
        if chosen.driver == "sqlite":
            yield SqliteStore(path=scratch / "jobs.db"), ()
            return
        cluster = exits.enter_context(running_cluster())
        postgres = PostgresStore(cluster=cluster, database=cluster.create_database())
        if chosen.driver == "postgres":
            yield postgres, ()
            return
        brokers = exits.enter_context(running_brokers(chosen.brokers))
        yield KafkaStore(brokers=brokers, side=postgres), brokers.brokers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--driver", choices=["sqlite", "postgres", "kafka"], default="kafka", help="the store")
    parser.add_argument("--jobs", type=_positive(int), default=100_000, help="so many are to be acknowledged")
    parser.add_argument("--every", type=_positive(float), default=5.0, metavar="SECONDS", help="time between two kills")
    parser.add_argument("--servers", type=_positive(int), default=2, help="servers, of which one at a time is killed")
    parser.add_argument("--workers", type=_positive(int), default=2, help="worker processes")
    parser.add_argument("--slots", type=_positive(int), default=200, help="jobs that each runs at a time")
    parser.add_argument("--producers", type=_positive(int), default=2, help="batches of 500 on their way at a time")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=3, help="brokers of Kafka")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write histories and logs there, and leave them")
    return parser


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = kind(text)
        if number <= 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
