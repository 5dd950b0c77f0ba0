"""What jobs of these tests do: their payload says it, so that any worker program runs any job.

    {"do": "ok" | "fail" | "snooze" | "exit", "hold": gate or {worker: gate}, "times": n, "delay": s}

A held job ends when the gate, a file that the test makes, exists; workers that are not named do not hold it. `fail` and `snooze`
are for the first `times` attempts (default: all). `exit` ends the process before anything is recorded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What one run does: outcome is complete, fail or snooze."""

    outcome: str
    delay: float | None = None


def instructions(payload: bytes) -> dict[str, Any]:
    """Read a payload."""
    return orjson.loads(payload) if payload else {}


async def act(task: dict[str, Any], *, worker: str, attempt: int, gates: Path) -> Act:
    """Do what a payload says, up to its outcome."""
    hold: str | dict[str, str] = task.get("hold", "")
    gate = hold if isinstance(hold, str) else hold.get(worker, "")
    if gate:
        await until(f"gate {gate} opens", (gates / gate).exists, within=3600, every=0.05)
    do = task.get("do", "ok")
    times = task.get("times", 1 << 30)
    if do == "fail" and attempt <= times:
        return Act(outcome="fail", delay=task.get("delay"))
    if do == "snooze" and attempt <= times:
        return Act(outcome="snooze", delay=task.get("delay", 0.0))
    return Act(outcome="complete")
