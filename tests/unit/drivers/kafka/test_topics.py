"""Names of topics: one for each queue and band, and none that Kafka would take for another."""

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from protojobs_service.domain.bounds import MAX_PRIORITY, MIN_PRIORITY
from protojobs_service.domain.job import JobId
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import config_of, partition_of, topic_of

queues = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
close = st.text("ab._-", min_size=1, max_size=6)
ids = st.binary(min_size=16, max_size=16).map(JobId)


def as_kafka_compares(topic: str) -> str:
    """Return what must differ between two topics of a cluster: `.` and `_` are the same in names of metrics."""
    return topic.replace(".", "_")


@given(close, close)
@example("a.b", "a_b")
@example("a_b", "a-b")
@example("a._b", "a_.b")
def test_queues_have_topics_that_kafka_tells_apart_unless_dots_alone_do(one: str, other: str) -> None:
    first, second = topic_of("pj", one, 9), topic_of("pj", other, 9)

    assert (first == second) == (one == other)
    if one != other and ("_" in one) != ("_" in other):
        assert as_kafka_compares(first) != as_kafka_compares(second)


@given(queues, st.sampled_from([3, 6, 9]))
def test_a_topic_has_a_name_that_kafka_takes(queue: str, band: int) -> None:
    topic = topic_of("p" * 40, queue, band)

    assert len(topic) <= 249
    assert "_" not in topic


@given(queues, queues, st.sampled_from([3, 6, 9]), st.sampled_from([3, 6, 9]))
def test_a_topic_belongs_to_one_queue_and_one_band(one: str, other: str, low: int, high: int) -> None:
    assert (topic_of("pj", one, low) == topic_of("pj", other, high)) == ((one, low) == (other, high))


@given(queues)
def test_what_the_topics_of_a_queue_have_in_common_is_their_name_without_the_band(queue: str) -> None:
    topics = [topic_of("pj", queue, band) for band in (3, 6, 9)]

    assert len({topic.rpartition(".")[0] for topic in topics}) == 1
    assert [topic.rpartition(".")[2] for topic in topics] == ["3", "6", "9"]


@pytest.mark.parametrize(
    ("bands", "expected"),
    [(1, [9] * 9), (3, [3, 3, 3, 6, 6, 6, 9, 9, 9]), (9, [1, 2, 3, 4, 5, 6, 7, 8, 9])],
)
def test_each_priority_has_its_band(bands: int, expected: list[int]) -> None:
    options = Options(brokers="b", bands=bands)

    assert [options.band_of(priority) for priority in range(MIN_PRIORITY, MAX_PRIORITY + 1)] == expected


@pytest.mark.parametrize("bands", [1, 3, 9])
def test_bands_have_ranks_from_one_on(bands: int) -> None:
    options = Options(brokers="b", bands=bands)
    found = sorted({options.band_of(priority) for priority in range(MIN_PRIORITY, MAX_PRIORITY + 1)})

    assert [options.rank_of(band) for band in found] == list(range(1, bands + 1))


@given(ids, st.integers(1, 1000))
def test_a_job_has_the_same_partition_each_time(job_id: JobId, partitions: int) -> None:
    number = partition_of(job_id, partitions)

    assert 0 <= number < partitions
    assert number == partition_of(JobId(bytes(job_id)), partitions)


@pytest.mark.parametrize(("replication", "enough"), [(1, 1), (2, 1), (3, 2), (5, 2)])
def test_enough_copies_are_there_before_a_job_is_acknowledged(replication: int, enough: int) -> None:
    config = config_of(Options(brokers="b", replication=replication))

    assert config["min.insync.replicas"] == str(enough)


def test_nothing_that_waits_ends_by_its_age_or_size_or_by_an_unclean_election() -> None:
    config = config_of(Options(brokers="b"))

    assert (config["retention.ms"], config["retention.bytes"]) == ("-1", "-1")
    assert config["cleanup.policy"] == "delete"
    assert config["unclean.leader.election.enable"] == "false"


def test_no_two_of_the_queues_that_differ_little_share_a_topic() -> None:
    names = ["a.b", "a_b", "a-b", "a.b.", "a_b_", "a__b", "a._b", "a_.b", "a--b", "a..b"]

    assert all(topic_of("pj", one, 9) != topic_of("pj", other, 9) for one, other in combinations(names, 2))


def test_a_queue_cannot_be_named_so_that_it_gets_the_topics_of_another() -> None:
    victim = topic_of("pj", "pay_roll", 9)
    stranger = victim.removeprefix("pj.").removesuffix(".9")

    assert topic_of("pj", stranger, 9) != victim
    assert topic_of("pj", "pay-roll", 9) != victim
