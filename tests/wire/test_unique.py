"""Unique keys on the wire: what is refused, and what a producer reads."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, job_service_pb2, schedule_service_pb2

from tests.wire.peer import Peer, now, read_status, refused, spec

pytestmark = pytest.mark.asyncio

START, DONE, WINDOW = job_pb2.UNIQUE_SCOPE_UNTIL_START, job_pb2.UNIQUE_SCOPE_UNTIL_DONE, job_pb2.UNIQUE_SCOPE_WINDOW
RETURN, REPLACE, DEBOUNCE = (
    job_pb2.UNIQUE_CONFLICT_RETURN_EXISTING,
    job_pb2.UNIQUE_CONFLICT_REPLACE,
    job_pb2.UNIQUE_CONFLICT_DEBOUNCE,
)
CREATED = job_service_pb2.DISPATCH_OUTCOME_CREATED
EXISTING = job_service_pb2.DISPATCH_OUTCOME_EXISTING
REPLACED = job_service_pb2.DISPATCH_OUTCOME_REPLACED
YEAR = 365 * 86_400


def unique(**fields: Any) -> job_pb2.Unique:
    return job_pb2.Unique(**{"key": "key", "scope": DONE, **fields})


BAD: list[tuple[str, dict[str, Any]]] = [
    ("unique.key", {"key": ""}),
    ("unique.key", {"key": "k" * 257}),
    ("unique.key", {"key": "é" * 129}),
    ("unique.key", {"key": "a\0b"}),
    ("unique.key", {"key": "a\nb"}),
    ("unique.key", {"key": "a\x85b"}),
    ("unique.scope", {"scope": 0}),
    ("unique.scope", {"scope": 9}),
    ("unique.window", {"scope": WINDOW}),
    ("unique.window", {"scope": WINDOW, "window": Duration()}),
    ("unique.window", {"scope": WINDOW, "window": Duration(nanos=999_999_999)}),
    ("unique.window", {"scope": WINDOW, "window": Duration(seconds=YEAR, nanos=1)}),
    ("unique.window", {"scope": WINDOW, "window": Duration(seconds=2, nanos=-1)}),
    ("unique.window", {"scope": DONE, "window": Duration(seconds=5)}),
    ("unique.on_conflict", {"on_conflict": 9}),
    ("unique.on_conflict", {"on_conflict": DEBOUNCE}),
]


@pytest.mark.parametrize(("field", "fields"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("store", ["memory"], indirect=True)
async def test_what_is_out_of_bounds_is_refused_by_name(peer: Peer, field: str, fields: dict[str, Any]) -> None:
    job = spec(unique=unique(**fields))

    error = await refused(peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=job, validate_only=True)))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.fields == [f"spec.{field}"]


@pytest.mark.parametrize("store", ["memory"], indirect=True)
async def test_what_is_just_within_the_bounds_is_stored(peer: Peer) -> None:
    longest = [
        unique(key="k" * 256),
        unique(key="é" * 128, scope=START),
        unique(scope=WINDOW, window=Duration(seconds=YEAR), key="a"),
        unique(scope=WINDOW, window=Duration(seconds=1), key=" "),
    ]

    assert [(await peer.dispatch(unique=each)).outcome for each in longest] == [CREATED] * 4


async def test_taken_key_is_refused_with_the_job_that_has_it(peer: Peer) -> None:
    checked = job_service_pb2.DispatchRequest(spec=spec(unique=unique()), validate_only=True)
    await peer.jobs.Dispatch(checked)
    first = await peer.dispatch(unique=unique())

    error = await refused(peer.dispatch(unique=unique()))
    again = await peer.dispatch(id=first.job_id, unique=unique())

    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_JOB")
    assert error.metadata == {"job_id": first.job_id}
    assert (again.job_id, again.outcome) == (first.job_id, EXISTING)
    assert (await peer.get(first.job_id)).spec.unique == unique()


async def test_holder_is_returned_or_replaced(peer: Peer) -> None:
    first = await peer.dispatch(unique=unique())

    returned = await peer.dispatch(unique=unique(on_conflict=RETURN))
    replaced = await peer.dispatch(unique=unique(on_conflict=DEBOUNCE), delay=Duration(seconds=60))

    assert (returned.job_id, returned.outcome, returned.state) == (first.job_id, EXISTING, job_pb2.JOB_STATE_PENDING)
    assert (replaced.outcome, replaced.state) == (REPLACED, job_pb2.JOB_STATE_SCHEDULED)
    old = await peer.get(first.job_id)
    assert (old.state, old.reason) == (job_pb2.JOB_STATE_CANCELLED, "REPLACED")


def _batch() -> Sequence[job_pb2.JobSpec]:
    keyed = [unique(), unique(on_conflict=RETURN), unique(), unique(on_conflict=REPLACE)]
    return [*(spec(unique=each) for each in keyed), spec()]


def _check(specs: Sequence[job_pb2.JobSpec], results: Sequence[job_service_pb2.DispatchResult]) -> None:
    """Compare results with what becomes of `_batch`, in the order that it was sent in."""
    assert [result.outcome for result in results] == [CREATED, EXISTING, 0, REPLACED, CREATED]
    assert [result.job_id for result in results[:2]] == [specs[0].id] * 2
    error = read_status(results[2].error)
    assert (error.reason, error.metadata) == ("DUPLICATE_JOB", {"job_id": specs[0].id})


async def test_items_of_a_batch_are_served_by_place(peer: Peer) -> None:
    specs = _batch()

    answer = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs))

    _check(specs, answer.results)


async def test_items_of_a_stream_are_served_by_place(peer: Peer) -> None:
    specs = _batch()
    call = peer.jobs.DispatchStream()
    await call.read()

    await call.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=specs))
    answer = await call.read()
    await call.done_writing()

    told = {entry.index: entry.result for entry in answer.results}
    assert sorted(told) == [1, 2, 3]
    created = [job_service_pb2.DispatchResult(job_id=specs[place].id, outcome=CREATED) for place in (0, 4)]
    _check(specs, [created[0], told[1], told[2], told[3], created[1]])


async def test_taken_key_refuses_an_atomic_batch(peer: Peer) -> None:
    first = await peer.dispatch(unique=unique())
    specs = [spec(), spec(unique=unique())]

    error = await refused(peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs, atomic=True)))

    assert (error.code, error.reason, error.metadata) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "DUPLICATE_JOB",
        {"job_id": first.job_id},
    )
    assert (await refused(peer.get(specs[0].id))).reason == "JOB_NOT_FOUND"


async def test_retry_takes_the_key_of_the_envelope_again(peer: Peer) -> None:
    first = await peer.dispatch(unique=unique())
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=first.job_id))
    second = await peer.dispatch(unique=unique())
    retry = job_service_pb2.RetryRequest(job_id=first.job_id, payload=b"[1]")

    error = await refused(peer.jobs.Retry(retry))
    await peer.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=second.job_id))
    taken = await peer.jobs.Retry(retry)

    assert (error.code, error.reason, error.metadata) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "DUPLICATE_JOB",
        {"job_id": second.job_id},
    )
    assert taken.state == job_pb2.JOB_STATE_PENDING
    assert (await refused(peer.dispatch(unique=unique()))).metadata == {"job_id": first.job_id}


async def test_schedules_name_the_job_that_has_the_key(peer: Peer) -> None:
    first = await peer.dispatch(unique=unique())
    every = schedule_service_pb2.ScheduleSpec(every=schedule_service_pb2.Every(interval=Duration(seconds=3600)))
    once = schedule_service_pb2.ScheduleSpec(at=_in_an_hour())
    job = job_pb2.JobSpec(kind="email", unique=unique(on_conflict=RETURN))

    await peer.schedules.Schedule(_schedule(spec=every, job=job, name="s"))
    triggered = await peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="s"))
    stored = await peer.schedules.Schedule(_schedule(spec=once, job=job))
    error = await refused(peer.schedules.Schedule(_schedule(spec=once, job=job_pb2.JobSpec(kind="email", unique=unique()))))
    bad = job_pb2.JobSpec(kind="email", unique=unique(on_conflict=DEBOUNCE))
    pushed = await refused(peer.schedules.Schedule(_schedule(spec=every, job=bad, name="d")))

    assert (triggered.job_id, stored.job_id) == (first.job_id, first.job_id)
    assert (error.reason, error.metadata) == ("DUPLICATE_JOB", {"job_id": first.job_id})
    assert pushed.fields == ["schedule.job.unique.on_conflict"]


def _schedule(**fields: Any) -> schedule_service_pb2.ScheduleRequest:
    return schedule_service_pb2.ScheduleRequest(schedule=schedule_service_pb2.Schedule(**fields))


def _in_an_hour() -> Any:
    at = schedule_service_pb2.ScheduleSpec().at
    at.FromSeconds(int(now().timestamp()) + 3600)
    return at
