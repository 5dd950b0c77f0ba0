"""The scenario of sizes: payloads from nothing to the largest."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from protojobs_client import Client

from benchmarks.pings import STALL_MS, Pings
from benchmarks.run import Load, Phase, Result, conclude, several
from benchmarks.stack import QUEUE, Stack
from benchmarks.times import rate

CALL_BYTES: Final = 2 * 1024 * 1024
"""What one dispatch carries at most, beside what the options say."""
WINDOW_BYTES: Final = 64 * 1024 * 1024
"""What one worker has at once."""


def payloads(stack: Stack, client: Client, load: Load) -> Result:
    """Dispatch and run at once, with payloads of each size, which no store can compress; workers check that they get what was sent.

    Each 10 ms somebody asks the server for what costs it nothing: an answer that takes long is one that the event loop kept back.
    """
    phases = [_of_size(stack, client, load, size) for size in load.sizes]
    report, history, outcomes = conclude(phases)
    rows: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    for size, phase, outcome in zip(load.sizes, phases, outcomes, strict=True):
        pings = Pings.read(history, phase.queue)
        rows[f"payload_{size}"] = {
            "mb_per_s": round(rate(outcome.jobs, outcome.seconds) * size / 1e6, 2),
            "longest_stall_ms": pings["max"],
            "ping_ms": pings,
            **outcome.row(),
        }
        if pings["max"] > STALL_MS:
            wrong.append(f"a caller waited {pings['max']:g} ms beside payloads of {size} bytes")
    return several(report, outcomes, {"stall_at_most_ms": STALL_MS, "kept": not wrong, **rows}, wrong)


def fitting(load: Load, sizes: Sequence[int]) -> Load:
    """Return the load with batches and windows that payloads of these sizes allow."""
    largest = max(1, *sizes)
    batch, window = max(1, CALL_BYTES // largest), max(2, WINDOW_BYTES // largest)
    return replace(load, batch=min(load.batch, batch), window=min(load.window, window), concurrency=min(load.concurrency, window))


def _of_size(stack: Stack, client: Client, load: Load, size: int) -> Phase:
    phase = Phase(stack, client, fitting(load, [size]), f"{QUEUE}-{size}")
    phase.start_workers(digests=True)
    phase.begin()
    with Pings(stack, phase.queue):
        phase.produce(jobs=load.jobs, payload_bytes=size, within=load.seconds + 300)
        phase.wait(jobs=1)
    phase.finish("ran")
    return phase
