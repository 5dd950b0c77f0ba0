"""Tables of other programs are read whole, in pages, by every database that an import may come from."""

import pytest
from protojobs_service.domain.errors import JobsError
from protojobs_service.drivers.sql.foreign_rows import foreign_tables
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(("database", "driver"), [("postgres", "postgresql+asyncpg"), ("mariadb", "mysql+asyncmy")])
async def test_pages_hold_every_row_once_and_deleted_rows_are_gone(
    database: str, driver: str, request: pytest.FixtureRequest
) -> None:
    dsn = str(request.getfixturevalue(f"{database}_dsn"))
    engine = create_async_engine(f"{driver}://{dsn.partition('://')[2]}")
    async with engine.begin() as connection:
        await connection.execute(text("create table jobs (id bigint primary key, payload text)"))
        await connection.execute(text("insert into jobs values (1, '{}'), (5, 'b'), (9, 'c')"))
    await engine.dispose()

    async with foreign_tables(dsn) as open_table:
        table = open_table("jobs", "id")
        pages = [[row["id"] for row in page] async for page in table.pages(2)]
        await table.delete([1, 9])
        left = [dict(row) for page in [page async for page in table.pages(2)] for row in page]
        missing = await open_table("failed_jobs", "id").exists()
        with pytest.raises(JobsError):
            _ = [page async for page in open_table("jobs", "no_such_column").pages(2)]

    assert (pages, left, missing) == ([[1, 5], [9]], [{"id": 5, "payload": "b"}], False)
