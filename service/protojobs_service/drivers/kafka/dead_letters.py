"""The dead-letter topic, and what lies in it of records that cannot be used; `failures` appends the jobs that failed for good."""

from collections.abc import Sequence
from datetime import timedelta

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.intake import Unusable
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.topics import Place, Topics, config_of

KEPT = timedelta(days=30)
"""How long a dead letter is kept, unless an operator changes the topic."""
Letter = tuple[bytes, Sequence[tuple[str, bytes]]]
"""Value and headers of a record."""
_MOST_BYTES = 16 * 1024 * 1024
"""Of records in one append: well below what the producer buffers."""


class DeadLetterTopic:
    """Appends to `{prefix}.dead-letter`, which is made when it is first needed."""

    def __init__(self, options: Options, topics: Topics, appender: Appender) -> None:
        """Append nothing yet."""
        self._place = Place(f"{options.prefix}.dead-letter", 0)
        self._topics, self._appender = topics, appender
        self._config = {**config_of(options), "retention.ms": str(KEPT // timedelta(milliseconds=1))}
        self._is_made = False

    async def append(self, letters: Sequence[Letter]) -> None:
        """Append records of a value and headers. Raises StoreUnavailable and Overloaded; some may be stored then."""
        if not letters:
            return
        if not self._is_made:
            await self._topics.make(self._place.topic, partitions=1, config=self._config)
            self._is_made = True
        part: list[Outgoing] = []
        size = 0
        try:
            for value, headers in letters:
                if part and size + len(value) > _MOST_BYTES:
                    await self._appender.append(part)
                    part, size = [], 0
                part.append(Outgoing(self._place, value, 0, headers))
                size += len(value)
            await self._appender.append(part)
        except StoreUnavailable:
            self._is_made = False  # somebody may have deleted it
            raise


class Parking:
    """Keeps records that nothing can be made of in the dead-letter topic."""

    def __init__(self, topic: DeadLetterTopic) -> None:
        """Park nothing yet."""
        self._topic = topic
        self.parked = 0

    async def park(self, unusable: Unusable) -> None:
        """Append a record that nothing can be made of, with where it lay and why. Raises StoreUnavailable."""
        place, record, why = unusable
        headers = [
            ("protojobs-reason", why.encode()),
            ("protojobs-topic", place.topic.encode()),
            ("protojobs-partition", str(place.partition).encode()),
            ("protojobs-offset", str(record.offset).encode()),
        ]
        await self._topic.append([(record.value, headers)])
        self.parked += 1
