"""The scenario of jobs that fail and are retried."""

from collections.abc import Set as AbstractSet
from typing import Any, Final

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude, several
from benchmarks.stack import QUEUE, Stack
from tests.checker import History

POLICY: Final = {"initial_backoff": 0.1, "max_retries": 3, "jitter": "NONE"}


def failures(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once, with 1, 10 and 50 of a hundred jobs failing once; each runs again 100 ms later, and completes."""
    phases = [_with_failing(stack, client, load, percent) for percent in load.failing]
    report, history, outcomes = conclude(phases)
    rows: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    for percent, phase, outcome in zip(load.failing, phases, outcomes, strict=True):
        failed, completed = _ended(history, outcome.times.sent.keys())
        del outcome.figures["duplicates"]  # a run after a failure is none
        rows[f"failing_{percent:g}_percent"] = {**outcome.row(), "failed_runs": failed, "completed": completed}
        if completed != outcome.jobs:
            wrong.append(f"{completed} of {outcome.jobs} jobs of {phase.queue} have completed")
    if report.repeated_runs:
        wrong.append(f"{report.repeated_runs} runs that nobody asked for")
    return several(report, outcomes, rows, wrong)


def _with_failing(stack: Stack, client: Client, load: Load, percent: float) -> Phase:
    phase = Phase(stack, client, load, f"{QUEUE}-{percent:g}")
    phase.start_workers(failing=percent)
    phase.begin()
    phase.produce(jobs=load.jobs, policy=POLICY, within=load.seconds + 120)
    phase.wait(jobs=1)
    phase.finish("ran")
    return phase


def _ended(history: History, jobs: AbstractSet[str]) -> tuple[int, int]:
    """Return how many runs of these jobs have failed, and how many of the jobs have completed."""
    failed = sum(event.op == "end" and event.data["outcome"] == "fail" and event.job in jobs for event in history.events)
    return failed, len({event.job for event in history.events if event.op == "ran"} & jobs)
