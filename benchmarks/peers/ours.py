"""Proto Jobs itself, by the scenarios of `python -m benchmarks`, with figures of the same names as those of the peers."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks import run, scenarios
from benchmarks.peers.figures import Figures, Load, Outcome
from benchmarks.stack import running_stack

PACKAGE: Final = "proto-jobs-service"
SETUP: Final = "server with default settings, one producer, two workers with a window of 2000 and 1000 slots"


def measure(scenario: str, load: Load) -> tuple[Outcome, dict[str, str], dict[str, str]]:
    """Run one scenario; return durability and versions, too."""
    figures: Figures = {}
    wrong: list[str] = []
    durability: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name, asked, read in _PARTS[scenario]:
        with running_stack("postgres") as stack, stack.connect() as client:
            result = scenarios.SCENARIOS[name](stack, client, asked(load))
            durability, versions = stack.durability(), stack.versions()
        figures |= read(result)
        if not result.ok:
            wrong.append(result.verdict)
    return Outcome(figures=figures, wrong=wrong), durability, versions


def _jobs(load: Load) -> run.Load:
    return run.Load(jobs=load.jobs, batch=load.batch, outstanding=load.outstanding)


def _seconds(load: Load) -> run.Load:
    return run.Load(seconds=load.seconds, batch=load.batch, outstanding=load.outstanding)


def _one_by_one(load: Load) -> run.Load:
    return run.Load(seconds=load.seconds, batch=1, outstanding=load.callers)


def _rate(name: str) -> Callable[[run.Result], Figures]:
    def read(result: run.Result) -> Figures:
        store_ms: dict[str, Any] = result.figures["cpu_s_per_1000_jobs"]
        return {name: result.jobs_per_s, f"{name}_store_us": round(store_ms["store"] * 1e3, 1)}

    return read


def _pickup(result: run.Result) -> Figures:
    found = result.figures["pickup_ms"]
    return {"idle_p50_ms": found["p50"], "idle_p99_ms": found["p99"]}


_Part = tuple[str, Callable[[Load], run.Load], Callable[[run.Result], Figures]]
_PARTS: Final[dict[str, list[_Part]]] = {
    "drain": [("dispatch", _jobs, _rate("enqueue")), ("drain", _jobs, _rate("drain"))],
    "both": [("both", _seconds, _rate("both"))],
    "single": [("dispatch", _one_by_one, _rate("single"))],
    "idle": [("idle", _seconds, _pickup)],
}
