"""The audit log: append only, read from its end, dropped by age."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from protojobs_service.port import AuditQuery, Driver, NewAuditRecord

from tests.contract.acts import DAY, MINUTE, SECOND
from tests.contract.backends import Bench, Clock

pytestmark = pytest.mark.asyncio

PAUSE, RETRY = "protojobs.v1.QueueService/PauseQueue", "protojobs.v1.JobService/RetryJob"
MANY = 100


def record(target: str = "t", **fields: Any) -> NewAuditRecord:
    """Return something that was done."""
    values: dict[str, Any] = {"principal": "token:1", "via": "grpc", "rpc": PAUSE, "outcome": "OK", "peer": "ipv4:127.0.0.1:7"}
    return NewAuditRecord(target=target, **values | fields)


async def append(driver: Driver, *targets: str, **fields: Any) -> None:
    """Store a record for each target in one batch."""
    await driver.audit.append([record(target, **fields) for target in targets])


async def targets(driver: Driver, **query: Any) -> list[str]:
    """Return the targets of the records that a query gives."""
    return [each.record.target for each in await driver.audit.page(AuditQuery(limit=query.pop("limit", MANY), **query))]


async def test_a_record_is_read_as_it_was_stored(driver: Driver) -> None:
    wanted = record(
        "queue \N{SNOWMAN}",
        principal="oidc:https://issuer.example#" + "s" * 400,
        via="console",
        outcome="PERMISSION_DENIED",
        details={"count": "7", "why": '\N{SNOWMAN} \\ "'},
    )
    before = await driver.ping()

    await driver.audit.append([wanted])

    [found] = await driver.audit.page(AuditQuery(limit=MANY))
    assert found.record == wanted
    assert before <= found.at <= await driver.ping()


async def test_records_come_newest_first_page_by_page(driver: Driver) -> None:
    await append(driver, "a", "b", "c")
    await driver.audit.append([])
    await append(driver, "d", "e")

    first = await driver.audit.page(AuditQuery(limit=2))
    rest = await targets(driver, before=first[-1].id)

    assert [each.record.target for each in first] == ["e", "d"]
    assert rest == ["c", "b", "a"]
    assert await targets(driver, before=0) == []


async def test_records_are_chosen_by_principal_and_rpc(driver: Driver) -> None:
    await append(driver, "a")
    await append(driver, "b", principal="token:2")
    await append(driver, "c", rpc=RETRY)
    await append(driver, "d", principal="token:2", rpc=RETRY)
    await append(driver, "e", principal="TOKEN:2")

    assert await targets(driver, principal="token:2") == ["d", "b"]
    assert await targets(driver, rpc=RETRY) == ["d", "c"]
    assert await targets(driver, principal="token:2", rpc=RETRY) == ["d"]
    assert await targets(driver, principal="token") == []


async def test_records_are_chosen_by_time_from_its_first_instant_to_before_its_last(driver: Driver, clock: Clock) -> None:
    times: list[datetime] = []
    for target in ("a", "b", "c"):
        await append(driver, target)
        times.append((await driver.audit.page(AuditQuery(limit=1)))[0].at)
        await clock.advance(MINUTE)

    assert await targets(driver, since=times[1]) == ["c", "b"]
    assert await targets(driver, until=times[1]) == ["a"]
    assert await targets(driver, since=times[0], until=times[2]) == ["b", "a"]


async def test_records_of_two_servers_stand_in_one_log(bench: Bench) -> None:
    async with bench.twin() as twin:
        await asyncio.gather(*(append((bench.driver, twin)[n % 2], f"{n}-a", f"{n}-b") for n in range(6)))

    found = await bench.driver.audit.page(AuditQuery(limit=MANY))
    assert sorted(each.record.target for each in found) == sorted(f"{n}-{part}" for n in range(6) for part in "ab")
    ids = [each.id for each in found]
    assert ids == sorted(set(ids), reverse=True)


async def test_only_old_records_are_dropped_the_oldest_first_and_in_steps(driver: Driver, clock: Clock) -> None:
    await append(driver, "a", "b", "c")
    await clock.advance(2 * DAY)
    await append(driver, "d")
    await clock.advance(SECOND)

    assert await driver.audit.forget(DAY, 2) == 2
    assert await targets(driver) == ["d", "c"]
    assert await driver.audit.forget(DAY, 10) == 1
    assert await driver.audit.forget(DAY, 10) == 0
    assert await targets(driver) == ["d"]


async def test_ids_of_dropped_records_do_not_come_again(driver: Driver, clock: Clock) -> None:
    await append(driver, "a", "b")
    [last, _] = await driver.audit.page(AuditQuery(limit=MANY))
    await clock.advance(2 * DAY)
    await driver.audit.forget(timedelta(days=1), 10)

    await append(driver, "c")

    [found] = await driver.audit.page(AuditQuery(limit=MANY))
    assert found.id > last.id
