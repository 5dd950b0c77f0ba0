"""Taking partitions over and giving them up, as the group says."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.consumer import Incoming, Seat, Sink
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.topics import Place, Topics

_log = logging.getLogger(__name__)


class Ownership(Sink):
    """Puts what the reader reads into the backlog. Belongs to the event loop."""

    def __init__(self, backlog: Backlog, intake: Intake, ledger: Ledger, topics: Topics) -> None:
        """Begin with no partition."""
        self._backlog, self._intake, self._ledger, self._topics = backlog, intake, ledger, topics
        self.pause: Callable[[Collection[Place]], None] = lambda _: None
        self.lost_records = 0
        """Records that Kafka no longer had when they were to be read."""
        self.gone_topics: set[str] = set()
        self._turn = 0

    async def assigned(self, seats: Sequence[Seat]) -> Mapping[Place, int]:
        turn = self._next_turn()
        places = [seat.place for seat in seats]
        await self._ledger.begin(await self._topics.ids({place.topic for place in places}))
        moved = await self._ledger.read("moved", places)
        if turn == self._turn:
            await self._take_back([seat for seat in seats if _known(seat, moved) > seat.high])
        barriers = await self._ledger.read("barrier", places)
        starts = {seat.place: self._start(seat, _known(seat, moved)) for seat in seats}
        if turn != self._turn:
            # Given up by the reader, which may read by now what a later call has said: to seat them anew would pass over that.
            return {}
        for seat in seats:
            place = seat.place
            self._backlog.seat(place, starts[place], self._topics.rank(place.topic), barriers[place])
            self._backlog.forget_acked(place, seat.high)
        return starts

    async def release(self, places: Collection[Place]) -> Mapping[Place, int]:
        self._next_turn()
        leaving = [self._backlog.partitions.pop(place) for place in places if place in self._backlog.partitions]
        await self._intake.settled()
        return {partition.place: partition.done for partition in leaving}

    def lost(self, places: Collection[Place]) -> None:
        self._next_turn()
        for place in places:
            self._backlog.partitions.pop(place, None)
        _log.warning("partitions were lost to another replica", extra={"partitions": len(places)})

    def read(self, records: Sequence[tuple[Place, Incoming]]) -> None:
        if full := self._backlog.put(records):
            self.pause(full)
        self._intake.wake()

    def gone(self, topics: Collection[str]) -> None:
        self.gone_topics |= set(topics)

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    async def _take_back(self, cut: Sequence[Seat]) -> None:
        """Let nothing be known of offsets behind the end of partitions: new records will have them. Raises StoreUnavailable."""
        for seat in cut:
            self._backlog.partitions.pop(seat.place, None)  # what is still told of it is of what it was
        await self._ledger.lower("moved", {seat.place: seat.low for seat in cut})
        await self._ledger.lower("barrier", {seat.place: seat.high for seat in cut})

    def _start(self, seat: Seat, known: int) -> int:
        """Return where to begin: behind what is known to be moved, else at the first record there is.

        What lies behind the end was of a topic that was deleted, or of a log that was cut: then everything there is may be new. To
        read a record twice does no harm, because the side store knows the ids.
        """
        where = {"topic": seat.place.topic, "partition": seat.place.partition}
        if known > seat.high:
            _log.error("a partition is shorter than it was; it is read from its beginning", extra=where)
            return seat.low
        if 0 < known < seat.low:
            self.lost_records += seat.low - known
            _log.error("records were deleted before they were read", extra={**where, "records": seat.low - known})
        return max(known, seat.low)


def _known(seat: Seat, moved: Mapping[Place, int]) -> int:
    return max(seat.committed or 0, moved[seat.place])
