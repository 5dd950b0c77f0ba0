"""What is asked of a job between the frame that says it begins and its handler."""

import asyncio

import pytest
from protojobs_worker import StopReason
from protojobs_worker.executor import Executor
from protojobs_worker.frames import WireLease
from protojobs_worker.middleware import Hooks
from protojobs_worker.outcomes import Cancelled, Outcome, Released
from protojobs_worker.registry import Handler, HandlerOptions, Registry

from tests.unit.worker.fake_server import leased

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("inline", [True, False], ids=["loop", "thread"])
@pytest.mark.parametrize(("reason", "expected"), [(StopReason.CANCELLED, Cancelled()), (StopReason.LEASE_LOST, Released())])
async def test_a_job_that_is_to_stop_before_its_handler_begins_never_runs(
    reason: StopReason, expected: Outcome, inline: bool
) -> None:
    ran: list[str] = []
    registry = Registry()
    registry.add(Handler("kind", lambda: ran.append("it"), HandlerOptions(inline=inline)))
    executor = Executor(registry, Hooks(), None, concurrency=1, processes=None, stop_grace=1.0)
    job = leased(1)
    job.spec.kind = "kind"
    lease = WireLease(job.job_id, 1, job, 1)
    told = asyncio.Event()
    executor.ended.bind(asyncio.get_running_loop(), told.set)

    async with asyncio.TaskGroup() as group:
        executor.bind(group)
        executor.stop(lease, reason, 1.0)  # its frame is on its way
        executor.start([lease])
        async with asyncio.timeout(10):
            await told.wait()
    executor.close()

    assert [outcome for report in executor.ended.collect() for _, outcome in report] == [expected]
    assert ran == []
