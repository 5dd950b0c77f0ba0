"""Looking at the topics of an installation with the admin client, and mending what can be mended."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.drivers.kafka.complaints import Complaints
from protojobs_service.drivers.kafka.errors import translated
from protojobs_service.drivers.kafka.layout import Finding, Found, Remedy, Topic, compare
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.routes import needs_side
from protojobs_service.drivers.kafka.topics import Topics, is_of_jobs
from protojobs_service.port import Driver

_log = logging.getLogger(__name__)

_ASK_S = 10.0
_AT_ONCE = 200
"""Topics whose settings are asked for in one request; an answer names some forty of each."""
_MOST_LINES = 20


class UnsafeTopics(StoreUnavailable):
    """Jobs that were acknowledged could be lost in the topics as they are."""


class Surveyor:
    """Reads and changes topics. Belongs to the event loop; the admin client works on threads of its own."""

    def __init__(self, options: Options, topics: Topics, admin: AdminClient) -> None:
        """Ask nothing yet."""
        self._options, self._topics, self._admin = options, topics, admin

    async def find(self, queues: Mapping[str, QueueSettings]) -> list[Finding]:
        """Return what is not as the options want it, missing topics of these queues included. Raises StoreUnavailable."""
        through_topics = [name for name, settings in queues.items() if not needs_side(settings)]
        return compare(self._options, through_topics, await self.look())

    async def look(self) -> Found:
        """Return how the topics of jobs are. Raises StoreUnavailable."""
        with translated():
            cluster = await asyncio.to_thread(self._admin.list_topics, timeout=_ASK_S)
            shapes = {
                name: [len(partition.replicas) for partition in topic.partitions.values()]
                for name, topic in cluster.topics.items()
                if is_of_jobs(self._options.prefix, topic)
            }
            configs = await self._configs(shapes)
        topics = {name: Topic(len(copies), min(copies), configs[name]) for name, copies in shapes.items()}
        return Found(topics, len(cluster.brokers))

    async def mend(self, findings: Iterable[Finding]) -> None:
        """Make topics, add partitions, set settings. Safe to repeat, and on several machines at once. Raises StoreUnavailable."""
        settings: dict[str, dict[str, str]] = defaultdict(dict)
        for finding in findings:
            match finding.remedy:
                case Remedy.CREATE:
                    await self._topics.make(finding.topic)
                case Remedy.ADD_PARTITIONS:
                    await self._add_partitions(finding.topic, int(finding.wanted))
                case Remedy.SET:
                    settings[finding.topic][finding.what] = finding.wanted
                case Remedy.BY_HAND:
                    pass
        with translated():
            for topic, values in settings.items():
                await self._set(topic, values)

    async def _configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return by topic the settings that have a value."""
        found: dict[str, dict[str, str]] = {}
        rest = iter(names)
        while some := [ConfigResource(ResourceType.TOPIC, name) for name in islice(rest, _AT_ONCE)]:
            futures = self._admin.describe_configs(some, request_timeout=_ASK_S)
            for resource, future in futures.items():
                entries = await asyncio.wrap_future(future)
                found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        return found

    async def _add_partitions(self, topic: str, wanted: int) -> None:
        with translated():
            try:
                [future] = self._admin.create_partitions([NewPartitions(topic, wanted)], operation_timeout=_ASK_S).values()
                await asyncio.wrap_future(future)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.INVALID_PARTITIONS:  # somebody else has added them meanwhile
                    raise

    async def _set(self, topic: str, values: Mapping[str, str]) -> None:
        entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in values.items()]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        [future] = self._admin.incremental_alter_configs([resource], request_timeout=_ASK_S).values()
        await asyncio.wrap_future(future)


async def survey(side: Driver, options: Options, *, mend: bool) -> Sequence[Finding]:
    """Return what of an installation is not as the options want it. side: open. mend: and mend what can be mended.

    Raises StoreUnavailable.
    """
    complaints = Complaints()
    admin = AdminClient(complaints.told(options).admin())
    await complaints.heard_or(admin, admin.describe_cluster(request_timeout=_ASK_S))
    surveyor = Surveyor(options, Topics(options, admin), admin)
    book = await side.queues.settings(-1)
    findings = await surveyor.find({} if book is None else book.queues)
    if mend:
        await surveyor.mend(findings)
    return findings


def refuse_losses(findings: Sequence[Finding], *, unsafe: bool) -> None:
    """Raise UnsafeTopics where jobs can be lost, or only warn of it. unsafe: the settings say that this is meant."""
    losses = [finding for finding in findings if finding.loses]
    if losses and not unsafe:
        more = f" ({len(losses) - 1} more findings)" if len(losses) > 1 else ""
        raise UnsafeTopics(f"{losses[0].line}{more}; see `protojobs kafka topics check` and kafka.unsafe_topics")
    for finding in findings[:_MOST_LINES]:
        _log.warning(
            "a topic is not as the settings want it",
            extra={"topic": finding.topic, "what": finding.what, "found": finding.found, "wanted": finding.wanted},
        )
    if len(findings) > _MOST_LINES:
        _log.warning("more topics are not as the settings want them", extra={"findings": len(findings) - _MOST_LINES})
