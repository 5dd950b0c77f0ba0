"""Scenarios of bad input under load: what it does to others and to the server's memory, and whether the server says no in time."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from time import sleep
from typing import Final

from protojobs_client import Client

from benchmarks.beside import Others, compare_with_calm
from benchmarks.payloads import fitting
from benchmarks.run import Load, Phase, Result
from benchmarks.stack import QUEUE, Stack
from benchmarks.waiting import until
from tests.checker import Recorder

SLOW_COMMIT_US: Final = 100_000
SLOW_BATCH: Final = 10
SLOW_ROUNDS: Final = 5
"""Batches of each of the calls that are on their way."""
FLOODED_WITHIN_S: Final = 3600.0
LARGE: Final = 1_048_576
STALLED_TTL_S: Final = 5.0
STALLED_WINDOW: Final = 500
STALLED_PER_S: Final = 2000
STALLED_TOGETHER: Final = 50
REFUSED_STREAM_TRIES: Final = 3


def burst(stack: Stack, client: Client, load: Load) -> Result:
    """Let a client dispatch a million jobs at once, by a thousand calls on their way, beside others."""
    return _flooded(stack, client, load, jobs=load.burst, batch=load.batch)


def slow(stack: Stack, client: Client, load: Load) -> Result:
    """Let each commit of the store take 100 ms. Others are there alone first; then a client has a thousand calls on their way."""
    with _slow_commits(stack):
        return _flooded(stack, client, load, jobs=load.calls * SLOW_BATCH * SLOW_ROUNDS, batch=SLOW_BATCH)


def _flooded(stack: Stack, client: Client, load: Load, *, jobs: int, batch: int) -> Result:
    flood = Phase(stack, client, load, f"{QUEUE}-flood")

    def begin() -> None:
        flood.begin()
        stack.launch("worker", "worker-flood", queue=flood.queue, window=load.window, concurrency=load.concurrency, role="flood")
        stack.launch("flooder", "flood", queue=flood.queue, jobs=jobs, batch=batch, callers=load.calls)

    def end() -> None:
        stack.end("flood", within=FLOODED_WITHIN_S)
        flood.wait(jobs=jobs)
        flood.finish("ran", end_workers=False)

    return compare_with_calm(Others(stack, client, load), stack, load, begin, end, more=[flood], refuses=True)


@contextmanager
def _slow_commits(stack: Stack) -> Generator[None]:
    assert stack.cluster is not None
    for setting, value in (("commit_siblings", 0), ("commit_delay", SLOW_COMMIT_US)):
        stack.cluster.execute(f"alter system set {setting} = {value}")
    stack.cluster.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        stack.cluster.execute("alter system reset commit_delay")
        stack.cluster.execute("select pg_reload_conf()")


def stalled(stack: Stack, client: Client, load: Load) -> Result:
    """Freeze a worker that has jobs, for the seconds of the load. Its jobs go to another one; what it sends later is refused."""
    phase = Phase(stack, client, fitting(replace(load, producers=1), [1]), f"{QUEUE}-stalled")

    def begin() -> None:
        phase.begin()
        config = {"window": STALLED_WINDOW, "concurrency": STALLED_WINDOW, "session_ttl": STALLED_TTL_S, "role": "stalled"}
        for name in ("worker-frozen", "worker-healthy"):
            stack.launch("worker", name, queue=phase.queue, busy_s=0.05, **config)
        until("both workers work", lambda: {"worker-frozen", "worker-healthy"} <= {w.worker for w in client.workers()}, within=30)
        pace = {"interval": STALLED_TOGETHER / STALLED_PER_S, "together": STALLED_TOGETHER}
        jobs = load.jobs or int(STALLED_PER_S * load.seconds)
        stack.launch("producer", "producer-stalled", queue=phase.queue, jobs=jobs, **pace)
        until("jobs are done", lambda: phase.counts()["completed"] > STALLED_WINDOW, within=30)
        _freeze(stack, "worker-frozen", frozen=True)

    def end() -> None:
        sleep(STALLED_TTL_S)
        _freeze(stack, "worker-frozen", frozen=False)
        phase.wait(jobs=1)
        phase.finish("ran", end_workers=False)

    return compare_with_calm(Others(stack, client, load), stack, load, begin, end, more=[phase])


def _freeze(stack: Stack, name: str, *, frozen: bool) -> None:
    with Recorder(stack.directory / "faults.jsonl", "nemesis") as recorder:
        if frozen:
            recorder.write("fault", "begin", action="freeze", target=name)
        stack.programs[name].send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
        if not frozen:
            recorder.write("fault", "end", action="freeze", target=name)


def mixed(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run jobs of 1 MiB as fast as they go, beside small ones."""
    large = Phase(stack, client, fitting(replace(load, producers=1), [LARGE]), f"{QUEUE}-large")

    def begin() -> None:
        large.begin()
        window, batch = large.load.window, large.load.batch
        stack.launch("worker", "worker-large", queue=large.queue, window=window, concurrency=window, digests=True, role="large")
        stack.launch(
            "producer", "producer-large", queue=large.queue, batch=batch, outstanding=load.outstanding, payload_bytes=LARGE,
            seconds=load.seconds, jobs=load.jobs,
        )  # fmt: skip

    def end() -> None:
        large.wait(jobs=1)
        large.finish("ran", end_workers=False)

    return compare_with_calm(Others(stack, client, load), stack, load, begin, end, more=[large])


def swarm(stack: Stack, client: Client, load: Load) -> Result:
    """Let a client open a thousand streams, of which a caller may have 50, and try those again that were refused."""
    crowd = Phase(stack, client, replace(load, producers=1), f"{QUEUE}-swarm")

    def begin() -> None:
        crowd.begin()
        stack.launch(
            "streamer", "worker-swarm", queue=crowd.queue, streams=load.swarm, window=1, tries=REFUSED_STREAM_TRIES, role="swarm"
        )
        stack.launch("producer", "producer-swarm", queue=crowd.queue, batch=50, outstanding=1, seconds=load.seconds, jobs=load.jobs)

    def end() -> None:
        crowd.wait(jobs=1)
        crowd.finish("ran", end_workers=False)

    return compare_with_calm(Others(stack, client, load), stack, load, begin, end, more=[crowd], refuses=True)
