"""The scenarios. Each loads a stack, waits until everything is done, and returns its figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from protojobs_client import Client, QueueStats

from benchmarks.stack import QUEUE, Stack, Usage
from benchmarks.waiting import until
from tests.checker import History, Recorder, Report, judge, read_history

IDLE_INTERVAL_S: Final = 0.1
DRAINED_WITHIN_S: Final = 300.0
# Each look costs the server a few milliseconds; the figure is too low by at most so much.
ASKED_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, by whom. seconds: how long producers go on; jobs: or up to how many."""

    seconds: float = 20.0
    jobs: int | None = None
    producers: int = 1
    outstanding: int = 6
    batch: int = 500
    workers: int = 2
    window: int = 2000
    concurrency: int = 1000


@dataclass(slots=True, kw_only=True)
class Result:
    """Figures of a run and the judgement on it."""

    report: Report
    jobs: int
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def jobs_per_s(self) -> float:
        """Return what the scenario is about."""
        return round(self.jobs / self.seconds, 1) if self.seconds else 0.0


def both(stack: Stack, load: Load) -> Result:
    """Dispatch and run at once."""
    with Client(stack.address) as client:
        _start_workers(stack, client, load)
        run = _Run(stack, client)
        _start_producers(stack, load, seconds=None if load.jobs else load.seconds, jobs=load.jobs)
        _end_all(stack, "producer", within=(load.seconds or 0) + 120)
        done_at = until("everything is done", lambda: _is_over(stack.stats(client)), within=DRAINED_WITHIN_S, every=ASKED_EVERY_S)
        return run.finish(done_at, judged="ran")


def drain(stack: Stack, load: Load) -> Result:
    """Run a backlog that was dispatched before."""
    with Client(stack.address) as client:
        _start_producers(stack, load, jobs=load.jobs or 200_000)
        _end_all(stack, "producer", within=300)
        run = _Run(stack, client)
        _start_workers(stack, client, load)
        done_at = until("everything is done", lambda: _is_over(stack.stats(client)), within=DRAINED_WITHIN_S, every=ASKED_EVERY_S)
        return run.finish(done_at, judged="drained")


def dispatch(stack: Stack, load: Load) -> Result:
    """Store jobs that nobody runs."""
    with Client(stack.address) as client:
        run = _Run(stack, client)
        _start_producers(stack, load, seconds=None if load.jobs else load.seconds, jobs=load.jobs)
        _end_all(stack, "producer", within=(load.seconds or 0) + 300)
        return run.finish(None, judged="stored")


def idle(stack: Stack, load: Load) -> Result:
    """Send one job each 100 ms to a stack that has nothing else to do."""
    count = load.jobs or int(load.seconds / IDLE_INTERVAL_S)
    with Client(stack.address) as client:
        _start_workers(stack, client, load)
        run = _Run(stack, client)
        stack.launch("producer", "producer-1", interval=IDLE_INTERVAL_S, jobs=count)
        _end_all(stack, "producer", within=count * IDLE_INTERVAL_S + 60)
        done_at = until("everything is done", lambda: _is_over(stack.stats(client)), within=30)
        result = run.finish(done_at, judged="ran")
        result.figures["pickup_ms"] = result.figures.pop("dispatch_to_start_ms")
        return result


def inversion(stack: Stack, load: Load) -> Result:
    """Send 1000 urgent jobs, one each 10 ms, to workers that are busy with a backlog of unimportant ones.

    Two workers of 10 slots, handlers of 5 ms, the window that a worker takes by itself. The backlog is not run to its end.
    """
    with Client(stack.address) as client:
        backlog = load.jobs or 1_000_000
        stack.launch("producer", "producer-low", batch=load.batch, outstanding=load.outstanding, jobs=backlog, priority=1)
        _end_all(stack, "producer", within=600)
        for number in (1, 2):
            stack.launch("worker", f"worker-{number}", concurrency=10, busy_s=0.005)
        until("the workers are busy", lambda: (numbers := stack.stats(client)) is not None and numbers.running >= 20, within=30)
        stack.launch("producer", "producer-high", interval=0.01, jobs=1000, priority=9)
        _end_all(stack, "producer", within=120)
        numbers = stack.stats(client)
        left = numbers.pending if numbers else 0
        _end_all(stack, "worker", within=60)
    urgent = _Times(read_history(stack.directory.glob("producer-high.jsonl")))
    history = read_history(stack.directory.glob("*.jsonl"))
    waits = [began - urgent.sent[job] for job, began in _Times(history).began.items() if job in urgent.sent]
    begin, end = min(urgent.sent.values()), max(urgent.acked.values())
    result = Result(report=judge(history), jobs=len(urgent.acked), seconds=end - begin)
    result.figures = {
        "urgent_dispatch_to_start_ms": _percentiles(waits),
        "backlog": backlog,
        "left_of_it": left,
        "lost": len(urgent.acked) - len(waits),
    }
    return result


SCENARIOS: Final[dict[str, Callable[[Stack, Load], Result]]] = {
    "both": both,
    "dispatch": dispatch,
    "drain": drain,
    "idle": idle,
    "inversion": inversion,
}


class _Run:
    """Measures from its making to `finish`."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client
        self.before = stack.usage()
        self.wal = stack.wal_bytes()

    def finish(self, done_at: float | None, *, judged: str) -> Result:
        stack = self.stack
        used = {name: now - self.before[name] for name, now in stack.usage().items()}
        wal, rss = stack.wal_bytes(), stack.server_rss_mb()
        _end_all(stack, "worker", within=60)
        _dump(stack, self.client, ran=judged != "stored")
        history = read_history(stack.directory.glob("*.jsonl"))
        report = judge(history)
        times = _Times(history)
        begin, end = times.span(judged, done_at)
        jobs = len(times.acked)
        result = Result(report=report, jobs=jobs, seconds=end - begin)
        if judged != "stored":
            result.figures["dispatch_to_start_ms"] = _percentiles(times.waits())
            result.figures["lost"] = len(times.acked.keys() - times.began.keys())
            result.figures["duplicates"] = report.runs - len(times.began)
        else:
            stats = stack.stats(self.client)
            result.figures["lost"] = jobs - (stats.pending if stats else 0)
        result.figures["dispatch_call_ms"] = _percentiles(times.calls)
        used["clients"] = Usage(cpu_s=sum(event.data["cpu_s"] for event in history.events if event.data.get("what") == "usage"))
        result.figures["cpu_us_per_job"] = {name: round(each.cpu_s * 1e6 / max(jobs, 1), 1) for name, each in used.items()}
        result.figures["server_rss_mb"] = rss
        if wal is not None and self.wal is not None:
            result.figures["wal_bytes_per_job"] = round((wal - self.wal) / max(jobs, 1))
        return result


class _Times:
    """When each job was sent, stored and begun."""

    def __init__(self, history: History) -> None:
        self.sent: dict[str, float] = {}
        self.acked: dict[str, float] = {}
        self.began: dict[str, float] = {}
        self.calls: list[float] = []
        for event in history.events:
            if event.op == "ran":
                self.began.setdefault(event.job, event.t)
            elif event.op == "dispatch" and event.phase == "invoke":
                self.sent[event.job] = event.t
            elif event.op == "dispatch" and event.phase == "ok":
                self.acked[event.job] = event.t
                if event.place == 0:
                    self.calls.append(event.t - self.sent[event.job])

    def span(self, judged: str, done_at: float | None) -> tuple[float, float]:
        """Return begin and end of what is measured."""
        if judged == "stored":
            return min(self.sent.values()), max(self.acked.values())
        begin = min((self.began if judged == "drained" else self.sent).values())
        return begin, done_at if done_at is not None else max(self.began.values())

    def waits(self) -> list[float]:
        """Return dispatch to start, per job."""
        return [began - self.sent[job] for job, began in self.began.items() if job in self.sent]


def _start_workers(stack: Stack, client: Client, load: Load) -> None:
    for number in range(1, load.workers + 1):
        stack.launch("worker", f"worker-{number}", concurrency=load.concurrency, window=load.window)
    until("the workers are there", lambda: len(list(client.workers())) >= load.workers, within=30)


def _start_producers(stack: Stack, load: Load, *, seconds: float | None = None, jobs: int | None = None) -> None:
    for number in range(1, load.producers + 1):
        share = None if jobs is None else jobs // load.producers
        stack.launch("producer", f"producer-{number}", batch=load.batch, outstanding=load.outstanding, seconds=seconds, jobs=share)


def _end_all(stack: Stack, kind: str, *, within: float) -> None:
    for name in [name for name in stack.programs if name.startswith(kind)]:
        stack.end(name, within=within)


def _is_over(stats: QueueStats | None) -> bool:
    return stats is not None and stats.pending == stats.running == stats.retrying == stats.scheduled == 0


def _dump(stack: Stack, client: Client, *, ran: bool) -> None:
    stats = stack.stats(client)
    states = ("pending", "running", "retrying", "scheduled", "completed", "failed", "cancelled", "expired")
    counts = {state.upper(): getattr(stats, state) for state in states}
    with Recorder(stack.directory / "store.jsonl", "store") as recorder:
        recorder.write("dump", "stats", queue=QUEUE, counts=counts)
        if ran:
            recorder.write("dump", "quiet", queues=[QUEUE])


def _percentiles(seconds: Iterable[float]) -> dict[str, float]:
    ordered: Sequence[float] = sorted(seconds)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: round(ordered[round(last * part)] * 1e3, 2) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
