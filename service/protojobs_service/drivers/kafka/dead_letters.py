"""The dead-letter topic: records that cannot be used, as they came, and jobs that failed for good."""

from protojobs_service.drivers.kafka.intake import Unusable
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.topics import Place, Topics


class Parking:
    """Appends to `{prefix}.dead-letter`, which is made when it is first needed."""

    def __init__(self, options: Options, topics: Topics, appender: Appender) -> None:
        """Append nothing yet."""
        self._topic, self._topics, self._appender = f"{options.prefix}.dead-letter", topics, appender
        self.parked = 0
        self._is_made = False

    async def park(self, unusable: Unusable) -> None:
        """Append a record that nothing can be made of, with where it lay and why. Raises StoreUnavailable."""
        if not self._is_made:
            await self._topics.make(self._topic, partitions=1)
            self._is_made = True
        place, record, why = unusable
        headers = [
            ("protojobs-reason", why.encode()),
            ("protojobs-topic", place.topic.encode()),
            ("protojobs-partition", str(place.partition).encode()),
            ("protojobs-offset", str(record.offset).encode()),
        ]
        await self._appender.append([Outgoing(Place(self._topic, 0), record.value, record.time_ms, headers)])
        self.parked += 1
