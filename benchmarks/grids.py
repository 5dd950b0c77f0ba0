"""Scenarios of all combinations: of batches, ways and callers that dispatch, and of streams and windows that drain."""

from dataclasses import replace
from itertools import product
from typing import Any, Final

from protojobs_client import Client, History

from benchmarks.light import start_streams
from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import QUEUE, Stack

DRAINED: Final = 200_000
PER_PLACE: Final = 2000
"""Of a small window fewer jobs are drained: so many for each job that may be on its way."""


def dispatch_grid(stack: Stack, client: Client, load: Load) -> Result:
    """Store jobs that nobody runs, in batches of each size: as one call, or as single jobs on the stream; by so many callers."""
    cells = list(product(load.batches, ("unary", "stream"), load.callers))
    names = [f"batch_{batch}_{way}_callers_{callers}" for batch, way, callers in cells]
    return _of_cells(names, [_stored(stack, client, load, name, *cell) for name, cell in zip(names, cells, strict=True)])


def _stored(stack: Stack, client: Client, load: Load, name: str, batch: int, way: str, callers: int) -> Phase:
    phase = Phase(stack, client, replace(load, batch=batch, outstanding=callers), f"{QUEUE}-{name}")
    phase.produce(jobs=load.jobs, streaming=way == "stream", within=load.seconds + 300)
    phase.finish("stored")
    return phase


def drain_grid(stack: Stack, client: Client, load: Load) -> Result:
    """Run a backlog with each number of streams, each of each window; once more with less history, by the most of both."""
    cells = [(streams, window, History.ALL) for streams, window in product(load.drain_streams, load.windows)]
    cells += [(max(load.drain_streams), max(load.windows), history) for history in (History.FAILURES, History.NONE)]
    names = [f"streams_{streams}_window_{window}" for streams, window in product(load.drain_streams, load.windows)]
    names += ["history_failures", "history_none"]
    phases = [_drained(stack, client, load, name, *cell) for name, cell in zip(names, cells, strict=True)]
    return _of_cells(names, phases)


def _drained(stack: Stack, client: Client, load: Load, name: str, streams: int, window: int, history: History) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{name}")
    client.update_queue(phase.queue, history=history)
    jobs = min(load.jobs or DRAINED, PER_PLACE * streams * window)
    phase.produce(jobs=jobs, within=300)
    phase.begin()
    start_streams(phase, streams, window=window)
    phase.wait(jobs=1)
    phase.finish("drained")
    return phase


def _of_cells(names: list[str], phases: list[Phase]) -> Result:
    report, _, outcomes = conclude(phases)
    rows: dict[str, dict[str, Any]] = {name: outcome.row() for name, outcome in zip(names, outcomes, strict=True)}
    return Result(
        report=report,
        jobs=sum(outcome.jobs for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        lost=sum(outcome.lost for outcome in outcomes),
        figures=rows,
    )
