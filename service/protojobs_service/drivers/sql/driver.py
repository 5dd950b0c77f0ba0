"""The SQL driver: one store behind the port, on any dialect that has a Store."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from random import Random

from protojobs_service.domain.bounds import ID_WINDOW, MAX_LANES, MAX_QUEUES, MAX_SCHEDULES
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import Lease
from protojobs_service.drivers.sql import claiming, dispatching, migrate, settling
from protojobs_service.drivers.sql.access import SqlAuditLog, SqlTokens
from protojobs_service.drivers.sql.claiming import ClaimCall, Claiming
from protojobs_service.drivers.sql.cold.base import Cold, Replica, moment, span
from protojobs_service.drivers.sql.cold.due import forget_cancels
from protojobs_service.drivers.sql.cold.fairness import forget_tags
from protojobs_service.drivers.sql.cold.fleet import lease_number, return_number
from protojobs_service.drivers.sql.cold.upkeep import forget_minutes, forget_sessions
from protojobs_service.drivers.sql.dispatching import Dispatching
from protojobs_service.drivers.sql.events import SqlEvents
from protojobs_service.drivers.sql.jobs import SqlJobs
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.linger import Linger
from protojobs_service.drivers.sql.lookout import Lookout
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.pipelines import Pipeline
from protojobs_service.drivers.sql.positions import Positions
from protojobs_service.drivers.sql.queues import SqlQueues
from protojobs_service.drivers.sql.ready import NoRoom, Ready
from protojobs_service.drivers.sql.roads import DispatchPipeline, Roads
from protojobs_service.drivers.sql.schedules import SqlSchedules
from protojobs_service.drivers.sql.sessions import SqlSessions
from protojobs_service.drivers.sql.settling import SettleCall, Settling
from protojobs_service.drivers.sql.side_store import SqlSideStore
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.access import AuditLog, Tokens
from protojobs_service.port.driver import (
    NO_FOLLOW_UPS,
    NO_NUMBERS,
    NOBODY,
    Capability,
    Driver,
    Fingerprint,
    FollowUps,
    Numbers,
    Pool,
    Room,
    UniqueOf,
    Witness,
    no_unique,
)
from protojobs_service.port.events import Events
from protojobs_service.port.jobs import Jobs, Settled
from protojobs_service.port.queues import Queues
from protojobs_service.port.schedules import Schedules
from protojobs_service.port.side_store import SideStore

_log = logging.getLogger(__name__)

_RELOAD_S = 0.25
_AT_A_TIME = 5000
_TAG_TURNS = 100


class SqlDriver(Driver):
    """Keeps jobs in `store`. replica: a name that no other process has; rng: for the jitter of backoffs."""

    def __init__(
        self,
        store: Store,
        *,
        fingerprint: Fingerprint,
        unique_of: UniqueOf = no_unique,
        rng: Random,
        replica: str,
        max_queues: int = MAX_QUEUES,
        max_lanes: int = MAX_LANES,
        max_schedules: int = MAX_SCHEDULES,
    ) -> None:
        """Prepare; nothing is opened yet."""
        self._store = store
        self._replica = Replica(replica)
        for_dispatch, for_claim, for_settle, for_rest = (
            Cold(
                tables=store.tables,
                now=store.now,
                replica=self._replica,
                writer=writer,
                fingerprint=fingerprint,
                unique_of=unique_of,
            )
            for writer in range(4)
        )
        self._cold = for_rest
        positions = Positions()
        marks = Marks(positions)
        self._lanes = Lanes(store, for_rest, positions, marks, max_queues=max_queues, max_lanes=max_lanes)
        self._ready = Ready(store, positions, marks, self._lanes)
        dispatch = Dispatching(store, for_dispatch, self._lanes, self._ready)
        large = Dispatching(store, for_rest, self._lanes, self._ready, aside=True)
        self._dispatch = Roads(
            DispatchPipeline(
                "dispatch", dispatch.flush, weigh=dispatching.weigh, hold=dispatch.hold, forgets=True, linger=Linger()
            ),
            DispatchPipeline("dispatch aside", large.flush, weigh=dispatching.weigh, hold=large.hold, forgets=True),
        )
        claim = Claiming(store, for_claim, self._lanes, self._ready)
        self._claim = Pipeline[ClaimCall, Sequence[Lease]]("claim", claim.flush, weigh=claiming.weigh)
        settle = Settling(store, for_settle, self._lanes, self._ready, rng)
        self._settle = Pipeline[SettleCall, Sequence[Settled]]("settle", settle.flush, weigh=settling.weigh)
        self._lookout = Lookout(store, for_rest)
        self._jobs = SqlJobs(
            store,
            for_rest,
            self._lanes,
            self._ready,
            self._lookout,
            dispatch=self._dispatch,
            claim=self._claim,
            settle=self._settle,
        )
        self._sessions = SqlSessions(store, for_rest, self._lanes, self._ready, self._lookout, rng)
        self._queues = SqlQueues(store, for_rest, self._lanes, marks, self._lookout)
        self._schedules = SqlSchedules(store, for_rest, self._lanes, self._ready, self._lookout, max_schedules)
        self._events = SqlEvents(store, for_rest)
        self._tokens, self._audit = SqlTokens(store, for_rest), SqlAuditLog(store, for_rest)
        self._side_store = SqlSideStore(store, for_rest)
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def jobs(self) -> Jobs:
        return self._jobs

    @property
    def sessions(self) -> SqlSessions:
        return self._sessions

    @property
    def queues(self) -> Queues:
        return self._queues

    @property
    def schedules(self) -> Schedules:
        return self._schedules

    @property
    def events(self) -> Events:
        return self._events

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def audit(self) -> AuditLog:
        return self._audit

    @property
    def side_store(self) -> SideStore:
        return self._side_store

    def capabilities(self) -> Sequence[Capability]:
        one = self._store.name == "sqlite"
        why = "a SQLite database belongs to one process" if one else ""
        return [Capability(name="durable", available=True), Capability(name="replicas", available=not one, reason=why)]

    def pools(self) -> Mapping[str, Pool]:
        return self._store.pools()

    def numbers(self) -> Numbers:
        return NO_NUMBERS

    async def open(self, room: Room, follow_ups: FollowUps = NO_FOLLOW_UPS, witness: Witness = NOBODY) -> None:
        await self._store.open()
        try:
            await self._check_schema()
            await self._lease_number()
            await self._lanes.reload()
        except BaseException:
            await self._store.close()
            raise
        self._ready.room, self._ready.follow_ups, self._ready.witness = room, follow_ups, witness
        loop = asyncio.get_running_loop()
        # Owned by the driver: `close` cancels and awaits them.
        self._watchers = [loop.create_task(self._watch(), name="sql-watch"), loop.create_task(self._listen(), name="sql-listen")]

    async def _check_schema(self) -> None:
        """Raise StoreUnavailable unless this build may serve from the schema."""
        job = self._store.tables.job
        prefix = job.name.removesuffix("job")
        found = await self._store.run(lambda c: migrate.standing(c, job.schema, prefix), write=False)
        migrate.refuse(found, migrate.Schema.MISSING, migrate.Schema.OLDER, migrate.Schema.NEWER)
        if found is migrate.Schema.AHEAD:
            _log.warning("the schema is of a newer build, which lets this one serve")

    async def _lease_number(self) -> None:
        self._replica.number = await self._store.run(lambda c: lease_number(c, self._cold))
        self._replica.lost = False
        self._queues.tell_again()

    async def _watch(self) -> None:
        """Read the lanes four times a second, and tell the workers of jobs that other replicas have stored."""
        while True:
            await asyncio.sleep(_RELOAD_S)
            try:
                if self._replica.lost:
                    await self._lease_number()
                await self._lanes.reload()
                news, self._lanes.news = self._lanes.news, set()
                self._ready.heard(news)
            except JobsError as error:
                _log.warning("lanes not read", extra={"reason": error.reason})
            except Exception:  # noqa: BLE001 - without the lanes of others this replica would go on half blind
                _log.exception("lanes not read")

    async def _listen(self) -> None:
        await self._store.listen(self._ready.heard)

    async def close(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for pipeline in (self._dispatch, self._claim, self._settle):
            await pipeline.close()
        await self._lookout.close()
        if watchers:
            with suppress(JobsError):  # the number is free after a minute anyway
                await self._store.run(lambda c: return_number(c, self._cold))
        self._ready.room = NoRoom()
        await self._store.close()

    async def ping(self) -> datetime:
        # A store whose connections are busy is not away, and health and beats go by this.
        return moment(await self._store.ask(self._cold.clock, vital=True))

    async def maintain(self) -> None:
        await self._store.maintain()
        kept = self._lanes.retention().values()
        longest = max((max(r.completed, r.failed, r.cancelled) for r in kept), default=ID_WINDOW) + ID_WINDOW
        await self._store.run(lambda c: forget_sessions(c, self._cold, span(longest), _AT_A_TIME))
        await self._store.run(lambda c: forget_minutes(c, self._cold))
        await self._store.run(lambda c: forget_cancels(c, self._cold, _AT_A_TIME))
        for _ in range(_TAG_TURNS):
            if await self._store.run(lambda c: forget_tags(c, self._cold, _AT_A_TIME)) < _AT_A_TIME:
                break
        await self._sessions.rescue_left_over(_AT_A_TIME)
