"""The requirements of clients/README.md that a real server cannot show, by one whose every frame is decided here.

For workers that hold a stream; `test_conformance_calls.py` is for those that make calls.
"""

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import worker_service_pb2 as wire

from tests.interop.fake_server import FakeServer, LeaseStream, fake_server, job, refs, settles
from tests.interop.languages import Language
from tests.interop.programs import Program
from tests.interop.waiting import PATIENCE, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

Start = Callable[..., Program]

# Field 1000, of the three wire types that a new field can have: nobody's yet.
_UNKNOWN_FIELDS = b"\xc0\x3e\x2a" + b"\xc2\x3e\x03new" + b"\xc1\x3e" + bytes(8)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server without a will of its own."""
    with fake_server() as server:
        yield server


@pytest.fixture
def start(fake: FakeServer, streaming: Language, tmp_path: Path) -> Iterator[Start]:
    """Start a worker in the language under test; it ends with the test."""
    started: list[Program] = []

    def begin(*options: str, **env: str) -> Program:
        arguments = ["work", "--addr", fake.address, "--queue", "main", "--n", "0", *options]
        started.append(Program(streaming, *arguments, log=tmp_path / "worker.log", env=env))
        return started[-1]

    yield begin
    for each in started:
        each.put_away()


def sleep(seconds: float, **fields: Any) -> wire.LeasedJob:
    """Return a job that takes so long."""
    return job("sleep", b'{"seconds": %g}' % seconds, **fields)


# ---- connections -----------------------------------------------------------------------------------------


@pytest.mark.requirement("CONNECT-1")
def test_a_token_file_is_read_again_for_each_stream(fake: FakeServer, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    start(PROTOJOBS_TOKEN_FILE=str(file))
    stream = fake.stream()
    stream.welcome()

    file.write_text("second\n")
    stream.fail()

    again = fake.stream()
    assert stream.metadata["authorization"] == "Bearer first"
    assert again.metadata["authorization"] == "Bearer second"


@pytest.mark.requirement("CONNECT-2")
def test_a_worker_comes_back_however_often_it_loses_its_stream(fake: FakeServer, start: Start) -> None:
    start()
    hellos: list[wire.Hello] = []
    for _ in range(4):
        stream = fake.stream()
        hellos.append(stream.welcome())
        stream.fail()

    numbers = [hello.stream_no for hello in hellos]
    assert len({hello.session_id for hello in hellos}) == 1
    assert numbers == sorted(set(numbers))


@pytest.mark.requirement("CONNECT-2")
def test_a_worker_whose_credentials_expire_goes_on_with_what_it_has_and_tries_again(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(120)
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.fail(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")

    hello = fake.stream().expect("hello").hello
    assert [(held.job_id, held.started) for held in hello.held] == [(running.job_id, True)]
    assert worker.events("ended") == []


@pytest.mark.requirement("CONNECT-2")
def test_a_session_that_the_server_has_closed_is_followed_by_a_new_one(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(120)
    stream = fake.stream()
    first = stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.fail(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_CLOSED")

    second = fake.stream().expect("hello").hello
    assert second.session_id != first.session_id
    assert list(second.held) == []
    assert worker.event("ended", job_id=running.job_id)["outcome"] == "lost"


# ---- the stream ------------------------------------------------------------------------------------------


@pytest.mark.requirement("LEASE-1")
def test_hello_says_who_works_where_and_has_room_for_how_much(fake: FakeServer, start: Start) -> None:
    start("--slots", "7", "--kinds", "echo,noop")

    frame = fake.stream().expect()

    hello = frame.hello
    assert frame.seq == 1
    assert len(hello.session_id) == 16
    assert [(queue.name, queue.weight in {0, 1}) for queue in hello.queues] == [("main", True)]
    assert sorted(hello.kinds) == ["echo", "noop"]
    assert (hello.slots, hello.stream_no) == (7, 1)
    assert 7 <= hello.window.max_in_flight <= 7 + 1000
    assert hello.sdk
    assert hello.sdk_version
    assert list(hello.held) == []


@pytest.mark.requirement("LEASE-1")
def test_each_process_draws_a_session_of_its_own(fake: FakeServer, start: Start) -> None:
    start()
    start()

    sessions = {fake.stream().expect("hello").hello.session_id for _ in range(2)}

    assert len(sessions) == 2


@pytest.mark.requirement("LEASE-1")
def test_fields_and_frames_of_a_later_version_are_ignored(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()
    known = job("echo", b"known")

    stream.send(unknown=_UNKNOWN_FIELDS)
    # A Throttle for a reason, and a Drain-like frame of a kind, that this version does not know.
    stream.send(throttle=wire.Throttle(queue="main", why=99))  # type: ignore[arg-type]
    stream.send(unknown=_UNKNOWN_FIELDS, deliver=wire.Deliver(items=[known]))

    assert stream.settle(known.job_id).complete.result == b"known"


@pytest.mark.requirement("LEASE-1")
def test_no_more_handlers_run_at_once_than_there_are_slots_whatever_is_delivered(fake: FakeServer, start: Start) -> None:
    worker = start("--slots", "3")
    stream = fake.stream()
    stream.welcome()
    flood = [sleep(0.02) for _ in range(60)]

    stream.deliver(*flood)

    settled: set[str] = set()
    while len(settled) < len(flood):
        settled |= {item.job_id for item in settles(stream.expect("settle"))}
    worker.count(len(flood), "ended")
    running, most = 0, 0
    for event in worker.events():
        running += {"started": 1, "ended": -1}.get(event["event"], 0)
        most = max(most, running)
    assert settled == {each.job_id for each in flood}
    assert 1 <= most <= 3


@pytest.mark.requirement("LEASE-2")
def test_a_delivery_gets_its_receipt_and_handlers_begin_in_its_order_after_the_frame_that_says_so(
    fake: FakeServer, start: Start
) -> None:
    worker = start("--slots", "1")
    stream = fake.stream()
    stream.welcome()
    jobs = [job("echo", b"%d" % number) for number in range(5)]

    number = stream.deliver(*jobs)

    stream.expect(holds=lambda frame: frame.received_seq >= number)
    if all(frame.started_seq < 5 for frame in stream.frames):
        stream.expect(holds=lambda frame: frame.started_seq == 5)
    started = [each["job_id"] for each in worker.count(5, "started")]
    assert started == [each.job_id for each in jobs]
    for place, frame in enumerate(stream.frames):
        said = {item.job_id for item in settles(frame)}
        before = max((earlier.started_seq for earlier in stream.frames[: place + 1]), default=0)
        assert said <= {each.job_id for each in jobs[:before]}  # nothing ends that was not said to have begun


@pytest.mark.requirement("LEASE-2")
def test_frames_are_numbered_one_by_one_and_come_as_heartbeats_where_there_is_nothing_to_say(
    fake: FakeServer, start: Start
) -> None:
    start()
    stream = fake.stream()
    stream.welcome(ttl=4, heartbeat=0.5)

    for _ in range(4):
        number = stream.send(pong=wire.Pong(store_ok=True))
        stream.expect(holds=lambda frame, number=number: frame.received_seq >= number)  # type: ignore[misc]

    assert [frame.seq for frame in stream.frames] == list(range(1, len(stream.frames) + 1))


@pytest.mark.requirement("LEASE-2")
def test_a_server_that_falls_silent_is_left_for_the_next_stream(fake: FakeServer, start: Start) -> None:
    worker = start()
    stream = fake.stream()
    first = stream.welcome(ttl=20, heartbeat=0.5)
    running = sleep(120)
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    second = fake.stream().expect("hello").hello  # no frame but those two has come

    assert second.session_id == first.session_id
    assert second.stream_no > first.stream_no
    assert [held.job_id for held in second.held] == [running.job_id]


@pytest.mark.requirement("LEASE-3")
def test_a_worker_that_hears_nothing_stops_its_handlers_before_others_may_run_the_jobs(fake: FakeServer, start: Start) -> None:
    worker = start()
    stream = fake.stream()
    stream.welcome(ttl=4, heartbeat=1)
    running = sleep(120)
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    fake.refuses_streams = True
    stream.fail()

    assert worker.event("ended", job_id=running.job_id)["outcome"] in {"lost", "abandoned"}
    fake.refuses_streams = False
    again = fake.stream()
    again.welcome(lost=refs(running))
    fresh = job("echo", b"fresh")
    again.deliver(fresh)
    again.settle(fresh.job_id)
    outcomes = [item.WhichOneof("outcome") for item in again.settled_so_far() if item.job_id == running.job_id]
    assert set(outcomes) <= {"release"}


@pytest.mark.requirement("LEASE-4")
def test_a_stream_that_follows_names_what_is_held_and_what_is_lost_is_stopped_and_never_settled(
    fake: FakeServer, start: Start
) -> None:
    worker = start()
    stream = fake.stream()
    stream.welcome()
    kept, lost = sleep(120), sleep(120)
    stream.deliver(kept, lost)
    worker.count(2, "started")

    stream.fail()
    again = fake.stream()
    hello = again.welcome(kept=refs(kept), lost=refs(lost))

    assert {(held.job_id, held.attempt, held.started) for held in hello.held} == {
        (kept.job_id, 1, True),
        (lost.job_id, 1, True),
    }
    assert worker.event("ended", job_id=lost.job_id)["outcome"] == "lost"
    again.send(cancel=wire.Cancel(items=[wire.CancelItem(job_id=kept.job_id, attempt=1, reason=wire.CANCEL_REASON_CANCELLED)]))
    assert again.settle(kept.job_id).WhichOneof("outcome") == "cancelled"
    assert [item.job_id for item in again.settled_so_far()] == [kept.job_id]


@pytest.mark.requirement("LEASE-4")
def test_what_has_not_begun_and_is_not_kept_is_dropped(fake: FakeServer, start: Start) -> None:
    worker = start("--slots", "1")
    stream = fake.stream()
    stream.welcome()
    begun, waiting = sleep(120), job("echo", b"waits")
    number = stream.deliver(begun, waiting)
    worker.event("started", job_id=begun.job_id)
    stream.expect(holds=lambda frame: frame.received_seq >= number)

    stream.fail()
    again = fake.stream()
    hello = again.welcome(kept=refs(begun), lost=refs(waiting))
    again.send(cancel=wire.Cancel(items=[wire.CancelItem(job_id=begun.job_id, attempt=1, reason=wire.CANCEL_REASON_CANCELLED)]))
    again.settle(begun.job_id)
    fresh = job("echo", b"fresh")
    again.deliver(fresh)
    again.settle(fresh.job_id)

    assert {held.job_id: held.started for held in hello.held} == {begun.job_id: True, waiting.job_id: False}
    assert worker.events("started", job_id=waiting.job_id) == []


@pytest.mark.requirement("LEASE-5")
def test_an_outcome_is_sent_on_every_stream_until_it_is_answered(fake: FakeServer, start: Start) -> None:
    worker = start()
    done = job("echo", b"done")
    stream = fake.stream()
    stream.welcome()
    stream.deliver(done)
    stream.settle(done.job_id)

    stream.fail()
    again = fake.stream()
    hello = again.welcome(kept=refs(done))
    item = again.settle(done.job_id)
    again.answer(item)

    assert [held.job_id for held in hello.held] == [done.job_id]
    assert (item.attempt, item.complete.result) == (1, b"done")
    assert worker.event("settled", job_id=done.job_id)["code"] == "OK"
    again.fail()
    third = fake.stream().expect("hello").hello
    assert list(third.held) == []
    assert len(worker.events("started", job_id=done.job_id)) == 1


@pytest.mark.requirement("LEASE-5")
def test_an_outcome_that_could_not_be_stored_is_sent_again(fake: FakeServer, start: Start) -> None:
    start()
    done = job("echo", b"done")
    stream = fake.stream()
    stream.welcome()
    stream.deliver(done)

    stream.answer(stream.settle(done.job_id), code=wire.SETTLE_CODE_RETRY_LATER)

    assert stream.settle(done.job_id).complete.result == b"done"


@pytest.mark.requirement("LEASE-5")
def test_an_outcome_that_is_superseded_is_dropped(fake: FakeServer, start: Start) -> None:
    worker = start()
    done = job("echo", b"done")
    stream = fake.stream()
    stream.welcome()
    stream.deliver(done)

    stream.answer(stream.settle(done.job_id), code=wire.SETTLE_CODE_LEASE_SUPERSEDED)

    assert worker.event("settled", job_id=done.job_id)["code"] == "LEASE_SUPERSEDED"
    stream.fail()
    again = fake.stream()
    hello = again.welcome()
    fresh = job("echo", b"fresh")
    again.deliver(fresh)
    again.settle(fresh.job_id)
    assert list(hello.held) == []
    assert [item.job_id for item in again.settled_so_far()] == [fresh.job_id]


@pytest.mark.requirement("LEASE-6")
def test_a_cancel_stops_the_handler_and_is_settled(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(120)
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.send(cancel=wire.Cancel(items=[wire.CancelItem(job_id=running.job_id, attempt=1, reason=wire.CANCEL_REASON_CANCELLED)]))

    assert stream.settle(running.job_id).WhichOneof("outcome") == "cancelled"
    assert worker.event("ended", job_id=running.job_id)["outcome"] == "cancelled"


@pytest.mark.requirement("LEASE-6")
def test_a_handler_that_ignores_its_cancel_may_complete(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = job("stubborn", b'{"seconds": 1}')
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.send(cancel=wire.Cancel(items=[wire.CancelItem(job_id=running.job_id, attempt=1, reason=wire.CANCEL_REASON_CANCELLED)]))

    assert stream.settle(running.job_id).WhichOneof("outcome") == "complete"


@pytest.mark.requirement("LEASE-6")
def test_a_cancel_of_a_lease_that_is_lost_stops_the_handler_and_nothing_is_settled(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(120)
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.send(cancel=wire.Cancel(items=[wire.CancelItem(job_id=running.job_id, attempt=1, reason=wire.CANCEL_REASON_LEASE_LOST)]))

    assert worker.event("ended", job_id=running.job_id)["outcome"] == "lost"
    fresh = job("echo", b"fresh")
    stream.deliver(fresh)
    stream.settle(fresh.job_id)
    assert [item.job_id for item in stream.settled_so_far()] == [fresh.job_id]


@pytest.mark.requirement("LEASE-7")
def test_a_drained_stream_is_followed_by_another_on_which_the_work_goes_on(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(2)
    stream = fake.stream()
    first = stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.send(drain=wire.Drain(reason=wire.DRAIN_REASON_AGE, deadline=Duration(seconds=10), reconnect_after=Duration()))

    again = fake.stream()
    hello = again.welcome(kept=refs(running))
    assert (hello.session_id, [held.job_id for held in hello.held]) == (first.session_id, [running.job_id])
    stream.left()
    assert again.settle(running.job_id).WhichOneof("outcome") == "complete"
    assert len(worker.events("started")) == 1


@pytest.mark.requirement("LEASE-7")
def test_an_operators_drain_lets_the_worker_finish_and_leave(fake: FakeServer, start: Start) -> None:
    worker = start()
    running = sleep(1)
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running)
    worker.event("started", job_id=running.job_id)

    stream.send(drain=wire.Drain(reason=wire.DRAIN_REASON_WORKER, deadline=Duration(seconds=30)))

    item = stream.settle(running.job_id)
    stream.answer(item)
    stream.left()
    stream.end()
    assert item.WhichOneof("outcome") == "complete"
    assert worker.ended() == 0


@pytest.mark.requirement("LEASE-7")
def test_sigterm_says_goodbye_finishes_what_has_begun_and_waits_for_its_answers(fake: FakeServer, start: Start) -> None:
    worker = start("--slots", "1")
    running, waiting = sleep(1), job("echo", b"waits")
    stream = fake.stream()
    stream.welcome()
    stream.deliver(running, waiting)
    worker.event("started", job_id=running.job_id)

    worker.terminate()

    goodbye = stream.expect("goodbye").goodbye
    item = stream.settle(running.job_id)
    stream.answer(item)
    stream.end()  # as a server does that sees that nothing is left
    assert goodbye.mode in {wire.GOODBYE_MODE_UNSPECIFIED, wire.GOODBYE_MODE_FINISH}
    assert item.WhichOneof("outcome") == "complete"
    assert worker.ended() == 0
    assert worker.events("started", job_id=waiting.job_id) == []
    assert len(worker.events("ready")) == 1
    assert worker.events("stopped")


# ---- handlers --------------------------------------------------------------------------------------------


def outcome(stream: LeaseStream, leased: wire.LeasedJob) -> wire.SettleItem:
    """Deliver a job; return what becomes of it."""
    stream.deliver(leased)
    item = stream.settle(leased.job_id)
    stream.answer(item)
    return item


@pytest.mark.requirement("RUN-1")
def test_outcomes_are_settled_as_the_contract_has_them(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    failed = outcome(stream, job("fail")).fail
    final = outcome(stream, job("nonretryable")).fail
    discarded = outcome(stream, job("discard")).fail
    snoozed = outcome(stream, job("snooze_once")).snooze
    cancelled = outcome(stream, job("cancel"))
    chained = outcome(stream, job("chain")).complete

    assert (failed.error.type, failed.error.message) == ("NoLuck", "no luck, attempt 1: žluť")
    assert len(failed.error.stack.encode()) <= 16 * 1024
    assert not failed.HasField("retryable") or failed.retryable
    assert final.HasField("retryable")
    assert discarded.HasField("retryable")
    assert (final.retryable, discarded.retryable) == (False, False)
    assert snoozed.delay.ToTimedelta() == timedelta(seconds=1)
    assert cancelled.WhichOneof("outcome") == "cancelled"
    assert [spec.kind for spec in chained.dispatch] == ["noop"]


@pytest.mark.requirement("RUN-2")
def test_a_run_that_takes_too_long_is_a_failure_by_timeout(fake: FakeServer, start: Start) -> None:
    worker = start()
    stream = fake.stream()
    stream.welcome()
    running = sleep(120, run_timeout=Duration(seconds=1))

    item = outcome(stream, running)

    assert item.fail.error.type == "TIMEOUT"
    assert worker.event("ended", job_id=running.job_id)["outcome"] == "fail"


@pytest.mark.requirement("RUN-3")
def test_progress_is_told_at_most_once_a_second_and_the_last_one_always(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    running = job("progress")
    stream.deliver(running)
    stream.settle(running.job_id)

    told = [item.progress.ratio for frame in stream.frames for item in frame.update.items if item.HasField("progress")]
    assert told[-1] == 1.0
    assert len(told) <= 2


@pytest.mark.requirement("RUN-3")
def test_a_checkpoint_comes_with_the_failure_or_before_it(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    item = outcome(stream, job("checkpoint"))
    later = outcome(stream, job("checkpoint", attempt=2, checkpoint=b"half", failures=1))

    updates = [update.checkpoint for frame in stream.frames for update in frame.update.items]
    assert b"half" in [item.fail.checkpoint, *updates]
    assert later.complete.result == b"half"


@pytest.mark.requirement("RUN-4")
def test_a_payload_that_cannot_be_read_fails_for_good(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    for payload in (b"{", b'{"n": "secret words"}', b"[]", b"\xff\xfe"):
        item = outcome(stream, job("typed", payload))

        assert item.fail.HasField("retryable")
        assert not item.fail.retryable
        assert item.fail.error.message
        assert "secret words" not in str(item.fail.error)


@pytest.mark.requirement("RUN-5")
def test_a_job_without_a_handler_is_released_as_unknown(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    item = outcome(stream, job("nobodys"))

    assert item.release.reason == wire.RELEASE_REASON_UNKNOWN_KIND


@pytest.mark.requirement("RUN-6")
def test_whatever_a_handler_throws_is_a_failure_and_the_worker_goes_on(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    odd = outcome(stream, job("odd"))
    later = outcome(stream, job("echo", b"later"))

    assert odd.fail.error.type
    assert later.complete.result == b"later"


@pytest.mark.requirement("RUN-6")
def test_a_result_that_is_too_large_still_completes(fake: FakeServer, start: Start) -> None:
    start()
    stream = fake.stream()
    stream.welcome()

    item = outcome(stream, job("big"))

    assert item.WhichOneof("outcome") == "complete"
    assert item.ByteSize() < 4 * 1024 * 1024
    # One byte too many is enough for the server to drop it, and to say so on the job.
    assert len(item.complete.result) == 256 * 1024 + 1


@pytest.mark.requirement("LEASE-7")
def test_sigint_is_as_sigterm(fake: FakeServer, start: Start) -> None:
    worker = start()
    stream = fake.stream()
    stream.welcome()
    worker.event("ready")

    worker.send_signal(signal.SIGINT)

    stream.expect("goodbye")
    stream.left()
    stream.end()
    assert worker.ended(within=2 * PATIENCE) == 0


@pytest.mark.requirement("FLAG-1")
def test_a_worker_that_was_asked_for_so_many_jobs_leaves_once_they_are_confirmed(
    fake: FakeServer, streaming: Language, tmp_path: Path
) -> None:
    worker = Program(
        streaming, "work", "--addr", fake.address, "--queue", "main", "--n", "2", "--slots", "1", log=tmp_path / "worker.log"
    )
    try:
        stream = fake.stream()
        stream.welcome()

        first = outcome(stream, job("noop"))
        second = outcome(stream, job("noop"))

        stream.left()
        stream.end()
        assert first.WhichOneof("outcome") == second.WhichOneof("outcome") == "complete"
        assert worker.ended(within=2 * PATIENCE) == 0
        until("both are told", lambda: len(worker.events("settled")) == 2)
    finally:
        worker.put_away()
