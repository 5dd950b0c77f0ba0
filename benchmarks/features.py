"""Scenarios of what jobs and queues may have: unique keys, limits, concurrency keys, and somebody who watches."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from protojobs_client import Client, DuplicateJobError, JobRequest, RateLimit

from benchmarks.requests import HOT_KEY
from benchmarks.run import Load, Outcome, Phase, Result, conclude, several
from benchmarks.stack import KIND, QUEUE, Stack
from benchmarks.times import notes, percentiles, rate
from benchmarks.waiting import until
from tests.checker import History

KEYS_TRIED_AGAIN: Final = 100
CAUGHT_UP_WITHIN_S: Final = 900.0


def unique(stack: Stack, client: Client, load: Load) -> Result:
    """Store plain jobs, then jobs that have a unique key each; nobody runs them."""
    plain, keyed = (Phase(stack, client, load, f"{QUEUE}-{name}") for name in ("plain", "unique"))
    plain.produce(jobs=load.jobs, within=load.seconds + 300)
    plain.finish("stored")
    keyed.begin()
    keyed.produce(jobs=load.jobs, keys="unique", within=load.seconds + 300)
    keyed.finish("stored")
    let_in = _dispatched_again(client, keyed, load)
    report, _, [first, second] = conclude([plain, keyed])
    return Result(
        report=report,
        jobs=second.jobs,
        seconds=second.seconds,
        lost=first.lost + second.lost,
        figures={"plain": first.row(), "unique": second.row()},
        wrong=[f"{let_in} keys were taken twice"] if let_in else [],
    )


def _dispatched_again(client: Client, phase: Phase, load: Load) -> int:
    """Dispatch some of the keys a second time; return how many were not refused."""
    job, let_in = JobRequest(KIND).on_queue(phase.queue), 0
    stored = KEYS_TRIED_AGAIN if load.jobs is None else load.jobs // load.producers
    for number in range(min(KEYS_TRIED_AGAIN, stored)):
        try:
            client.dispatch(job.unique(f"producer-1{phase.suffix}-{number}"))
        except DuplicateJobError:
            continue
        let_in += 1
    return let_in


def limited(stack: Stack, client: Client, load: Load) -> Result:
    """Run a backlog of a queue with max_in_flight and a rate.

    The defaults are more than two cores do: then neither limit holds it back, and the claims are what is measured.
    """
    client.update_queue(QUEUE, max_in_flight=load.max_in_flight, rate_limit=RateLimit(per_second=load.claim_rate))
    phase, most = Phase(stack, client, load), 0

    def look(counts: Mapping[str, int]) -> None:
        nonlocal most
        most = max(most, counts["running"])

    phase.produce(jobs=load.jobs or 100_000, within=300)
    phase.begin()
    opened = phase.start_workers()
    phase.wait(look=look)
    phase.finish("drained")
    report, _, [outcome] = conclude([phase])
    # A bucket that begins full: its burst is a second's rate.
    allowed = load.claim_rate * (max(outcome.times.began.values()) - opened + 1)
    wrong = [f"{most} jobs ran at once"] if most > load.max_in_flight else []
    wrong += [f"{outcome.jobs} jobs began where {allowed:.0f} may"] if outcome.jobs > allowed else []
    figures = {**outcome.figures, "most_running": most}
    return Result(report=report, jobs=outcome.jobs, seconds=outcome.seconds, lost=outcome.lost, figures=figures, wrong=wrong)


def hotkey(stack: Stack, client: Client, load: Load) -> Result:
    """Run a backlog in which every tenth job has one concurrency key, and the others have a thousand; of a key one runs at once."""
    phase = Phase(stack, client, replace(load, producers=1))
    # One batch after the other: then the order in which jobs of a key must run is that of the history.
    phase.produce(jobs=load.jobs or 20_000, keys="hot", outstanding=1, within=600)
    phase.begin()
    phase.start_workers()
    phase.wait()
    phase.finish("drained")
    report, history, [outcome] = conclude([phase])
    of_key = _by_key(history)
    began = outcome.times.began
    wrong = [f"jobs of {key} ran out of order" for key, jobs in of_key.items() if not _in_order(jobs, began)]
    hot = sorted(began[job] for job in of_key[HOT_KEY] if job in began)
    others = sorted(began[job] for key, jobs in of_key.items() if key != HOT_KEY for job in jobs if job in began)
    figures = {
        "hot_jobs_per_s": rate(len(hot), hot[-1] - hot[0]),
        "other_jobs_per_s": rate(len(others), others[-1] - others[0]),
        "between_hot_jobs_ms": percentiles(later - one for one, later in pairwise(hot)),
        **outcome.figures,
    }
    return Result(report=report, jobs=outcome.jobs, seconds=outcome.seconds, lost=outcome.lost, figures=figures, wrong=wrong)


def _by_key(history: History) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in history.events:
        if event.op == "dispatch" and event.phase == "invoke":
            found.setdefault(event.data["keys"][event.place], []).append(event.job)
    return found


def _in_order(jobs: list[str], began: dict[str, float]) -> bool:
    moments = [began[job] for job in jobs if job in began]
    return all(one <= later for one, later in pairwise(moments))


def watchers(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once, each time with another number of WatchJobs streams, all in one process."""
    phases = [_watched(stack, client, load, streams) for streams in load.watchers]
    report, history, outcomes = conclude(phases)
    wrong = [
        f"a stream of {phase.queue} has a gap or a repeat"
        for phase, outcome in zip(phases, outcomes, strict=True)
        for seen in notes(history, "watched", phase.queue)
        if not _complete(seen, outcome)
    ]
    rows = {
        f"watched_by_{streams}": {**outcome.row(), "caught_up_after_s": _behind(history, phase, outcome)}
        for streams, phase, outcome in zip(load.watchers, phases, outcomes, strict=True)
    }
    return several(report, outcomes, rows, wrong)


def _watched(stack: Stack, client: Client, load: Load, streams: int) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{streams}")
    watcher = f"watcher{phase.suffix}"
    if streams:
        history = stack.directory / f"{watcher}.jsonl"
        stack.launch("watcher", watcher, queue=phase.queue, streams=streams)
        until("the watchers watch", lambda: history.exists() and b"watching" in history.read_bytes(), within=30)
    phase.start_workers()
    phase.begin()
    phase.produce(jobs=load.jobs, within=load.seconds + 120)
    phase.wait()
    if streams:
        # Before the finish: what the server still has to tell belongs to what it costs.
        stack.end(watcher, within=CAUGHT_UP_WITHIN_S)
    phase.finish("ran")
    return phase


def _complete(seen: dict[str, Any], outcome: Outcome) -> bool:
    jobs = outcome.times.began
    return bool(seen["events"] == len(jobs) and seen["checksum"] == str(sum(UUID(job).int for job in jobs)))


def _behind(history: History, phase: Phase, outcome: Outcome) -> float:
    """Return how long after the last start the slowest stream had everything."""
    ends = [seen["until"] for seen in notes(history, "watched", phase.queue)]
    return round(max(ends) - max(outcome.times.began.values()), 2) if ends else 0.0
