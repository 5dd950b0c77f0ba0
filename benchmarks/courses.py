"""What the client of one language is measured by: a backlog that its worker drains, and jobs that it dispatches."""

import json
from base64 import b64encode
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from protojobs_client import Client, QueueStats

from benchmarks.requests import PAYLOAD
from benchmarks.stack import KIND, QUEUE, Stack
from benchmarks.times import rate
from benchmarks.usage import cpu_s_of, per_1000_jobs
from benchmarks.waiting import until
from tests.interop.languages import Language
from tests.interop.programs import Program

DISPATCHED: Final = f"{QUEUE}-dispatched"

_STARTS_WITHIN_S: Final = 60.0
_DONE_WITHIN_S: Final = 1800.0
_COUNTED_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One phase. cpu_s: of the program (`client`), the server and the store."""

    jobs: int
    seconds: float
    cpu_s: dict[str, float]

    @property
    def jobs_per_s(self) -> float:
        """Return how fast it was."""
        return rate(self.jobs, self.seconds)

    def row(self) -> dict[str, Any]:
        """Return it for JSON."""
        used = per_1000_jobs(self.cpu_s, self.jobs)
        return {"jobs_per_s": self.jobs_per_s, "seconds": round(self.seconds, 3), "cpu_s_per_1000_jobs": used}


class Course:
    """What one language runs, on a stack of its own. `wrong`: what was not as promised."""

    def __init__(self, language: Language, stack: Stack, client: Client, jobs: int, slots: int) -> None:
        self._language = language
        self._stack = stack
        self._client = client
        self._jobs = jobs
        self._slots = slots
        self.wrong: list[str] = []

    def drain(self) -> Measured:
        """Fill the queue, and let a worker empty it."""
        self._stack.launch("producer", "producer", queue=QUEUE, jobs=self._jobs, batch=500, outstanding=6)
        self._stack.end_all("producer", within=_DONE_WITHIN_S)
        worker = self._start("work", "--queue", QUEUE, "--n", str(self._jobs), "--slots", str(self._slots), "--kinds", KIND)
        try:
            worker.event("ready", within=_STARTS_WITHIN_S)
            began, before = monotonic(), self._usage(worker)
            told = worker.event("stopped", within=_DONE_WITHIN_S)
            seconds, used = monotonic() - began, self._used(worker, before)
            code = worker.ended()
        finally:
            worker.put_away()
        if code:
            self.wrong.append(f"the worker ended with {code}")
        if told["processed"] != self._jobs:
            self.wrong.append(f"{told['processed']} handlers ran for {self._jobs} jobs")
        self._count(QUEUE, "completed")
        return Measured(jobs=self._jobs, seconds=seconds, cpu_s=used)

    def dispatch(self) -> Measured:
        """Let a producer store jobs that nobody runs."""
        spec = self._stack.directory / "spec.json"
        payload = {"payload": b64encode(PAYLOAD).decode(), "contentType": "application/octet-stream"}
        spec.write_text(json.dumps({"kind": KIND, **payload}))
        before = self._stack.usage()
        arguments = ("--queue", DISPATCHED, "--n", str(self._jobs), "--mode", "stream", "--spec", str(spec))
        producer = self._start("dispatch", *arguments)
        try:
            told = producer.event("dispatched_all", within=_DONE_WITHIN_S)
            used = self._used(producer, {**before, "client": 0.0})
            code = producer.ended()
        finally:
            producer.put_away()
        if code or told["jobs"] != self._jobs:
            self.wrong.append(f"the producer stored {told['jobs']} of {self._jobs} jobs and ended with {code}")
        self._count(DISPATCHED, "pending")
        return Measured(jobs=self._jobs, seconds=told["seconds"], cpu_s=used)

    def _start(self, command: str, *arguments: str) -> Program:
        log = self._stack.directory / f"{command}.log"
        return Program(self._language, command, "--addr", self._stack.address, *arguments, "--quiet", log=log)

    def _usage(self, program: Program) -> dict[str, float]:
        # Also of a program that has just ended: nobody has waited for it yet.
        return {"client": cpu_s_of(program.pid), **self._stack.usage()}

    def _used(self, program: Program, before: dict[str, float]) -> dict[str, float]:
        return {name: cpu_s - before[name] for name, cpu_s in self._usage(program).items()}

    def _count(self, queue: str, state: str) -> None:
        """All jobs of a queue must be in one state."""
        found: list[QueueStats | None] = []

        def all_there() -> bool:
            found.append(self._stack.stats(self._client, queue))
            return found[-1] is not None and getattr(found[-1], state) == self._jobs

        try:
            until(f"{self._jobs} jobs of {queue} are {state}", all_there, within=_COUNTED_WITHIN_S, every=0.2)
        except TimeoutError:
            self.wrong.append(f"not all {self._jobs} jobs are {state}: {found[-1]}")
