"""Single dispatches that share one stream."""

import asyncio
from datetime import timedelta

import grpc
import pytest
import stamina
from google.rpc.status_pb2 import Status
from protojobs_client import AsyncClient, DispatchOutcome, Options, ProtoJobsError, pipe
from protojobs_client.batch import MAX_ITEMS
from protojobs_client.errors import ClientClosedError, DrainingError, InvalidArgumentError, QuotaExceededError, UnavailableError
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from tests.unit.client.fake import FakeServer, status

pytestmark = pytest.mark.asyncio

SHORT = timedelta(milliseconds=300)


async def test_concurrent_dispatches_share_one_stream_and_few_frames(server: FakeServer, client: AsyncClient) -> None:
    jobs = await asyncio.gather(*(client.dispatch("kind", number) for number in range(500)))

    assert server.jobs.streams == 1
    assert len(server.jobs.frames) < 10
    assert [job.job_id for job in jobs] == list(server.jobs.stored)
    assert not server.jobs.batches


@pytest.mark.parametrize(("jobs", "frames"), [(63, [63]), (65, [32, 33]), (100, [50, 50])])
async def test_half_of_many_goes_first_so_that_its_callers_work_while_the_rest_is_stored(
    server: FakeServer, client: AsyncClient, jobs: int, frames: list[int]
) -> None:
    server.jobs.open.clear()
    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()
        server.jobs.open.set()

    assert [len(frame) for frame in server.jobs.frames] == frames


async def test_callers_that_come_again_at_once_are_never_all_in_one_frame(server: FakeServer, client: AsyncClient) -> None:
    async def come_again_and_again() -> None:
        for _ in range(5):
            await client.dispatch("kind")

    await asyncio.gather(*(come_again_and_again() for _ in range(65)))

    assert max(len(frame) for frame in server.jobs.frames) < 65
    assert len(server.jobs.stored) == 5 * 65


@pytest.mark.parametrize(
    ("moment", "first", "then", "frames"),
    [(600.0, 10, 2, [10, 2]), (0.0, 10, 2, [10, 1, 1]), (600.0, 4, 6, [4, 3, 3])],
    ids=["wait for the answer", "wait a moment", "nearly as many do not wait"],
)
async def test_much_fewer_than_the_last_frame_has_wait_for_more_or_for_its_answer_a_moment(
    server: FakeServer,
    client: AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    moment: float,
    first: int,
    then: int,
    frames: list[int],
) -> None:
    monkeypatch.setattr(pipe, "HELD_SECONDS", moment)
    server.jobs.open.clear()
    async with asyncio.TaskGroup() as group:
        for _ in range(first):
            group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()

        for _ in range(then):
            group.create_task(client.dispatch("kind"))
            for _ in range(50):
                await asyncio.sleep(0)
        server.jobs.open.set()

    assert [len(frame) for frame in server.jobs.frames] == frames


async def test_no_frame_has_more_than_a_server_takes_however_wide_its_window_is(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.window = 10 * MAX_ITEMS
    await client.dispatch("kind")  # its acknowledgement tells the window

    await asyncio.gather(*(client.dispatch("kind") for _ in range(3 * MAX_ITEMS)))

    assert max(map(len, server.jobs.frames)) <= MAX_ITEMS
    assert len(server.jobs.stored) == 3 * MAX_ITEMS + 1


async def test_a_frame_holds_no_more_than_the_window_leaves(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.window = 7
    await client.dispatch("kind")  # its acknowledgement tells the window

    await asyncio.gather(*(client.dispatch("kind") for _ in range(50)))

    assert max(map(len, server.jobs.frames)) <= 7
    assert len(server.jobs.stored) == 51


async def test_a_window_of_zero_lets_one_job_at_a_time_through(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.window = 0
    await client.dispatch("kind")

    await asyncio.gather(*(client.dispatch("kind") for _ in range(5)))

    assert server.jobs.frames[1:] == [[job_id] for job_id in list(server.jobs.stored)[1:]]


@pytest.mark.parametrize("end", [None, status(grpc.StatusCode.UNAVAILABLE, "DRAINING")])
async def test_unacknowledged_frames_are_sent_again_with_the_same_ids(
    server: FakeServer, client: AsyncClient, end: Status | None
) -> None:
    server.jobs.stream_ends = [end, end]

    jobs = await asyncio.gather(*(client.dispatch("kind", number) for number in range(20)))

    assert server.jobs.streams == 3
    assert server.jobs.frames[0] == server.jobs.frames[1]
    assert [job.job_id for job in jobs] == list(server.jobs.stored)


async def test_a_restarted_server_gives_no_error(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.open.clear()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()

        await server.stop()
        server.jobs.open.set()
        await server.start()

    assert (waiting.result()).job_id in server.jobs.stored
    assert server.jobs.frames[0] == server.jobs.frames[1]


async def test_a_pipe_that_moves_waits_for_its_acknowledgements_and_sends_nothing_twice(
    server: FakeServer, client: AsyncClient
) -> None:
    server.jobs.open.clear()
    async with asyncio.TaskGroup() as group:
        before = group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()

        client._pipe.move()
        after = group.create_task(client.dispatch("kind"))
        await asyncio.sleep(0)  # it has been submitted
        server.jobs.open.set()

    assert server.jobs.streams == 2
    assert server.jobs.frames == [[before.result().job_id], [after.result().job_id]]


async def test_a_job_that_was_stored_before_is_existing(server: FakeServer, client: AsyncClient) -> None:
    first = await client.dispatch("kind")

    second = await client.dispatch("kind", job_id=first.job_id)

    assert (first.outcome, second.outcome) == (DispatchOutcome.CREATED, DispatchOutcome.EXISTING)


async def test_a_refused_job_does_not_refuse_its_neighbours(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.verdicts["bad"] = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")

    good, bad, also_good = await asyncio.gather(
        client.dispatch("good"), client.dispatch("bad"), client.dispatch("good"), return_exceptions=True
    )

    assert isinstance(bad, QuotaExceededError)
    assert not isinstance(good, BaseException)
    assert not isinstance(also_good, BaseException)


async def test_jobs_of_a_refused_stream_get_their_own_verdicts(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.stream_ends = [status(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")]
    server.jobs.verdicts["bad"] = status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")

    results = await asyncio.gather(*(client.dispatch(kind) for kind in ("good", "bad", "good")), return_exceptions=True)

    assert [isinstance(result, InvalidArgumentError) for result in results] == [False, True, False]
    assert len(server.jobs.stored) == 2


async def test_a_server_without_the_stream_gets_batches(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.streaming = False

    jobs = await asyncio.gather(*(client.dispatch("kind", number) for number in range(50)))

    assert [job.job_id for job in jobs] == list(server.jobs.stored)
    assert sorted(map(len, server.jobs.batches)) == [50]
    await client.dispatch("kind")
    assert server.jobs.batches[-1] == [list(server.jobs.stored)[-1]]


async def test_streaming_may_be_switched_off(server: FakeServer) -> None:
    async with AsyncClient(options=Options(address=server.address, streaming=False)) as client:
        await client.dispatch("kind")

    assert server.jobs.streams == 0
    assert len(server.jobs.stored) == 1


async def test_an_unreachable_server_is_an_unavailable_error_after_call_timeout(server: FakeServer) -> None:
    await server.stop()
    options = Options(address=server.address, call_timeout=SHORT)

    async with AsyncClient(options=options) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.dispatch("kind")

    assert caught.value.retryable
    await server.start()


async def test_a_silent_server_is_left_for_another_stream(server: FakeServer) -> None:
    server.jobs.open.clear()
    options = Options(address=server.address, dispatch_deadline=SHORT)
    async with AsyncClient(options=options) as client, asyncio.TaskGroup() as group:
        waiting = group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()
        server.jobs.frame_came.clear()

        await server.jobs.frame_came.wait()  # the same frame on the next stream
        server.jobs.open.set()

    assert waiting.result().job_id in server.jobs.stored
    assert server.jobs.streams >= 2


async def test_close_finishes_what_was_dispatched(server: FakeServer) -> None:
    client = AsyncClient(options=Options(address=server.address))
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(client.dispatch("kind")) for _ in range(100)]
        await server.jobs.frame_came.wait()

        await client.close()

    assert len(server.jobs.stored) == len(waiting)
    with pytest.raises(ClientClosedError):
        await client.dispatch("kind")


async def test_cancelling_one_caller_leaves_the_others(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.open.clear()
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(client.dispatch("kind"))
        staying = group.create_task(client.dispatch("kind"))
        await server.jobs.frame_came.wait()

        gone.cancel()
        server.jobs.open.set()

    assert staying.result().job_id in server.jobs.stored
    assert gone.cancelled()


async def test_every_error_of_a_dispatch_is_a_protojobs_error(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.verdicts["kind"] = status(grpc.StatusCode.DATA_LOSS, "SOMETHING_NEW")

    with pytest.raises(ProtoJobsError) as caught:
        await client.dispatch("kind")

    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.DATA_LOSS, "SOMETHING_NEW")


async def test_without_retries_the_first_failure_is_the_answer(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.stream_ends = [status(grpc.StatusCode.UNAVAILABLE, "DRAINING")]
    stamina.set_active(False)
    try:
        with pytest.raises(DrainingError):
            await client.dispatch("kind")
    finally:
        stamina.set_active(True)


async def test_a_stream_that_only_told_its_window_is_opened_again_with_backoff(server: FakeServer) -> None:
    server.jobs.says_window = True
    server.jobs.stream_ends = [status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")] * 1000
    options = Options(address=server.address, call_timeout=timedelta(seconds=1))

    async with AsyncClient(options=options) as client:
        with pytest.raises(UnavailableError):
            await client.dispatch("kind")

    assert 2 <= server.jobs.streams < 30


@pytest.mark.parametrize("streaming", [True, False])
async def test_retries_are_told_to_our_own_logger_only(
    server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    streaming: bool,
) -> None:
    error = status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=timedelta(milliseconds=10))
    server.jobs.stream_ends, server.jobs.call_errors = [error], [error] * 5  # gRPC repeats the first by itself
    heard: list[RetryDetails] = []

    def hear(details: RetryDetails) -> None:
        heard.append(details)

    caplog.set_level("DEBUG", logger="protojobs_client")
    set_on_retry_hooks([hear])
    try:
        async with AsyncClient(options=Options(address=server.address, streaming=streaming)) as client:
            await client.dispatch("kind")
    finally:
        set_on_retry_hooks(None)

    told = [record for record in caplog.records if record.getMessage() == "trying again"]
    assert heard == []
    assert told
    assert {record.levelname for record in told} == {"DEBUG"}
    assert capsys.readouterr().out == ""
