"""How the topics of an installation should be, and where they are otherwise. Values in, findings out; nobody is asked here."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from protojobs_service.domain.bounds import MAX_PRIORITY
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import config_of, topic_of

CLUSTER = "cluster"
"""Stands for a topic in what is found of the brokers themselves; no topic of an installation has a name without a dot."""


class Topic(NamedTuple):
    """A topic as it is. copies: of the partition with the fewest. config: what is in force, defaults of the brokers included."""

    partitions: int
    copies: int
    config: Mapping[str, str]


class Found(NamedTuple):
    """What a cluster has of an installation. brokers: those that are there now."""

    topics: Mapping[str, Topic]
    brokers: int


class Remedy(Enum):
    """How a finding is mended."""

    CREATE = "create"
    ADD_PARTITIONS = "add partitions"
    SET = "set"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as the settings want it. loses: jobs that were acknowledged can be lost by it."""

    topic: str
    what: str
    found: str
    wanted: str
    remedy: Remedy
    loses: bool = False

    @property
    def line(self) -> str:
        """Return it in one line."""
        return f"{self.topic}: {self.what} is {self.found}, not {self.wanted}{'; jobs can be lost' if self.loses else ''}"


class _Rule(NamedTuple):
    """A setting of a topic that matters. fits: of what it is and what it should be."""

    name: str
    fits: Callable[[str, str], bool]
    loses: bool = False


def _equal(found: str, wanted: str) -> bool:
    return found == wanted


def _no_less(found: str, wanted: str) -> bool:
    return int(found) >= int(wanted)


_RULES = (
    _Rule("unclean.leader.election.enable", _equal, loses=True),
    _Rule("retention.ms", _equal, loses=True),
    _Rule("retention.bytes", _equal, loses=True),
    # Compaction drops what has no key, and records of jobs have none.
    _Rule("cleanup.policy", _equal, loses=True),
    _Rule("max.message.bytes", _no_less),
    _Rule("message.timestamp.type", _equal),
)


def compare(options: Options, queues: Iterable[str], found: Found) -> list[Finding]:
    """Return what is not as the options want it: of the topics there are, and of those that these queues lack. Sorted by topic.

    More partitions, copies and in-sync replicas than wanted are no finding. A setting that could not be read is none either.
    """
    bands = range(MAX_PRIORITY // options.bands, MAX_PRIORITY + 1, MAX_PRIORITY // options.bands)
    wanted = {topic_of(options.prefix, queue, band) for queue in queues for band in bands}
    findings = [_missing(options, topic) for topic in wanted - found.topics.keys()]
    for name, topic in found.topics.items():
        findings.extend(_otherwise(options, name, topic))
    return [*_of_cluster(options, found), *sorted(findings, key=lambda each: (each.topic, each.what))]


def _missing(options: Options, topic: str) -> Finding:
    return Finding(topic=topic, what="partitions", found="none", wanted=str(options.partitions), remedy=Remedy.CREATE)


def _of_cluster(options: Options, found: Found) -> Iterator[Finding]:
    if found.brokers < options.replication:
        count, wanted = str(found.brokers), str(options.replication)
        yield Finding(topic=CLUSTER, what="brokers", found=count, wanted=wanted, remedy=Remedy.BY_HAND)


def _otherwise(options: Options, name: str, topic: Topic) -> Iterator[Finding]:
    if topic.partitions < options.partitions:
        count, wanted = str(topic.partitions), str(options.partitions)
        yield Finding(topic=name, what="partitions", found=count, wanted=wanted, remedy=Remedy.ADD_PARTITIONS)
    if topic.copies < options.replication:
        copies, wanted = str(topic.copies), str(options.replication)
        yield Finding(topic=name, what="replication", found=copies, wanted=wanted, remedy=Remedy.BY_HAND, loses=True)
    yield from _in_sync(options, name, topic)
    config = config_of(options)
    for rule in _RULES:
        value, wanted = topic.config.get(rule.name), config[rule.name]
        if value is not None and not rule.fits(value, wanted):
            yield Finding(topic=name, what=rule.name, found=value, wanted=wanted, remedy=Remedy.SET, loses=rule.loses)


def _in_sync(options: Options, name: str, topic: Topic) -> Iterator[Finding]:
    """Compare how many replicas must have a record: with more than there are, nothing could be appended."""
    setting = "min.insync.replicas"
    wanted, value = min(options.min_insync, topic.copies), topic.config.get(setting)
    if value is not None and not wanted <= int(value) <= topic.copies:
        yield Finding(topic=name, what=setting, found=value, wanted=str(wanted), remedy=Remedy.SET)
