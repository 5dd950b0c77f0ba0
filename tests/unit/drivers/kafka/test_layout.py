"""What of topics is found not to be as the settings want it."""

from collections.abc import Mapping

import pytest
from protojobs_service.drivers.kafka.layout import CLUSTER, Finding, Found, Remedy, Topic, compare
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options
from protojobs_service.drivers.kafka.topics import config_of

OPTIONS = Options(brokers="b:9092", prefix="p", partitions=4, replication=3, bands=1)
NAME = "p.mail.9"


def topic(config: Mapping[str, str] | None = None, *, partitions: int = 4, copies: int = 3) -> Topic:
    """Return a topic that is as it should be, but for these settings."""
    return Topic(partitions, copies, {**config_of(OPTIONS), **(config or {})})


def findings(found: Topic, *, options: Options = OPTIONS, brokers: int = 3) -> list[Finding]:
    return compare(options, ["mail"], Found({NAME: found}, brokers))


def test_nothing_is_found_where_topics_are_as_the_service_makes_them() -> None:
    assert findings(topic()) == []


def test_more_than_is_wanted_is_no_finding() -> None:
    larger = {"min.insync.replicas": "3", "max.message.bytes": str(2 * MAX_RECORD_BYTES)}

    assert findings(topic(larger, partitions=9, copies=5)) == []


def test_a_queue_lacks_a_topic_for_each_band() -> None:
    options = Options(brokers="b:9092", prefix="p", partitions=4, bands=3)

    found = compare(options, ["b", "a"], Found({"p.a.6": topic()}, 3))

    assert [each.topic for each in found] == ["p.a.3", "p.a.9", "p.b.3", "p.b.6", "p.b.9"]
    assert {(each.found, each.wanted, each.remedy, each.loses) for each in found} == {("none", "4", Remedy.CREATE, False)}


def test_topics_of_queues_that_nobody_knows_are_looked_at_as_well() -> None:
    found = compare(OPTIONS, [], Found({"p.old.9": topic({"retention.ms": "1"})}, 3))

    assert [(each.topic, each.what) for each in found] == [("p.old.9", "retention.ms")]


def test_partitions_can_be_added_and_lose_nothing() -> None:
    assert findings(topic(partitions=3)) == [
        Finding(topic=NAME, what="partitions", found="3", wanted="4", remedy=Remedy.ADD_PARTITIONS)
    ]


def test_too_few_copies_can_lose_jobs_and_are_for_people_to_mend() -> None:
    assert findings(topic(copies=2)) == [
        Finding(topic=NAME, what="replication", found="2", wanted="3", remedy=Remedy.BY_HAND, loses=True)
    ]


@pytest.mark.parametrize(
    ("setting", "value", "loses"),
    [
        ("unclean.leader.election.enable", "true", True),
        ("retention.ms", "604800000", True),
        ("retention.bytes", "1000000", True),
        ("cleanup.policy", "compact", True),
        ("cleanup.policy", "compact,delete", True),
        ("max.message.bytes", "1048588", False),
        ("message.timestamp.type", "LogAppendTime", False),
    ],
)
def test_a_setting_that_is_otherwise_is_set(setting: str, value: str, loses: bool) -> None:
    [found] = findings(topic({setting: value}))

    assert (found.what, found.found, found.wanted) == (setting, value, config_of(OPTIONS)[setting])
    assert (found.remedy, found.loses) == (Remedy.SET, loses)


@pytest.mark.parametrize(
    ("copies", "in_sync", "wanted"),
    [(3, "1", "2"), (2, "3", "2"), (1, "2", "1")],
    ids=["too few", "more than there are", "one copy alone"],
)
def test_as_many_replicas_are_in_sync_as_there_can_be(copies: int, in_sync: str, wanted: str) -> None:
    [found] = [each for each in findings(topic({"min.insync.replicas": in_sync}, copies=copies)) if each.what != "replication"]

    assert (found.what, found.found, found.wanted) == ("min.insync.replicas", in_sync, wanted)
    assert (found.remedy, found.loses) == (Remedy.SET, False)


def test_a_setting_that_cannot_be_read_is_no_finding() -> None:
    assert findings(Topic(4, 3, {})) == []


def test_fewer_brokers_than_copies_are_told_first() -> None:
    first, second = findings(topic(partitions=1), brokers=2)

    assert first == Finding(topic=CLUSTER, what="brokers", found="2", wanted="3", remedy=Remedy.BY_HAND)
    assert second.topic == NAME


def test_a_finding_is_one_line() -> None:
    [found] = findings(topic({"retention.ms": "1"}))

    assert found.line == f"{NAME}: retention.ms is 1, not -1; jobs can be lost"
