"""The dead-letter topic, and what lies in it of records that cannot be used; `failures` appends the jobs that failed for good."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.errors import is_too_large
from protojobs_service.drivers.kafka.intake import Unusable
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.topics import Place, Topics, config_of

_log = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""How long a dead letter is kept, unless an operator changes the topic."""
Letter = tuple[bytes, Sequence[tuple[str, bytes]]]
"""Value and headers of a record."""
_HEADER, _FRAME = 20, 1024
"""Bytes around a header and a record."""
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
        """Append records of a value and headers; what is too large for a record comes with no value and `protojobs-left-out`.

        Raises StoreUnavailable and Overloaded; some may be stored then.
        """
        if not letters:
            return
        if not self._is_made:
            await self._topics.make(self._place.topic, partitions=1, config=self._config)
            self._is_made = True
        part: list[Outgoing] = []
        size = 0
        try:
            for letter in letters:
                outgoing, its_size = self._outgoing(letter)
                if part and size + its_size > _MOST_BYTES:
                    await self._append(part)
                    part, size = [], 0
                part.append(outgoing)
                size += its_size
            await self._append(part)
        except StoreUnavailable:
            self._is_made = False  # somebody may have deleted it
            raise

    def _outgoing(self, letter: Letter) -> tuple[Outgoing, int]:
        outgoing = Outgoing(self._place, letter[0], 0, letter[1])
        size = _size_of(outgoing)
        return (outgoing, size) if size <= MAX_RECORD_BYTES else (_emptied(outgoing), size - len(letter[0]))

    async def _append(self, records: Sequence[Outgoing]) -> None:
        """Append records; without their values those that the topic, as it is set up, does not take."""
        try:
            await self._appender.append(records)
        except StoreUnavailable as error:
            if not is_too_large(error):
                raise
            if len(records) > 1:
                for record in records:
                    await self._append([record])
            elif records[0].value:
                _log.warning("a dead letter is too large for its topic; its value is left out")
                await self._appender.append([_emptied(records[0])])
            else:
                raise


def _size_of(record: Outgoing) -> int:
    """Return no less than a record takes."""
    return len(record.value) + sum(len(name) + len(value) + _HEADER for name, value in record.headers) + _FRAME


def _emptied(record: Outgoing) -> Outgoing:
    return record._replace(value=b"", headers=[*record.headers, ("protojobs-left-out", b"size")])


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
