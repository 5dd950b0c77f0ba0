"""What a history says about each job: events gathered once, in order of time."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.checker.history import Data, Event, History

FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})


@dataclass(slots=True)
class Run:
    """A handler that began; `end` None: nobody saw it end."""

    attempt: int
    session: str
    proc: str
    start: float
    data: Data
    end: float | None = None
    outcome: str = ""
    delay: float | None = None


@dataclass(slots=True)
class Settle:
    """The server's answer to one outcome."""

    attempt: int
    session: str
    acked: float
    code: str
    state: str
    sent: float | None


@dataclass(slots=True)
class Act:
    """A cancel, retry or delete; phase "invoke" means that nobody saw an answer."""

    op: str
    invoked: float
    phase: str = "invoke"
    acked: float | None = None
    state: str = ""
    already: bool = False

    @property
    def may_have_happened(self) -> bool:
        """Tell whether the store may have changed."""
        return self.phase != "fail" and not self.already


@dataclass(slots=True)
class Track:
    """One job."""

    job: str
    invoke: Data | None = None
    place: int = 0
    invoked: float = 0.0
    acked: float | None = None
    open_calls: int = 0
    refused: str = ""
    runs: list[Run] = field(default_factory=list[Run])
    settles: list[Settle] = field(default_factory=list[Settle])
    acts: list[Act] = field(default_factory=list[Act])
    dump: Data | None = None
    attempts: list[Data] = field(default_factory=list[Data])

    def column(self, name: str) -> Any:
        """Return this job's value of a list in its dispatch, None where it has none."""
        values = None if self.invoke is None else self.invoke.get(name)
        return None if values is None else values[self.place]

    def spec(self, name: str) -> Any:
        """Return a field that all jobs of its dispatch share."""
        return None if self.invoke is None else self.invoke.get(name)

    def acts_of(self, op: str) -> list[Act]:
        """Return the acts of one kind."""
        return [act for act in self.acts if act.op == op]

    def retried_within(self, begin: float, end: float) -> bool:
        """Tell whether a Retry may have taken effect between two moments."""
        return any(
            act.op == "retry" and act.may_have_happened and act.invoked <= end and (act.acked is None or act.acked >= begin)
            for act in self.acts
        )


@dataclass(slots=True)
class Fault:
    """Something done to a process; `end` infinity: never healed."""

    action: str
    target: str
    begin: float
    end: float = float("inf")


@dataclass(slots=True)
class Tracks:
    """All that one pass over a history gathers."""

    jobs: dict[str, Track] = field(default_factory=dict[str, Track])
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    slots: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Places of all sessions of a process together."""
    errors: list[Event] = field(default_factory=list[Event])
    logs: list[Event] = field(default_factory=list[Event])
    expected: list[Data] = field(default_factory=list[Data])
    stats: list[Data] = field(default_factory=list[Data])
    recounts: list[Data] = field(default_factory=list[Data])
    quiet: dict[str, float] = field(default_factory=dict[str, float])
    """Queues that should be empty of due work, and the wall time when they were looked at."""
    dumped: set[str] | None = None
    """Queues whose jobs were dumped; None: the store was not dumped."""

    def harmed(self, proc: str, begin: float, end: float) -> bool:
        """Tell whether a fault on a process overlaps a span of time."""
        return any(fault.begin <= end and fault.end >= begin for fault in self.faults.get(proc, ()))


def gather(history: History) -> Tracks:
    """Read a history once."""
    tracks = Tracks()
    readers: dict[str, Callable[[Tracks, Event], None]] = {
        "dispatch": _dispatch,
        "cancel": _act,
        "retry": _act,
        "delete": _act,
        "call": _call,
        "session": _session,
        "start": _start,
        "end": _end,
        "ran": _ran,
        "settled": _settled,
        "fault": _fault,
        "expect": lambda tracks, event: tracks.expected.append(event.data),
        "noted": lambda tracks, event: None,
        "log": lambda tracks, event: tracks.logs.append(event),
        "dump": _dump,
    }
    for event in history.events:
        readers[event.op](tracks, event)
    return tracks


def _track(tracks: Tracks, job: str) -> Track:
    track = tracks.jobs.get(job)
    if track is None:
        track = tracks.jobs[job] = Track(job)
    return track


def _dispatch(tracks: Tracks, event: Event) -> None:
    track = _track(tracks, event.job)
    match event.phase:
        case "invoke":
            track.open_calls += 1
            if track.invoke is None:
                track.invoke, track.place, track.invoked = event.data, event.place, event.t
        case "ok":
            if track.acked is None:
                track.acked = event.t
        case "fail":
            track.open_calls -= 1
            track.refused = event.data.get("reason") or event.data.get("code", "")
            _call(tracks, event)
        case _:
            _call(tracks, event)


def _act(tracks: Tracks, event: Event) -> None:
    track = _track(tracks, event.job)
    if event.phase == "invoke":
        track.acts.append(Act(event.op, event.t))
        return
    for act in reversed(track.acts):
        if act.op == event.op and act.phase == "invoke":
            act.phase, act.acked = event.phase, event.t
            act.state, act.already = event.data.get("state", ""), event.data.get("already", False)
            break
    if event.phase != "ok":
        _call(tracks, event)


def _call(tracks: Tracks, event: Event) -> None:
    if event.place == 0:
        tracks.errors.append(event)


def _session(tracks: Tracks, event: Event) -> None:
    tracks.slots[event.proc] += event.data["slots"]


def _start(tracks: Tracks, event: Event) -> None:
    run = Run(event.attempt, event.data.get("session", ""), event.proc, event.t, event.data)
    _track(tracks, event.job).runs.append(run)


def _ran(tracks: Tracks, event: Event) -> None:
    run = Run(event.attempt, event.data.get("session", ""), event.proc, event.t, event.data, event.t, "complete")
    _track(tracks, event.job).runs.append(run)


def _end(tracks: Tracks, event: Event) -> None:
    session = event.data.get("session", "")
    for run in reversed(_track(tracks, event.job).runs):
        if run.attempt == event.attempt and run.session == session and run.end is None:
            run.end, run.outcome, run.delay = event.t, event.data["outcome"], event.data.get("delay")
            return


def _settled(tracks: Tracks, event: Event) -> None:
    data = event.data
    answer = Settle(event.attempt, data.get("session", ""), event.t, data["code"], data.get("state", ""), data.get("sent"))
    _track(tracks, event.job).settles.append(answer)


def _fault(tracks: Tracks, event: Event) -> None:
    target, action = event.data["target"], event.data["action"]
    if event.phase == "begin":
        tracks.faults[target].append(Fault(action, target, event.t))
        return
    for fault in reversed(tracks.faults[target]):
        if fault.end == float("inf"):
            fault.end = event.t
            return


def _dump(tracks: Tracks, event: Event) -> None:
    data = event.data
    match event.phase:
        case "job":
            _track(tracks, event.job).dump = data
        case "attempt":
            _track(tracks, event.job).attempts.append(data)
        case "stats":
            tracks.stats.append(data)
        case "recount":
            tracks.recounts.append(data)
        case "quiet":
            tracks.quiet.update(dict.fromkeys(data["queues"], data.get("wall", 0.0)))
        case "all":
            tracks.dumped = (tracks.dumped or set()) | set(data["queues"])
        case _:
            raise ValueError(f"unknown dump {event.phase!r}")
