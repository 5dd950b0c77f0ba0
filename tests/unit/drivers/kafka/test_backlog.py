"""The backlog: what was read and not moved, in the order of its offsets."""

from protojobs_service.drivers.kafka.backlog import HIGH_BYTES, HIGH_JOBS, LOW_BYTES, LOW_JOBS, Backlog
from protojobs_service.drivers.kafka.topics import Place, stem_of

from tests.contract.acts import new_job
from tests.unit.drivers.kafka.kit import PREFIX, place, record

Q, R = place("q"), place("r")
BULK = 200


def backlog(*places: Place) -> Backlog:
    """Return a backlog with these partitions, from offset 0 on."""
    made = Backlog(lambda queue: stem_of(PREFIX, queue))
    for each in (Q, R):
        if each in places:
            made.seat(each, 0, 1, 0)
    return made


def test_records_of_a_partition_that_has_left_are_dropped() -> None:
    found = backlog(Q)

    found.put([(R, record(0, new_job("r"))), (Q, record(0, new_job()))])

    assert list(found.partitions) == [Q]
    assert found.partitions[Q].jobs == 1


def test_a_record_that_comes_again_is_taken_once() -> None:
    found = backlog(Q)
    one, two = record(0, new_job()), record(1, new_job())

    found.put([(Q, one), (Q, two)])
    found.put([(Q, two), (Q, one)])

    assert list(found.partitions[Q].records) == [one, two]


def test_offsets_may_have_gaps() -> None:
    found = backlog(Q)

    found.put([(Q, record(3, new_job())), (Q, record(9, new_job()))])
    found.partitions[Q].drop(2)

    assert found.partitions[Q].done == 10


def test_reading_pauses_once_above_the_one_bound_and_goes_on_below_the_other() -> None:
    found = backlog(Q)
    jobs = [new_job() for _ in range(BULK)]
    count = HIGH_JOBS // BULK + 1

    full = [found.put([(Q, record(n, *jobs))]) for n in range(count)]
    hungry: list[tuple[int, list[Place]]] = []
    while found.partitions[Q].records:
        found.partitions[Q].drop(1)
        hungry.append((found.partitions[Q].jobs, found.hungry()))

    assert full == [[]] * (count - 1) + [[Q]]
    assert [left for left, places in hungry if places] == [LOW_JOBS - BULK]


def test_reading_that_has_paused_is_not_paused_again() -> None:
    found = backlog(Q)
    many = [(Q, record(n, *[new_job() for _ in range(BULK)])) for n in range(HIGH_JOBS // BULK + 1)]
    found.put(many)

    assert found.put([(Q, record(len(many), new_job()))]) == []


def test_what_was_appended_and_is_not_moved_is_behind() -> None:
    found = backlog(Q, R)
    found.note_acked({Q: 2, R: 1})
    found.note_acked({Q: 1})
    found.put([(Q, record(0, new_job())), (Q, record(1, new_job())), (R, record(0, new_job("r")))])

    before = {partition.place: end for partition, end in found.behind()}
    found.partitions[R].drop(1)
    found.partitions[Q].drop(1)

    assert before == {Q: 2, R: 1}
    assert {partition.place for partition, _ in found.behind()} == {Q}
    assert list(found.behind({stem_of(PREFIX, "r")})) == []


def test_what_was_appended_to_a_partition_of_somebody_else_is_not_waited_for() -> None:
    found = backlog(Q)

    found.note_acked({R: 5})

    assert list(found.behind()) == []


def test_nothing_is_waited_for_behind_the_end_of_a_topic_that_was_made_again() -> None:
    found = backlog(Q)
    found.note_acked({Q: 500})

    found.seat(Q, 0, 1, 0)
    found.forget_acked(Q, 0)

    assert list(found.behind()) == []


def test_a_barrier_only_rises() -> None:
    found = backlog(Q)

    found.raise_barriers({Q: 5, R: 3})
    found.raise_barriers({Q: 2})

    assert found.partitions[Q].barrier == 5


def test_records_have_as_many_jobs_as_those_that_were_read() -> None:
    found = backlog(Q)
    assert found.mean_jobs == 1.0

    found.put([(Q, record(0, new_job(), new_job(), new_job())), (Q, record(1, new_job()))])

    assert found.mean_jobs == 2.0


def test_reading_pauses_above_a_bound_of_bytes_too() -> None:
    found = backlog(Q)
    large = bytes(HIGH_BYTES // 8)

    full = [found.put([(Q, record(n, value=large))]) for n in range(9)]
    hungry: list[tuple[int, list[Place]]] = []
    while found.partitions[Q].records:
        found.partitions[Q].drop(1)
        hungry.append((found.partitions[Q].size, found.hungry()))

    assert full == [[]] * 8 + [[Q]]
    assert [size for size, places in hungry if places] == [LOW_BYTES - len(large)]
    assert found.partitions[Q].size == 0


def test_what_was_noted_as_moved_may_be_deleted_when_it_is_asked_for_again() -> None:
    found = backlog(Q, R)
    found.put([(Q, record(n, new_job())) for n in range(6)])
    found.partitions[Q].drop(4)
    found.partitions[Q].noted = 4

    first = found.deletable()
    found.partitions[Q].drop(2)
    found.partitions[Q].noted = 6

    assert first == {}
    assert found.deletable() == {Q: 4}
    assert found.deletable() == {Q: 6}


def test_nothing_is_deleted_for_what_was_moved_of_a_partition_before_it_was_taken_over_anew() -> None:
    found = backlog(Q)
    found.put([(Q, record(n, new_job())) for n in range(6)])
    found.partitions[Q].drop(6)
    found.partitions[Q].noted = 6
    found.deletable()

    found.seat(Q, 0, 1, 0)  # it is shorter than it was

    assert found.deletable() == {}
