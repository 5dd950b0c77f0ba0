"""Scenarios of many streams, all in one process that does as little as it can."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from protojobs_client import Client

from benchmarks.run import ASKED_EVERY_S, Load, Phase, Result, conclude, several
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import notes
from benchmarks.waiting import until
from tests.checker import History

MOST_GROWN_MB: Final = 60.0
"""By how much the server may be larger with the most streams than with the fewest."""
TARGET_PER_S: Final = 10_000.0
TRIES: Final = 100
"""A server may refuse some of many streams that come at once; they come again when it says."""
THERE_WITHIN_S: Final = 300.0


def start_streams(phase: Phase, streams: int, *, window: int | None = None, spread: Sequence[str | int] | None = None) -> None:
    """Start one process with so many streams, and wait until all are there.

    window: of each, by default its share of the load's. spread: prefix and number of the queues that they read, 100 each.
    """
    name = f"worker-light{phase.suffix}"
    each = window or max(1, phase.load.window // streams)
    phase.stack.launch("streamer", name, queue=phase.queue, streams=streams, window=each, spread=spread, tries=TRIES)

    def are_there() -> bool:
        return sum(worker.worker == name for worker in phase.client.workers()) == streams

    until("the streams are there", are_there, within=THERE_WITHIN_S, every=ASKED_EVERY_S)


def refused(history: History) -> dict[str, int]:
    """Return how often somebody was told RESOURCE_EXHAUSTED, and how often with the time to come again."""
    seen = [event.data for event in history.events if event.data.get("what") in {"streams", "refusals"}]
    return {name: sum(told[name] for told in seen) for name in ("refused", "with_retry_info")}


def without_hint(refusals: Mapping[str, int]) -> list[str]:
    """Say what is wrong with refusals."""
    without = refusals["refused"] - refusals["with_retry_info"]
    return [f"{without} refusals do not say when to come again"] if without else []


def streams(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once with 1, 100 and 1000 worker streams, which share the window."""
    phases = {count: _with_streams(stack, client, load, count) for count in load.streams}
    report, history, outcomes = conclude(list(phases.values()))
    rows: dict[str, dict[str, Any]] = {}
    for (count, phase), outcome in zip(phases.items(), outcomes, strict=True):
        [seen] = notes(history, "streams", phase.queue)
        rows[f"streams_{count}"] = {**outcome.row(), "settles": seen["settles"]}
    refusals = refused(history)
    wrong = without_hint(refusals)
    last, grown_mb = rows[f"streams_{max(phases)}"], round(phases[max(phases)].rss - phases[min(phases)].rss, 1)
    if grown_mb > MOST_GROWN_MB:
        wrong.append(f"{max(phases)} streams take {grown_mb:g} MB more than {min(phases)}")
    return several(
        report,
        outcomes,
        wrong=wrong,
        figures={
            "server_grew_mb": grown_mb,
            "grows_at_most_mb": MOST_GROWN_MB,
            "kept": not wrong,
            **refusals,
            "target_jobs_per_s": TARGET_PER_S,
            "within_target": last["jobs_per_s"] >= TARGET_PER_S,
            **rows,
        },
    )


def _with_streams(stack: Stack, client: Client, load: Load, count: int) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{count}")
    start_streams(phase, count)
    phase.begin()
    phase.produce(jobs=load.jobs, within=load.seconds + 300)
    phase.wait(jobs=1)
    phase.finish("ran")
    return phase
