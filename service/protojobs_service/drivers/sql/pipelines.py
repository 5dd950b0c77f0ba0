"""Group commit: while a flush is in flight everything new of its kind queues up, and when it returns all of it goes in one.

An idle system pays one commit, a busy one fills its flushes by itself; only where several callers send little, see `Linger`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from protojobs_service.domain.errors import Overloaded, StoreUnavailable, Unavailable
from protojobs_service.drivers.sql.linger import Linger
from protojobs_service.drivers.sql.turns import Turns
from protojobs_service.port.deadline import unhurried
from protojobs_service.port.sender import Sender, sender

_log = logging.getLogger(__name__)

Call = TypeVar("Call")
Answer = TypeVar("Answer")

MAX_ROWS = 1000
MAX_BYTES = 1024 * 1024
"""Of a flush: what comes meanwhile waits for its end, so larger ones, which hardly cost less a job, would make everybody wait."""


_BYTES_OF_A_ROW = 1024
"""So many bytes take a store about as long as a row does, beside those of which each row has some."""


class Weight(NamedTuple):
    """What a call adds to a flush."""

    rows: int
    bytes: int

    @property
    def cost(self) -> int:
        """Return what it counts for, when it is whose turn."""
        return self.rows + self.bytes // _BYTES_OF_A_ROW


class _Pending(NamedTuple, Generic[Call, Answer]):
    sender: Sender
    call: Call
    weight: Weight
    answer: asyncio.Future[Answer]


class Pipeline(Generic[Call, Answer]):
    """One kind of work, one flush at a time, one future per call; each sender's calls in their order, and several senders in turns.

    flush: commits all calls and returns an answer or an error for each; where it raises, its callers get the error. After an
    error that the store is not to blame for, each call is run again alone, so that a poisoned one fails nobody else.
    hold: how many rows may go now (awaited before each flush), None for no bound; it is given what tells how many rows the next
    call has, which may be another one while it waits. forgets: calls whose callers have left before their flush are not made: they
    would take the place of those that somebody waits for. linger: how long a flush waits for more; without one not at all.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Call]], Awaitable[Sequence[Answer | Exception]]],
        *,
        weigh: Callable[[Call], Weight],
        hold: Callable[[Callable[[], int]], Awaitable[int | None]] | None = None,
        forgets: bool = False,
        linger: Linger | None = None,
    ) -> None:
        """Prepare; the first call starts it."""
        self._name = name
        self._flush = flush
        self._weigh = weigh
        self._hold = hold
        self._forgets = forgets
        self._linger = Linger(longest_s=0) if linger is None else linger
        self._pending = Turns[_Pending[Call, Answer]]()
        self._taken: Sequence[_Pending[Call, Answer]] = ()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, call: Call) -> Answer:
        """Return the answer to `call` once it is committed. A caller that is cancelled leaves its work in a flush under way."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        item = _Pending(sender(), call, self._weigh(call), loop.create_future())
        self._pending.add(item.sender, item, item.weight.cost)
        self._linger.came(item.weight.cost)
        if self._runner is None:
            # Owned by the pipeline: `close` awaits it, and it ends by itself when nothing is pending.
            self._runner = loop.create_task(self._work(), name=f"sql-{self._name}", context=unhurried())
        answer: Answer = await item.answer
        return answer

    async def close(self) -> None:
        """Refuse new calls and finish those that are pending."""
        self._closed = True
        self._linger.stop()
        if self._runner is not None:
            await self._runner

    async def _work(self) -> None:
        try:
            while self._pending:
                await self._linger.wait(len(self._pending), self._pending.cost)
                self._taken = self._take(await self._allowed())
                if self._taken:
                    with self._linger.flush(_callers(self._taken)):
                        await self._commit(self._taken)
        finally:
            self._runner = None
            # Something is left only where this task was cancelled or a bug ended it: nobody may wait for ever.
            left = [item for item in (*self._taken, *self._pending) if not item.answer.done()]
            self._taken = ()
            self._pending.clear()
            _answer(left, [StoreUnavailable("the store has stopped")] * len(left))

    async def _allowed(self) -> int | None:
        if self._hold is None:
            return None
        try:
            return await self._hold(self._next_rows)
        except Exception:  # noqa: BLE001 - a flow control that fails must not stop the flow
            _log.exception("flow control failed", extra={"pipeline": self._name})
            return None

    def _next_rows(self) -> int:
        return self._pending.first().weight.rows

    def _take(self, allowed: int | None) -> list[_Pending[Call, Answer]]:
        most = MAX_ROWS if allowed is None else min(allowed, MAX_ROWS)
        items: list[_Pending[Call, Answer]] = []
        rows = size = 0
        while self._pending:
            item = self._pending.first()
            if self._forgets and item.answer.done():
                self._pending.take()
                continue
            rows, size = rows + item.weight.rows, size + item.weight.bytes
            if items and (rows > most or size > MAX_BYTES):
                self._pending.pass_over()
                break
            items.append(self._pending.take())
        return items

    async def _commit(self, items: Sequence[_Pending[Call, Answer]]) -> None:
        try:
            _answer(items, await self._flushed(items))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(items) == 1 or _is_of_store(error):
                _answer(items, [error] * len(items))
            else:
                await self._commit_alone(items)

    async def _commit_alone(self, items: Sequence[_Pending[Call, Answer]]) -> None:
        """Run each call by itself, until the store refuses: each further one might wait as long for the same answer."""
        _log.warning("flush refused, running its calls alone", extra={"pipeline": self._name, "calls": len(items)})
        for i, item in enumerate(items):
            try:
                _answer([item], await self._flushed([item]))
            except Exception as error:  # noqa: BLE001 - see _commit
                if _is_of_store(error):
                    _answer(items[i:], [error] * (len(items) - i))
                    return
                _answer([item], [error])

    async def _flushed(self, items: Sequence[_Pending[Call, Answer]]) -> Sequence[Answer | Exception]:
        answers = await self._flush([item.call for item in items])
        if len(answers) == len(items):
            return answers
        _log.error("flush answered another number of calls", extra={"pipeline": self._name, "calls": len(items)})
        raise StoreUnavailable("the outcome is unknown")  # it may have committed: not to be run again


def _callers(items: Sequence[_Pending[Call, Answer]]) -> int:
    """Return how many may come again: frames of one stream are sent while others of it are on their way."""
    return len({item.sender if item.sender.is_stream else id(item) for item in items})


def _is_of_store(error: Exception) -> bool:
    """Tell whether the store is to blame, not a call: another try would wait for the same lock or connection again."""
    return isinstance(error, Unavailable) or type(error) is Overloaded


def _answer(items: Sequence[_Pending[Call, Answer]], answers: Sequence[Answer | Exception]) -> None:
    for item, answer in zip(items, answers, strict=True):
        if item.answer.done():  # its caller was cancelled
            continue
        if isinstance(answer, Exception):
            item.answer.set_exception(answer)
        else:
            item.answer.set_result(answer)
