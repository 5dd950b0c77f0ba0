"""The application as transport sees it: every use case over one driver, and the tasks behind them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Self

from protojobs_service.application.audit import Audit, Say, say_nothing
from protojobs_service.application.bulk import BulkJobs
from protojobs_service.application.cancel import Cancel
from protojobs_service.application.clock import Clock, SystemClock
from protojobs_service.application.dispatch import Dispatch
from protojobs_service.application.follow_ups import FollowUps, ReadFollowUps, no_follow_ups
from protojobs_service.application.inspect import Inspect
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease import Leasing
from protojobs_service.application.lease_calls import LeaseCalls
from protojobs_service.application.lease_claims import LeaseClaims
from protojobs_service.application.lease_errands import Errands
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.lease_watch import LeaseWatch
from protojobs_service.application.new_tokens import MadeToken, make_by_hand
from protojobs_service.application.queues import Queues
from protojobs_service.application.recent import Recent
from protojobs_service.application.retry import Retry
from protojobs_service.application.scaling import MOST_SOON, SOON, Scaling, StatsLook
from protojobs_service.application.schedules import MakeDraft, Schedules, no_templates
from protojobs_service.application.settle import Settle
from protojobs_service.application.store_time import StoreTime
from protojobs_service.application.tally import Tally
from protojobs_service.application.timings import Timings
from protojobs_service.application.tokens import Tokens
from protojobs_service.application.update import Update
from protojobs_service.application.upkeep import Upkeep
from protojobs_service.application.upkeep_once import UpkeepDone, upkeep_once
from protojobs_service.application.wait import Wait
from protojobs_service.application.watch import Watch
from protojobs_service.application.workers import Workers
from protojobs_service.domain.access import Grant
from protojobs_service.domain.bounds import AUDIT_KEPT, Limits
from protojobs_service.domain.errors import NOT_NOW
from protojobs_service.domain.features import BUILT
from protojobs_service.port import Brief, Capability, Driver

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Every use case. `running` opens the driver and keeps the tasks alive; calls before and after it are refused by the driver."""

    dispatch: Dispatch
    cancel: Cancel
    retry: Retry
    update: Update
    bulk: BulkJobs
    inspect: Inspect
    wait: Wait
    watch: Watch
    queues: Queues
    recent_stats: Recent[StatsLook]
    scaling: Scaling
    schedules: Schedules
    follow_ups: FollowUps
    workers: Workers
    leasing: Leasing
    room: LeaseRoom
    claims: LeaseClaims
    errands: Errands
    settle: Settle
    lease_calls: LeaseCalls
    lease_watch: LeaseWatch
    known_queues: KnownQueues
    store_time: StoreTime
    limits: Limits
    timings: Timings
    clock: Clock
    driver: Driver
    tokens: Tokens
    audit: Audit
    upkeep: Upkeep
    tally: Tally

    @classmethod
    def over(
        cls,
        driver: Driver,
        *,
        limits: Limits | None = None,
        timings: Timings | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        draft: MakeDraft = no_templates,
        draft_scheduled: MakeDraft | None = None,
        read_follow_ups: ReadFollowUps = no_follow_ups,
        brief: Brief = bytes,
        audit_kept: timedelta = AUDIT_KEPT,
        say_audit: Say = say_nothing,
    ) -> Self:
        """Return the use cases over `driver`, which is opened by `running`.

        draft, read_follow_ups: how templates are read, and how they are found in envelopes. draft_scheduled: for the templates of
        schedules, if another way. brief: what those who watch are shown of an envelope.
        audit_kept, say_audit: how long the audit log is kept, and where else each record goes.
        """
        limits, timings = limits or Limits(), timings or Timings()
        clock, rng = clock or SystemClock(), rng or Random()
        store_time = StoreTime(driver, clock)
        known = KnownQueues(driver)
        wait = Wait(driver, clock)
        errands = Errands()
        tally = Tally()
        room = LeaseRoom(known, clock, timings, errands)
        claims = LeaseClaims(driver, room, errands, known, clock, timings)
        leasing = Leasing(driver, room, errands, known, clock, rng, timings, limits.reconnect_grace)
        watch = LeaseWatch(driver, leasing, room, errands, clock, timings, tally)
        events = Watch(driver, known, clock, timings, brief)
        settle = Settle(driver, known, store_time, leasing, wait, tally)
        dispatch = Dispatch(driver, known, store_time, errands, clock)
        queues = Queues(driver, known, room, clock, timings)
        recent_stats = Recent(queues.stats, clock)
        tokens, audit = Tokens(driver, store_time, clock), Audit(driver, clock, kept=audit_kept, say=say_audit)
        schedules = Schedules(driver, known, store_time, dispatch, draft_scheduled or draft)
        return cls(
            dispatch=dispatch,
            schedules=schedules,
            follow_ups=FollowUps(known, store_time, read_follow_ups, draft),
            cancel=Cancel(driver, wait),
            retry=Retry(driver),
            update=Update(driver, known, store_time),
            bulk=BulkJobs(driver, wait),
            inspect=Inspect(driver, wait),
            wait=wait,
            watch=events,
            queues=queues,
            recent_stats=recent_stats,
            scaling=Scaling(recent_stats, Recent(lambda: driver.queues.due_soon(SOON, MOST_SOON), clock)),
            workers=Workers(driver),
            leasing=leasing,
            room=room,
            claims=claims,
            errands=errands,
            settle=settle,
            known_queues=known,
            store_time=store_time,
            limits=limits,
            timings=timings,
            clock=clock,
            driver=driver,
            tokens=tokens,
            audit=audit,
            upkeep=Upkeep(driver, known, wait, claims, watch, events, store_time, schedules, tokens, audit, clock, timings, tally),
            lease_calls=LeaseCalls(driver, leasing, room, settle, clock),
            lease_watch=watch,
            tally=tally,
        )

    @property
    def driver_name(self) -> str:
        """Return the driver's name."""
        return self.driver.name

    def capabilities(self) -> Sequence[Capability]:
        """Return every capability of the contract, available or with the reason why not."""
        built = [Capability(name=name, available=True) for name in BUILT]
        return [*self.driver.capabilities(), *built]

    async def upkeep_once(self, most: int) -> UpkeepDone:
        """Open the driver, do every step of upkeep once and close it, instead of `running`. Raises StoreUnavailable."""
        await self.driver.open(self.room, self.follow_ups)
        try:
            await self.store_time.refresh()
            await self.known_queues.refresh()
            return await upkeep_once(self.driver, self.schedules, self.watch, self.tokens, self.audit, most)
        finally:
            await self.driver.close()

    async def create_first_token(self, name: str, grants: Sequence[Grant], ttl: timedelta) -> MadeToken:
        """Open the driver, make a token, put that into the audit log and close it, instead of `running`.

        Raises what `Tokens.create` raises.
        """
        await self.driver.open(self.room, self.follow_ups)
        try:
            return await make_by_hand(self.driver, name, grants, ttl)
        finally:
            await self.driver.close()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open the driver, run the tasks; at the end stop them, give leases back and close the driver. Raises StoreUnavailable."""
        await self.driver.open(self.room, self.follow_ups)
        try:
            await self.store_time.refresh()
            await self.known_queues.refresh()
            failure: BaseException | None = None
            async with asyncio.TaskGroup() as tasks:
                stop = self.upkeep.start(tasks)
                try:
                    yield
                except BaseException as error:  # noqa: BLE001 # raised below as it is, not in a group
                    failure = error
                finally:
                    stop()
            if failure is not None:
                raise failure
            await self._let_go()
        finally:
            await self.tokens.known.finish()
            await self.audit.finish()
            await self.driver.close()

    async def _let_go(self) -> None:
        try:
            await self.lease_watch.close()
        except NOT_NOW:
            _log.warning("the store does not answer; leases of this server expire by themselves")
