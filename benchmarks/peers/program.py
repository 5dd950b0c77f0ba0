"""A peer's program that runs, and what it says.

It is started with a JSON object as its last argument:

    role                        migrate, produce or work
    dsn                         the database
    payload                     bytes of a job as JSON: its number `n`, from 0 on; `t`, when it was meant to be sent, in ns by the
                                monotonic clock, 0 where nobody asks; and padding
    jobs, seconds               of a producer: how many, 0 for as many as the time allows; how long, 0 for all of them
    batch, callers              of a producer: jobs a call, and calls at once
    interval                    of a producer: above 0, one job each so many seconds, whatever became of those before

It prints one JSON object a line, with its `phase`:

    ready                       the worker fetches jobs
    ran jobs                    of the worker: its runs so far, at the first of them and again and again
    stopped jobs seen latencies of the worker, after SIGTERM: its runs; the numbers of the jobs as bits, in hexadecimal bytes from
                                the lowest on; number and latency in ns of each job that was timed
    began                       the producer sends its first job
    produced jobs seconds       the producer has sent its last one

Other lines are passed over.
"""

import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.programs import ROOT, end
from benchmarks.usage import cpu_s_of

STARTS_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a program has said. at: when, by the monotonic clock."""

    at: float
    told: Mapping[str, Any]

    @property
    def phase(self) -> str:
        """Return what it is about."""
        return str(self.told["phase"])


def parse(text: str) -> Mapping[str, Any] | None:
    """Return a line of the protocol, None for any other."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return cast("Mapping[str, Any]", told) if isinstance(told, dict) and "phase" in told else None


class Program:
    """A running program of a peer."""

    def __init__(self, command: Sequence[str | Path], config: Mapping[str, Any], log: Path) -> None:
        """Start it; its errors go to the end of `log`."""
        self._log = log
        self._said: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self.runs = 0
        self.first_run: float | None = None
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, json.dumps(config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            told = parse(text.decode(errors="replace"))
            if told is None:
                continue
            line = Line(at=time.monotonic(), told=told)
            if line.phase == "ran":
                self.first_run = self.first_run or line.at
                self.runs = told["jobs"]
            else:
                self._said.put(line)
        self._said.put(None)

    def wait(self, phase: str, *, within: float) -> Line:
        """Return its next line of a phase. Raises RuntimeError if it ended before, TimeoutError."""
        until = time.monotonic() + within
        while True:
            try:
                line = self._said.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"waited {within:g} s in vain until it was {phase}") from None
            if line is None:
                raise RuntimeError(f"it ended with {self._process.wait()} before it was {phase}: {self._last_words()}")
            if line.phase == phase:
                return line

    def cpu_s(self) -> float:
        """Return what it has used so far."""
        return cpu_s_of(self._process.pid)

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}: {self._last_words()}")

    def finish(self, *, within: float) -> None:
        """Wait until it ends by itself. Raises RuntimeError if it failed, TimeoutError."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"waited {within:g} s in vain until it ended") from None
        if code:
            raise RuntimeError(f"it ended with {self._process.returncode}: {self._last_words()}")

    def stop(self) -> Mapping[str, Any]:
        """End a worker, and return what it says last."""
        self._process.send_signal(signal.SIGTERM)
        told = self.wait("stopped", within=STARTS_WITHIN_S).told
        self.put_away()
        return told

    def put_away(self) -> None:
        """End it, whatever it does."""
        end(self._process)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-600:] or "it said nothing"


def judge(jobs: int, stopped: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many of the jobs 0 to `jobs` - 1 no worker has run, and how many runs were too many.

    Raises RuntimeError if there are others.
    """
    seen, runs = 0, 0
    for told in stopped:
        seen |= int.from_bytes(bytes.fromhex(told["seen"]), "little")
        runs += told["jobs"]
    if seen >> jobs:
        raise RuntimeError("it has run jobs that nobody made")
    return jobs - seen.bit_count(), runs - seen.bit_count()
