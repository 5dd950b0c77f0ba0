"""A server whose machine's clock is an hour off: leases, delays, retries and schedules go by the store's clock all the same."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from protojobs_client import AsyncClient, Every, Options, ScheduleRequest

from tests.chaos.conftest import POSTGRES
from tests.chaos.stand import TTL, Server, Stand
from tests.chaos.waiting import until
from tests.conftest import NOT_ON_THIS_MACHINE

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

HOUR = 3600
HALF_AN_HOUR = HOUR / 2
# More seconds than a session of these tests lives without being renewed.
TICKS = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def faketime() -> Path:
    """Return the library by which a process sees another time of day than the machine's."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}libfaketime: faketime")
    return library


def off_by(seconds: int, faketime: Path) -> dict[str, str]:
    """Return the environment of a process whose time of day is so far from the machine's; it measures spans as well as others."""
    return {"LD_PRELOAD": str(faketime), "FAKETIME": f"{seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def tidy_up(server: Server) -> None:
    """Remove what the library would share with programs that a server starts, and leaves behind."""
    for shared in Path("/dev/shm").glob(f"*faketime_*_{server.program.pid}"):
        shared.unlink()


def hours_off(server: Server) -> int:
    """Return by how many hours the clock of a server is off, which the lines of its log tell."""
    line = json.loads(server.program.log.read_text().splitlines()[-1])
    return round((datetime.fromisoformat(line["time"]).timestamp() - time.time()) / HOUR)


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [POSTGRES], indirect=True)
@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_server_whose_clock_is_an_hour_off_does_everything_at_its_time(stand: Stand, faketime: Path, off: int) -> None:
    wrong = await stand.add_server(env=off_by(off, faketime))
    tidy_up(wrong)
    producer = stand.producer()
    client = AsyncClient(options=Options(address=wrong.address))
    right = await stand.add_server()
    await stand.add_worker("worker", queues=["main", "soon"])
    silent = await stand.add_worker("silent", raw=True, queues=["lost"], address=wrong.address)
    begun = time.time()
    [held] = await producer.dispatch(1, task={"hold": "the end"})
    await producer.dispatch(1, task={"do": "fail", "delay": HALF_AN_HOUR})
    await producer.dispatch(1, queue="lost", task={"hold": {"silent": "never"}})
    await producer.dispatch(1, queue="later", delay=HALF_AN_HOUR)
    await producer.dispatch(1, queue="later", run_at=begun + HALF_AN_HOUR)
    await producer.dispatch(1, queue="idle", expire_in=HALF_AN_HOUR)
    every_second = ScheduleRequest.of("work", {}, Every(1, EPOCH), name="second", queue="ticks")
    in_half_an_hour = Every(HOUR, datetime.fromtimestamp(begun + HALF_AN_HOUR, UTC))
    await client.schedule(every_second)
    await client.schedule(ScheduleRequest.of("work", {}, in_half_an_hour, name="hour", queue="later"))
    await stand.started(3)

    # From here on nobody but the wrong one looks after leases, delays and schedules.
    right.program.terminate()
    assert await right.program.ended() == 0
    alone = time.time()
    await producer.dispatch(1, queue="soon", delay=1.0)
    await producer.dispatch(1, queue="soon", run_at=alone + 1.0)

    async def ticked() -> list[int]:
        seconds = [(UUID(job.id).int >> 80) // 1000 async for job in client.list(queues=["ticks"])]
        return seconds if sum(second > alone for second in seconds) >= TICKS else []

    ticks = await until("its schedule has ticked", ticked, within=30)
    assert Counter(ticks).most_common(1)[0][1] == 1
    assert begun - 1 < min(ticks) <= max(ticks) <= time.time()
    await until("what was delayed for a second has run", lambda: producer.has("soon", COMPLETED=2))
    assert hours_off(wrong) * HOUR == off
    assert await producer.counts("main") == {"RUNNING": 1, "RETRYING": 1}
    assert await producer.counts("later") == {"SCHEDULED": 2}
    assert await producer.counts("idle") == {"PENDING": 1}
    assert [job.next_at async for job in client.schedules() if job.name == "hour"] == [in_half_an_hour.anchor]

    # A worker that is silent loses its lease after its ttl: not an hour before, and not an hour after.
    [lost] = [event["job"] for event in stand.seen("start", proc="silent")]
    assert [(await client.get(job)).attempt for job in (held, lost)] == [1, 1]
    await client.pause_schedule("second")
    await client.close()
    silent.freeze()
    await until("its crash is counted", lambda: producer.has_crashed(lost, 1), within=TTL + 15)
    stand.open_gate("the end")
    await until("what was held completes", lambda: producer.has("main", COMPLETED=1, RETRYING=1))

    report = await stand.judge(queues=["main", "soon", "lost", "later", "idle"], quiet=["soon"])
    assert report.ok, str(report)
    assert report.repeated_runs == 0
