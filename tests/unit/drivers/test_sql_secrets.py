"""What errors of a store say in logs: never the values of a row, which they would quote."""

import logging
import traceback
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import JobsError
from sqlalchemy import Connection, insert, text

from tests.canaries import BODY, PAYLOAD_WORD
from tests.unit.drivers.kit import SERVERS, Ground, new_id, opened, server_url

pytestmark = pytest.mark.asyncio

_log = logging.getLogger("protojobs_service.test")


@pytest_asyncio.fixture(params=[*SERVERS, "sqlite"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Ground]:
    """Open each store."""
    url = f"sqlite:///{tmp_path}/jobs.db" if request.param == "sqlite" else server_url(request)
    async with opened(url) as ground:
        yield ground


async def _error(ground: Ground, operation: Any) -> JobsError:
    """Return how an operation fails, logged whole as what nobody expected: the watch over all tests must not find a secret."""
    with pytest.raises(JobsError) as caught:
        await ground.store.run(operation)
    _log.error("unexpected", exc_info=caught.value)
    return caught.value


async def test_a_statement_that_is_refused_does_not_tell_its_parameters(ground: Ground) -> None:
    wrong = text("select nothing from nowhere where word = :word").bindparams(word=PAYLOAD_WORD)

    error = await _error(ground, lambda c: c.execute(wrong))

    assert "nowhere" in "".join(traceback.format_exception(error))  # what is wrong is told


async def test_a_row_that_breaks_a_constraint_is_not_quoted(ground: Ground) -> None:
    table = ground.store.tables.job

    def without_a_lane(c: Connection) -> None:
        c.execute(insert(table).values(id=new_id(), envelope=BODY, created_at=0))

    await _error(ground, without_a_lane)


async def test_a_value_that_does_not_fit_is_not_quoted(ground: Ground) -> None:
    cast = {"postgresql": "select cast(cast(:word as text) as integer)", "mysql": "insert into job (lane) values (:word)"}

    def convert(c: Connection) -> None:
        c.execute(text(cast.get(c.dialect.name, "select :word from nowhere")).bindparams(word=PAYLOAD_WORD))

    await _error(ground, convert)
