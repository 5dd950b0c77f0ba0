"""The plain scenarios, and the table of all. Each loads a stack, waits until everything is done, and returns its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from protojobs_client import Client

from benchmarks.drivers import Driver
from benchmarks.failing import failures
from benchmarks.features import hotkey, limited, unique, watchers
from benchmarks.grids import dispatch_grid, drain_grid
from benchmarks.growth import bloat, growth
from benchmarks.holding import long
from benchmarks.latencies import idle, inversion, latency
from benchmarks.light import streams
from benchmarks.misuse import burst, mixed, slow, stalled, swarm
from benchmarks.outbox import outbox
from benchmarks.payloads import payloads
from benchmarks.run import Load, Phase, Result, single
from benchmarks.soak import soak
from benchmarks.stack import Stack
from benchmarks.tenancy import queues, tenants

Scenario = Callable[[Stack, Client, Load], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a scenario cannot do without. auth: tokens, so that callers have limits of their own; settings: of the server."""

    drivers: Sequence[Driver] = get_args(Driver)
    auth: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


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
    "bloat": bloat,
    "both": both,
    "burst": burst,
    "dispatch": dispatch,
    "dispatch-grid": dispatch_grid,
    "drain": drain,
    "drain-grid": drain_grid,
    "failures": failures,
    "growth": growth,
    "hotkey": hotkey,
    "idle": idle,
    "inversion": inversion,
    "latency": latency,
    "limited": limited,
    "long": long,
    "mixed": mixed,
    "outbox": outbox,
    "payloads": payloads,
    "queues": queues,
    "slow": slow,
    "soak": soak,
    "stalled": stalled,
    "streams": streams,
    "swarm": swarm,
    "tenants": tenants,
    "unique": unique,
    "watchers": watchers,
}

NEEDS: Final[dict[str, Needs]] = {
    "bloat": Needs(drivers=["postgres"]),
    "burst": Needs(auth=True),
    "mixed": Needs(auth=True),
    "queues": Needs(settings={"PROTOJOBS_LIMITS__MAX_QUEUES": "100000", "PROTOJOBS_LIMITS__MAX_KINDS": "100000"}),
    "slow": Needs(drivers=["postgres"], auth=True),
    "stalled": Needs(auth=True),
    "streams": Needs(settings={"PROTOJOBS_LIMITS__STREAMS_PER_CALLER": "0"}),
    "swarm": Needs(auth=True),
}
