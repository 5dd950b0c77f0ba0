"""What is measured of a peer: the scenarios, each on a new PostgreSQL and a new database."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.figures import Figures, Load, Outcome
from benchmarks.peers.kinds import Peer
from benchmarks.peers.program import STARTS_WITHIN_S, Program, judge
from benchmarks.stack import durability_of, postmaster_of
from benchmarks.times import percentiles, rate
from benchmarks.usage import cpu_s_of
from benchmarks.waiting import until
from tests.postgres import Cluster, running_cluster

PAYLOAD: Final = 200
INTERVAL_S: Final = 0.1
WARM_UP: Final = 20

_DONE_WITHIN_S: Final = 900.0
_ASKED_EVERY_S: Final = 0.02


class Course:
    """A peer on a PostgreSQL of its own."""

    def __init__(self, peer: Peer, cluster: Cluster, directory: Path, load: Load) -> None:
        """Use an empty cluster; logs go to `directory`."""
        self._peer = peer
        self._cluster = cluster
        self._directory = directory
        self._load = load
        self._database = cluster.create_database()
        self._programs: list[Program] = []

    def migrate(self) -> None:
        """Make the peer's tables."""
        self._start("migrate").finish(within=STARTS_WITHIN_S)

    def put_away(self) -> None:
        """End every program that still runs."""
        for program in self._programs:
            program.put_away()

    def drain(self) -> Outcome:
        """Store jobs by batches, then run them: from the first handler until none is left."""
        before = self._store_cpu_s()
        made = self._produce(jobs=self._load.share(self._peer.fraction), batch=self._load.batch, callers=self._load.outstanding)
        between = self._store_cpu_s()
        workers = self._work()
        end = self._wait(workers, made["jobs"])
        used = self._store_cpu_s() - between
        begin = min(worker.first_run for worker in workers if worker.first_run is not None)
        figures = {
            "enqueue": rate(made["jobs"], made["seconds"]),
            "enqueue_store_us": _us(between - before, made["jobs"]),
            "drain": rate(made["jobs"], end - begin),
            "drain_store_us": _us(used, made["jobs"]),
        }
        return self._judged(workers, made["jobs"], figures)

    def both(self) -> Outcome:
        """Store jobs by batches while workers run them: from the first call until none is left."""
        workers = self._work()
        before = self._store_cpu_s()
        limit = self._load.share(self._peer.fraction) if self._peer.fraction < 1 else 0
        producing = self._producer(jobs=limit, seconds=self._load.seconds, batch=self._load.batch, callers=self._load.outstanding)
        began = producing.wait("began", within=STARTS_WITHIN_S).at
        made = producing.wait("produced", within=self._load.seconds + _DONE_WITHIN_S).told
        end = self._wait(workers, made["jobs"])
        used = self._store_cpu_s() - before
        return self._judged(
            workers, made["jobs"], {"both": rate(made["jobs"], end - began), "both_store_us": _us(used, made["jobs"])}
        )

    def single(self) -> Outcome:
        """Store jobs one by one, by many callers at once; nobody runs them."""
        before = self._store_cpu_s()
        made = self._produce(seconds=self._load.seconds, callers=self._load.callers)
        used = self._store_cpu_s() - before
        stored = int(self._ask(f"select count(*) from {self._peer.table}"))
        wrong = [] if stored == made["jobs"] else [f"{stored} of {made['jobs']} jobs are stored"]
        figures = {"single": rate(made["jobs"], made["seconds"]), "single_store_us": _us(used, made["jobs"])}
        return Outcome(figures=figures, wrong=wrong)

    def idle(self) -> Outcome:
        """Store one job each 100 ms, which a worker with nothing else to do runs. The first ones are a warm-up."""
        workers = self._work()
        jobs = WARM_UP + max(1, round(self._load.seconds / INTERVAL_S))
        made = self._produce(jobs=jobs, interval=INTERVAL_S)
        self._wait(workers, made["jobs"])
        stopped = [worker.stop() for worker in workers]
        waits = [took / 1e9 for told in stopped for number, took in told["latencies"] or () if number >= WARM_UP]
        found = percentiles(waits)
        lost, _ = judge(made["jobs"], stopped)
        return Outcome(figures={f"idle_{name}_ms": found[name] for name in ("p50", "p99") if found}, wrong=_lost(lost))

    def _judged(self, workers: Sequence[Program], jobs: int, figures: Figures) -> Outcome:
        lost, repeated = judge(jobs, [worker.stop() for worker in workers])
        return Outcome(figures={**figures, "repeated": repeated}, wrong=_lost(lost))

    def _start(self, role: str, **config: Any) -> Program:
        dsn = self._cluster.dsn(self._database).replace("postgresql+asyncpg://", "postgresql://")
        asked = {"jobs": 0, "seconds": 0, "interval": 0, "batch": 1, "callers": 1, "payload": PAYLOAD, **config}
        command = self._peer.command
        program = Program(command, {"role": role, "dsn": dsn, **asked}, self._directory / f"{role}.log")
        self._programs.append(program)
        return program

    def _producer(self, **config: Any) -> Program:
        return self._start("produce", **config)

    def _produce(self, **config: Any) -> dict[str, Any]:
        producing = self._producer(**config)
        made = producing.wait("produced", within=_DONE_WITHIN_S).told
        producing.finish(within=STARTS_WITHIN_S)
        return dict(made)

    def _work(self) -> list[Program]:
        workers = [self._start("work") for _ in range(self._peer.workers)]
        for worker in workers:
            worker.wait("ready", within=STARTS_WITHIN_S)
        return workers

    def _wait(self, workers: Sequence[Program], jobs: int) -> float:
        """Wait until so many handlers have run and the store has nothing left; return when that was."""

        def have_run() -> bool:
            for worker in workers:
                worker.check()
            return sum(worker.runs for worker in workers) >= jobs

        until("every job has run", have_run, within=_DONE_WITHIN_S, every=_ASKED_EVERY_S)
        question = f"select exists(select from {self._peer.table} where {self._peer.left})"
        return until("nothing is left", lambda: self._ask(question) == "f", within=_DONE_WITHIN_S, every=_ASKED_EVERY_S)

    def _ask(self, question: str) -> str:
        return self._cluster.execute(question, database=self._database).strip()

    def _store_cpu_s(self) -> float:
        return cpu_s_of(postmaster_of(self._cluster))


SCENARIOS: Final[dict[str, Callable[[Course], Outcome]]] = {
    "drain": Course.drain,
    "both": Course.both,
    "single": Course.single,
    "idle": Course.idle,
}


def run(peer: Peer, scenario: str, load: Load) -> tuple[Outcome, dict[str, str]]:
    """Run one scenario, and return the durability that it had, too."""
    with _on_new_cluster(peer, load) as (course, durability):
        return SCENARIOS[scenario](course), durability


@contextmanager
def _on_new_cluster(peer: Peer, load: Load) -> Generator[tuple[Course, dict[str, str]], None, None]:
    with ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="protojobs-peer-")))
        cluster = exits.enter_context(running_cluster())
        course = Course(peer, cluster, directory, load)
        exits.callback(course.put_away)
        course.migrate()
        yield course, durability_of(cluster)


def _us(cpu_s: float, jobs: int) -> float:
    return round(cpu_s * 1e6 / max(jobs, 1), 1)


def _lost(jobs: int) -> list[str]:
    return [f"{jobs} jobs are lost"] if jobs else []
