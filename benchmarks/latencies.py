"""Scenarios of how long a job waits. Jobs are sent when they are meant to be, whatever became of those before."""

from dataclasses import replace
from typing import Final

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude, read_all, several, single
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import Times, percentiles, rate
from benchmarks.usage import per_1000_jobs
from benchmarks.waiting import until
from tests.checker import judge, read_history

IDLE_INTERVAL_S: Final = 0.1
URGENT: Final = 1000
URGENT_INTERVAL_S: Final = 0.01
FILL_BATCH: Final = 1000
FILL_PRODUCERS: Final = 2


def idle(stack: Stack, client: Client, load: Load) -> Result:
    """Send one job each 100 ms to a stack that has nothing else to do."""
    count = load.jobs or int(load.seconds / IDLE_INTERVAL_S)
    phase = Phase(stack, client, replace(load, producers=1))
    phase.start_workers()
    phase.begin()
    phase.produce(jobs=count, interval=IDLE_INTERVAL_S, within=count * IDLE_INTERVAL_S + 60)
    phase.wait(within=30)
    phase.finish("ran")
    result = single(phase)
    result.figures["pickup_ms"] = result.figures.pop("dispatch_to_start_ms")
    return result


def latency(stack: Stack, client: Client, load: Load) -> Result:
    """Send single jobs at a fixed rate and run them at once, for each of the rates. Producers use the stream that the SDK does."""
    phases = [_at_rate(stack, client, load, per_s) for per_s in load.rates]
    report, _, outcomes = conclude(phases)
    rows = {f"at_{per_s:g}_per_s": outcome.row() for per_s, outcome in zip(load.rates, outcomes, strict=True)}
    return several(report, outcomes, rows)


def _at_rate(stack: Stack, client: Client, load: Load, per_s: float) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{per_s:g}")
    phase.start_workers()
    phase.begin()
    jobs = load.jobs or int(per_s * load.seconds)
    phase.produce(jobs=jobs, interval=load.producers / per_s, streaming=True, within=jobs / per_s + 120)
    phase.wait()
    phase.finish("ran")
    return phase


def inversion(stack: Stack, client: Client, load: Load) -> Result:
    """Send 1000 urgent jobs, one each 10 ms, to workers that are busy with a backlog of unimportant ones.

    The backlog is filled by large batches of two producers at least, and not run to its end. Workers of 10 slots, handlers of
    5 ms, the window that a worker takes by itself.
    """
    filling = replace(load, producers=max(load.producers, FILL_PRODUCERS), batch=FILL_BATCH)
    low = Phase(stack, client, filling)
    low.produce(jobs=load.backlog, priority=1, role="filling", within=1800)
    filled = Times(read_all(stack.directory), QUEUE)
    fill_s = max(filled.acked.values()) - min(filled.sent.values())
    phase = Phase(stack, client, load)
    phase.start_workers(concurrency=10, window=None, busy_s=0.005)
    until("the workers are busy", lambda: (seen := stack.stats(client)) is not None and seen.running >= 20, within=30)
    phase.begin()
    urgent_jobs = load.jobs or URGENT
    stack.launch("producer", "producer-high", queue=QUEUE, interval=URGENT_INTERVAL_S, jobs=urgent_jobs, priority=9)
    stack.end_all("producer", within=urgent_jobs * URGENT_INTERVAL_S + 110)
    phase.finish("cut off")
    urgent = Times(read_history([stack.directory / "producer-high.jsonl"]), QUEUE)
    history = read_all(stack.directory)
    times = Times(history, QUEUE)
    waits = [began - urgent.sent[job] for job, began in times.began.items() if job in urgent.sent]
    used = phase.cpu_s(history)
    del used["filling"]
    return Result(
        report=judge(history),
        jobs=len(urgent.acked),
        seconds=max(urgent.acked.values()) - min(urgent.sent.values()),
        lost=len(urgent.acked) - len(waits),
        wrong=[] if phase.waiting else ["the backlog ended before the urgent jobs did"],
        figures={
            "urgent_dispatch_to_start_ms": percentiles(waits),
            "backlog": len(filled.acked),
            "left_of_it": phase.waiting,
            "fill_s": round(fill_s, 2),
            "fill_jobs_per_s": rate(len(filled.acked), fill_s),
            "jobs_run": times.runs,
            "cpu_s_per_1000_jobs": per_1000_jobs(used, times.runs),
            "server_rss_mb": phase.rss,
        },
    )
