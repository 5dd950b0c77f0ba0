"""Settling what is more than a plain completion, and answering what was not applied."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from sqlalchemy import Connection, select

from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, moment_or_none
from protojobs_service.drivers.sql.cold.follow_ups import (
    Children,
    children_of,
    following,
    lock_depths,
    note_skipped,
    store_children,
)
from protojobs_service.drivers.sql.cold.running import Attempt, Ending, end_attempts, lock_ids
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.port.jobs import Settled, Settlement, SettleVerdict


class SettledAll(NamedTuple):
    """Answers by place, where `ready` has got jobs, how many jobs the outcomes brought, and which of those were left out."""

    answers: list[Settled]
    arrivals: set[Arrival]
    brought: int
    skipped: list[NewJob]


class Owner(NamedTuple):
    """The session that a handle belongs to."""

    session: int
    expires_at: int


def settle(
    c: Connection,
    cold: Cold,
    items: Sequence[Settlement],
    *,
    strict: frozenset[int],
    children: Children,
    front: int,
    rng: Random,
) -> SettledAll:
    """Apply outcomes under the compare-and-set on (id, attempt, handle); answers by place. Raises LanesMissing.

    strict: lanes that refuse an expired session. children: how jobs are stored that an outcome brings, or that follow. front: the
    first of as many positions as there are items.
    """
    attempts = lock_ids(c, cold, (item.id for item in items))
    now = cold.clock(c)
    owners = owners_of(c, cold, {item.handle for item in items} | {row.handle for row in attempts.values()})
    applied: dict[int, Ending] = {}
    for place, item in enumerate(items):
        row = attempts.get(item.id)
        if row is None or (row.attempt, row.handle) != (item.attempt, item.handle):
            continue
        owner = owners.get(row.handle)
        if row.lane in strict and (owner is None or owner.expires_at <= now):
            continue
        del attempts[item.id]  # the second settle of one attempt finds it ended
        applied[place] = Ending(row, item.outcome, settled=not item.by_server)
    endings = list(applied.values())
    lock_depths(c, cold, endings, children)
    ended, arrivals = end_attempts(c, cold, endings, now=now, front=front, rng=rng)
    brought = [*children_of(endings), *following(c, cold, endings, ended, children.follow_ups)]
    skipped, arrived = store_children(c, cold, brought, children)
    note_skipped(c, cold, endings, skipped)
    answers: dict[int, Settled] = {
        place: Settled(SettleVerdict.OK, state, moment_or_none(due_at))
        for place, (state, due_at) in zip(applied, ended, strict=True)
    }
    rest = [place for place in range(len(items)) if place not in answers]
    answers.update(zip(rest, refuse(c, cold, [items[place] for place in rest], owners, attempts), strict=True))
    return SettledAll([answers[place] for place in range(len(items))], arrivals | arrived, len(brought), skipped)


def owners_of(c: Connection, cold: Cold, handles: Iterable[int]) -> dict[int, Owner]:
    """Return the sessions of handles."""
    handle, session = cold.tables.handle, cold.tables.session
    columns = select(handle.c.id, session.c.id, session.c.expires_at).join_from(handle, session, session.c.id == handle.c.session)
    rows = [row for some in chunks(list(handles)) for row in c.execute(columns.where(among(handle.c.id, some)))]
    return {row[0]: Owner(row[1], row[2]) for row in rows}


def refuse(
    c: Connection, cold: Cold, items: Sequence[Settlement], owners: dict[int, Owner], running: dict[bytes, Attempt]
) -> list[Settled]:
    """Say why each item was not applied: RETRY_LATER, ALREADY or SUPERSEDED. `running`: what still runs of these jobs."""
    if not items:
        return []
    said = _said(c, cold, items)
    owners = owners | owners_of(c, cold, set(said.values()) - owners.keys())
    stands = standing(c, cold, {item.id for item in items})
    answers: list[Settled] = []
    for item in items:
        owner, row, at = owners.get(item.handle), running.get(item.id), stands.get(item.id)
        state = None if at is None else at.state
        if owner is None:
            answers.append(Settled(SettleVerdict.SUPERSEDED, None))
        elif row is not None and row.attempt == item.attempt and row.handle != item.handle and _same(owners.get(row.handle), owner):
            answers.append(Settled(SettleVerdict.RETRY_LATER, State.RUNNING))
        elif _same(owners.get(said.get((item.id, item.attempt), 0)), owner):
            answers.append(Settled(SettleVerdict.ALREADY, state, None if at is None else moment_or_none(at.due_at)))
        else:
            answers.append(Settled(SettleVerdict.SUPERSEDED, state))
    return answers


def _same(one: Owner | None, other: Owner) -> bool:
    return one is not None and one.session == other.session


def _said(c: Connection, cold: Cold, items: Sequence[Settlement]) -> dict[tuple[bytes, int], int]:
    """Return the handle that ended each attempt by its own word: done.handle is negative where the server ended it."""
    done, wanted = cold.tables.done, {(item.id, item.attempt) for item in items}
    columns = select(done.c.id, done.c.attempt, done.c.handle).where(done.c.handle > 0)
    rows = [row for some in chunks(list({item.id for item in items})) for row in c.execute(columns.where(among(done.c.id, some)))]
    return {(row.id, row.attempt): row.handle for row in rows if (row.id, row.attempt) in wanted}
