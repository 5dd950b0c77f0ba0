"""Fair queues: the position of a job is its start tag of start-time fair queueing, so that claims need to know nothing of shares.

A tag is the later of the queue's virtual time and the end of the key's job before; a job of weight w takes STEP / w of the key's
own time. Virtual time is the tag that is claimed next: the lowest in `ready`, of one priority; where nothing waits it is the
store's clock, and nobody's past counts. (Goyal, Vin, Cheng: Start-time Fair Queueing, 1996.)
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from protojobs_service.drivers.sql.cold.base import Cold, add, among, among_keys, chunks
from protojobs_service.drivers.sql.cold.heads import Spot, heads
from protojobs_service.drivers.sql.cold.rows import Placed

_FINE = 1000
"""Tags are kept in thousandths of a position, so that the steps of heavy keys differ."""
_STEP = 20 * _FINE
"""Microseconds of a position that a job of weight 1 takes: tags stay behind the clock for up to 50 000 jobs a second."""


class _Share(NamedTuple):
    """Whose turn it is: shares are kept within a priority, which goes before them."""

    queue: str
    band: int
    key: str


class _Queue(NamedTuple):
    lanes: list[int]
    weights: Mapping[str, int]


def in_turn(c: Connection, cold: Cold, jobs: Sequence[Placed], keys: Mapping[bytes, str | None] | None = None) -> list[Placed]:
    """Return new arrivals with the positions that their queues give them: those of fair ones their start tags.

    keys: the fairness keys, where the store does not have them yet.
    """
    asking = [i for i, (job, _) in enumerate(jobs) if job.lane in cold.replica.fair]
    if not asking:
        return list(jobs)
    names = _queue_names(c, cold, {jobs[i][0].lane for i in asking})
    queues = _fair_queues(c, cold, set(names.values()))
    known = keys if keys is not None else _keys_of(c, cold, [jobs[i][0].id for i in asking])
    shares = {
        i: _Share(names[job.lane], job.band, known.get(job.id) or "") for i in asking if names[(job := jobs[i][0]).lane] in queues
    }
    tags = _lock(c, cold, set(shares.values()))
    times = _virtual_times(c, cold, queues, {(share.queue, share.band) for share in shares.values()})
    placed = list(jobs)
    for i, share in shares.items():
        job, position = jobs[i]
        now = times.get((share.queue, share.band))
        start = position * _FINE if now is None else now * _FINE
        if now is not None or tags[share][1]:
            start = max(start, tags[share][0])
        placed[i] = (job, start // _FINE)
        weight = queues[share.queue].weights.get(share.key, 1)
        tags[share] = (start + _STEP // weight, True)
    _store(c, cold, {share: tag for share, (tag, _) in tags.items()})
    return placed


def forget_tags(c: Connection, cold: Cold, limit: int) -> int:
    """Drop at most `limit` tags that virtual time has passed: they say nothing any more. Returns how many."""
    fair_key = cold.tables.fair_key
    bands: defaultdict[str, set[int]] = defaultdict(set)
    for row in c.execute(select(fair_key.c.queue, fair_key.c.band).distinct()):
        bands[row.queue].add(row.band)
    queues = _fair_queues(c, cold, bands.keys())
    wanted = {(queue, band) for queue, of_queue in bands.items() for band in of_queue}
    times = _virtual_times(c, cold, queues, wanted)
    dropped = 0
    for queue, band in sorted(wanted):
        now = times.get((queue, band))
        old = select(fair_key.c.key).where(fair_key.c.queue == queue, fair_key.c.band == band)
        if now is not None:
            old = old.where(fair_key.c.last_tag <= now * _FINE)
        found = [row.key for row in c.execute(old.limit(limit - dropped).with_for_update(skip_locked=True))]
        for some in chunks(found):
            ours = (fair_key.c.queue == queue, fair_key.c.band == band, among(fair_key.c.key, some))
            c.execute(delete(fair_key).where(*ours))
        dropped += len(found)
        if dropped >= limit:
            break
    return dropped


def _queue_names(c: Connection, cold: Cold, lanes: Collection[int]) -> dict[int, str]:
    lane = cold.tables.lane
    rows = select(lane.c.id, lane.c.queue)
    return {row.id: row.queue for some in chunks(sorted(lanes)) for row in c.execute(rows.where(among(lane.c.id, some)))}


def _fair_queues(c: Connection, cold: Cold, names: Collection[str]) -> dict[str, _Queue]:
    """Return those of these queues that are fair as it is stored now; what a replica remembers may be old."""
    lane, queue = cold.tables.lane, cold.tables.queue
    found: dict[str, _Queue] = {}
    for some in chunks(sorted(names)):
        for row in c.execute(select(queue.c.name, queue.c.settings).where(among(queue.c.name, some))):
            fairness = json.loads(row.settings).get("fairness", {})
            if fairness.get("enabled"):
                found[row.name] = _Queue([], fairness.get("weights", {}))
    for some in chunks(sorted(found)):
        for row in c.execute(select(lane.c.id, lane.c.queue).where(among(lane.c.queue, some))):
            found[row.queue].lanes.append(row.id)
    return found


def _keys_of(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, str | None]:
    job_key = cold.tables.job_key
    rows = select(job_key.c.id, job_key.c.fairness_key)
    return {row.id: row.fairness_key for some in chunks(ids) for row in c.execute(rows.where(among(job_key.c.id, some)))}


def _virtual_times(
    c: Connection, cold: Cold, queues: Mapping[str, _Queue], wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Return the tag that is claimed next, of each queue and band in which any job waits."""
    spots = {Spot(lane, band): queue for queue, band in wanted if queue in queues for lane in queues[queue].lanes}
    times: dict[tuple[str, int], int] = {}
    for spot, position in heads(c, cold, sorted(spots)).items():
        at = (spots[spot], spot.band)
        times[at] = min(position, times.get(at, position))
    return times


def _lock(c: Connection, cold: Cold, shares: Collection[_Share]) -> dict[_Share, tuple[int, bool]]:
    """Lock the tags of these keys, made where there are none. With each goes whether this flush has raised it: not yet."""
    fair_key, wanted = cold.tables.fair_key, sorted(shares)
    add(c, fair_key, [{**share._asdict(), "last_tag": 0} for share in wanted], columns=["last_tag"])
    tags: dict[_Share, tuple[int, bool]] = {}
    for chunk in chunks(wanted):
        some = among_keys([fair_key.c.queue, fair_key.c.band, fair_key.c.key], chunk)
        tags |= {_Share(row.queue, row.band, row.key): (row.last_tag, False) for row in c.execute(select(fair_key).where(some))}
    return tags


def _store(c: Connection, cold: Cold, tags: Mapping[_Share, int]) -> None:
    fair_key = cold.tables.fair_key
    of_share = (fair_key.c.queue == bindparam("q"), fair_key.c.band == bindparam("b"), fair_key.c.key == bindparam("k"))
    if tags:
        values = [{"q": share.queue, "b": share.band, "k": share.key, "t": tag} for share, tag in tags.items()]
        c.execute(update(fair_key).where(*of_share).values(last_tag=bindparam("t")), values)
