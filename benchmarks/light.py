"""Scenarios of many streams, all in one process that does as little as it can."""

from collections.abc import Sequence
from typing import Any

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import notes
from benchmarks.waiting import until
from tests.checker import History


def start_streams(phase: Phase, streams: int, *, window: int | None = None, spread: Sequence[str | int] | None = None) -> None:
    """Start one process with so many streams, and wait until all are there.

    window: of each, by default its share of the load's. spread: prefix and number of the queues that they read, 100 each.
    """
    name = f"worker-light{phase.suffix}"
    each = window or max(1, phase.load.window // streams)
    phase.stack.launch("streamer", name, queue=phase.queue, streams=streams, window=each, spread=spread)

    def are_there() -> bool:
        return sum(worker.worker == name for worker in phase.client.workers()) == streams

    until("the streams are there", are_there, within=120, every=0.2)


def refused_streams(history: History) -> int:
    """Return how often a stream was refused."""
    return sum(event.data["refused"] for event in history.events if event.data.get("what") == "streams")


def streams(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once with 1, 100 and 1000 worker streams, which share the window."""
    base_mb = stack.server_rss_mb()
    phases = {count: _with_streams(stack, client, load, count) for count in load.streams}
    report, history, outcomes = conclude(list(phases.values()))
    rows: dict[str, dict[str, Any]] = {}
    for (count, phase), outcome in zip(phases.items(), outcomes, strict=True):
        [seen] = notes(history, "streams", phase.queue)
        rows[f"streams_{count}"] = {**outcome.row(), "settles": seen["settles"]}
    refused = refused_streams(history)
    return Result(
        report=report,
        jobs=outcomes[-1].jobs,
        seconds=outcomes[-1].seconds,
        lost=sum(outcome.lost for outcome in outcomes),
        wrong=[f"{refused} streams were refused"] if refused else [],
        figures={"server_rss_mb_before": base_mb, **rows},
    )


def _with_streams(stack: Stack, client: Client, load: Load, count: int) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{count}")
    start_streams(phase, count)
    phase.begin()
    phase.produce(jobs=load.jobs, within=load.seconds + 300)
    phase.wait(jobs=1)
    phase.finish("ran")
    return phase
