"""Records: what goes in comes out, and whatever else lies in a topic is told apart."""

import struct
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.bounds import (
    MAX_BACKOFF,
    MAX_MULTIPLIER,
    MAX_PRIORITY,
    MAX_RETENTION,
    MAX_RETRIES,
    MAX_RUN_TIMEOUT,
    MIN_MULTIPLIER,
    MIN_PRIORITY,
    MIN_RUN_TIMEOUT,
)
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES
from protojobs_service.drivers.kafka.records import (
    FULL_BYTES,
    MAX_JOBS,
    InvalidRecord,
    count_of,
    frame_bytes,
    pack,
    unpack,
)

from tests.contract.acts import new_job

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
ZERO = timedelta()
# Where the fields of the only job of a record of queue `q` and kind `k` begin: the head takes 14 bytes, the name 1, its id 16.
COUNT, ACCEPTED, NAME, JOB = 3, 5, 14, 15
PRIORITY, KEPT, POLICY = JOB + 16, JOB + 21, JOB + 33 + 1

names = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
policies = st.builds(
    Policy,
    max_retries=st.integers(0, MAX_RETRIES),
    initial_backoff=st.timedeltas(ZERO, MAX_BACKOFF),
    multiplier=st.floats(MIN_MULTIPLIER, MAX_MULTIPLIER),
    max_backoff=st.timedeltas(ZERO, MAX_BACKOFF),
    jitter=st.sampled_from(Jitter),
    max_retry_duration=st.none() | st.timedeltas(ZERO, MAX_RETENTION),
    run_timeout=st.timedeltas(MIN_RUN_TIMEOUT, MAX_RUN_TIMEOUT),
)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds it


@st.composite
def jobs(draw: st.DrawFn, queue: str, accepted_at: datetime) -> NewJob:
    """Draw a job as a topic takes it: every field that a record has."""
    return NewJob(
        JobId(draw(st.binary(min_size=16, max_size=16))),
        queue,
        draw(names),
        draw(st.integers(MIN_PRIORITY, MAX_PRIORITY)),
        draw(st.binary(max_size=300)),
        policy=draw(st.none() | policies),
        follow_ups=draw(st.none() | st.booleans()),
        result_retention=draw(st.none() | st.timedeltas(ZERO, MAX_RETENTION)),
        accepted_at=accepted_at,
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, list[NewJob], datetime]:
    """Draw jobs of one queue that were accepted together."""
    queue, accepted_at = draw(names), draw(instants)
    return queue, draw(st.lists(jobs(queue, accepted_at), min_size=1, max_size=5)), accepted_at


def record_of(*fields: NewJob) -> bytes:
    """Return the one record of these jobs of queue `q`."""
    [packed] = pack("q", fields, AT)
    return packed.value


def small_record() -> bytes:
    """Return a record of one job whose parts stand where the constants of this file say."""
    return record_of(new_job("q", "k", body=b"", policy=Policy()))


@given(batches())
def test_jobs_come_out_as_they_went_in(batch: tuple[str, list[NewJob], datetime]) -> None:
    queue, stored, accepted_at = batch

    packed = list(pack(queue, stored, accepted_at))

    assert list(chain.from_iterable(unpack(each.value) for each in packed)) == stored
    assert sum(each.jobs for each in packed) == len(stored)
    assert [count_of(each.value) for each in packed] == [each.jobs for each in packed]


@given(batches())
def test_a_job_takes_no_more_than_was_said_before(batch: tuple[str, list[NewJob], datetime]) -> None:
    queue, [job, *_], accepted_at = batch

    [packed] = pack(queue, [job], accepted_at)

    assert len(packed.value) <= frame_bytes(job)


@given(batches(), st.data())
def test_a_record_that_was_cut_is_invalid(batch: tuple[str, list[NewJob], datetime], data: st.DataObject) -> None:
    queue, stored, accepted_at = batch
    value = next(pack(queue, stored, accepted_at)).value

    with pytest.raises(InvalidRecord):
        unpack(value[: data.draw(st.integers(0, len(value) - 1))])


@given(st.binary(max_size=200))
def test_bytes_of_somebody_else_are_invalid(value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        unpack(value)


@given(batches(), st.data())
def test_whatever_a_record_was_turned_into_it_is_jobs_or_invalid(
    batch: tuple[str, list[NewJob], datetime], data: st.DataObject
) -> None:
    queue, stored, accepted_at = batch
    value = bytearray(next(pack(queue, stored, accepted_at)).value)
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(value) - 1), st.integers(0, 255)), max_size=4)):
        value[at] = byte

    try:
        found = unpack(bytes(value))
    except InvalidRecord:
        return

    assert len(found) == count_of(bytes(value))


def test_a_record_with_something_behind_its_jobs_is_invalid() -> None:
    with pytest.raises(InvalidRecord):
        unpack(small_record() + b"\0")


def test_a_record_of_no_job_is_invalid() -> None:
    value = bytearray(small_record()[:JOB])
    struct.pack_into(">H", value, COUNT, 0)

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


def test_a_record_of_more_jobs_than_are_ever_packed_is_invalid() -> None:
    one = small_record()
    value = bytearray(one[:JOB] + one[JOB:] * (MAX_JOBS + 1))
    struct.pack_into(">H", value, COUNT, MAX_JOBS + 1)

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


@pytest.mark.parametrize("accepted_us", [2**64 - 1, 2**63, 400_000_000_000_000_000])
def test_a_record_that_was_accepted_after_all_time_is_invalid(accepted_us: int) -> None:
    value = bytearray(small_record())
    struct.pack_into(">Q", value, ACCEPTED, accepted_us)

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


def test_a_record_whose_results_are_kept_for_ever_is_invalid() -> None:
    value = bytearray(small_record())
    struct.pack_into(">Q", value, KEPT, 2**64 - 1)

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


@pytest.mark.parametrize("priority", [0, 10, 255])
def test_a_priority_out_of_bounds_makes_a_record_invalid(priority: int) -> None:
    value = bytearray(small_record())
    value[PRIORITY] = priority

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


@pytest.mark.parametrize(
    "policy",
    [
        "[" * 60_000,
        "null",
        "{}",
        "[3,60,2,3600,1,null]",
        "[3,60,2,3600,7,null,300]",
        "[3,1e300,2,3600,1,null,300]",
        "[3,NaN,2,3600,1,null,300]",
        '["3",60,2,3600,1,null,300]',
        "[true,60,2,3600,1,null,300]",
        "[3.5,60,2,3600,1,null,300]",
        "[-1,60,2,3600,1,null,300]",
        "[1001,60,2,3600,1,null,300]",
        "[3,-60,2,3600,1,null,300]",
        "[3,60,NaN,3600,1,null,300]",
        "[3,60,101,3600,1,null,300]",
        "[3,60,2,40000000,1,null,300]",
        "[3,60,2,3600,1,-1,300]",
        "[3,60,2,3600,1,null,0]",
        "[3,60,2,3600,1,null,3000000]",
    ],
)
def test_a_policy_that_nobody_can_have_asked_for_makes_a_record_invalid(policy: str) -> None:
    one = small_record()
    old = Policy().dump().encode()
    value = bytearray(one.replace(old, policy.encode()))
    struct.pack_into(">H", value, JOB + 19, len(policy))

    assert one[POLICY : POLICY + len(old)] == old
    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


@pytest.mark.parametrize("name", [b" ", b"\xff", b"/"])
def test_a_queue_or_kind_that_is_no_name_makes_a_record_invalid(name: bytes) -> None:
    for at in (NAME, JOB + 33):
        value = bytearray(small_record())
        value[at : at + 1] = name

        with pytest.raises(InvalidRecord):
            unpack(bytes(value))


def test_another_version_is_invalid() -> None:
    value = bytearray(small_record())
    value[2] = 2

    with pytest.raises(InvalidRecord):
        unpack(bytes(value))


def test_a_record_takes_256_jobs_and_no_more() -> None:
    sizes = [packed.jobs for packed in pack("q", [new_job() for _ in range(MAX_JOBS * 2 + 1)], AT)]

    assert sizes == [MAX_JOBS, MAX_JOBS, 1]


def test_a_record_that_is_full_takes_no_more_jobs() -> None:
    half = new_job(body=bytes(FULL_BYTES // 2))

    sizes = [packed.jobs for packed in pack("q", [half, half, new_job()], AT)]

    assert sizes == [1, 2]


def test_a_job_larger_than_a_full_record_has_one_of_its_own() -> None:
    large = new_job(body=bytes(3 * 1024 * 1024))

    packed = list(pack("q", [new_job(), large, new_job()], AT))

    assert [each.jobs for each in packed] == [1, 1, 1]
    assert len(packed[1].value) < MAX_RECORD_BYTES


def test_the_time_of_a_record_is_not_before_that_of_any_id_in_it() -> None:
    ms = int(AT.timestamp() * 1000)
    early, late = (new_job(id=JobId((ms - back).to_bytes(6) + bytes(10))) for back in (5000, 20))

    [packed] = pack("q", [late, early], AT)

    assert packed.time_ms == ms - 20


def test_the_time_of_a_record_is_not_ahead_of_the_server() -> None:
    ms = int(AT.timestamp() * 1000)
    ahead = new_job(id=JobId((ms + 3_600_000).to_bytes(6) + bytes(10)))

    [packed] = pack("q", [ahead], AT)

    assert packed.time_ms == ms


@pytest.mark.parametrize("value", [b"", b"PJ", b"PJ\1\0\5", b"XX" + bytes(40)])
def test_a_record_of_somebody_else_counts_as_one_job(value: bytes) -> None:
    assert count_of(value) == 1
