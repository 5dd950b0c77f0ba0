"""The scenario of jobs that run for long: what it costs to hold them."""

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic, sleep
from typing import Any, Final

from protojobs_client import Client

from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import Stack
from benchmarks.usage import cpu_s_of
from benchmarks.waiting import until

LONG_JOBS: Final = 10_000
MOST_SHARE: Final = 0.05
"""Of a core, for server and store together."""
SETTLED_DOWN_S: Final = 3.0
MARGIN_S: Final = 2.0


def long(stack: Stack, client: Client, load: Load) -> Result:
    """Run 10 000 jobs that take a minute each, all at once, and measure between the start of the last and the end of the first.

    The same span with the workers connected and nothing to do is measured before.
    """
    jobs = load.jobs or LONG_JOBS
    each = -(-jobs // load.workers)
    phase = Phase(stack, client, replace(load, concurrency=each, window=each))
    phase.start_workers(busy_s=load.busy)
    span = load.busy / 2
    sleep(SETTLED_DOWN_S)
    empty = _shares(stack, span)
    phase.begin()
    began = monotonic()
    phase.produce(jobs=jobs, within=120)
    until(f"{jobs} jobs run", lambda: phase.counts()["running"] == jobs, within=max(5.0, load.busy - MARGIN_S))
    filled_s = monotonic() - began
    sleep(SETTLED_DOWN_S)
    left = began + load.busy - MARGIN_S - monotonic()
    if left <= 0:
        raise RuntimeError(f"jobs of {load.busy:g} s are too short: it took {filled_s:.1f} s until all ran")
    held = _shares(stack, min(span, left))
    still = phase.counts()["running"]
    phase.wait(within=load.busy * 2 + 120)
    phase.finish("ran")
    report, _, [outcome] = conclude([phase])
    share = held["server"] + held.get("store", 0.0)
    wrong = [f"it costs {share:.1%} of a core to hold {jobs} jobs"] if share >= MOST_SHARE else []
    wrong += [] if still == jobs else [f"{still} of {jobs} jobs ran when it was measured"]
    figures: dict[str, Any] = {
        "held_share_of_core": round(share, 4),
        "share_at_most": MOST_SHARE,
        "kept": not wrong,
        "measured_s": round(min(span, left), 1),
        "held": held,
        "nothing_to_do": empty,
        "all_ran_after_s": round(filled_s, 2),
        **outcome.figures,
    }
    return Result(report=report, jobs=outcome.jobs, seconds=outcome.seconds, lost=outcome.lost, wrong=wrong, figures=figures)


def _shares(stack: Stack, seconds: float) -> dict[str, float]:
    """Return the shares of a core that server, store and workers use while nobody asks anything."""
    began, before = monotonic(), _used(stack)
    sleep(seconds)
    passed, after = monotonic() - began, _used(stack)
    return {name: round((cpu_s - before[name]) / passed, 4) for name, cpu_s in after.items()}


def _used(stack: Stack) -> Mapping[str, float]:
    workers = sum(cpu_s_of(program.pid) for name, program in stack.programs.items() if name.startswith("worker"))
    return {**stack.usage(), "workers": workers}
