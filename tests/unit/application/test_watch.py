"""Watchers over one shared reader: catching up, joining, being too slow, and what they are told of starts."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.application.cursor import Cursor, Shown, decode, encode, show
from protojobs_service.application.watch import MOST_WAITING, Watcher
from protojobs_service.domain.bounds import EVENTS_KEPT
from protojobs_service.domain.errors import CursorExpired, InvalidField, Overloaded
from protojobs_service.domain.event import EventFilter, EventType, JobEvent
from protojobs_service.domain.job import Handle, JobId, Progress
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.domain.queue import EventLevel
from protojobs_service.port import Claim, Events, Flush, LogPage, LogQuery, News, Opening, Settlement

from tests.unit.application.stand import Outage, Stand

Seen = tuple[EventType, JobId]

_positions = st.dictionaries(st.integers(0, 30_000), st.integers(0, 2**63 - 1), max_size=40)
_taken = st.dictionaries(st.integers(0, 30_000), st.integers(1, 5000), max_size=3)


@given(_positions, _taken, st.text(max_size=70))
def test_a_cursor_is_read_as_it_was_made(position: dict[int, int], taken: dict[int, int], log: str) -> None:
    found = decode(encode(Cursor(position, taken), log), log)

    assert {slot: seq for slot, seq in found.position.items() if seq} == {slot: seq for slot, seq in position.items() if seq}
    assert found.taken == taken


@given(_positions, st.data())
def test_a_cursor_that_was_changed_is_refused(position: dict[int, int], data: st.DataObject) -> None:
    good = bytearray(encode(Cursor(position, {}), "log"))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(InvalidField, match="cursor"):
        decode(bytes(good), "log")


@given(st.binary(max_size=64))
def test_bytes_that_are_no_cursor_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidField, match="cursor"):
        decode(data, "log")


def test_going_on_behind_any_event_of_a_page_leaves_out_what_was_given_and_nothing_else() -> None:
    """Flushes hold many events, of which some are not wanted; their slots take turns."""
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def flush(slot: int, seq: int, size: int, *places: int) -> Flush:
        events = [
            JobEvent(type=EventType.PROCESSED, id=JobId(bytes([slot, seq, place])), attempt=1, at=at, before=None, after=None)
            for place in places
        ]
        return Flush(slot, seq, size, list(zip(places, events, strict=True)))

    flushes = [flush(1, 8, 3, 0, 2), flush(1, 9, 1, 0), flush(2, 1, 4, 1, 2), flush(5, 3, 2)]
    end = {1: 9, 2: 1, 5: 3}
    whole, behind = show(LogPage(flushes, end, True, ()), Cursor({1: 7, 5: 2}, {}), "log")
    ids = [one.event.id for one in whole]

    for place, one in enumerate(whole):
        cursor = decode(one.cursor, "log")
        rest = [each for each in flushes if each.seq > cursor.position.get(each.slot, 0)]
        again, last = show(LogPage(rest, end, True, ()), cursor, "log")
        assert [each.event.id for each in again] == ids[place + 1 :]
        assert last == behind == Cursor(end, {})


async def _watch(stand: Stand, cursor: bytes = b"", wanted: EventFilter | None = None) -> Watcher:
    """Watch; the greeting is read."""
    watcher = await stand.application.watch.open(wanted or EventFilter(), cursor)
    hello = await watcher.next()
    assert hello is not None
    assert not hello.events
    assert not cursor or hello.cursor == cursor
    return watcher


async def _read(stand: Stand, watcher: Watcher, events: int) -> list[Shown]:
    """Return so many events; the shared reader turns meanwhile."""
    seen: list[Shown] = []
    while len(seen) < events:
        seen += await _look(stand, watcher)
    assert len(seen) == events
    return seen


async def _look(stand: Stand, watcher: Watcher) -> Sequence[Shown]:
    """Return what the watcher gets in one turn of the reader and a bit more time; it may be nothing."""
    news = asyncio.ensure_future(watcher.next())
    for _ in range(3):
        await stand.clock.advance(0.3)
        await stand.application.watch.turn()
    await stand.clock.settle()
    if not news.done():
        news.cancel()
        with suppress(asyncio.CancelledError):
            await news
        return ()
    found = news.result()
    assert found is not None
    return found.events


def _seen(shown: Sequence[Shown]) -> list[Seen]:
    return [(one.event.type, one.event.id) for one in shown]


async def _cancelled(stand: Stand, jobs: int = 1, queue: str = "default") -> list[JobId]:
    """Make so many events, each in a flush of its own."""
    ids = await stand.dispatch(jobs, queue)
    await stand.driver.jobs.cancel(ids, timedelta(seconds=1))
    return ids


async def _running(stand: Stand, jobs: int = 1, queue: str = "default") -> tuple[Handle, list[JobId]]:
    """Let so many new jobs run."""
    ids = await stand.dispatch(jobs, queue)
    opening = Opening(
        secret=ids[0], stream_no=1, worker="w", sdk="", sdk_version="", queues=[queue], kinds=[], slots=9, ttl=timedelta(days=9)
    )
    opened = await stand.driver.sessions.open(opening)
    await stand.driver.jobs.claim([Claim(opened.handle, (queue,), None, frozenset(), jobs, 0)])
    return opened.handle, ids


def _all_cancelled(ids: Sequence[JobId]) -> list[Seen]:
    return [(EventType.CANCELLED, job_id) for job_id in ids]


@pytest.mark.asyncio
async def test_a_watcher_gets_what_comes_after_it_has_begun(stand: Stand) -> None:
    await _cancelled(stand)
    watcher = await _watch(stand)

    first = await _cancelled(stand, 2)
    got = await _read(stand, watcher, 2)
    second = await _cancelled(stand)
    got += await _read(stand, watcher, 1)

    assert _seen(got) == _all_cancelled([*first, *second])


@pytest.mark.asyncio
async def test_watching_goes_on_behind_any_event_without_gap_or_repeat(stand: Stand) -> None:
    first = await _watch(stand)
    ids = await _cancelled(stand, 5)
    got = await _read(stand, first, 5)

    for place, one in enumerate(got):
        again = await _watch(stand, one.cursor)
        later = await _cancelled(stand)
        ids += later
        rest = await _read(stand, again, len(ids) - place - 1)
        assert _seen(rest) == _all_cancelled(ids[place + 1 :])
        again.__exit__(None, None, None)


@pytest.mark.asyncio
async def test_watchers_share_one_reader_and_get_what_each_has_asked_for(stand: Stand) -> None:
    both, mine = await _watch(stand), await _watch(stand, wanted=EventFilter(queues=frozenset({"mine"})))
    await _look(stand, both)
    await _look(stand, mine)
    reads = Outage(stand.driver.events, "read")
    reads.is_on = False

    other, own = await _cancelled(stand, 1, "other"), await _cancelled(stand, 1, "mine")
    await stand.application.watch.turn()

    assert reads.calls == 1
    assert _seen(await _look(stand, both)) == _all_cancelled([*other, *own])
    assert _seen(await _look(stand, mine)) == _all_cancelled(own)


@pytest.mark.asyncio
async def test_a_watcher_with_an_old_cursor_joins_while_events_come_and_misses_none(stand: Stand) -> None:
    first = await _watch(stand)
    start = first._cursor
    await _look(stand, first)
    ids = await _cancelled(stand, 700)
    late = await _watch(stand, start)

    got: list[Shown] = []
    while len(got) < 760:
        if len(ids) < 760:
            ids += await _cancelled(stand, 10)
        got += await _look(stand, late)

    assert _seen(got) == _all_cancelled(ids)


@pytest.mark.asyncio
async def test_what_is_committed_while_a_watcher_joins_is_not_lost(stand: Stand) -> None:
    """The reader is ahead when the watcher has read everything: the stretch in between it reads by itself."""
    first, late = await _watch(stand), await _watch(stand)
    await _look(stand, first)
    ids: list[JobId] = []
    inner = stand.driver.events

    class Racing(Events):
        end, forget = inner.end, inner.forget

        async def read(self, query: LogQuery) -> LogPage:
            page = await inner.read(query)
            if not ids:  # right behind the late one's read, before it joins, others are told of this
                ids.extend(await _cancelled(stand, 2))
                await stand.application.watch.turn()
            return page

    stand.driver._events = Racing()  # type: ignore[assignment] # a driver that is watched
    got = await _read(stand, late, 2)

    assert _seen(got) == _all_cancelled(ids)
    assert _seen(await _read(stand, first, 2)) == _all_cancelled(ids)


@pytest.mark.asyncio
async def test_a_watcher_that_does_not_read_is_cut_off_and_goes_on_from_its_cursor(stand: Stand) -> None:
    slow, good = await _watch(stand), await _watch(stand)
    for watcher in (slow, good):
        await _look(stand, watcher)

    ids = await _cancelled(stand, MOST_WAITING + 600)
    got: list[Shown] = []
    while len(got) < len(ids):
        got += await _look(stand, good)
    kept = await slow.next()
    with pytest.raises(Overloaded):
        await slow.next()

    assert kept is not None
    assert 0 < len(kept.events) <= MOST_WAITING
    rest = await _read(stand, await _watch(stand, kept.cursor), len(ids) - len(kept.events))
    assert _seen([*kept.events, *rest]) == _seen(got) == _all_cancelled(ids)


@pytest.mark.asyncio
async def test_an_idle_watcher_gets_a_sign_of_life_whose_cursor_has_moved_on(stand: Stand) -> None:
    watcher = await _watch(stand, wanted=EventFilter(queues=frozenset({"mine"})))
    start = watcher._cursor
    await _look(stand, watcher)
    await _cancelled(stand, 3, "other")
    await stand.application.watch.turn()

    sign = asyncio.ensure_future(watcher.next())
    await stand.clock.advance(stand.application.timings.watch_heartbeat + 1)
    news = await sign

    assert news is not None
    assert not news.events
    assert news.cursor != start
    assert await _look(stand, await _watch(stand, news.cursor)) == ()


@pytest.mark.asyncio
async def test_a_cursor_of_what_is_not_kept_any_more_is_refused(stand: Stand) -> None:
    cursor = (await _watch(stand))._cursor
    await _cancelled(stand)
    await stand.clock.advance(EVENTS_KEPT.total_seconds() + 1)
    assert await stand.application.watch.forget(10) == 1

    with pytest.raises(CursorExpired):
        await (await _watch(stand, cursor)).next()


@pytest.mark.asyncio
async def test_a_store_that_does_not_answer_costs_watchers_time_and_no_event(stand: Stand) -> None:
    watcher = await _watch(stand)
    await _look(stand, watcher)
    outage = Outage(stand.driver.events, "read")
    ids = await _cancelled(stand)
    with pytest.raises(Exception, match="does not answer"):
        await stand.application.watch.turn()

    outage.is_on = False

    assert _seen(await _read(stand, watcher, 1)) == _all_cancelled(ids)


@pytest.mark.asyncio
async def test_states_that_are_no_events_or_not_told_of_are_refused_with_the_name_of_the_setting(stand: Stand) -> None:
    await stand.dispatch(1, "quiet")
    open_ = stand.application.watch.open
    running = frozenset({State.RUNNING})

    with pytest.raises(InvalidField, match=r"filter\.states: .*SCHEDULED"):
        await open_(EventFilter(states=frozenset({State.SCHEDULED})))
    with pytest.raises(InvalidField, match=r"filter\.states: .*events = ALL of queue quiet"):
        await open_(EventFilter(states=running, queues=frozenset({"quiet"})))
    with pytest.raises(InvalidField, match=r"filter\.states: .*events = ALL"):
        await open_(EventFilter(states=running))

    await stand.application.queues.update("quiet", lambda old: replace(old, events=EventLevel.ALL))
    await open_(EventFilter(states=running, queues=frozenset({"quiet"})))


@pytest.mark.asyncio
async def test_starts_and_progress_are_told_once_and_before_the_end_of_their_attempt(stand: Stand) -> None:
    await stand.application.queues.update("default", lambda old: replace(old, events=EventLevel.ALL))
    _, [before] = await _running(stand)
    watcher = await _watch(stand)
    await _look(stand, watcher)

    handle, [long] = await _running(stand)
    got = list(await _look(stand, watcher))
    await stand.driver.jobs.update([News(long, 1, handle, Progress(ratio=0.5, message="", at=stand.clock.store_time()), None)])
    got += await _look(stand, watcher)
    other, [short] = await _running(stand)
    items = [Settlement(long, 1, handle, COMPLETE), Settlement(short, 1, other, COMPLETE)]
    await stand.driver.jobs.settle(items)
    got += await _read(stand, watcher, 3)

    assert _seen(got) == [
        (EventType.PROCESSING, long),
        (EventType.PROGRESS, long),
        (EventType.PROCESSED, long),
        (EventType.PROCESSING, short),
        (EventType.PROCESSED, short),
    ]
    assert before not in {one.event.id for one in got}
    start = got[3].event
    assert (start.before, start.after, start.job and start.job.state) == (State.PENDING, State.RUNNING, State.RUNNING)
    again = await _read(stand, await _watch(stand, got[3].cursor), 1)
    assert _seen(again) == [(EventType.PROCESSED, short)]


@pytest.mark.asyncio
async def test_without_the_setting_running_jobs_are_not_even_read(stand: Stand) -> None:
    watcher = await _watch(stand)
    await _look(stand, watcher)
    _, [job_id] = await _running(stand)

    assert await _look(stand, watcher) == ()
    await stand.driver.jobs.cancel([job_id], timedelta())
    assert await _look(stand, watcher) == ()


@pytest.mark.asyncio
async def test_a_stopped_watcher_ends(stand: Stand) -> None:
    watcher = await _watch(stand)
    await _look(stand, watcher)
    waiting = asyncio.ensure_future(watcher.next())
    await stand.clock.settle()

    watcher.stop()

    assert await waiting is None
