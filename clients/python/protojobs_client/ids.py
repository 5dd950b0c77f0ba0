"""Job ids: UUIDv7, chosen by the client so that every retried dispatch is safe."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import NewType

from uuid_utils import uuid7

JobId = NewType("JobId", str)

_NANOSECONDS = 1_000_000_000


class JobIds:
    """Makes job ids in the server's time.

    A server refuses ids whose time part is far from its own clock; `learn` takes its time from that refusal.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._offset_ns = 0

    def new(self) -> JobId:
        """Return a fresh id."""
        return JobId(str(uuid7(nanoseconds=self._clock_ns() + self._offset_ns)))

    def learn(self, server_time: datetime) -> None:
        """Make later ids as if the local clock had shown `server_time` now."""
        self._offset_ns = int(server_time.timestamp() * _NANOSECONDS) - self._clock_ns()
