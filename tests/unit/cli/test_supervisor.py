"""The supervisor of a server's processes, over processes that the tests themselves make ready and end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random

import pytest
from protojobs_service.cli.supervisor import Supervisor
from protojobs_service.domain.retry import Jitter, Policy

pytestmark = pytest.mark.asyncio

AT_ONCE = Policy(initial_backoff=timedelta(0), max_backoff=timedelta(0), jitter=Jitter.NONE)
NEVER = Policy(initial_backoff=timedelta(days=1), max_backoff=timedelta(days=1), jitter=Jitter.NONE)


class Fake:
    """A process that does what a test says; asked to stop, it ends with 0."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.stopped = 0
        self.killed = False
        self.obeys = True
        self._said: asyncio.Queue[bool | None] = asyncio.Queue()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def say(self, ready: bool) -> None:
        self._said.put_nowait(ready)

    def end(self, code: int) -> None:
        self._code.set_result(code)
        self._said.put_nowait(None)

    async def reports(self) -> AsyncIterator[bool]:
        while (ready := await self._said.get()) is not None:
            yield ready

    async def ended(self) -> int:
        return await self._code

    def tell(self, *, all_ready: bool) -> None:
        self.told.append(all_ready)

    def stop(self) -> None:
        self.stopped += 1
        if self.obeys and not self._code.done():
            self.end(0)

    def kill(self) -> None:
        self.killed = True
        self.end(-9)


class Stand:
    """A supervisor and every process that it has started, as (number, first time)."""

    def __init__(self, count: int, again: Policy = AT_ONCE) -> None:
        self.stop = asyncio.Event()
        self.launches: list[tuple[int, bool]] = []
        self.refuses = False
        self._started: asyncio.Queue[Fake] = asyncio.Queue()
        self.supervisor = Supervisor(count, self._launch, self.stop, Random(1), again=again)
        self.running = asyncio.ensure_future(self.supervisor.run())

    async def started(self) -> Fake:
        """Return the next process once it is there."""
        return await self._started.get()

    async def ready(self, count: int) -> list[Fake]:
        """Return so many, each ready as soon as it is there."""
        found = list[Fake]()
        for _ in range(count):
            found.append(await self.started())
            found[-1].say(True)
        return found

    async def settled(self) -> None:
        """Let everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def _launch(self, number: int, first: bool) -> Fake:
        self.launches.append((number, first))
        if self.refuses:
            raise OSError("no memory")
        self._started.put_nowait(child := Fake())
        return child


async def test_others_start_when_the_first_is_ready_and_all_are_told_when_all_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stand = Stand(3)
    first = await stand.started()
    await stand.settled()
    assert stand.launches == [(1, True)]

    first.say(True)
    second, third = await stand.started(), await stand.started()
    second.say(True)
    await stand.settled()
    assert not any(first.told + second.told + third.told)
    assert caplog.messages == []
    third.say(True)
    await stand.settled()

    assert [child.told[-1] for child in (first, second, third)] == [True, True, True]
    assert caplog.messages == ["all processes of the server are ready"]
    stand.stop.set()
    assert await stand.running == 0


async def test_a_process_that_is_not_ready_makes_the_whole_not_ready() -> None:
    stand = Stand(2)
    first, second = await stand.ready(2)
    await stand.settled()

    second.say(False)
    await stand.settled()
    assert [first.told[-1], second.told[-1]] == [False, False]
    second.say(True)
    await stand.settled()
    assert [first.told[-1], second.told[-1]] == [True, True]
    stand.stop.set()
    assert await stand.running == 0


async def test_a_process_that_dies_is_started_again_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand(2)
    first, second = await stand.ready(2)
    await stand.settled()

    second.end(-9)
    another = await stand.started()
    await stand.settled()
    assert first.told[-1:] == [False]
    assert first.stopped == 0
    another.say(True)
    await stand.settled()

    assert first.told[-1:] == [True]
    assert another.told[-1:] == [True]
    assert stand.launches == [(1, True), (2, True), (2, False)]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (vars(record)["process_no"], vars(record)["exit_code"]) == (2, -9)
    stand.stop.set()
    assert await stand.running == 0


async def test_each_death_soon_after_the_last_waits_longer_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    again = Policy(
        initial_backoff=timedelta(milliseconds=1), multiplier=2, max_backoff=timedelta(milliseconds=4), jitter=Jitter.NONE
    )
    stand = Stand(1, again)
    for _ in range(4):
        child = await stand.started()
        child.say(True)
        child.end(1)
    await stand.started()

    waits = [vars(record)["again_in_s"] for record in caplog.records if record.levelno == logging.ERROR]
    assert waits == [0.001, 0.002, 0.004, 0.004]
    stand.stop.set()
    assert await stand.running == 0


async def test_a_restart_that_fails_is_tried_again_and_stops_nobody() -> None:
    stand = Stand(2)
    first, second = await stand.ready(2)
    await stand.settled()

    second.end(1)
    (await stand.started()).end(3)  # it was never ready
    (await stand.started()).say(True)
    await stand.settled()

    assert first.stopped == 0
    assert first.told[-1:] == [True]
    stand.stop.set()
    assert await stand.running == 0


@pytest.mark.parametrize(("code", "exit_code"), [(2, 2), (3, 3), (0, 3), (-9, 137)])
async def test_a_first_process_that_cannot_start_is_the_only_one_and_its_code_is_ours(code: int, exit_code: int) -> None:
    stand = Stand(3)

    (await stand.started()).end(code)

    assert await stand.running == exit_code
    assert stand.launches == [(1, True)]


async def test_a_later_process_that_cannot_start_ends_them_all_with_its_code() -> None:
    stand = Stand(3)
    first = await stand.started()
    first.say(True)
    second, third = await stand.started(), await stand.started()

    second.end(3)

    assert await stand.running == 3
    assert (first.stopped, third.stopped) == (1, 1)


async def test_a_process_that_the_machine_refuses_to_start_is_as_one_that_could_not() -> None:
    stand = Stand(2)
    stand.refuses = True

    assert await stand.running == 3
    assert stand.launches == [(1, True)]


async def test_the_end_waits_until_every_process_has_drained() -> None:
    stand = Stand(2)
    first, second = await stand.ready(2)
    await stand.settled()
    second.obeys = False

    stand.stop.set()
    await stand.settled()
    assert (first.stopped, second.stopped) == (1, 1)
    assert not stand.running.done()
    second.end(0)

    assert await stand.running == 0
    assert len(stand.launches) == 2


async def test_a_process_that_does_not_drain_well_gives_its_code() -> None:
    stand = Stand(2)
    _, second = await stand.ready(2)
    await stand.settled()
    second.obeys = False

    stand.stop.set()
    await stand.settled()
    second.end(-9)

    assert await stand.running == 137


async def test_an_end_while_one_waits_to_start_again_does_not_start_it() -> None:
    stand = Stand(2, NEVER)
    _, second = await stand.ready(2)
    await stand.settled()
    second.end(1)
    await stand.settled()

    stand.stop.set()

    assert await stand.running == 0
    assert len(stand.launches) == 2


async def test_all_are_killed_at_once_where_that_is_asked_for() -> None:
    stand = Stand(2)
    children = await stand.ready(2)
    await stand.settled()
    for child in children:
        child.obeys = False
    stand.stop.set()
    await stand.settled()

    stand.supervisor.kill()

    assert await stand.running == 137
    assert all(child.killed for child in children)
