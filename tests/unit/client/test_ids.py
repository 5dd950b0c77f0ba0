"""Job ids in the server's time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from protojobs_client import JobIds

NOW_NS = 1_900_000_000 * 10**9
NOW = datetime.fromtimestamp(1_900_000_000, UTC)


def milliseconds(job_id: str) -> int:
    """Read the time part of a UUIDv7."""
    return UUID(job_id).int >> 80


def test_an_id_is_a_canonical_uuid_of_version_7_with_the_time_of_the_clock() -> None:
    job_id = JobIds(lambda: NOW_NS).new()

    assert str(UUID(job_id)) == job_id
    assert UUID(job_id).version == 7
    assert milliseconds(job_id) == NOW_NS // 10**6


def test_ids_of_one_moment_differ() -> None:
    ids = JobIds(lambda: NOW_NS)

    assert len({ids.new() for _ in range(1000)}) == 1000


@given(st.timedeltas(min_value=timedelta(days=-3650), max_value=timedelta(days=3650)))
def test_ids_follow_the_server_time_that_was_learned(offset: timedelta) -> None:
    ids = JobIds(lambda: NOW_NS)

    ids.learn(NOW + offset)

    assert abs(milliseconds(ids.new()) - (NOW + offset).timestamp() * 1000) <= 1


def test_what_was_learned_last_holds() -> None:
    ids = JobIds(lambda: NOW_NS)

    ids.learn(NOW + timedelta(days=1))
    ids.learn(NOW)

    assert milliseconds(ids.new()) == NOW_NS // 10**6
