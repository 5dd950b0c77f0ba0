"""Reading jobs: their large statements are made once, which costs more than to send them."""

from typing import Any

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.drivers.sql.cold.records import attempts_of, records
from sqlalchemy import Connection, event

from tests.unit.drivers.kit import Ground, new_id

pytestmark = pytest.mark.asyncio


async def test_jobs_and_attempts_are_read_by_statements_that_are_made_once(ground: Ground) -> None:
    cold = ground.cold
    sent: list[Any] = []

    def note(_c: Any, statement: Any, _many: Any, _values: Any, _options: Any) -> None:
        sent.append(statement)

    def read(c: Connection) -> None:
        event.listen(c, "before_execute", note)
        for number in (1, 2, 100):
            assert records(c, cold, [new_id() for _ in range(number)]) == {}
            assert attempts_of(c, cold, JobId(new_id())) is None

    await ground.store.run(read, write=False)

    assert len(sent) == 6
    assert len(set(map(id, sent))) == 2
