"""Scenarios of what a store has gathered: a backlog that grows, and a snapshot that nobody gives back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from time import monotonic
from typing import Any, Final

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude, read_all
from benchmarks.snapshot import held_snapshot, oldest_snapshot_s
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import Times, percentiles, rate
from benchmarks.usage import per_1000_jobs
from benchmarks.waiting import moments, until
from tests.checker import judge, read_history

FLAT: Final = 0.25
"""By how much the cost of a claim may differ from that with the smallest backlog."""
DECAY: Final = 0.10
CLAIMED: Final = 50_000
FILL_BATCH: Final = 1000
FILL_PRODUCERS: Final = 2
FILLED_WITHIN_S: Final = 3600.0
LATER_S: Final = 86_400.0
BLOAT_PER_S: Final = 2000.0
BLOAT_TOGETHER: Final = 20
SLICES: Final = 12
_LEAD_S: Final = 10.0
_FILLERS: Final = "filling"
_LOOKED_EVERY_S: Final = 0.1


def growth(stack: Stack, client: Client, load: Load) -> Result:
    """Claim and complete jobs from ever larger backlogs, beside jobs that are scheduled for tomorrow; nothing is dispatched then.

    What is measured begins with so many jobs more than `pending` says, and ends when those are done.
    """
    filling = replace(load, producers=max(load.producers, FILL_PRODUCERS), batch=FILL_BATCH)
    claimed = load.jobs or CLAIMED
    fill = Phase(stack, client, filling)
    if load.scheduled:
        fill.produce(jobs=load.scheduled, delay=LATER_S, role=_FILLERS, within=FILLED_WITHIN_S)
    rows: dict[str, dict[str, Any]] = {}
    sent = load.scheduled
    for pending in [0, *sorted(load.pending)]:  # the first is not reported: it warms up
        if more := max(0, pending + claimed - fill.counts()["pending"]):
            fill.produce(jobs=more, role=_FILLERS, within=FILLED_WITHIN_S)
            sent += more
        row = _claim(stack, client, load, claimed)
        if pending:
            rows[f"down_to_{pending}_pending"] = row
    history = read_all(stack.directory)
    times = Times(history, QUEUE)
    counts = Phase(stack, client, load).counts()
    there = sum(counts[state] for state in ("pending", "scheduled", "running", "completed"))
    ratios = _against_first(rows, "claim_cpu_us_per_job")
    wrong = [f"{name}: a claim costs {ratio:.2f} of what it costs first" for name, ratio in ratios.items() if abs(ratio - 1) > FLAT]
    return Result(
        report=judge(history),
        jobs=times.runs,
        seconds=sum(row["jobs"] / row["jobs_per_s"] for row in rows.values()),
        lost=sent - there,
        wrong=wrong,
        figures={
            **rows,
            "cost_ratios": ratios,
            "speed_ratios": _against_first(rows, "jobs_per_s"),
            "flat_within": FLAT,
            "kept": not wrong,
            "scheduled": counts["scheduled"],
            "dispatched": len(times.acked),
        },
    )


def _claim(stack: Stack, client: Client, load: Load, jobs: int) -> dict[str, Any]:
    """Run so many jobs of what waits, and say what each cost."""
    phase, ran = Phase(stack, client, load), 0
    client.pause(QUEUE)
    phase.start_workers()
    done, before, began = phase.counts()["completed"], stack.usage(), monotonic()
    client.resume(QUEUE)

    def enough() -> bool:
        nonlocal ran
        ran = phase.counts()["completed"] - done
        return ran >= jobs

    until(f"{jobs} jobs are done", enough, within=900, every=_LOOKED_EVERY_S)
    used = {name: cpu_s - before[name] for name, cpu_s in stack.usage().items()}
    client.pause(QUEUE)  # what still waits is there for the next claims
    stack.end_all("worker", within=60)
    client.resume(QUEUE)
    history = read_history(stack.directory.glob("worker-*.jsonl"))
    moments = [event.t for event in history.events if event.op == "ran" and event.t > began][:jobs]
    return {
        "jobs_per_s": rate(len(moments), moments[-1] - moments[0]),
        "claim_cpu_us_per_job": round(sum(used.values()) / ran * 1e6, 1),
        "cpu_s_per_1000_jobs": per_1000_jobs(used, ran),
        "jobs": ran,
        "pending_after": phase.counts()["pending"],
        "server_rss_mb": stack.server_rss_mb(),
    }


def _against_first(rows: Mapping[str, Mapping[str, Any]], figure: str) -> dict[str, float]:
    """Return the figure of each row divided by that of the first."""
    [first, *others] = rows.items()
    return {name: round(row[figure] / first[1][figure], 3) for name, row in others}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was counted at a moment."""

    at: float
    completed: int
    cpu_s: Mapping[str, float]


def bloat(stack: Stack, client: Client, load: Load) -> Result:
    """Run 2000 jobs a second: calm for a sixth of the time, then beside a snapshot that is held all the while, then after its end.

    Decay is what the last third of the held time costs, beside the calm; and what is not done of what is sent.
    """
    phase = Phase(stack, client, replace(load, producers=1))
    calm_s = load.seconds / 6
    phase.start_workers(keep=False)
    phase.begin()
    jobs = int((load.seconds + 2 * calm_s + _LEAD_S) * BLOAT_PER_S) // BLOAT_TOGETHER * BLOAT_TOGETHER
    pace = {"interval": BLOAT_TOGETHER / BLOAT_PER_S, "together": BLOAT_TOGETHER}
    stack.launch("producer", "producer-steady", queue=QUEUE, jobs=jobs, keep=False, **pace)
    until("jobs are done", lambda: phase.counts()["completed"] > BLOAT_PER_S, within=60)
    marks = {"calm": _marks(phase, calm_s, SLICES // 6)}
    with held_snapshot(stack):
        marks["held"] = _marks(phase, load.seconds, SLICES)
        held_s = oldest_snapshot_s(stack)
    marks["released"] = _marks(phase, calm_s, SLICES // 6)
    stack.end_all("producer", within=load.seconds + 120)
    phase.wait()
    phase.finish("ran")
    report, _, [outcome] = conclude([phase])
    rows = {name: list(_slices(taken, outcome.times)) for name, taken in marks.items()}
    last_third = rows["held"][-SLICES // 3 :]
    cost = _middle(last_third, "cpu_us_per_job") / _middle(rows["calm"], "cpu_us_per_job") - 1
    speed = 1 - _middle(last_third, "jobs_per_s") / _middle(rows["calm"], "jobs_per_s")
    wrong = [f"{name} decays by {decay:.0%}" for name, decay in (("cost", cost), ("throughput", speed)) if decay > DECAY]
    wrong += [] if held_s >= load.seconds * 0.9 else [f"the snapshot was held for {held_s:.0f} s only"]
    return Result(
        report=report,
        jobs=outcome.jobs,
        seconds=outcome.seconds,
        lost=outcome.lost,
        wrong=wrong,
        figures={
            "cost_decay": round(cost, 3),
            "throughput_decay": round(speed, 3),
            "decay_at_most": DECAY,
            "kept": not wrong,
            "snapshot_held_s": round(held_s, 1),
            "slices": rows,
            **outcome.figures,
        },
    )


def _marks(phase: Phase, seconds: float, slices: int) -> Sequence[Mark]:
    """Look now, and at the end of each slice."""
    return [_mark(phase, at) for at in moments(seconds, slices)]


def _mark(phase: Phase, at: float) -> Mark:
    return Mark(at=at, completed=phase.counts()["completed"], cpu_s=phase.stack.usage())


def _slices(marks: Sequence[Mark], times: Times) -> Iterator[dict[str, Any]]:
    waited = times.waits_between([mark.at for mark in marks])
    for (one, later), waits in zip(pairwise(marks), waited, strict=True):
        jobs = later.completed - one.completed
        used = {name: (cpu_s - one.cpu_s[name]) / max(jobs, 1) * 1e6 for name, cpu_s in later.cpu_s.items()}
        yield {
            "jobs_per_s": rate(jobs, later.at - one.at),
            "cpu_us_per_job": round(sum(used.values()), 1),
            "cpu_us_per_job_of": {name: round(cpu_us, 1) for name, cpu_us in used.items()},
            "dispatch_to_start_ms": percentiles(waits),
        }


def _middle(rows: Sequence[Mapping[str, Any]], figure: str) -> float:
    return float(median(row[figure] for row in rows))
