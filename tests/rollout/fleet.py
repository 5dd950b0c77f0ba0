"""Servers that are replaced one by one under load, and what workers tell of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tests.chaos.processes import Program
from tests.chaos.producer import Producer
from tests.chaos.stand import Server, Stand
from tests.chaos.waiting import until

QUEUE: Final = "main"
_AROUND_S: Final = 3.0
"""So long after the word to leave a worker's starts are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A worker that was told to leave a server. reason: as the server put it; gap: its longest time without a new job then."""

    worker: str
    reason: str
    gap: float


class Fleet:
    """Servers of which all but one serve. Clients know every address, as they do of a name that resolves to several."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._serving = list(servers)
        self._away: list[Server] = []

    @classmethod
    async def start(cls, stand: Stand, size: int = 2) -> "Fleet":
        """Start `size` servers, and one more, which leaves its address to the first replacement."""
        return cls([await stand.add_server() for _ in range(size + 1)])

    async def begin(self) -> None:
        """Take the surplus server away: what is made after `start` knows its address."""
        await self._take_away()

    async def replace(self, before_stop: Callable[[], Awaitable[object]]) -> None:
        """Start a new process, wait until it is ready, let `before_stop` pass as a preStop hook, end the oldest by SIGTERM."""
        server = self._away.pop()
        await server.start()
        self._serving.append(server)
        await before_stop()
        await self._take_away()

    async def _take_away(self) -> None:
        server = self._serving.pop(0)
        server.program.terminate()
        code = await server.program.ended()
        assert code == 0, f"{server.name} ended with {code}"
        self._away.append(server)


class Calls:
    """Producers that dispatch and ask without a pause until told to stop. Any call that fails ends them."""

    def __init__(self, stand: Stand, producers: int = 2) -> None:
        self.made = 0
        self._producers = [stand.producer(f"producer-{number}") for number in range(1, producers + 1)]
        self._over = asyncio.Event()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Begin; the group ends with the first failed call."""
        for producer in self._producers:
            group.create_task(self._load(producer))

    def stop(self) -> None:
        """Let each end with the call that it is in."""
        self._over.set()

    async def _load(self, producer: Producer) -> None:
        while not self._over.is_set():
            await producer.dispatch(50, queue=QUEUE)
            jobs = await producer.dispatch(5, queue=QUEUE, singly=True)
            await producer.dispatch(2, queue=QUEUE, delay=0.2)
            await producer.client.get(jobs[0])
            await producer.counts(QUEUE)
            self.made += 9
            # Workers are to be kept busy, not to be left behind ever more.
            await until("the backlog is small", lambda: self._is_small(producer), within=60)

    @staticmethod
    async def _is_small(producer: Producer) -> bool:
        return (await producer.counts(QUEUE)).get("PENDING", 0) < 500


async def jobs_flow(stand: Stand, count: int = 100) -> None:
    """Wait until so many more jobs have ended."""
    seen = len(stand.seen("end"))
    await until("jobs flow", lambda: len(stand.seen("end")) > seen + count, within=60)


async def all_ended(stand: Stand, producer: Producer) -> None:
    """Wait until everything that was acknowledged has completed."""
    total = sum(len(event["jobs"]) for event in stand.seen("dispatch") if event["phase"] == "ok")
    await until("everything completes", lambda: producer.has(QUEUE, COMPLETED=total), within=60)


def moves(stand: Stand, workers: Sequence[Program]) -> list[Move]:
    """Return every move that the workers' logs tell of, with what their handlers say of the time behind it."""
    return [
        Move(
            worker=worker.name,
            reason=str(line["reason"]),
            gap=max(gaps(stand, worker, line["at"], line["at"] + _AROUND_S), default=_AROUND_S),
        )
        for worker in workers
        for line in said(worker)
        if line["event"] == "drain"
    ]


def gaps(stand: Stand, worker: Program, begin: float, end: float) -> list[float]:
    """Return the times between the jobs that a worker began between two moments of the wall clock, in seconds."""
    walls = [event["wall"] for event in stand.seen("start", proc=worker.name)]
    first = max((wall for wall in walls if wall <= begin), default=begin)
    return [second - before for before, second in pairwise(sorted([first, *(wall for wall in walls if begin < wall < end)]))]


def said(worker: Program) -> list[dict[str, Any]]:
    """Return the lines of a worker's log."""
    return [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
