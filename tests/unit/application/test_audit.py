"""The audit log: what is written when, how much refusals may add, and what happens while the store is silent."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from protojobs_service.application.audit import Audit
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.port import AuditQuery, NewAuditRecord
from protojobs_service.port.deadline import deadline_in

from tests.unit.application.stand import Outage, Patience, Stand

pytestmark = pytest.mark.asyncio

RPC = "protojobs.v1.QueueService/PauseQueue"


def record(target: str = "t", **fields: Any) -> NewAuditRecord:
    """Return something that was done."""
    values: dict[str, Any] = {"principal": "token:1", "via": "grpc", "rpc": RPC, "outcome": "OK", "peer": "ipv4:127.0.0.1:7"}
    return NewAuditRecord(target=target, **values | fields)


def refusal(target: str = "t", **fields: Any) -> NewAuditRecord:
    """Return something that was refused."""
    return record(target, **{"outcome": "PERMISSION_DENIED"} | fields)


async def stored(stand: Stand) -> list[NewAuditRecord]:
    """Return what the store has, oldest first."""
    return [each.record for each in reversed(await stand.driver.audit.page(AuditQuery(limit=10_000)))]


async def test_an_action_is_in_the_store_when_its_caller_goes_on(stand: Stand) -> None:
    await stand.application.audit.record(record("a", details={"count": "3"}))

    assert await stored(stand) == [record("a", details={"count": "3"})]


async def test_actions_that_come_together_are_written_together(stand: Stand) -> None:
    writes = Outage(stand.driver.audit, "append")
    writes.is_on = False

    await asyncio.gather(*(stand.application.audit.record(record(f"{n}")) for n in range(400)))

    assert [each.target for each in await stored(stand)] == [f"{n}" for n in range(400)]
    assert writes.calls <= 2


async def test_every_record_is_said_before_the_store_has_it(stand: Stand) -> None:
    said: list[NewAuditRecord] = []
    audit = Audit(stand.driver, stand.clock, say=said.append)
    Outage(stand.driver.audit, "append")

    await audit.record(record("a"))
    audit.refused(refusal("b"))

    assert said == [record("a"), refusal("b")]


async def test_what_a_busy_store_refused_is_written_once_it_has_time(stand: Stand) -> None:
    audit = stand.application.audit
    outage = Outage(stand.driver.audit, "append", Overloaded("busy"))
    acting = asyncio.create_task(audit.record(record("a")))
    await stand.clock.advance(1.2)
    outage.is_on = False

    await stand.clock.advance(0.5)

    assert acting.done()
    assert await stored(stand) == [record("a")]
    assert audit.lost == 0


async def test_a_store_that_stays_too_busy_loses_what_was_to_be_written(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    audit = stand.application.audit
    Outage(stand.driver.audit, "append", Overloaded("busy"))
    audit.note(record("a"))

    with caplog.at_level(logging.ERROR):
        await stand.clock.advance(11.0)

    assert audit.lost == 1


async def test_what_a_silent_store_did_not_take_is_counted_and_told_and_hurts_nobody(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    audit = stand.application.audit
    outage = Outage(stand.driver.audit, "append")
    with caplog.at_level(logging.ERROR):
        await asyncio.gather(*(audit.record(record()) for _ in range(3)))

    assert audit.lost == 3
    assert [each.message for each in caplog.records] == ["audit records lost"]
    assert "ipv4" not in caplog.text
    outage.is_on = False
    await audit.record(record("later"))
    assert await stored(stand) == [record("later")]


async def test_the_deadline_of_who_was_refused_does_not_hurry_the_writing(stand: Stand) -> None:
    audit, patience = stand.application.audit, Patience(stand.driver.audit, "append")

    with deadline_in(0.1):
        audit.refused(refusal())
    await audit.record(record())
    await audit.finish()

    assert set(patience.left) == {None}


async def test_an_unforeseen_error_of_a_store_ends_no_writing(stand: Stand) -> None:
    outage = Outage(stand.driver.audit, "append", error=RuntimeError("odd"))
    await stand.application.audit.record(record())

    outage.is_on = False
    await stand.application.audit.record(record("later"))

    assert stand.application.audit.lost == 1
    assert await stored(stand) == [record("later")]


async def test_a_slow_store_keeps_who_acted_for_two_seconds_and_has_the_record_later(stand: Stand) -> None:
    gate = asyncio.Event()
    append = stand.driver.audit.append

    async def slowly(records: Any) -> None:
        await gate.wait()
        await append(records)

    stand.driver.audit.append = slowly  # type: ignore[method-assign] # a store that is slow
    acting = asyncio.ensure_future(stand.application.audit.record(record()))

    await stand.clock.advance(1.9)
    assert not acting.done()
    await stand.clock.advance(0.2)
    assert acting.done()

    gate.set()
    await stand.application.audit.finish()
    assert await stored(stand) == [record()]


async def test_memory_is_bounded_while_the_store_hangs(stand: Stand) -> None:
    gate = asyncio.Event()

    async def hang(records: Any) -> None:
        await gate.wait()

    stand.driver.audit.append = hang  # type: ignore[method-assign] # a store that hangs
    for n in range(25_000):
        stand.application.audit.note(record(f"{n}"))
        if n == 0:
            await asyncio.sleep(0)

    assert stand.application.audit.lost == 25_000 - 10_001
    gate.set()
    await stand.application.audit.finish()


async def test_refusals_alike_are_written_once_a_minute_and_the_next_says_how_many_were_left_out(stand: Stand) -> None:
    audit = stand.application.audit
    for n in range(100):
        audit.refused(refusal(f"{n}"))
    stand.clock.now += 59.9
    audit.refused(refusal("late"))
    stand.clock.now += 0.1
    audit.refused(refusal("next", details={"scope": "admin"}))
    stand.clock.now += 60
    audit.refused(refusal("last"))

    await audit.finish()
    assert await stored(stand) == [
        refusal("0"),
        refusal("next", details={"scope": "admin", "left_out": "100"}),
        refusal("last"),
    ]


async def test_refusals_that_differ_in_who_what_or_why_are_not_left_out_for_each_other(stand: Stand) -> None:
    several = [refusal(), refusal(principal="token:2"), refusal(rpc="other"), refusal(outcome="UNAUTHENTICATED")]

    for each in several * 2:
        stand.application.audit.refused(each)

    await stand.application.audit.finish()
    assert await stored(stand) == several


async def test_refusals_of_many_principals_are_bounded_in_all(stand: Stand) -> None:
    audit = stand.application.audit
    for n in range(5000):
        audit.refused(refusal(principal=f"oidc:i#{n}"))
    await audit.finish()
    assert len(await stored(stand)) == 600

    stand.clock.now += 60
    audit.refused(refusal(principal="oidc:i#4999"))
    await audit.finish()

    assert (await stored(stand))[-1] == refusal(principal="oidc:i#4999", details={"left_out": "1"})


async def test_actions_are_never_left_out(stand: Stand) -> None:
    for n in range(1000):
        await stand.application.audit.record(record(f"{n}"))

    assert len(await stored(stand)) == 1000


async def test_texts_of_callers_are_cut_and_made_printable(stand: Stand) -> None:
    odd = record("q\x00\x1b[2J\n" + "x" * 1000, peer="p" * 1000, details={"k" * 100: "v" * 1000} | {f"{n}": "" for n in range(50)})

    await stand.application.audit.record(odd)

    [found] = await stored(stand)
    assert found.target.startswith("q\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}xx")
    assert (len(found.target), len(found.peer)) == (256, 128)
    assert found.details["k" * 64] == "v" * 256
    assert len(found.details) == 16


async def test_records_are_kept_as_long_as_the_setting_says(stand: Stand) -> None:
    audit = Audit(stand.driver, stand.clock, kept=timedelta(days=2))
    await audit.record(record())

    stand.clock.now += timedelta(days=2).total_seconds()
    assert await audit.forget(10) == 0
    stand.clock.now += 1
    assert await audit.forget(10) == 1


async def test_reading_says_when_the_store_is_silent(stand: Stand) -> None:
    Outage(stand.driver.audit, "page")

    with pytest.raises(StoreUnavailable):
        await stand.application.audit.page(AuditQuery(limit=1))
