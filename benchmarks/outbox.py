"""The scenario of the outbox: from the commit of a producer's transaction to the job on the server, and to its start."""

import asyncio
from typing import Final

from protojobs_client import Client

from benchmarks.outbox_producer import prepare
from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import QUEUE, WARM_UP_QUEUE, Stack
from benchmarks.times import percentiles
from benchmarks.waiting import until
from tests.checker import History

PER_S: Final = 100.0
TARGET_MS: Final = 100.0


def outbox(stack: Stack, client: Client, load: Load) -> Result:
    """Commit jobs into an outbox, 100 a second, beside one relay.

    When a job was dispatched is told by the store's clock, which is ours here.
    """
    dsn = stack.make_outbox_database()
    asyncio.run(prepare(dsn, WARM_UP_QUEUE))
    phase = Phase(stack, client, load)
    phase.start_workers()
    stack.launch_relay(dsn)
    until("the relay moves rows", lambda: _has_warmed_up(stack, client), within=30)
    phase.begin()
    jobs = load.jobs or int(PER_S * load.seconds)
    stack.launch("outbox_producer", "producer-outbox", queue=QUEUE, dsn=dsn, jobs=jobs, interval=1 / PER_S)
    stack.end_all("producer", within=jobs / PER_S + 60)
    phase.wait(jobs=jobs)
    phase.finish("ran")
    stored = {str(job.id): job.created_at.timestamp() for job in client.list(queues=[QUEUE], page_size=500) if job.created_at}
    stack.end_all("relay", within=30)
    report, history, [outcome] = conclude([phase])
    picked_up = percentiles(stored[job] - wall for job, wall in _committed(history).items() if job in stored)
    times = outcome.times
    figures = outcome.figures
    del figures["dispatch_call_ms"], figures["dispatch_to_start_ms"]
    return Result(
        report=report,
        jobs=outcome.jobs,
        seconds=outcome.seconds,
        lost=outcome.lost,
        figures={
            "commit_to_dispatch_ms": picked_up,
            "target_p99_ms": TARGET_MS,
            "within_target": picked_up["p99"] <= TARGET_MS,
            "commit_to_start_ms": percentiles(began - times.acked[job] for job, began in times.began.items()),
            "transaction_ms": percentiles(times.calls),
            **figures,
        },
    )


def _has_warmed_up(stack: Stack, client: Client) -> bool:
    numbers = stack.stats(client, WARM_UP_QUEUE)
    return numbers is not None and numbers.completed > 0


def _committed(history: History) -> dict[str, float]:
    """Return when each transaction had committed, by the wall."""
    return {event.job: event.data["wall"] for event in history.events if event.op == "dispatch" and event.phase == "ok"}
