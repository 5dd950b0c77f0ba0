"""Reads histories. One JSON object a line: t (monotonic seconds), proc, op, phase, and what the op needs.

    who        op        phase                  fields
    producer   dispatch  invoke                 jobs, queue, kind, digests, delay, run_at (epoch s), policy, may_expire
                         ok                     jobs, outcomes (default CREATED)
                         fail | info            jobs, code, reason: definite, nothing stored | nobody knows
               cancel    invoke | ok | fail | info   job; ok: state
               retry     invoke | ok | fail | info   job; ok: state, already; invoke: run_at
               delete    invoke | ok | fail | info   job
               call      fail | info            code, reason: any other RPC that did not succeed
    worker     session                          session, slots
               start                            job, attempt, session, digest, wall: before the handler does anything
               end                              job, attempt, session, outcome, delay: before any network act
               ran                              job, attempt, session: start and end in one, for handlers that do nothing
               settled                          job, attempt, session, code, state, sent (t of the frame, optional)
    nemesis    fault     begin | end            action, target (proc): end when healed
               expect                           code or log: an error that this run may show
    store      dump      job                    job, queue, state, attempt, failures, crashes, cancelled..., next_at
                         attempt                job, attempt, outcome, worker, started_at, finished_at, retaken
                         stats | recount        queue, counts: as Stats says | as the tables say
                         quiet                  queues: they have had the time to drain
    server     log       error                  message: a line at ERROR or worse, or a traceback
    anybody    noted                            anything: for people, not judged

`jobs` or `rows` ([job, attempt, t] each) stand for one event per job. A torn last line (its writer was killed) is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

Data = dict[str, Any]


class Event(NamedTuple):
    """One line, or one job's part of it. `place` is the job's index in the line's lists."""

    t: float
    op: str
    phase: str
    proc: str
    job: str
    attempt: int
    place: int
    data: Data


class History(NamedTuple):
    """All events of a run in order of time."""

    events: Sequence[Event]

    def of_job(self, job: str) -> Iterator[Event]:
        """Yield what happened to one job."""
        return (event for event in self.events if event.job == job)


def read_history(paths: Iterable[Path]) -> History:
    """Read the files of one run."""
    known: dict[str, str] = {}
    events: list[Event] = []
    for path in paths:
        for data in _lines(path):
            events.extend(expand(data, known))
    return order(events)


def order(events: Iterable[Event]) -> History:
    """Return events as a history. Events of one moment keep the order they came in."""
    return History(sorted(events, key=attrgetter("t")))


def expand(data: Data, known: dict[str, str] | None = None) -> Iterator[Event]:
    """Yield one event per job of a line; `known` makes equal ids one object."""
    same = known if known is not None else {}
    t, op, phase, proc = data["t"], data["op"], data.get("phase", ""), data.get("proc", "")
    if (rows := data.pop("rows", None)) is not None:
        for place, (job, attempt, moment) in enumerate(rows):
            yield Event(moment, op, phase, proc, same.setdefault(job, job), attempt, place, data)
    elif (jobs := data.pop("jobs", None)) is not None:
        for place, job in enumerate(jobs):
            yield Event(t, op, phase, proc, same.setdefault(job, job), 0, place, data)
    else:
        job = data.get("job", "")
        yield Event(t, op, phase, proc, same.setdefault(job, job), data.get("attempt", 0), 0, data)


def _lines(path: Path) -> Iterator[Data]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)
