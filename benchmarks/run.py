"""One load on one queue, from its begin until all is done, and what the histories say of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from protojobs_client import Client

from benchmarks.stack import QUEUE, Stack
from benchmarks.times import Times, notes, percentiles, rate
from benchmarks.usage import per_1000_jobs
from benchmarks.waiting import until
from tests.checker import History, Recorder, Report, judge, read_history

DRAINED_WITHIN_S: Final = 900.0
# Each look costs the server a few milliseconds; the figure is too low by at most so much.
ASKED_EVERY_S: Final = 0.2
_TO_DO: Final = ("pending", "running", "retrying", "scheduled")
_STATES: Final = (*_TO_DO, "completed", "failed", "cancelled", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, by whom. seconds: how long producers go on; jobs: or up to how many. The others belong to single scenarios."""

    seconds: float = 20.0
    jobs: int | None = None
    producers: int = 1
    outstanding: int = 6
    batch: int = 500
    workers: int = 2
    window: int = 2000
    concurrency: int = 1000
    backlog: int = 1_000_000
    watchers: Sequence[int] = (0, 1, 10)
    rates: Sequence[float] = (1000.0, 5000.0)
    pace: float = 5000.0
    max_in_flight: int = 4000
    claim_rate: float = 100_000.0
    pending: Sequence[int] = (1000, 100_000, 1_000_000)
    scheduled: int = 1_000_000
    busy: float = 60.0
    queues: Sequence[int] = (1, 100, 10_000)
    streams: Sequence[int] = (1, 100, 1000)
    sizes: Sequence[int] = (0, 1024, 16_384, 262_144, 1_048_576)
    failing: Sequence[float] = (1.0, 10.0, 50.0)
    batches: Sequence[int] = (1, 10, 100, 1000)
    callers: Sequence[int] = (1, 16, 64)
    drain_streams: Sequence[int] = (1, 4, 32)
    windows: Sequence[int] = (1, 50, 500)
    burst: int = 1_000_000
    calls: int = 1000
    swarm: int = 1000
    others: float = 100.0
    memory: float = 300.0


@dataclass(slots=True, kw_only=True)
class Result:
    """Figures of a run, the judgement on it, and what the scenario itself has found to be wrong."""

    report: Report
    jobs: int
    seconds: float
    lost: int
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    wrong: Sequence[str] = ()

    @property
    def jobs_per_s(self) -> float:
        """Return what the scenario is about."""
        return rate(self.jobs, self.seconds)

    @property
    def ok(self) -> bool:
        """Every promise was kept."""
        return self.report.ok and not self.lost and not self.wrong

    @property
    def verdict(self) -> str:
        """Say what was not kept."""
        broken = [f"broken: {', '.join(sorted(self.report.broken()))}"] if not self.report.ok else []
        lost = [f"{self.lost} jobs are lost"] if self.lost else []
        return "; ".join([*broken, *lost, *self.wrong]) or "every invariant holds"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one phase came to."""

    times: Times
    jobs: int
    seconds: float
    lost: int
    figures: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """Return it for a scenario of several phases."""
        return {"jobs_per_s": rate(self.jobs, self.seconds), "jobs": self.jobs, "lost": self.lost, **self.figures}


class Phase:
    """Loads one queue, or several, which then bear its name in histories.

    Measures from its making, or from `begin`, to `finish`; `outcome` reads the histories.
    """

    def __init__(self, stack: Stack, client: Client, load: Load, queue: str = QUEUE, queues: Sequence[str] | None = None) -> None:
        self.stack, self.client, self.load, self.queue = stack, client, load, queue
        self.queues = frozenset([queue] if queues is None else queues)
        self.suffix = queue.removeprefix(QUEUE)
        self._judged, self._done_at = "", 0.0
        self._used: dict[str, float] = {}
        self._wal: int | None = None
        self.rss, self.waiting = 0.0, 0
        self.begin()

    def begin(self) -> None:
        """Measure from now on."""
        self._before, self._wal_before = self.stack.usage(), self.stack.wal_bytes()

    def start_workers(self, **config: Any) -> float:
        """Start the workers of the load, and wait until they are there; returns when that began."""
        began = monotonic()
        wanted = {"concurrency": self.load.concurrency, "window": self.load.window, **config}
        for number in range(1, self.load.workers + 1):
            self.stack.launch("worker", f"worker-{number}{self.suffix}", queue=self.queue, **wanted)
        until("the workers are there", self._are_there, within=30)
        return began

    def _are_there(self) -> bool:
        there = {worker.worker for worker in self.client.workers()}
        return there >= {name for name in self.stack.programs if name.startswith("worker")}

    def produce(self, *, within: float, jobs: int | None = None, **config: Any) -> None:
        """Run the producers of the load to their end; `jobs` is what they do together, without it they go on for its seconds."""
        load = self.load
        wanted = {"batch": load.batch, "outstanding": load.outstanding, "seconds": None if jobs else load.seconds, **config}
        for number in range(1, load.producers + 1):
            share = None if jobs is None else len(range(number - 1, jobs, load.producers))
            name = f"producer-{number}{self.suffix}"
            self.stack.launch("producer", name, queue=self.queue, jobs=share, **wanted)
        self.stack.end_all("producer", within=within)

    def counts(self) -> Counter[str]:
        """Return how many jobs are in which state, as the server says."""
        found = Counter[str]()
        for numbers in self.client.stats().queues:
            if numbers.queue in self.queues:
                found.update({state: getattr(numbers, state) for state in _STATES})
        return found

    def wait(
        self,
        *,
        jobs: int = 0,
        within: float = DRAINED_WITHIN_S,
        every: float = ASKED_EVERY_S,
        look: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        """Wait until nothing of the queue is left to do, and so many have completed. `look` sees the numbers on the way."""

        def is_over() -> bool:
            counts = self.counts()
            look(counts)
            return bool(counts) and not any(counts[state] for state in _TO_DO) and counts["completed"] >= jobs

        self._done_at = until("everything is done", is_over, within=within, every=every)

    def finish(self, judged: str, *, end_workers: bool = True) -> None:
        """Stop measuring, end the workers, and write what the store says. judged: stored, drained or ran, or cut off."""
        self._judged = judged
        self._used = {name: cpu_s - self._before[name] for name, cpu_s in self.stack.usage().items()}
        self._wal, self.rss = self.stack.wal_bytes(), self.stack.server_rss_mb()
        if end_workers:
            self.stack.end_all("worker", within=60)
        counts = {state.upper(): number for state, number in self.counts().items()}
        with Recorder(self.stack.directory / "store.jsonl", "store") as recorder:
            recorder.write("dump", "stats", queue=self.queue, counts=counts)
            if judged in {"drained", "ran"}:
                recorder.write("dump", "quiet", queues=[self.queue])
        self.waiting = counts.get("PENDING", 0) + counts.get("SCHEDULED", 0)

    def cpu_s(self, history: History) -> dict[str, float]:
        """Return the CPU seconds of server, store and relay while it was measured, and of our programs while they worked."""
        used = dict(self._used)
        for event in notes(history, "usage", self.queue):
            used[event["role"]] = used.get(event["role"], 0.0) + event["cpu_s"]
        return used

    def outcome(self, history: History) -> Outcome:
        """Return the figures."""
        times = Times(history, self.queue)
        begin, end = times.span(self._judged, self._done_at)
        jobs, figures = len(times.acked), dict[str, Any]()
        if self._judged != "stored":
            lost = len(times.acked.keys() - times.began.keys())
            figures["dispatch_to_start_ms"] = percentiles(times.waits())
            figures["duplicates"] = times.runs - len(times.began)
        else:
            lost = jobs - self.waiting
        figures["dispatch_call_ms"] = percentiles(times.calls)
        figures["cpu_s_per_1000_jobs"] = per_1000_jobs(self.cpu_s(history), jobs)
        figures["server_rss_mb"] = self.rss
        if self._wal is not None and self._wal_before is not None:
            figures["wal_bytes_per_job"] = round((self._wal - self._wal_before) / max(jobs, 1))
        return Outcome(times=times, jobs=jobs, seconds=end - begin, lost=lost, figures=figures)


def conclude(phases: Sequence[Phase]) -> tuple[Report, History, list[Outcome]]:
    """Judge all that was written, and read the phases."""
    history = read_all(phases[0].stack.directory)
    return judge(history), history, [phase.outcome(history) for phase in phases]


def read_all(directory: Path) -> History:
    """Read every history of a run."""
    return read_history(directory.glob("*.jsonl"))


def single(phase: Phase) -> Result:
    """Return the result of a scenario that is one phase."""
    report, _, [outcome] = conclude([phase])
    return Result(report=report, jobs=outcome.jobs, seconds=outcome.seconds, lost=outcome.lost, figures=outcome.figures)


def several(report: Report, outcomes: Sequence[Outcome], figures: dict[str, Any], wrong: Sequence[str] = ()) -> Result:
    """Return the result of a scenario of several phases: the speed of the last one, and whatever any of them has lost."""
    last = outcomes[-1]
    lost = sum(outcome.lost for outcome in outcomes)
    return Result(report=report, jobs=last.jobs, seconds=last.seconds, lost=lost, figures=figures, wrong=wrong)
