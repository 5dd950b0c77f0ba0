"""A cancellation inside a cold operation on MariaDB ends the task that ran it."""

import asyncio
from typing import Any

import pytest
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.store import Options

pytestmark = pytest.mark.asyncio


class Swallowing(MysqlStore):
    """A store whose library takes a cancellation for a success, or for an error of its own."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(Options(url="mysql+asyncmy://nobody@127.0.0.1:1/none"))
        self.entered = asyncio.Event()
        self._raised = error

    async def _run_once(self, operation: Any, *, write: bool, vital: bool, within: float = 0.0) -> Any:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._raised is not None:
                raise self._raised from None


@pytest.mark.parametrize("error", [None, OSError("closed"), RuntimeError("no rollback")], ids=["success", "loss", "bug"])
async def test_a_cancelled_operation_is_cancelled_whatever_the_library_makes_of_it(error: Exception | None) -> None:
    store = Swallowing(error)
    task = asyncio.create_task(store.run(lambda _: None))
    await store.entered.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
