"""Handlers on the event loop: no task for one that does not wait, a real task for every one."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from protojobs_worker import StopReason
from protojobs_worker.context import Attempt
from protojobs_worker.lanes import Lanes
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import COMPLETED, Cancelled, Completed, Failed, Outcome, Released
from protojobs_worker.registry import Handler, HandlerOptions

from tests.unit.worker.fake_server import leased

pytestmark = pytest.mark.asyncio

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Bench:
    """Lanes, and what they reported in order."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Outcome]] = []
        self.active: set[Attempt] = set()
        self.lanes = Lanes(self._report, self.active, None)
        self._changed = asyncio.Event()

    def _report(self, report: list[tuple[Attempt, Outcome]]) -> None:
        self.reports += [(int(attempt.lease.job_id[-12:]), outcome) for attempt, outcome in report]
        self._changed.set()

    def start(self, *functions: Callable[..., object]) -> list[Attempt]:
        attempts = [self.attempt(number, function) for number, function in enumerate(functions)]
        self.lanes.start(attempts)
        return attempts

    def attempt(self, number: int, function: Callable[..., object]) -> Attempt:
        job = leased(number)
        handler = Handler("kind", function, HandlerOptions(inline=True))
        return Attempt(Lease(job.job_id, 1, job, 1), handler)

    async def reported(self, count: int) -> list[tuple[int, Outcome]]:
        async with asyncio.timeout(10):
            while len(self.reports) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.reports


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with asyncio.TaskGroup() as group:
        bench.lanes.bind(group)
        yield bench
        bench.lanes.stop_all()


async def test_handlers_that_do_not_wait_share_one_task() -> None:
    tasks: list[Any] = []

    async def handler() -> None:
        tasks.append(asyncio.current_task())

    async with bench() as b:
        b.start(*[handler] * 100)
        await b.reported(100)

    assert len(set(tasks)) == 1
    assert tasks[0] is not None


async def test_a_handler_that_waits_keeps_its_task_and_does_not_hold_up_the_rest() -> None:
    tasks: list[Any] = []
    release = asyncio.Event()

    async def waits() -> int:
        tasks.append(asyncio.current_task())
        await release.wait()
        tasks.append(asyncio.current_task())
        return 1

    async with bench() as b:
        b.start(waits, lambda: None, lambda: None)
        await b.reported(2)
        release.set()
        reports = await b.reported(3)

    assert reports == [(1, COMPLETED), (2, COMPLETED), (0, Completed(b"1"))]
    assert tasks[0] is tasks[1]


async def test_timeouts_and_task_groups_work_from_the_first_step_on() -> None:
    async def with_timeout() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "not reached"

    async def with_group() -> list[int]:
        async def child(number: int) -> int:
            await asyncio.sleep(0)
            return number

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(number)) for number in range(3)]
        return [task.result() for task in tasks]

    async with bench() as b:
        b.start(with_timeout, with_group)
        reports = dict(await b.reported(2))

    assert reports == {0: Completed(b'"timed out"'), 1: Completed(b"[0,1,2]")}


async def test_every_handler_has_a_context_of_its_own_also_after_it_waited() -> None:
    async def handler() -> list[str]:
        before = variable.get()
        variable.set("mine")
        await asyncio.sleep(0)
        return [before, variable.get()]

    def plain() -> str:
        before = variable.get()
        variable.set("plain")
        return before

    async with bench() as b:
        b.start(handler, plain, plain, handler)
        reports = dict(await b.reported(4))

    assert reports[0] == reports[3] == Completed(b'["unset","mine"]')
    assert reports[1] == reports[2] == Completed(b'"unset"')


async def test_an_error_after_a_wait_is_a_failure_of_that_handler_only() -> None:
    async def boom() -> None:
        await asyncio.sleep(0)
        raise OSError("later")

    async with bench() as b:
        b.start(boom, lambda: None)
        reports = dict(await b.reported(2))

    assert isinstance(reports[0], Failed)
    assert reports[1] is COMPLETED


async def test_stop_cancels_a_waiting_handler_which_may_clean_up() -> None:
    waiting, cleaned = asyncio.Event(), asyncio.Event()

    async def handler() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async with bench() as b:
        (attempt,) = b.start(handler)
        await waiting.wait()
        attempt.stop(StopReason.CANCELLED, 1.0)
        reports = await b.reported(1)

    assert reports == [(0, Cancelled())]
    assert cleaned.is_set()
    assert not b.active


async def test_an_attempt_stopped_before_it_began_never_runs() -> None:
    ran: list[int] = []

    async with bench() as b:
        attempts = [b.attempt(0, lambda: ran.append(0)), b.attempt(1, lambda: ran.append(1))]
        attempts[0].stop(StopReason.CANCELLED, 1.0)
        b.lanes.start(attempts)
        reports = await b.reported(2)

    assert ran == [1]
    assert reports[0] == (0, Cancelled())


async def test_long_runs_of_handlers_let_the_loop_breathe() -> None:
    turns: list[int] = []

    async with bench() as b:
        b.start(*[lambda: None] * 2000)
        while len(b.reports) < 2000:
            turns.append(len(b.reports))
            await asyncio.sleep(0)

    assert len(turns) >= 3


async def test_an_error_that_is_no_exception_fails_its_job_and_the_lane_goes_on() -> None:
    class Mischief(BaseException):
        pass

    def raises() -> None:
        raise Mischief

    async def raises_later() -> None:
        await asyncio.sleep(0)
        raise Mischief

    async with bench() as b:
        b.start(raises, raises_later, lambda: None)
        reports = dict(await b.reported(3))

    assert isinstance(reports[0], Failed)
    assert isinstance(reports[1], Failed)
    assert reports[2] is COMPLETED


async def test_what_returns_on_the_loop_after_its_lease_may_be_lost_is_no_completion() -> None:
    async with bench() as stand:

        def handler() -> None:
            attempt.stop_reason = StopReason.LEASE_LOST

        attempt = stand.attempt(1, handler)
        stand.lanes.start([attempt])

        assert await stand.reported(1) == [(1, Released())]
