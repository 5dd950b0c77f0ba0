"""Failed jobs on their way to the dead-letter topic: none is left out, whoever ends in between, and two replicas take turns."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.dead_letters import Letter
from protojobs_service.drivers.kafka.failures import NOTE, Failures
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port import Driver

from tests.contract.acts import ERROR, new_job, put_in, store_all
from tests.contract.backends import Clock, FakeRoom, NamedFollowUps, fingerprint

pytestmark = pytest.mark.asyncio


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        """Begin now."""
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return its time."""
        return self._now

    now = __call__

    async def advance(self, span: timedelta) -> None:
        """Move it."""
        self._now += span


class Topic:
    """What was appended; while `is_down` nothing can be."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.letters: list[Letter] = []
        self.appends = 0
        self.is_down = False

    async def append(self, letters: Sequence[Letter]) -> None:
        """Append as the real one does."""
        if self.is_down:
            raise StoreUnavailable
        self.appends += bool(letters)
        self.letters += letters

    @property
    def ids(self) -> list[JobId]:
        """Return which jobs lie in it."""
        return [JobId(UUID(dict(headers)["protojobs-id"].decode()).bytes) for _, headers in self.letters]


class Stand:
    """A side store and a topic, and replicas over both."""

    def __init__(self, side: Driver, clock: HandClock) -> None:
        """Begin with nothing failed."""
        self.side, self.clock, self.topic = side, clock, Topic()

    def replica(self) -> Failures:
        """Return another replica."""
        return Failures(self.side, self.topic.append, self.clock)

    async def fail(self, count: int = 1) -> list[JobId]:
        """Have jobs fail for good."""
        clock: Clock = self.clock
        return [await put_in(self.side, clock, State.FAILED) for _ in range(count)]

    async def fail_and_forget(self) -> JobId:
        """Have a job fail whose place in the log is not kept."""
        [job_id] = await self.fail()
        await self.clock.advance(timedelta(hours=1))
        await self.side.events.forget(timedelta(minutes=1), 1000)
        return job_id


@pytest_asyncio.fixture
async def stand() -> Stand:
    """Return a stand over a side store in memory."""
    clock = HandClock()
    side = MemoryDriver(fingerprint=fingerprint, clock=clock, rng=Random(1))
    await side.open(FakeRoom(), NamedFollowUps())
    return Stand(side, clock)


async def drain(failures: Failures) -> None:
    """Append all there is."""
    while await failures.append_next():
        pass


async def test_a_failed_job_is_appended_as_it_was_sent_with_what_it_failed_of(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    [job_id] = await stand.fail()
    [job] = await stand.side.jobs.get([job_id])

    await drain(replica)

    [(value, headers)] = stand.topic.letters
    assert job is not None
    assert job.finished_at is not None
    assert value == job.envelope
    assert dict(headers) == {
        "protojobs-id": str(UUID(bytes=job_id)).encode(),
        "protojobs-queue": b"q",
        "protojobs-kind": b"k",
        "protojobs-attempt": b"1",
        "protojobs-failed-at": job.finished_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(),
        "protojobs-reason": b"",
        "protojobs-error-type": ERROR.type.encode(),
        "protojobs-error-message": ERROR.message.encode(),
    }


async def test_only_jobs_that_fail_for_good_are_appended_and_each_once(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    for state in (State.COMPLETED, State.RETRYING, State.CANCELLED):
        await put_in(stand.side, stand.clock, state)
    failed = await stand.fail(3)

    await drain(replica)
    await drain(replica)

    assert stand.topic.ids == failed


async def test_what_failed_before_kafka_was_there_is_not_appended(stand: Stand) -> None:
    await stand.fail()
    replica = stand.replica()
    await replica.begin()
    later = await stand.fail()

    await drain(replica)

    assert stand.topic.ids == later


async def test_many_jobs_share_an_append(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    await stand.fail(50)

    await drain(replica)

    assert len(stand.topic.letters) == 50
    assert stand.topic.appends == 1


async def test_a_replica_goes_on_where_another_one_has_left(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    before = await stand.fail()
    await drain(first)
    await first.leave()
    after = await stand.fail()

    await second.begin()
    await drain(second)

    assert stand.topic.ids == before + after


async def test_a_replica_leaves_the_log_to_the_one_that_follows_it(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    await drain(first)
    await stand.fail()

    await drain(second)

    assert stand.topic.ids == []


async def test_another_replica_goes_on_where_one_was_killed(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    await drain(first)
    failed = await stand.fail()
    await stand.clock.advance(timedelta(seconds=16))

    await drain(second)

    assert stand.topic.ids == failed


async def test_one_that_was_thought_dead_appends_again_what_it_had_begun_and_then_rests(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    await drain(first)
    await stand.clock.advance(timedelta(seconds=16))
    await drain(second)
    failed = await stand.fail()
    await drain(first)
    await drain(second)

    assert stand.topic.ids == failed


async def test_jobs_wait_while_the_topic_takes_nothing_and_are_appended_afterwards(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    stand.topic.is_down = True
    failed = await stand.fail(2)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await replica.append_next()
    stand.topic.is_down = False

    await drain(replica)

    assert stand.topic.ids == failed


async def test_a_kill_between_append_and_note_appends_a_second_time(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    kept = await stand.side.side_store.read([NOTE])
    failed = await stand.fail()
    await drain(first)
    [now] = (await stand.side.side_store.read([NOTE])).values()
    assert await stand.side.side_store.write(NOTE, kept[NOTE], now)

    await drain(second)

    assert stand.topic.ids == failed * 2


async def test_after_a_gap_in_the_log_all_jobs_that_are_failed_are_appended(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    replica = stand.replica()
    await replica.begin()
    lost = await stand.fail_and_forget()

    with caplog.at_level(logging.ERROR):
        await drain(replica)
    later = await stand.fail()
    await drain(replica)

    assert stand.topic.ids == [lost, *later]
    assert ["has a gap" in entry.message for entry in caplog.records] == [True]


async def test_a_kill_while_the_failed_jobs_are_listed_goes_on_with_the_list(stand: Stand) -> None:
    first, second = stand.replica(), stand.replica()
    await first.begin()
    lost = await stand.fail_and_forget()
    stand.topic.is_down = True
    with pytest.raises(StoreUnavailable):
        await drain(first)
    stand.topic.is_down = False
    await stand.clock.advance(timedelta(seconds=16))

    await drain(second)

    assert stand.topic.ids == [lost]


async def test_the_log_of_another_side_store_is_a_gap(stand: Stand) -> None:
    await stand.replica().begin()
    [note] = (await stand.side.side_store.read([NOTE])).values()
    other = MemoryDriver(fingerprint=fingerprint, clock=stand.clock, rng=Random(1))
    await other.open(FakeRoom(), NamedFollowUps())
    assert await other.side_store.write(NOTE, note, None)
    restored = Stand(other, stand.clock)
    failed = await restored.fail()

    await drain(restored.replica())

    assert restored.topic.ids == failed


async def test_a_job_that_was_deleted_before_it_was_appended_leaves_a_letter_without_value(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    [job_id] = await stand.fail()
    await stand.side.jobs.delete([job_id])

    await drain(replica)

    assert stand.topic.ids == [job_id]
    assert stand.topic.letters[0][0] == b""


async def test_jobs_that_wait_are_none_of_it(stand: Stand) -> None:
    replica = stand.replica()
    await replica.begin()
    await store_all(stand.side, [new_job()])

    await drain(replica)

    assert stand.topic.letters == []
