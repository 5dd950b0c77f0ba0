"""How full the pools of a store are. SQLAlchemy tells who has a connection, and not who waits for one."""

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from protojobs_service.port.driver import Pool


class Asking:
    """Counts the operations that have a connection of a pool or wait for one. Belongs to the event loop."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def of(self, pool: str) -> Generator[None]:
        """Count an operation as long as the block lasts."""
        self._counts[pool] += 1
        try:
            yield
        finally:
            self._counts[pool] -= 1

    def pools(self, engines: Mapping[str, AsyncEngine | None]) -> dict[str, Pool]:
        """Return the pools of engines that are open."""
        return {name: self._pool(name, engine) for name, engine in engines.items() if engine is not None}

    def _pool(self, name: str, engine: AsyncEngine) -> Pool:
        pool = engine.pool
        size, used = (pool.size(), pool.checkedout()) if isinstance(pool, QueuePool) else (0, 0)
        return Pool(size=size, used=used, waiting=max(0, self._counts[name] - used))
