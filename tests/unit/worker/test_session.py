"""The Lease stream, against a server that the test plays."""

import asyncio
import threading
import time
from pathlib import Path

import grpc
import pytest
from protojobs.v1 import job_pb2
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client import Options, redial
from protojobs_worker import ExitReason, JobContext, JobFailed, Worker, session
from protojobs_worker.stream import Stream, StreamEnded

from tests.unit.worker.conftest import serving
from tests.unit.worker.fake_server import FakeServer, job_id, leased

pytestmark = pytest.mark.asyncio


async def test_hello_tells_who_the_worker_is_and_what_it_can_run(server: FakeServer) -> None:
    worker = Worker(
        server.address,
        queues={"critical": 5, "default": 1},
        order="strict",
        concurrency=7,
        window=20,
        name="tester",
        session_ttl=12,
    )
    worker.handler("b")(lambda ctx: None)
    worker.handler("a")(lambda ctx: None)

    async with serving(worker):
        stream = await server.stream()

    hello = stream.hello
    assert len(hello.session_id) == 16
    assert [(queue.name, queue.weight) for queue in hello.queues] == [("critical", 5), ("default", 1)]
    assert hello.queue_order == wire.QUEUE_ORDER_STRICT
    assert list(hello.kinds) == ["a", "b"]
    assert (hello.worker, hello.slots, hello.window.max_in_flight) == ("tester", 7, 20)
    assert (hello.stream_no, hello.session_ttl.seconds, len(hello.held)) == (1, 12, 0)


async def test_a_completion_without_result_takes_the_short_form(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        stream = (await server.stream()).welcome()

        stream.deliver(leased(1), leased(2))
        frame = await stream.expect("settle")

    assert [(group.attempt, list(group.job_ids)) for group in frame.settle.completed] == [(1, [job_id(1), job_id(2)])]
    assert not frame.settle.items


async def test_the_frame_that_covers_a_job_leaves_before_its_handler_begins(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1, window=10)
    seen: list[int] = []

    async with serving(worker):
        stream = (await server.stream()).welcome()

        @worker.handler("noop", inline=True)
        def noop() -> None:
            seen.append(len(stream.all_frames))

        stream.deliver(leased(1), leased(2))
        first = await stream.next()
        await stream.outcome(2)

    assert first is not None
    assert (first.started_seq, first.received_seq) == (1, 2)
    assert max(frame.started_seq for frame in stream.all_frames) == 2


async def test_a_delivery_is_acknowledged_also_when_every_slot_is_busy(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1, window=10)
    release = asyncio.Event()

    @worker.handler("noop")
    async def wait() -> None:
        await release.wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1))
        await stream.expect("ping")

        stream.deliver(leased(2))
        receipt = await stream.expect("ping")
        release.set()

    assert receipt.received_seq == 3
    assert receipt.started_seq == 1


async def test_heartbeats_go_out_while_a_handler_blocks_the_event_loop(server: FakeServer) -> None:
    worker = Worker(server.address)
    blocked, release = threading.Event(), threading.Event()

    @worker.handler("noop", inline=True)
    def block() -> None:
        blocked.set()
        release.wait(20)

    loop_thread = threading.Thread(target=lambda: asyncio.run(worker.serve()), daemon=True)
    loop_thread.start()
    stream = (await server.stream()).welcome(heartbeat=0.2)
    stream.deliver(leased(1))
    await asyncio.to_thread(blocked.wait, 10)
    for _ in range(3):
        await stream.expect("ping")
        stream.pong()
    still_blocked = not release.is_set()
    release.set()
    name, _ = await stream.outcome(1)
    worker.stop(now=True)
    await asyncio.to_thread(loop_thread.join, 10)

    assert still_blocked
    assert name == "complete"


async def test_a_lost_stream_is_resumed_with_everything_held_and_outcomes_are_sent_again(
    server: FakeServer, noop_worker: Worker
) -> None:
    release = asyncio.Event()

    @noop_worker.handler("wait")
    async def wait() -> None:
        await release.wait()

    async with serving(noop_worker):
        first = (await server.stream()).welcome(heartbeat=0.5)
        first.deliver(leased(1), leased(2, "wait"), leased(3))
        await first.outcome(1)
        await first.outcome(3)
        first.answer(3)
        first.pong()
        await first.expect("ping")
        first.fail(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")

        second = await server.stream()
        held = {(line.job_id, line.attempt, line.started) for line in second.hello.held}
        second.welcome(kept=[(1, 1), (2, 1)])
        again, _ = await second.outcome(1)
        release.set()
        waited, _ = await second.outcome(2)

    assert second.hello.session_id == first.hello.session_id
    assert second.hello.stream_no == 2
    assert held == {(job_id(1), 1, True), (job_id(2), 1, True)}
    assert (again, waited) == ("complete", "complete")


async def test_a_running_job_that_the_server_does_not_keep_is_cancelled_and_not_settled(server: FakeServer) -> None:
    worker = Worker(server.address)
    stopped = asyncio.Event()

    @worker.handler("wait")
    async def wait(ctx: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with serving(worker) as task:
        first = (await server.stream()).welcome()
        first.deliver(leased(1, "wait"))
        await first.expect("ping")
        first.end()

        second = (await server.stream()).welcome()
        async with asyncio.timeout(10):
            await stopped.wait()
        worker.stop()
        await task

    assert not [frame for frame in second.all_frames if frame.WhichOneof("frame") == "settle"]


async def test_after_drain_the_next_stream_opens_and_unconfirmed_outcomes_go_there(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        first = (await server.stream()).welcome()
        first.deliver(leased(1))
        await first.outcome(1)

        first.drain(wire.DRAIN_REASON_AGE)
        second = (await server.stream()).welcome(kept=[(1, 1)])
        first.answer(1)
        name, _ = await second.outcome(1)

    assert [line.job_id for line in second.hello.held] == [job_id(1)]
    assert name == "complete"


async def test_a_session_that_moves_names_what_it_holds_on_its_next_stream(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redial, "LOOK_SECONDS", 0.01)
    token = tmp_path / "token"
    token.write_text("first")
    worker = Worker(Options(address=server.address, token_file=token))
    release = asyncio.Event()

    @worker.handler("wait")
    async def wait() -> None:
        await release.wait()

    async with serving(worker):
        first = (await server.stream()).welcome()
        first.deliver(leased(1, "wait"))
        await first.expect("ping")

        token.write_text("second")
        second = (await server.stream()).welcome(kept=[(1, 1)])
        release.set()
        name, _ = await second.outcome(1)

    assert [(line.job_id, line.attempt, line.started) for line in second.hello.held] == [(job_id(1), 1, True)]
    assert name == "complete"


async def test_drain_worker_finishes_and_ends(server: FakeServer) -> None:
    worker = Worker(server.address)
    release = asyncio.Event()

    @worker.handler("wait")
    async def wait() -> None:
        await release.wait()

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"))
        await stream.expect("ping")

        stream.drain(wire.DRAIN_REASON_WORKER)
        goodbye = await stream.expect("goodbye")
        release.set()
        name, _ = await stream.outcome(1)
        stream.answer(1)
        await stream.closed()
        reason = await task

    assert goodbye.goodbye.mode == wire.GOODBYE_MODE_FINISH
    assert name == "complete"
    assert reason is ExitReason.DRAINED


async def test_a_worker_that_has_nothing_left_opens_no_stream_after_one_that_the_server_ends(
    server: FakeServer, noop_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda least, _most: least)
    write = Stream.write

    async def say_nothing_after_goodbye(stream: Stream, frame: wire.LeaseRequest, started_seq: int) -> None:
        await write(stream, frame, started_seq)
        if frame.HasField("goodbye"):
            await asyncio.Event().wait()  # the end is heard before the worker closes its side

    monkeypatch.setattr(Stream, "write", say_nothing_after_goodbye)

    async with serving(noop_worker) as task:
        stream = (await server.stream()).welcome()
        noop_worker.stop()
        await stream.expect("goodbye")
        stream.end()
        reason = await task

    assert reason is ExitReason.SIGNAL
    assert server.opened == 1


async def test_a_silent_server_is_given_up_after_three_heartbeats(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        first = (await server.stream()).welcome(heartbeat=0.1)

        second = await server.stream()

    assert second.hello.stream_no == 2
    assert [frame.WhichOneof("frame") for frame in first.all_frames[1:]].count("ping") >= 1


async def test_retry_later_sends_the_same_outcome_again(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1))
        await stream.outcome(1)

        stream.answer(1, code=wire.SETTLE_CODE_RETRY_LATER)
        name, _ = await stream.outcome(1)

    assert name == "complete"


async def test_an_outcome_that_the_server_calls_malformed_becomes_a_plain_failure(server: FakeServer) -> None:
    worker = Worker(server.address)
    worker.handler("noop", inline=True)(lambda: {"answer": 42})

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1))
        _, complete = await stream.outcome(1)
        stream.answer(1, code=wire.SETTLE_CODE_INVALID, message="complete.dispatch[0].kind")
        name, item = await stream.outcome(1)

    assert complete is not None
    assert complete.complete.result == b'{"answer":42}'
    assert item is not None
    assert name == "fail"
    assert not item.fail.retryable
    assert item.fail.error.message == "complete.dispatch[0].kind"


async def test_a_superseded_outcome_is_dropped(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        first = (await server.stream()).welcome()
        first.deliver(leased(1))
        await first.outcome(1)
        first.answer(1, code=wire.SETTLE_CODE_LEASE_SUPERSEDED)
        first.end()

        second = await server.stream()

    assert not second.hello.held


async def test_failed_hooks_run_for_the_attempt_whose_failure_was_final(server: FakeServer) -> None:
    worker = Worker(server.address)
    failures: list[tuple[int, str]] = []
    events: asyncio.Queue[JobFailed] = asyncio.Queue()

    async def failed(ctx: JobContext, error: BaseException) -> None:
        failures.append((ctx.attempt, str(error)))

    @worker.handler("boom", inline=True, failed=failed)
    def boom(ctx: JobContext) -> None:
        raise OSError(f"attempt {ctx.attempt}")

    @worker.on("job.failed")
    async def on_failed(event: JobFailed) -> None:
        await events.put(event)

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "boom"))
        await stream.outcome(1)
        stream.answer(1, state=job_pb2.JOB_STATE_RETRYING)
        stream.deliver(leased(1, "boom", attempt=2))
        await stream.outcome(1, attempt=2)
        stream.answer(1, attempt=2, state=job_pb2.JOB_STATE_FAILED)
        async with asyncio.timeout(10):
            first, second = await events.get(), await events.get()
        worker.stop()
        await stream.expect("goodbye")
        await task

    assert failures == [(2, "attempt 2")]
    assert (first.final, first.next_time is not None, first.error.type) == (False, True, "OSError")
    assert (second.final, second.next_time, second.context.attempt) == (True, None, 2)


async def test_cancel_stops_an_async_handler_and_says_so(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"))
        await stream.expect("ping")

        stream.cancel(1, wire.CANCEL_REASON_CANCELLED)
        name, _ = await stream.outcome(1)

    assert name == "cancelled"


async def test_cancel_of_a_job_that_waits_ends_it_unstarted(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1, window=10)
    ran: list[str] = []

    @worker.handler("wait")
    async def wait(ctx: JobContext) -> None:
        ran.append(ctx.job_id)
        await asyncio.Event().wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"), leased(2, "wait"))
        await stream.expect("ping")

        stream.cancel(2, wire.CANCEL_REASON_CANCELLED)
        name, _ = await stream.outcome(2)

    assert name == "cancelled"
    assert ran == [job_id(1)]


async def test_a_newer_attempt_of_a_running_job_cancels_the_old_one(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=2)

    @worker.handler("wait")
    async def wait(ctx: JobContext) -> int:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"))
        await stream.expect("ping")

        stream.deliver(leased(1, "wait", attempt=2))
        name, item = await stream.outcome(1, attempt=2)

    assert name == "complete"
    assert item is not None
    assert item.complete.result == b"2"
    assert not any(item.attempt == 1 for frame in stream.all_frames for item in frame.settle.items), (
        "the old attempt is not settled"
    )


async def test_an_unknown_kind_goes_back(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        stream = (await server.stream()).welcome()

        stream.deliver(leased(1, "never-heard-of"))
        name, item = await stream.outcome(1)

    assert name == "release"
    assert item is not None
    assert item.release.reason == wire.RELEASE_REASON_UNKNOWN_KIND


async def test_an_async_handler_past_its_run_timeout_fails_with_timeout(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("wait", timeout=0.05)
    async def wait() -> None:
        await asyncio.Event().wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()

        stream.deliver(leased(1, "wait"))
        name, item = await stream.outcome(1)

    assert name == "fail"
    assert item is not None
    assert item.fail.error.type == "TIMEOUT"
    assert not item.fail.HasField("retryable")


async def test_stuck_threads_are_failed_and_end_the_worker_for_a_restart(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=2, stuck_limit=1, stop_grace=0.1, grace=0.1)
    release = threading.Event()

    @worker.handler("block", timeout=0.05)
    def block() -> None:
        release.wait(20)

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "block"))

        name, item = await stream.outcome(1)
        stream.answer(1, state=job_pb2.JOB_STATE_RETRYING)
        await stream.expect("goodbye")
        reason = await task
        release.set()

    assert name == "fail"
    assert item is not None
    assert item.fail.error.type == "TIMEOUT"
    assert (reason, reason.code) == (ExitReason.STUCK, 75)


async def test_no_second_attempt_of_a_stuck_job_runs_here(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=2, stuck_limit=5, stop_grace=0.1)
    release = threading.Event()
    runs: list[int] = []

    @worker.handler("block", timeout=0.05)
    def block(ctx: JobContext) -> None:
        runs.append(ctx.attempt)
        release.wait(20)

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "block"))
        await stream.outcome(1)
        stream.answer(1, state=job_pb2.JOB_STATE_RETRYING)

        stream.deliver(leased(1, "block", attempt=2))
        name, item = await stream.outcome(1, attempt=2)
        release.set()

    assert name == "release"
    assert item is not None
    assert item.release.reason == wire.RELEASE_REASON_OVERLOAD
    assert runs == [1]


async def test_handlers_are_stopped_when_nobody_answers_for_most_of_the_ttl(server: FakeServer) -> None:
    worker = Worker(server.address)
    stopped = asyncio.Event()

    @worker.handler("wait")
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with serving(worker):
        stream = (await server.stream()).welcome(ttl=2.0, heartbeat=5.0)
        stream.deliver(leased(1, "wait"))

        async with asyncio.timeout(10):
            await stopped.wait()
        name, _ = await stream.outcome(1)

    assert name == "release"


async def test_a_closed_session_begins_anew_with_another_secret(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker):
        first = (await server.stream()).welcome()
        first.deliver(leased(1))
        await first.outcome(1)
        first.fail(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_CLOSED")

        second = await server.stream()

    assert second.hello.session_id != first.hello.session_id
    assert (second.hello.stream_no, len(second.hello.held)) == (1, 0)


async def test_a_refused_hello_ends_the_worker(server: FakeServer, noop_worker: Worker) -> None:
    async with serving(noop_worker) as task:
        stream = await server.stream()

        stream.fail(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        reason = await task

    assert (reason, reason.code) == (ExitReason.REFUSED, 78)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
async def test_credentials_that_were_never_accepted_end_the_worker(
    server: FakeServer, noop_worker: Worker, code: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(noop_worker) as task:
        stream = await server.stream()

        stream.fail(code, code.name)
        reason = await task

    assert (reason, reason.code) == (ExitReason.REFUSED, 78)
    assert [record.levelname for record in caplog.records if record.name == "protojobs_worker.session"] == ["ERROR"]


@pytest.mark.parametrize("tls", [True, False])
async def test_a_token_file_that_is_not_there_ends_the_worker(server: FakeServer, tls: bool, tmp_path: Path) -> None:
    worker = Worker(Options(address=server.address, token_file=tmp_path / "none", tls=tls))

    reason = await worker.serve()

    assert reason is ExitReason.REFUSED


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
@pytest.mark.parametrize(("every", "errors"), [(3600.0, 1), (0.0, 3)])
async def test_credentials_that_are_accepted_no_more_are_told_now_and_then_until_there_are_good_ones(
    server: FakeServer,
    code: grpc.StatusCode,
    every: float,
    errors: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("random.uniform", lambda least, _most: least)
    monkeypatch.setattr(session, "_LOCKED_OUT_SECONDS", every)
    worker = Worker(server.address)
    release = asyncio.Event()

    @worker.handler("wait")
    async def wait() -> None:
        await release.wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"))
        await stream.expect("ping")
        for _ in range(3):
            stream.fail(code, code.name)
            stream = await server.stream()
        stream.welcome(kept=[(1, 1)])
        release.set()
        name, _ = await stream.outcome(1)

    assert [(line.job_id, line.attempt, line.started) for line in stream.hello.held] == [(job_id(1), 1, True)]
    assert name == "complete"
    told = [record.levelname for record in caplog.records if record.message.startswith("credentials are not accepted any more")]
    assert told == ["ERROR"] * errors


async def test_progress_is_sent_once_and_the_last_one_before_the_outcome(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("work", inline=True)
    def work(ctx: JobContext) -> None:
        for percent in range(100):
            ctx.progress(percent / 100, f"{percent} %")
        ctx.save_checkpoint(b"page 7")
        ctx.progress(1.0, "done")

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "work"))
        await stream.outcome(1)

    updates = [item for frame in stream.all_frames for item in frame.update.items]
    kinds = [frame.WhichOneof("frame") for frame in stream.all_frames]
    assert len(updates) <= 2
    assert (updates[-1].progress.ratio, updates[-1].progress.message) == (1.0, "done")
    assert b"page 7" in {item.checkpoint for item in updates}
    assert kinds.index("update") < kinds.index("settle")


async def test_quiet_gives_back_what_waits_and_takes_no_more(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1, window=10)

    @worker.handler("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"), leased(2, "wait"))
        await stream.expect("ping")

        worker.quiet()
        name, _ = await stream.outcome(2)
        window = await stream.expect("window")

    assert name == "release"
    assert window.window.max_in_flight == 0


async def test_until_empty_leaves_once_nothing_is_pending(server: FakeServer) -> None:
    worker = Worker(server.address, until_empty=True)
    worker.handler("noop", inline=True)(lambda: None)

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1))
        await stream.outcome(1)
        stream.answer(1)
        await stream.expect("goodbye")
        reason = await task

    assert reason is ExitReason.EMPTY


async def test_max_jobs_recycles_after_exactly_that_many(server: FakeServer) -> None:
    worker = Worker(server.address, max_jobs=2, window=10)
    ran: list[int] = []
    worker.handler("noop", inline=True)(lambda: ran.append(1))

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1), leased(2), leased(3))
        await stream.outcome(2)
        stream.answer(1)
        stream.answer(2)
        reason = await task

    assert reason is ExitReason.MAX_JOBS
    assert len(ran) == 2


async def test_a_soft_stop_that_takes_too_long_gives_jobs_back(server: FakeServer) -> None:
    worker = Worker(server.address, grace=0.1, stop_grace=0.1)

    @worker.handler("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"))
        await stream.expect("ping")

        worker.stop()
        name, _ = await stream.outcome(1)
        stream.answer(1, state=job_pb2.JOB_STATE_PENDING)
        reason = await task

    assert name == "release"
    assert reason is ExitReason.SIGNAL


async def test_a_stuck_handler_of_an_outage_fails_with_timeout_and_is_not_cancelled(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=8, stop_grace=0.1)
    release = threading.Event()

    @worker.handler("block", timeout=0.8)
    def block() -> None:
        release.wait(20)

    async with serving(worker):
        stream = (await server.stream()).welcome(ttl=0.3, heartbeat=30)  # stopped as LEASE_LOST after 0.24 s of silence
        stream.deliver(leased(1, "block"))
        name, item = await stream.outcome(1)
        release.set()

    assert name == "fail"
    assert item is not None
    assert item.fail.error.type == "TIMEOUT"


async def test_a_server_that_falls_silent_again_on_the_same_stream_stops_handlers_again(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1)

    @worker.handler("wait")
    def wait(ctx: JobContext) -> None:
        ctx.cancelled.wait(20)
        ctx.raise_if_cancelled()

    async with serving(worker):
        stream = (await server.stream()).welcome(ttl=0.3, heartbeat=30)  # stopped as LEASE_LOST after 0.24 s of silence
        outcomes: list[str] = []
        for number in (1, 2):
            stream.deliver(leased(number, "wait"))
            outcomes.append((await stream.outcome(number))[0])
            stream.answer(number, state=job_pb2.JOB_STATE_PENDING)

    assert outcomes == ["release", "release"]


async def test_what_a_leaving_worker_drops_does_not_count_as_begun(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=1, window=10)
    release = asyncio.Event()

    @worker.handler("wait")
    async def wait() -> None:
        await release.wait()

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "wait"), leased(2, "wait"), leased(3, "wait"))
        await stream.expect("ping")

        worker.stop()
        goodbye = await stream.expect("goodbye")
        stream.deliver(leased(4, "wait"))
        receipt = await stream.expect("ping")
        release.set()
        await stream.outcome(1)

    assert (goodbye.started_seq, receipt.started_seq, stream.last.started_seq) == (1, 1, 1)


async def test_progress_that_is_no_text_or_too_long_is_cut_and_the_worker_lives(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("work", inline=True)
    def work(ctx: JobContext) -> None:
        ctx.progress(0.5, "\ud800" + "ä" * 10_000)

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "work"))
        update = await stream.expect("update")
        name, _ = await stream.outcome(1)

    message = update.update.items[0].progress.message
    assert message[:2] == "?ä"
    assert 1020 <= len(message.encode()) <= 1024
    assert name == "complete"


async def test_max_jobs_counts_no_job_whose_frame_was_lost(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(server.address, max_jobs=1)
    worker.handler("noop", inline=True)(lambda: None)
    write, lost = Stream.write, asyncio.Event()

    async def lose_the_first_begin(stream: Stream, frame: wire.LeaseRequest, started_seq: int) -> None:
        if started_seq and not lost.is_set():
            lost.set()
            raise StreamEnded
        await write(stream, frame, started_seq)

    monkeypatch.setattr(Stream, "write", lose_the_first_begin)

    async with serving(worker) as task:
        (await server.stream()).welcome().deliver(leased(1))
        stream = (await server.stream()).welcome(kept=[(1, 1)])
        name, _ = await stream.outcome(1)
        stream.answer(1)
        reason = await task

    assert name == "complete"
    assert reason is ExitReason.MAX_JOBS


async def test_the_last_checkpoint_travels_with_the_failure(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("early", inline=True)
    def early(ctx: JobContext) -> None:
        ctx.save_checkpoint(b"page 7")
        raise OSError("disk full")

    @worker.handler("late")
    async def late(ctx: JobContext) -> None:
        ctx.save_checkpoint(b"page 8")
        await told.wait()
        raise OSError("disk full")

    told = asyncio.Event()
    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "early"), leased(2, "late"))
        _, unsent = await stream.outcome(1)
        if not any(item.job_id == job_id(2) for frame in stream.all_frames for item in frame.update.items):
            await stream.expect("update")
        told.set()
        _, unconfirmed = await stream.outcome(2)

    assert unsent is not None
    assert unconfirmed is not None
    assert (unsent.fail.checkpoint, unconfirmed.fail.checkpoint) == (b"page 7", b"page 8")


async def test_a_failure_without_a_checkpoint_keeps_the_last_one(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("boom", inline=True)
    def boom() -> None:
        raise OSError

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "boom"))
        _, item = await stream.outcome(1)

    assert item is not None
    assert not item.fail.HasField("checkpoint")


async def test_updates_that_were_not_stored_are_sent_again(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("work")
    async def work(ctx: JobContext) -> None:
        ctx.progress(0.5, "half")
        ctx.save_checkpoint(b"page 7")
        await asyncio.Event().wait()

    async with serving(worker):
        first = (await server.stream()).welcome()
        first.deliver(leased(1, "work"))
        await first.checkpoint(b"page 7")

        first.refuse_update(1, wire.SETTLE_CODE_RETRY_LATER)
        again = await first.checkpoint(b"page 7")
        first.fail(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        second = (await server.stream()).welcome(kept=[(1, 1)])
        once_more = await second.checkpoint(b"page 7")

    assert (again.progress.message, once_more.progress.message) == ("half", "half")


async def test_a_refused_checkpoint_is_not_said_again(server: FakeServer) -> None:
    worker = Worker(server.address)
    told = asyncio.Event()

    @worker.handler("work")
    async def work(ctx: JobContext) -> None:
        ctx.save_checkpoint(b"page 7")
        await told.wait()
        raise OSError

    async with serving(worker):
        stream = (await server.stream()).welcome(heartbeat=0.4)
        stream.deliver(leased(1, "work"))
        await stream.checkpoint(b"page 7")

        stream.refuse_update(1, wire.SETTLE_CODE_INVALID)
        await stream.expect("ping")
        told.set()
        _, item = await stream.outcome(1)

    assert item is not None
    assert not item.fail.HasField("checkpoint")


async def test_no_more_process_jobs_begin_than_there_are_processes(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=3, processes=1, window=10)
    worker.handler("process", pool="process")(child_naps)
    worker.handler("noop", inline=True)(lambda: None)

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "process"), leased(2, "process"), leased(3))
        first = await stream.next()
        async with asyncio.timeout(30):
            names = [(await stream.outcome(number))[0] for number in (1, 2, 3)]

    assert first is not None
    assert first.started_seq == 1
    assert names == ["complete"] * 3


async def test_the_run_timeout_of_a_process_job_counts_from_its_handlers_start(server: FakeServer) -> None:
    worker = Worker(server.address, concurrency=2)
    worker.handler("process", pool="process", timeout=0.2)(child_naps)  # its process needs longer than that to come up

    async with serving(worker):
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1, "process"), leased(2, "process"))
        async with asyncio.timeout(30):
            names = [(await stream.outcome(number))[0] for number in (1, 2)]

    assert names == ["complete", "complete"]


def child_naps() -> None:
    time.sleep(0.05)
