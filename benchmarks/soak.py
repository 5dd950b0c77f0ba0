"""The scenario of a steady load below what is possible: how long jobs wait all the while, and whether the server's memory stays."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any, Final

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import Times, percentiles, rate
from benchmarks.waiting import moments, until

GROWS: Final = 0.05
SLICES: Final = 30
_LEAD_S: Final = 5.0

Mark = tuple[float, float]
"""A moment, and the server's resident memory in megabytes."""


def soak(stack: Stack, client: Client, load: Load) -> Result:
    """Send `pace` jobs a second, in batches that leave when they are meant to, whatever became of those before, and run them.

    Memory has grown by what its median in the last third of the time is above that in the middle third: in the first one tables of
    what came last fill up.
    """
    phase = Phase(stack, client, replace(load, producers=1))
    phase.start_workers(keep=False)
    phase.begin()
    batches = int((load.seconds + _LEAD_S) * load.pace / load.batch)
    sent = {"interval": load.batch / load.pace, "together": load.batch, "jobs": batches * load.batch}
    stack.launch("producer", "producer-steady", queue=QUEUE, keep=False, **sent)
    until("jobs are done", lambda: phase.counts()["completed"] > 0, within=60)
    marks = [(at, stack.server_rss_mb()) for at in moments(load.seconds, SLICES)]
    stack.end_all("producer", within=load.seconds + 120)
    phase.wait()
    phase.finish("ran")
    report, _, [outcome] = conclude([phase])
    before, after = (median(mb for _, mb in _third(marks, which)) for which in (1, 2))
    wrong = [f"the server has grown from {before:.0f} to {after:.0f} MB"] if after > before * (1 + GROWS) else []
    figures: dict[str, Any] = {
        "grown_mb": round(after - before, 1),
        "grows_at_most": GROWS,
        "kept": not wrong,
        "slices": list(_slices(marks, outcome.times)),
        **outcome.figures,
    }
    return Result(report=report, jobs=outcome.jobs, seconds=outcome.seconds, lost=outcome.lost, wrong=wrong, figures=figures)


def _third(marks: Sequence[Mark], which: int) -> Sequence[Mark]:
    return marks[1 + which * SLICES // 3 : 1 + (which + 1) * SLICES // 3]


def _slices(marks: Sequence[Mark], times: Times) -> Iterator[dict[str, Any]]:
    waited = times.waits_between([at for at, _ in marks])
    for ((at, _), (end, mb)), waits in zip(pairwise(marks), waited, strict=True):
        yield {"jobs_per_s": rate(len(waits), end - at), "dispatch_to_start_ms": percentiles(waits), "server_rss_mb": mb}
