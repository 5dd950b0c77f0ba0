"""Scenarios of many queues: how many there may be, and what one of them does to the others."""

from dataclasses import replace
from typing import Final

from protojobs_client import Client

from benchmarks.beside import Others, compare_with_calm
from benchmarks.light import refused, start_streams, without_hint
from benchmarks.run import ASKED_EVERY_S, Load, Phase, Result, conclude, several
from benchmarks.stack import QUEUE, Stack

OF_A_SESSION: Final = 100
"""Queues that one worker session may read."""
MANY: Final = 1000
ASKED_EVERY_S_OF_MANY: Final = 2.0
QUIET: Final = 99


def queues(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once on 1, 100 and 10 000 queues, evenly and as Zipf has it; each 100 queues have a stream."""
    phases = {
        f"queues_{count}_{'zipf' if skew else 'even'}": _on_queues(stack, client, load, count, skew=skew)
        for count in load.queues
        for skew in ((False, True) if count > 1 else (False,))
    }
    report, history, outcomes = conclude(list(phases.values()))
    refusals = refused(history)
    rows = {name: outcome.row() for name, outcome in zip(phases, outcomes, strict=True)}
    return several(report, outcomes, {**refusals, **rows}, without_hint(refusals))


def _on_queues(stack: Stack, client: Client, load: Load, count: int, *, skew: bool) -> Phase:
    group = f"{QUEUE}-{count}-{'zipf' if skew else 'even'}"
    phase = Phase(stack, client, load, group, [f"{group}.{number}" for number in range(count)])
    spread: list[str | int] = [f"{group}.", count]
    start_streams(phase, -(-count // OF_A_SESSION), spread=spread)
    phase.begin()
    phase.produce(jobs=load.jobs, spread=spread, skew=skew, within=load.seconds + 300)
    phase.wait(jobs=1, every=ASKED_EVERY_S if count < MANY else ASKED_EVERY_S_OF_MANY)
    phase.finish("ran")
    return phase


def tenants(stack: Stack, client: Client, load: Load) -> Result:
    """Send single jobs to 99 quiet queues, first alone, then beside a queue that one producer floods; one worker reads all."""
    noisy = Phase(stack, client, replace(load, producers=1), f"{QUEUE}-noisy")

    def flood() -> None:
        noisy.begin()
        stack.launch(
            "producer", "producer-noisy", queue=noisy.queue, batch=load.batch, outstanding=load.outstanding,
            seconds=load.seconds, jobs=load.jobs, role="noisy",
        )  # fmt: skip

    def end() -> None:
        noisy.wait(jobs=1)
        noisy.finish("ran", end_workers=False)

    return compare_with_calm(
        Others(stack, client, load, spread=QUIET, also=[noisy.queue]), stack, load, flood, end, more=[noisy]
    )  # fmt: skip
