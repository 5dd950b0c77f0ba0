"""The relay: moves rows of an outbox to a server, in order, and sets aside those that no server will ever take."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from protojobs_service.application.clock import Clock
from protojobs_service.domain.errors import JobsError
from protojobs_service.port.outbox import Fates, Outbox, OutboxRow, OutboxStatus

_log = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 500, 3 * 1024 * 1024
_IDLE_S = 0.05
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_FULL_S = 1.0
_POISON = frozenset(
    {
        "DRIVER_UNSUPPORTED",
        "DUPLICATE_JOB",
        "INVALID_FIELD",
        "JOB_ID_REUSED",
        "JOB_ID_TIME",
        "MALFORMED_MESSAGE",
        "PAYLOAD_TOO_LARGE",
    }
)
"""Reasons for which a row will be refused however often it comes. Two of them pass if somebody acts, who can then put it back."""


class Refused(NamedTuple):
    """Why a row's job was not stored: a reason of the contract, and a text that may be stored and shown."""

    reason: str
    message: str


Deliver = Callable[[Sequence[OutboxRow]], Awaitable[Sequence[Refused | None]]]
"""Dispatches the jobs of rows; answers by place, None where the job is stored, now or before. Raises where nobody knows."""


class Relay:
    """Moves the rows of one outbox. Several may do so at once."""

    def __init__(self, outbox: Outbox, deliver: Deliver, clock: Clock, *, name: str, batch: int = BATCH) -> None:
        """Name: of the outbox, for logs."""
        self._outbox, self._deliver, self._clock = outbox, deliver, clock
        self.name, self._batch = name, batch
        self.relayed = 0
        """Rows whose jobs are stored, since the start."""
        self._full: dict[str, float] = {}

    async def run(self) -> None:
        """Move rows until cancelled; look for new ones 20 times a second. Errors are logged, and waited out for up to 5 s."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                moved = await self.turn()
            except Exception as error:  # noqa: BLE001 # a relay that ends moves nothing any more
                reason = error.reason if isinstance(error, JobsError) else type(error).__name__
                # Not the error itself: what a library says may name the database and its user.
                _log.warning("outbox turn failed", extra={"outbox": self.name, "reason": reason})
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            if moved < self._batch:
                await self._clock.sleep(_IDLE_S)

    async def drain(self) -> int:
        """Move rows until none is left that can be; returns how many. Raises what `turn` raises."""
        moved = 0
        while step := await self.turn():
            moved += step
        return moved

    async def turn(self) -> int:
        """Move one batch; returns how many rows have left or were set aside. Raises JobsError, and what `deliver` raises."""
        now = self._clock.monotonic()
        self._full = {queue: until for queue, until in self._full.items() if until > now}
        done = gone = 0

        async def send(rows: Sequence[OutboxRow]) -> Fates:
            nonlocal done, gone
            fates = self._judge(rows, await self._answers(rows))
            gone = len(fates.gone)
            done = gone + len(fates.aside)
            return fates

        await self._outbox.move(self._batch, BATCH_BYTES, self._full.keys(), send)
        self.relayed += gone
        return done

    async def status(self) -> OutboxStatus:
        """Count the rows that are left. Raises JobsError."""
        return await self._outbox.status()

    async def _answers(self, rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        """Deliver rows; where a batch was refused for want of room, each kind for itself, so that none waits for another."""
        answers = list(await self._deliver(rows))
        waiting = [place for place, answer in enumerate(answers) if answer is not None and answer.reason not in _POISON]
        kinds: dict[tuple[str, str], list[int]] = {}
        for place in waiting:
            kinds.setdefault((rows[place].queue, rows[place].kind), []).append(place)
        for places in kinds.values() if len(kinds) > 1 else ():
            again = await self._deliver([rows[place] for place in places])
            for place, answer in zip(places, again, strict=True):
                answers[place] = answer
        return answers

    def _judge(self, rows: Sequence[OutboxRow], answers: Sequence[Refused | None]) -> Fates:
        gone: list[int] = []
        aside: list[tuple[int, str]] = []
        for row, refused in zip(rows, answers, strict=True):
            if refused is None:
                gone.append(row.seq)
            elif refused.reason in _POISON:
                aside.append((row.seq, f"{refused.reason}: {refused.message}"))
                _log.error("outbox row set aside", extra={"outbox": self.name, "job_id": row.id, "reason": refused.reason})
            else:  # no room, no permission, no store: for this queue, for a while
                if row.queue in self._full:
                    continue
                self._full[row.queue] = self._clock.monotonic() + _FULL_S
                _log.warning("outbox queue waits", extra={"outbox": self.name, "queue": row.queue, "reason": refused.reason})
        return Fates(gone, aside)
