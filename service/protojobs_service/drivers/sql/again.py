"""Running a transaction again: how often, after what wait, and which of the stores' errors end it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from protojobs_service.drivers.sql.errors import translated

T = TypeVar("T")

RETRIES = 5


async def pause(attempt: int) -> None:
    """Wait before the next try: up to 10 ms, doubled each time, by chance, so that two that met do not meet again."""
    await asyncio.sleep(random.uniform(0.25, 1.0) * 0.01 * 2**attempt)


async def run_again(once: Callable[[], Awaitable[T]], may_run_again: Callable[[BaseException], bool]) -> T:
    """Return what `once` returns, run again after each error that `may_run_again` names. Raises domain errors."""
    with translated():
        for attempt in range(RETRIES):
            try:
                return await once()
            except DBAPIError as error:
                if not may_run_again(error):
                    raise
                await pause(attempt)
        return await once()
