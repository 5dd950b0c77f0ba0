"""Upkeep for one time: what the timers of a server do to the store, step by step, for a command beside or instead of them.

Every step is the same bounded, conditional work that each replica does, so it may run beside servers and be repeated. While no
server was there, leases do not expire: the first run after that only says that the store is looked after again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protojobs_service.application.audit import Audit
from protojobs_service.application.schedules import Schedules
from protojobs_service.application.tokens import Tokens
from protojobs_service.application.watch import Watch
from protojobs_service.port import Driver

_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepDone:
    """What was done, in jobs, but for ticks, events, counters, tokens and audit records.

    unfinished: the steps that were ended by the bound.
    """

    promoted: int
    ticks: int
    unheld: int
    expired: int
    rescued: int
    pruned: int
    ticks_forgotten: int
    events_forgotten: int
    tokens_forgotten: int
    audit_forgotten: int
    counters_mended: int
    unfinished: tuple[str, ...]


async def upkeep_once(driver: Driver, schedules: Schedules, events: Watch, tokens: Tokens, audit: Audit, most: int) -> UpkeepDone:
    """Do each step until nothing is left of it, or `most` were done. Raises StoreUnavailable; what was done before stays done."""
    unfinished: list[str] = []

    async def all_of(name: str, step: Callable[[int], Awaitable[int]]) -> int:
        done = 0
        while done < most:
            limit = min(_AT_A_TIME, most - done)
            now = await step(limit)
            done += now
            if now < limit:
                return done
        unfinished.append(name)
        return done

    async def rescue(limit: int) -> int:
        return len(await driver.sessions.rescue(limit))

    async def ticks() -> int:
        done = 0
        while done < most:
            fired = await schedules.fire()
            done += len(fired.late)
            if not fired.more:
                return done
        unfinished.append("ticks")
        return done

    await driver.sessions.beat()
    promoted = await all_of("promoted", driver.jobs.promote)
    fired = await ticks()
    unheld = await all_of("unheld", driver.jobs.unhold)
    expired = await all_of("expired", driver.jobs.expire)
    rescued = await all_of("rescued", rescue)
    pruned = await all_of("pruned", driver.jobs.prune)
    forgotten = await all_of("ticks_forgotten", schedules.forget_ticks)
    events_forgotten = await all_of("events_forgotten", events.forget)
    tokens_forgotten = await all_of("tokens_forgotten", tokens.forget)
    audit_forgotten = await all_of("audit_forgotten", audit.forget)
    mended = await driver.queues.reconcile()
    await driver.maintain()
    return UpkeepDone(
        promoted=promoted,
        ticks=fired,
        unheld=unheld,
        expired=expired,
        rescued=rescued,
        pruned=pruned,
        ticks_forgotten=forgotten,
        events_forgotten=events_forgotten,
        tokens_forgotten=tokens_forgotten,
        audit_forgotten=audit_forgotten,
        counters_mended=mended,
        unfinished=tuple(unfinished),
    )
