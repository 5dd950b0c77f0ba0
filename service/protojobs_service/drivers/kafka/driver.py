"""The Kafka driver: what waits lies in topics, everything else in the side store."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from confluent_kafka.admin import AdminClient

from protojobs_service.domain.errors import JobsError
from protojobs_service.drivers.kafka.backlog import Backlog, Partition
from protojobs_service.drivers.kafka.client_log import client_log
from protojobs_service.drivers.kafka.complaints import Complaints
from protojobs_service.drivers.kafka.consumer import Reader
from protojobs_service.drivers.kafka.dead_letters import DeadLetterTopic, Parking
from protojobs_service.drivers.kafka.failures import Failures
from protojobs_service.drivers.kafka.installation import check_owner
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.jobs import KafkaJobs
from protojobs_service.drivers.kafka.lag import Lag
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.ownership import Ownership
from protojobs_service.drivers.kafka.producer import Appender
from protojobs_service.drivers.kafka.queues import KafkaQueues
from protojobs_service.drivers.kafka.routes import FRESH, Routes
from protojobs_service.drivers.kafka.search import Search
from protojobs_service.drivers.kafka.survey import Surveyor, refuse_losses
from protojobs_service.drivers.kafka.topics import Place, Topics
from protojobs_service.port.access import AuditLog, Tokens
from protojobs_service.port.driver import NO_FOLLOW_UPS, NOBODY, Capability, Driver, FollowUps, Numbers, Pool, Room, Witness
from protojobs_service.port.events import Events
from protojobs_service.port.jobs import Jobs
from protojobs_service.port.queues import Queues
from protojobs_service.port.schedules import Schedules
from protojobs_service.port.sessions import Sessions
from protojobs_service.port.side_store import SideStore

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
_REFRESH_S = 10.0
"""How often topics that others have made are looked for: this reads the names of all topics of the cluster."""
_KNOWN_S = 5.0
_NOTE_S = 5.0
_TRIM_S = 60.0
_WAIT_S = 0.02


class KafkaDriver(Driver):
    """Keeps jobs in topics and in `side`, which it opens and closes.

    adopt: take over topics or a side store that belonged to another installation. unsafe_topics: open even where topics can lose
    jobs. fresh: see `Routes`. patience: how long a dispatch to a new queue waits until its topic is read, and a
    claim for what was appended; without it a new queue goes on by the side store until then. now: the clock of `side`, measured
    where it is not given.
    """

    def __init__(
        self,
        side: Driver,
        options: Options,
        *,
        adopt: bool = False,
        unsafe_topics: bool = False,
        fresh: timedelta = FRESH,
        patience: timedelta = timedelta(),
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Prepare; nothing is opened yet."""
        self._complaints = Complaints()
        options = self._complaints.told(options)
        self._side, self._options, self._adopt, self._unsafe_topics = side, options, adopt, unsafe_topics
        self._patience_s = patience.total_seconds()
        self._appender = Appender(options, self._complaints.explain)
        self._ledger = Ledger(side.side_store)
        self._admin = AdminClient(options.admin(), logger=client_log)
        self._topics = Topics(options, self._admin)
        self._backlog = Backlog(self._topics.stem)
        self._routes = Routes(self._topics, fresh=fresh)
        dead_letters = DeadLetterTopic(options, self._topics, self._appender)
        self._parking = Parking(dead_letters)
        self._failures = Failures(side, dead_letters.append, now or self._store_now) if options.dead_letters else None
        self._intake = Intake(
            side, self._backlog, lookahead=options.lookahead, park=self._parking.park, skip=self._skip, done=self._done
        )
        self._ownership = Ownership(self._backlog, self._intake, self._ledger, self._topics)
        self._reader = Reader(options, self._ownership)
        self._ownership.pause = self._reader.pause
        self._lag = Lag(options, self._topics, self._backlog, self._ledger, self._admin)
        self._search = Search(options, self._topics, self._backlog, self._lag)
        self._jobs = KafkaJobs(
            side,
            self._routes,
            self._appender,
            self._backlog,
            self._intake,
            self._search,
            self._prepare,
            now or self._store_now,
            self._patience_s,
        )
        self._queues = KafkaQueues(side, self._routes, self._topics, self._backlog, self._intake, self._lag, self._ledger, fresh)
        self._tasks: list[asyncio.Task[None]] = []
        self._asked: frozenset[str] = frozenset()
        self._since: dict[str, float] = {}
        self._ahead = timedelta()

    @property
    def name(self) -> str:
        return "kafka"

    @property
    def jobs(self) -> Jobs:
        return self._jobs

    @property
    def queues(self) -> Queues:
        return self._queues

    @property
    def sessions(self) -> Sessions:
        return self._side.sessions

    @property
    def schedules(self) -> Schedules:
        return self._side.schedules

    @property
    def events(self) -> Events:
        return self._side.events

    @property
    def tokens(self) -> Tokens:
        return self._side.tokens

    @property
    def audit(self) -> AuditLog:
        return self._side.audit

    @property
    def side_store(self) -> SideStore:
        return self._side.side_store

    def capabilities(self) -> Sequence[Capability]:
        lying = "jobs that wait in topics are found by id and counted, not listed, until they are next in their queue"
        return [*self._side.capabilities(), Capability(name="list_backlog", available=False, reason=lying)]

    def pools(self) -> Mapping[str, Pool]:
        return self._side.pools()

    def numbers(self) -> Numbers:
        levels = {
            "jobs_in_topics": self._lag.jobs if self._topics.partitions else 0,
            "partitions": len(self._backlog.partitions),
        }
        counts = {
            "jobs_moved": self._intake.moved,
            "jobs_met_twice": self._intake.twice,
            "records_parked": self._parking.parked,
            "records_lost": self._ownership.lost_records,
        }
        return Numbers(levels, counts)

    async def open(self, room: Room, follow_ups: FollowUps = NO_FOLLOW_UPS, witness: Witness = NOBODY) -> None:
        self._appender.open()
        try:
            await self._side.open(room, follow_ups, witness)
        except BaseException:
            await self._appender.close()
            raise
        try:
            name = await self._complaints.cluster_of(self._admin, self._options.reach_s)
            await check_owner(self._options, self._topics, self._appender, self._ledger, name, adopt=self._adopt)
            await self._topics.refresh()
            surveyor = Surveyor(self._options, self._topics, self._admin)
            refuse_losses(await surveyor.find({}), unsafe=self._unsafe_topics)
            await self._measure()
            if self._failures is not None:
                await self._failures.begin()
        except BaseException:
            await self._appender.close()
            await self._side.close()
            raise
        self._reader.open()
        self._follow()
        loop = asyncio.get_running_loop()
        # Owned by the driver: `close` cancels and awaits them.
        self._tasks = [
            loop.create_task(self._intake.run(), name="kafka-intake"),
            loop.create_task(self._look_after(), name="kafka-upkeep"),
        ]
        if self._failures is not None:
            self._tasks.append(loop.create_task(self._failures.run(), name="kafka-dead-letters"))

    async def close(self) -> None:
        await self._reader.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._failures is not None:
            await self._failures.leave()
        self._search.close()
        await self._topics.close()
        await self._appender.close()
        await self._side.close()

    async def ping(self) -> datetime:
        return await self._side.ping()

    async def maintain(self) -> None:
        await self._side.maintain()

    async def _prepare(self, missing: set[str]) -> None:
        """Make the topics of a new queue, and have them read."""
        making = [self._topics.want(topic) for topic in missing]
        for task in making:
            task.add_done_callback(lambda _: self._follow())
        if self._patience_s and missing:
            await asyncio.gather(*making)
            self._follow()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    while not missing <= self._routes.read_topics:
                        await asyncio.sleep(_WAIT_S)
                        self._follow()

    def _follow(self) -> None:
        """Have the reader read every topic there is; routes take those that somebody reads."""
        topics = frozenset(self._topics.partitions)
        now = time.monotonic()
        if topics != self._asked:
            self._asked = topics
            self._since = {topic: self._since.get(topic, now) for topic in topics}
            self._reader.follow(topics)
        # With more replicas than partitions some are told of no assignment.
        self._routes.read_topics = self._reader.following & topics | {t for t, at in self._since.items() if now - at > _KNOWN_S}

    def _done(self, ends: Mapping[Place, int]) -> None:
        self._reader.commit(ends)
        if hungry := self._backlog.hungry():
            self._reader.resume(hungry)

    def _store_now(self) -> datetime:
        """Return the clock of the side store, as it was last measured against this machine's."""
        return datetime.now(UTC) + self._ahead

    async def _measure(self) -> None:
        self._ahead = await self._side.ping() - datetime.now(UTC)

    async def _skip(self, place: Place, jobs: int) -> None:
        await self._ledger.add("cleared", place, jobs)

    async def _look_after(self) -> None:
        """Follow topics and barriers, note how far the partitions are moved, delete what is."""
        refreshed = noted = trimmed = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            self._admin.poll(0)  # brings what it has to log, and what it complains of
            try:
                if now - refreshed >= _REFRESH_S:
                    refreshed = now
                    await self._topics.refresh()
                    self._complaints.forget()
                self._follow()
                await self._raise_barriers()
                if now - noted >= _NOTE_S:
                    noted = now
                    await self._measure()
                    await self._note()
                if now - trimmed >= _TRIM_S:
                    trimmed = now
                    await self._trim()
            except JobsError as error:
                _log.warning("topics not looked after", extra={"reason": self._complaints.explain(error).message})
            except Exception:  # noqa: BLE001 - without it new queues would never get a topic
                _log.exception("topics not looked after")

    async def _raise_barriers(self) -> None:
        seated = dict(self._backlog.partitions)
        barriers = await self._ledger.read("barrier", seated)
        self._backlog.raise_barriers({place: end for place, end in barriers.items() if self._is_seated(seated[place], place)})

    async def _note(self) -> None:
        for partition in [each for each in self._backlog.partitions.values() if each.done != each.noted]:
            done = partition.done
            await self._ledger.raise_to("moved", {partition.place: done}, where=partial(self._is_seated, partition))
            partition.noted = done

    def _is_seated(self, partition: Partition, place: Place) -> bool:
        return self._backlog.partitions.get(place) is partition

    async def _trim(self) -> None:
        """Delete records that were moved, and noted so, a minute ago."""
        await self._topics.trim(self._backlog.deletable())
