"""The numbers of the outboxes that this server relays."""

import asyncio
import contextlib
from collections.abc import Sequence

from protojobs_service.application import OutboxStatus, Relay
from protojobs_service.domain.errors import JobsError
from protojobs_service.telemetry import Reading, Telemetry

_STATUS_LIFETIME = 10.0
"""s: to count the rows that wait is work for somebody else's database."""
_PATIENCE = 5.0
"""s, as for the store (`queue_gauges`)."""


class OutboxGauges:
    """Keeps the last look at each outbox; forgets it where the database does not answer in time. patience: s."""

    def __init__(self, relays: Sequence[Relay], *, patience: float = _PATIENCE) -> None:
        self._relays = relays
        self._patience = patience
        self._seen: dict[str, OutboxStatus] = {}
        self._read_at = float("-inf")

    def register(self, telemetry: Telemetry) -> None:
        """Have everything read when somebody looks."""
        telemetry.observe("protojobs.outbox.lag", "How long the first row of an outbox has waited.", self._lag, "s")
        telemetry.observe("protojobs.outbox.rows", "Rows of an outbox that wait or were set aside.", self._rows, "{row}")
        telemetry.count("protojobs.outbox.relayed", "Rows of an outbox that have become jobs.", self._relayed, "{row}")

    async def refresh(self) -> None:
        """Look at the outboxes unless that was done within 10 s."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at < _STATUS_LIFETIME:
            return
        self._read_at = now
        async with asyncio.TaskGroup() as tasks:
            for relay in self._relays:
                tasks.create_task(self._look(relay))

    async def _look(self, relay: Relay) -> None:
        self._seen.pop(relay.name, None)
        with contextlib.suppress(JobsError, TimeoutError):
            async with asyncio.timeout(self._patience):
                self._seen[relay.name] = await relay.status()

    def _lag(self) -> Reading:
        return [
            (0.0 if status.oldest is None else status.oldest.total_seconds(), {"outbox": name})
            for name, status in self._seen.items()
        ]

    def _rows(self) -> Reading:
        for name, status in self._seen.items():
            yield status.waiting, {"outbox": name, "state": "waiting"}
            yield status.set_aside, {"outbox": name, "state": "set_aside"}

    def _relayed(self) -> Reading:
        return [(relay.relayed, {"outbox": relay.name}) for relay in self._relays]
