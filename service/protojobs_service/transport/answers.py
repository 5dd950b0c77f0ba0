"""Answers of unary calls that their callers have not read yet. gRPC keeps them without a bound, and cannot be made to drop them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from protojobs_service.domain.access import Scope
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.limits import name_of
from protojobs_service.transport.permissions import TABLE

_SMALL = 16 * 1024
"""Bytes of an answer that is not counted: the calls of a connection are few enough."""
_SHARE = 4
"""One caller may leave the fourth part of all unread: others still get large answers."""


@dataclass(slots=True)
class Answers:
    """Bounds answers on their way, of each caller and of all; one answer goes whatever its size. max_bytes: of all."""

    max_bytes: int
    bytes: int = 0
    refused: int = 0
    _of: Counter[str] = field(default_factory=Counter[str])

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call and give its answer. Raises Overloaded where too many wait to be read.

        Of a call that may have changed something by then it says that the outcome is unknown: Overloaded means that it has not.
        """
        answer = await proceed(call)
        if call.rpc.is_stream:
            return answer
        size = len(answer) if isinstance(answer, bytes) else answer.ByteSize()
        if size >= _SMALL and not self._count(name_of(call), size):
            self.refused += 1
            if _only_reads(call):
                raise Overloaded("too many answers wait to be read")
            raise StoreUnavailable("too many answers wait to be read; send the same again")
        return answer

    def _count(self, caller: str, size: int) -> bool:
        """Count an answer until it is read; False where there is no room for it."""
        unread = self._of[caller]
        if (unread and unread + size > self.max_bytes // _SHARE) or (self.bytes and self.bytes + size > self.max_bytes):
            return False
        self.bytes += size
        self._of[caller] += size

        def read(_: object) -> None:
            self.bytes -= size
            self._of[caller] -= size
            if not self._of[caller]:
                del self._of[caller]

        # The task of a call ends when its answer has been sent, or with its connection.
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(read)
        return True


def _only_reads(call: Call) -> bool:
    """Tell whether who may only look may make this call."""
    row = TABLE.get(call.rpc.path)
    return row is not None and Scope.OBSERVER in (row.scopes or ())
