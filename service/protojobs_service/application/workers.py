"""Workers: who is connected, and asking one to leave."""

from collections.abc import Sequence
from datetime import timedelta

from protojobs_service.domain.bounds import DEFAULT_DRAIN_DEADLINE
from protojobs_service.domain.errors import SessionNotFound
from protojobs_service.port import Driver, SessionRecord


class Workers:
    """Reads and drains worker sessions."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def list(self, queue: str | None = None, after: int = 0, limit: int = 50) -> Sequence[SessionRecord]:
        """Return live sessions with a number above `after`, oldest first. Raises StoreUnavailable."""
        return await self._driver.sessions.list(queue, after, limit)

    async def drain(self, session: int, deadline: timedelta = DEFAULT_DRAIN_DEADLINE) -> None:
        """Ask a session to finish and leave; its replica tells it within a poll. Raises SessionNotFound, StoreUnavailable."""
        if not await self._driver.sessions.drain(session, deadline):
            raise SessionNotFound
