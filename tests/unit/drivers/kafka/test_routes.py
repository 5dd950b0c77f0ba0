"""Routes: a topic takes what anybody may run at once and nobody has dispatched before; all else is the side store's."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from confluent_kafka.admin import AdminClient
from protojobs_service.domain.job import JobId
from protojobs_service.domain.queue import Fairness, QueueSettings
from protojobs_service.domain.unique import Unique, UniqueScope
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options
from protojobs_service.drivers.kafka.routes import Routes
from protojobs_service.drivers.kafka.topics import Topics, partition_of, topic_of

from tests.contract.acts import new_id, new_job

TOPIC = topic_of("protojobs", "q", 6)
PARTITIONS = 4


@pytest.fixture
def routes() -> Routes:
    """Return routes that know kind `k` of queue `q`, whose middle topic is read."""
    topics = Topics(Options(brokers="nobody"), cast("AdminClient", None))
    topics.partitions = {TOPIC: PARTITIONS}
    routes = Routes(topics)
    routes.learn([new_job()])
    routes.read_topics = frozenset({TOPIC})
    return routes


def test_a_plain_job_of_a_known_queue_goes_to_the_partition_of_its_id(routes: Routes) -> None:
    job = new_job()

    assert routes.choose([job]) == [(TOPIC, partition_of(job.id, PARTITIONS))]


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": timedelta(seconds=1)},
        {"run_at": datetime.now(UTC)},
        {"expire_at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"labels": {"a": "b"}},
        {"parent": JobId(bytes(16))},
        {"unique": Unique(key="u", scope=UniqueScope.UNTIL_DONE)},
        {"fairness_key": "f"},
        {"concurrency_key": "c"},
        {"concurrency_key": ""},
        {"queue": "unknown"},
        {"kind": "unknown"},
        {"priority": 9},
        {"body": bytes(MAX_RECORD_BYTES)},
    ],
)
def test_what_only_the_side_store_can_answer_goes_there(routes: Routes, fields: dict[str, Any]) -> None:
    assert routes.choose([new_job(**fields)]) == [None]


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(seconds=-10), timedelta(days=8)])
def test_an_id_that_may_have_been_dispatched_before_or_has_no_place_in_time_goes_to_the_side_store(
    routes: Routes, age: timedelta
) -> None:
    ms = round((datetime.now(UTC) - age).timestamp() * 1000)

    assert routes.choose([new_job(id=JobId(ms.to_bytes(6) + bytes(10)))]) == [None]


def test_an_id_that_comes_again_goes_to_the_side_store(routes: Routes) -> None:
    job = new_job()
    routes.choose([job])

    assert routes.have_seen([new_id(), job.id])
    assert not routes.have_seen([new_id()])
    assert routes.choose([job]) == [None]


def test_a_call_that_names_an_id_twice_goes_to_the_side_store_as_a_whole(routes: Routes) -> None:
    job = new_job()

    assert routes.choose([new_job(), job, job]) == [None, None, None]


def test_a_topic_that_nobody_reads_takes_nothing(routes: Routes) -> None:
    routes.read_topics = frozenset()

    assert routes.choose([new_job()]) == [None]


def test_topics_that_are_missing_are_named_once_their_queue_is_known(routes: Routes) -> None:
    missing = routes.learn([new_job(), new_job("other"), new_job(priority=9)])

    assert missing == {topic_of("protojobs", "other", 6), topic_of("protojobs", "q", 9)}


@pytest.mark.parametrize(
    "settings", [QueueSettings(name="q", max_depth=5), QueueSettings(name="q", fairness=Fairness(enabled=True))]
)
def test_a_queue_that_is_fair_or_of_bounded_depth_is_the_side_stores_until_it_is_not(
    routes: Routes, settings: QueueSettings
) -> None:
    routes.note(settings)
    bounded = routes.choose([new_job()])
    routes.note(QueueSettings(name="q"))

    assert bounded == [None]
    assert routes.choose([new_job()]) != [None]


def test_queues_that_are_gone_are_forgotten(routes: Routes) -> None:
    routes.follow({})

    assert routes.choose([new_job()]) == [None]


def test_a_queue_that_was_deleted_is_forgotten(routes: Routes) -> None:
    routes.forget("q")

    assert routes.choose([new_job()]) == [None]
