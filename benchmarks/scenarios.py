"""The plain scenarios, and the table of all. Each loads a stack, waits until everything is done, and returns its figures."""

from collections.abc import Callable
from typing import Final

from protojobs_client import Client

from benchmarks.features import hotkey, limited, unique, watchers
from benchmarks.latencies import idle, inversion, latency
from benchmarks.outbox import outbox
from benchmarks.run import Load, Phase, Result, single
from benchmarks.stack import Stack

Scenario = Callable[[Stack, Client, Load], Result]


def both(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once."""
    phase = Phase(stack, client, load)
    phase.start_workers()
    phase.begin()
    phase.produce(jobs=load.jobs, within=load.seconds + 120)
    phase.wait()
    phase.finish("ran")
    return single(phase)


def drain(stack: Stack, client: Client, load: Load) -> Result:
    """Run a backlog that was dispatched before."""
    phase = Phase(stack, client, load)
    phase.produce(jobs=load.jobs or 200_000, within=300)
    phase.begin()
    phase.start_workers()
    phase.wait()
    phase.finish("drained")
    return single(phase)


def dispatch(stack: Stack, client: Client, load: Load) -> Result:
    """Store jobs that nobody runs."""
    phase = Phase(stack, client, load)
    phase.produce(jobs=load.jobs, within=load.seconds + 300)
    phase.finish("stored")
    return single(phase)


SCENARIOS: Final[dict[str, Scenario]] = {
    "both": both,
    "dispatch": dispatch,
    "drain": drain,
    "hotkey": hotkey,
    "idle": idle,
    "inversion": inversion,
    "latency": latency,
    "limited": limited,
    "outbox": outbox,
    "unique": unique,
    "watchers": watchers,
}
