"""The Lease stream: its frames, its rules, and peers that break them."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, worker_service_pb2
from protojobs_service.application import Timings
from protojobs_service.compose import start_server
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.port import News, Settled, Settlement
from protojobs_service.transport import first_frame

from tests.wire.lease_worker import (
    OK,
    SUPERSEDED,
    Service,
    Stream,
    StreamWorker,
    complete,
    eventually,
    field_of,
    flat,
    held,
    hello,
    memory_driver,
    outcome,
    reason,
    serving,
)
from tests.wire.peer import settings_for

pytestmark = pytest.mark.asyncio

Ping, Goodbye, Window, Settle = (
    worker_service_pb2.Ping,
    worker_service_pb2.Goodbye,
    worker_service_pb2.Window,
    worker_service_pb2.Settle,
)
FINISH, RELEASE = worker_service_pb2.GOODBYE_MODE_FINISH, worker_service_pb2.GOODBYE_MODE_RELEASE


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """Serve an empty memory store."""
    async with serving() as served:
        yield served


@pytest_asyncio.fixture
async def witness(service: Service) -> AsyncIterator[StreamWorker]:
    """Give a worker of another queue, and see afterwards that whatever happened did not disturb it."""
    queues = [worker_service_pb2.QueueSubscription(name="witness")]
    worker = await StreamWorker.open(service, queues=queues)
    yield worker
    [job_id] = await service.dispatch(queue="witness")
    [lease] = await worker.get(1)
    assert (await worker.settle(complete(lease)))[job_id, 1][0].code == OK
    await worker.close()


async def test_welcome_tells_who_answers_and_how_to_stay_alive(service: Service) -> None:
    worker, welcome = await StreamWorker.welcomed(service, session_ttl=Duration(seconds=8))

    assert welcome.server_id
    assert welcome.session_ttl.seconds == 8
    assert welcome.heartbeat_interval.ToTimedelta() == timedelta(seconds=2)
    assert welcome.limits.max_result_bytes == 256 * 1024
    assert welcome.limits.max_in_flight == 100_000
    assert welcome.HasField("server_time")
    await worker.close()


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ({"ping": Ping()}, "PROTOCOL_VIOLATION"),
        ({"settle": Settle()}, "PROTOCOL_VIOLATION"),
        ({}, "PROTOCOL_VIOLATION"),
    ],
)
async def test_a_stream_that_does_not_begin_with_hello_ends(
    service: Service, witness: StreamWorker, frame: dict[str, Any], name: str
) -> None:
    stream = Stream(service.channel)
    await stream.send(**frame)

    error = await stream.error()

    assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, name)


@pytest.mark.parametrize("begun", [False, True])
async def test_bytes_that_are_no_message_end_the_stream(service: Service, witness: StreamWorker, begun: bool) -> None:
    stream = Stream(service.channel)
    if begun:
        await stream.send(hello=hello())

    await stream.call.write(b"\xff\xff\xff")
    error = await stream.error()

    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


async def test_a_stream_on_which_no_hello_comes_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_frame, "_SECONDS", 0.0)
    stream = Stream(service.channel)

    error = await stream.error()

    assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_server_that_goes_does_not_wait_for_a_hello() -> None:
    async with start_server(settings_for()) as server, grpc.aio.insecure_channel(server.address) as channel:
        stream = Stream(channel)

        async def streams() -> int:
            return server.grpc.admission.streams

        await eventually(streams, bool)

        server.grpc.drain_signal.begin()
        error = await stream.error()

        assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_stream_that_ends_without_a_word_ends_with_ok(service: Service) -> None:
    stream = Stream(service.channel)

    await stream.call.done_writing()

    assert await stream.rest() == []


@pytest.mark.parametrize(
    ("frame", "code", "name"),
    [
        ({"hello": hello()}, grpc.StatusCode.FAILED_PRECONDITION, "PROTOCOL_VIOLATION"),
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"ping": Ping(), "seq": 1}, grpc.StatusCode.FAILED_PRECONDITION, "PROTOCOL_VIOLATION"),
        ({"ping": Ping(), "seq": 0}, grpc.StatusCode.FAILED_PRECONDITION, "PROTOCOL_VIOLATION"),
        ({"ping": Ping(), "received_seq": 99}, grpc.StatusCode.FAILED_PRECONDITION, "PROTOCOL_VIOLATION"),
        ({"ping": Ping(), "started_seq": 1}, grpc.StatusCode.FAILED_PRECONDITION, "PROTOCOL_VIOLATION"),
        ({"window": Window(max_in_flight=1_000_000_000)}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"goodbye": Goodbye(mode=9)}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),  # type: ignore[arg-type] # no such mode
        ({"goodbye": Goodbye(deadline=Duration(seconds=-1))}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (
            {"update": worker_service_pb2.Update(items=[worker_service_pb2.UpdateItem()] * 1001)},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ],
)
async def test_a_frame_that_the_protocol_does_not_allow_ends_the_stream(
    service: Service, witness: StreamWorker, frame: dict[str, Any], code: grpc.StatusCode, name: str
) -> None:
    worker = await StreamWorker.open(service)

    await worker.stream.send(**frame)
    error = await worker.stream.error()

    assert (error.code(), reason(error)) == (code, name)


@pytest.mark.parametrize("frame", [{"window": Window(max_in_flight=1)}, {"hello": hello()}, {"goodbye": Goodbye()}])
async def test_after_goodbye_only_settle_update_and_ping_may_follow(service: Service, frame: dict[str, Any]) -> None:
    await service.dispatch()
    worker = await StreamWorker.open(service)
    [lease] = await worker.get(1)
    await worker.stream.send(goodbye=Goodbye(mode=FINISH))
    await worker.stream.send(ping=Ping())
    await worker.stream.until("pong")

    await worker.stream.send(**frame)
    error = await worker.stream.error()

    assert reason(error) == "PROTOCOL_VIOLATION"
    assert lease.attempt == 1


async def test_a_negative_window_is_refused(service: Service, witness: StreamWorker) -> None:
    worker = await StreamWorker.open(service)

    # seq 2, window { max_in_flight: -1 } as an int32 would be written
    await worker.stream.call.write(b"\x08\x02\x2a\x0b\x08" + b"\xff" * 9 + b"\x01")
    error = await worker.stream.error()

    assert (reason(error), field_of(error)) == ("INVALID_FIELD", "window.max_in_flight")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slots": 100_001}, "hello.slots"),
        ({"stream_no": 0}, "hello.stream_no"),
        ({"stream_no": 2**63}, "hello.stream_no"),
        ({"max_frame_bytes": 1000}, "hello.max_frame_bytes"),
        ({"max_frame_bytes": 17 * 1024 * 1024}, "hello.max_frame_bytes"),
        ({"window": Window(max_in_flight=100_001)}, "hello.window.max_in_flight"),
    ],
)
async def test_numbers_of_hello_are_bounded(service: Service, changes: dict[str, Any], field: str) -> None:
    stream = Stream(service.channel)
    await stream.send(hello=hello(**changes))

    error = await stream.error()

    assert (reason(error), field_of(error)) == ("INVALID_FIELD", field)


async def test_a_window_of_zero_pauses_and_a_larger_one_goes_on(service: Service) -> None:
    worker = await StreamWorker.open(service, window=Window(max_in_flight=0))
    await service.dispatch(3)
    await worker.stream.send(ping=Ping())
    await worker.stream.until("pong")
    assert not [frame for frame in worker.stream.frames if frame.HasField("deliver")]

    await worker.stream.send(window=Window(max_in_flight=2))
    await worker.get(2)

    states = [job.state for job in [await service.job(lease.job_id) for lease in worker.leases]]
    assert states == [job_pb2.JOB_STATE_RUNNING] * 2
    assert service.application.room.free() == 0
    await worker.close()


async def test_many_jobs_come_in_order_in_few_frames(service: Service) -> None:
    ids = await service.dispatch(1000)
    worker = await StreamWorker.open(service, window=Window(max_in_flight=5000), slots=1000)

    leases = await worker.get(1000)
    answers = await worker.settle(complete(*leases))

    assert [lease.job_id for lease in leases] == ids
    assert {item.code for items in answers.values() for item in items} == {OK}
    assert len(worker.stream.frames) < 20
    await worker.close()


async def test_deliver_frames_stay_below_the_bound_but_a_large_job_comes_alone(service: Service) -> None:
    await service.dispatch(20, payload=b"x" * 20_000)
    await service.dispatch(1, payload=b"x" * 200_000)
    worker = await StreamWorker.open(service, max_frame_bytes=64 * 1024)

    await worker.get(21)

    delivers = [frame for frame in worker.stream.frames if frame.HasField("deliver")]
    assert all(frame.ByteSize() < 64 * 1024 + 64 for frame in delivers if len(frame.deliver.items) > 1)
    assert {len(frame.deliver.items) for frame in delivers} <= {1, 2, 3}
    await worker.close()


async def test_ping_is_answered_and_numbers_tell_what_was_read(service: Service) -> None:
    worker = await StreamWorker.open(service)

    await worker.stream.send(ping=Ping())
    pong: worker_service_pb2.Pong = await worker.stream.until("pong")

    assert pong.store_ok
    assert pong.HasField("time")
    assert worker.stream.frames[-1].received_seq == 2
    await worker.close()


async def test_no_ping_is_left_without_an_answer(service: Service) -> None:
    worker = await StreamWorker.open(service)

    for _ in range(3):
        await worker.stream.send(ping=Ping())
        await worker.stream.until("pong")
    await worker.stream.send(ping=Ping())
    await worker.stream.call.done_writing()

    await worker.stream.until("pong")
    assert await worker.stream.read() is None


async def test_the_server_sends_a_heartbeat_of_its_own(service: Service) -> None:
    worker = await StreamWorker.open(service, session_ttl=Duration(seconds=2))

    await worker.stream.until("pong")

    await worker.close()


async def test_a_silent_worker_loses_its_stream_and_no_other_does(service: Service, witness: StreamWorker) -> None:
    worker = await StreamWorker.open(service, session_ttl=Duration(seconds=2))

    error = await worker.stream.error()

    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_session_resumes_on_a_new_stream_and_the_old_one_ends(service: Service) -> None:
    await service.dispatch(2)
    old = await StreamWorker.open(service)
    [kept, dropped] = await old.get(2)
    unknown = worker_service_pb2.LeasedJob(job_id=dropped.job_id, attempt=7)

    new, welcome = await StreamWorker.welcomed(service, session_id=old.session_id, stream_no=2, held=held(kept, unknown))

    assert [(ref.job_id, ref.attempt) for ref in welcome.kept] == [(kept.job_id, 1)]
    assert [(ref.job_id, ref.attempt) for ref in welcome.lost] == [(dropped.job_id, 7)]
    assert reason(await old.stream.error()) == "SESSION_SUPERSEDED"
    [again] = await new.get(1)
    assert (again.job_id, again.attempt) == (dropped.job_id, 2)
    assert (await new.settle(complete(kept)))[kept.job_id, 1][0].code == OK
    await new.close()


async def test_an_older_stream_number_is_superseded(service: Service) -> None:
    worker = await StreamWorker.open(service, stream_no=3)
    stream = Stream(service.channel)
    await stream.send(hello=hello(session_id=worker.session_id, stream_no=3))

    error = await stream.error()

    assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_SUPERSEDED")
    await worker.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_lost_stream_keeps_its_leases_for_the_grace(service: Service, clean: bool) -> None:
    await service.dispatch()
    worker = await StreamWorker.open(service)
    [lease] = await worker.get(1)

    if clean:
        await worker.stream.call.done_writing()
        assert await worker.stream.rest() == []
    else:
        worker.stream.call.cancel()
    await _gone(service)
    assert (await service.job(lease.job_id)).state == job_pb2.JOB_STATE_RUNNING

    again, welcome = await StreamWorker.welcomed(service, session_id=worker.session_id, stream_no=2, held=held(lease))
    assert len(welcome.kept) == 1
    assert (await again.settle(complete(lease)))[lease.job_id, 1][0].code == OK
    await again.close()


async def test_a_session_that_does_not_come_back_is_rescued_after_the_grace() -> None:
    async with serving(session={"reconnect_grace": 0.2}) as service:
        ids = await service.dispatch(2)
        worker = await StreamWorker.open(service, slots=1)
        await worker.get(2)
        worker.stream.started = 1
        await worker.stream.send(ping=Ping())
        await worker.stream.until("pong")

        worker.stream.call.cancel()

        jobs = [await service.becomes(job_id, job_pb2.JOB_STATE_PENDING) for job_id in ids]
        assert [job.crashes for job in jobs] == [1, 0]


async def test_a_worker_that_ends_its_side_still_reads_the_answers_to_what_it_sent(service: Service) -> None:
    await service.dispatch()
    worker = await StreamWorker.open(service)
    [lease] = await worker.get(1)

    await worker.stream.send(settle=complete(lease))
    await worker.stream.call.done_writing()
    frames = await worker.stream.rest()

    assert flat(frames[-1].settled)[lease.job_id, 1][0].code == OK


async def test_goodbye_with_release_gives_everything_back_and_ends_with_ok(service: Service) -> None:
    ids = await service.dispatch(3)
    worker = await StreamWorker.open(service)
    await worker.get(3)

    await worker.stream.send(goodbye=Goodbye(mode=RELEASE))
    await worker.stream.rest()

    jobs = [await service.job(job_id) for job_id in ids]
    assert {(job.state, job.attempt, job.crashes) for job in jobs} == {(job_pb2.JOB_STATE_PENDING, 1, 0)}


async def test_goodbye_with_finish_waits_for_what_has_begun(service: Service) -> None:
    await service.dispatch(2)
    worker = await StreamWorker.open(service, slots=1)
    [begun, waiting] = await worker.get(2)
    worker.stream.started = 1

    await worker.stream.send(goodbye=Goodbye(mode=FINISH))
    cancel: worker_service_pb2.Cancel = await worker.stream.until("cancel")
    await worker.stream.send(settle=complete(begun))
    frames = await worker.stream.rest()

    assert [(item.job_id, item.reason) for item in cancel.items] == [(waiting.job_id, worker_service_pb2.CANCEL_REASON_LEASE_LOST)]
    assert flat(frames[0].settled)[begun.job_id, 1][0].code == OK
    assert (await service.job(waiting.job_id)).state == job_pb2.JOB_STATE_PENDING


async def test_a_pause_is_told_to_those_who_read_the_queue(service: Service) -> None:
    worker = await StreamWorker.open(service)

    await service.application.queues.pause("default")
    throttle: worker_service_pb2.Throttle = await worker.stream.until("throttle")

    assert (throttle.queue, throttle.why) == ("default", worker_service_pb2.THROTTLE_REASON_PAUSED)
    await worker.close()


async def test_a_stream_past_its_age_is_drained_and_ends_with_ok_while_the_next_one_works() -> None:
    async with serving(Timings(stream_age=0.5, drain=timedelta(seconds=5))) as service:
        await service.dispatch()
        old = await StreamWorker.open(service)
        [lease] = await old.get(1)

        drain: worker_service_pb2.Drain = await old.stream.until("drain")
        new, welcome = await StreamWorker.welcomed(service, session_id=old.session_id, stream_no=2, held=held(lease))

        assert (drain.reason, drain.deadline.seconds) == (worker_service_pb2.DRAIN_REASON_AGE, 5)
        assert len(welcome.kept) == 1
        assert (await new.settle(complete(lease)))[lease.job_id, 1][0].code == OK
        await new.close()


async def test_a_drained_stream_ends_with_ok_at_its_deadline() -> None:
    async with serving(Timings(stream_age=0.2, drain=timedelta(seconds=0.3))) as service:
        worker = await StreamWorker.open(service)

        frames = await worker.stream.rest()

        assert [frame.WhichOneof("frame") for frame in frames] == ["drain"]


async def test_settles_are_taken_while_the_server_drains() -> None:
    async with serving(shutdown={"grace": 5, "delay": 0}) as service:
        await service.dispatch()
        worker = await StreamWorker.open(service)
        [lease] = await worker.get(1)

        service.application.leasing.drain()
        drain: worker_service_pb2.Drain = await worker.stream.until("drain")
        answers = await worker.settle(complete(lease))
        await worker.stream.call.done_writing()
        await worker.stream.rest()

        assert drain.reason == worker_service_pb2.DRAIN_REASON_SHUTDOWN
        assert answers[lease.job_id, 1][0].code == OK


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded("every connection is in use")])
async def test_a_store_that_takes_nothing_for_a_while_costs_no_outcome_and_no_stream(error: Exception) -> None:
    driver = memory_driver()
    inner, update = driver.jobs.settle, driver.jobs.update
    is_away = True

    async def settle(items: Sequence[Settlement]) -> Sequence[Settled]:
        if is_away:
            raise error
        return await inner(items)

    async def tell(items: Sequence[News]) -> Sequence[bool]:
        if is_away:
            raise error
        return await update(items)

    driver.jobs.settle, driver.jobs.update = settle, tell  # type: ignore[method-assign] # a store that goes away
    async with serving(driver=driver) as service:
        await service.dispatch()
        worker = await StreamWorker.open(service)
        [lease] = await worker.get(1)

        item = worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, checkpoint=b"half")
        await worker.stream.send(update=worker_service_pb2.Update(items=[item]))
        await worker.stream.until("settled")
        first = await worker.settle(complete(lease))
        is_away = False
        second = await worker.settle(complete(lease))

        assert first[lease.job_id, 1][0].code == worker_service_pb2.SETTLE_CODE_RETRY_LATER
        assert second[lease.job_id, 1][0].code == OK
        await worker.close()


async def test_settles_are_pipelined_and_answered_in_any_order() -> None:
    driver = memory_driver()
    inner = driver.jobs.settle
    gates: dict[int, asyncio.Event] = {}

    async def settle(items: Sequence[Settlement]) -> Sequence[Settled]:
        gate = gates[len(gates)] = asyncio.Event()
        if len(gates) == 1:
            await gate.wait()
        return await inner(items)

    driver.jobs.settle = settle  # type: ignore[method-assign] # a store whose first answer is slow
    async with serving(driver=driver) as service:
        await service.dispatch(2)
        worker = await StreamWorker.open(service)
        [slow, quick] = await worker.get(2)

        await worker.stream.send(settle=complete(slow))
        overtaken = await worker.settle(complete(quick))
        gates[0].set()
        last = flat(await worker.stream.until("settled"))

        assert list(overtaken) == [(quick.job_id, 1)]
        assert list(last) == [(slow.job_id, 1)]
        await worker.close()


async def test_a_client_that_floods_is_read_only_as_fast_as_it_is_answered(service: Service, witness: StreamWorker) -> None:
    stream = Stream(service.channel)
    await stream.send(hello=hello())
    frames, ids = 400, ["01890000-0000-7000-8000-000000000001"] * 2000
    settle = Settle(completed=[worker_service_pb2.CompletedGroup(attempt=1, job_ids=ids)])

    async def flood() -> None:
        for _ in range(frames):
            await stream.send(settle=settle)

    flooding = asyncio.ensure_future(flood())
    answered = 0
    while answered < frames * len(ids):
        frame = await stream.read()
        assert frame is not None
        for group in frame.settled.groups:
            assert group.code == SUPERSEDED
            answered += len(group.job_ids)
    await flooding
    stream.call.cancel()


async def test_a_worker_that_never_reads_is_sent_away_and_its_jobs_go_back(
    service: Service, witness: StreamWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protojobs_service.transport.lease_stream._WRITE_TIMEOUT", 0.3)
    ids = [job_id for _ in range(60) for job_id in await service.dispatch(1, payload=os.urandom(500_000))]
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(_target(service), options=options) as channel:
        stream = Stream(channel)
        await stream.send(hello=hello(max_frame_bytes=16 * 1024 * 1024))

        await eventually(lambda: _count(service), lambda count: count == 2)
        await eventually(lambda: _count(service), lambda count: count == 1)

    for job_id in ids:
        job = await service.becomes(job_id, job_pb2.JOB_STATE_PENDING)
        assert (job.failures, job.crashes) == (0, 0)


async def _gone(service: Service) -> None:
    await eventually(lambda: _count(service), lambda count: count == 0)


async def _count(service: Service) -> int:
    return len(service.application.leasing.sessions)


def _target(service: Service) -> str:
    return service.address


async def test_a_settle_waits_for_the_checkpoint_that_was_sent_before_it() -> None:
    driver = memory_driver()
    inner, gate = driver.jobs.update, asyncio.Event()

    async def update(items: Sequence[News]) -> Sequence[bool]:
        await gate.wait()
        return await inner(items)

    driver.jobs.update = update  # type: ignore[method-assign] # a store whose updates are slow
    async with serving(driver=driver) as service:
        await service.dispatch()
        worker = await StreamWorker.open(service)
        [lease] = await worker.get(1)
        item = worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, checkpoint=b"half")
        await worker.stream.send(update=worker_service_pb2.Update(items=[item]))
        fail = worker_service_pb2.Fail(retry_after=Duration())
        await worker.stream.send(settle=outcome(lease, fail=fail))
        await worker.stream.send(ping=Ping())
        await worker.stream.until("pong")
        gate.set()

        [again] = await worker.get(1)

        assert (again.attempt, again.checkpoint) == (2, b"half")
        assert [item for frame in worker.stream.frames for item in frame.settled.updates] == []
        await worker.close()


async def test_a_goodbye_does_not_overtake_the_settles_that_were_sent_before_it() -> None:
    driver = memory_driver()
    inner, gate = driver.jobs.update, asyncio.Event()

    async def update(items: Sequence[News]) -> Sequence[bool]:
        await gate.wait()
        return await inner(items)

    driver.jobs.update = update  # type: ignore[method-assign] # a store whose updates are slow
    async with serving(driver=driver) as service:
        await service.dispatch()
        worker = await StreamWorker.open(service)
        [lease] = await worker.get(1)
        item = worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, checkpoint=b"half")
        await worker.stream.send(update=worker_service_pb2.Update(items=[item]))
        await worker.stream.send(settle=complete(lease))
        await worker.stream.send(goodbye=Goodbye(mode=RELEASE))
        await asyncio.sleep(0.1)
        gate.set()

        answers = flat(await worker.stream.until("settled"))

        assert answers[lease.job_id, 1][0].code == OK
        await worker.stream.rest()
