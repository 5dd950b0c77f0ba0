"""Workers that are killed, frozen or asked to leave."""

from functools import partial

import pytest

from tests.chaos.stand import TTL, Stand
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill, pytest.mark.timeout(90)]


@pytest.mark.asyncio
async def test_job_of_a_killed_worker_runs_elsewhere_and_only_what_had_begun_counts_a_crash(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    doomed = await stand.add_worker("doomed", concurrency=2, window=6)
    jobs = await producer.dispatch(6, task={"hold": {"doomed": "never"}})
    begun = {event["job"] for event in await stand.started(2, "doomed")}
    await until("all six are leased", lambda: producer.has("main", RUNNING=6))
    await stand.add_worker("heir")

    doomed.kill()
    await until("the heir has run all six", lambda: producer.has("main", COMPLETED=6))

    found = {job: await producer.client.get(job) for job in jobs}
    assert {job: found[job].crashes for job in jobs} == {job: int(job in begun) for job in jobs}
    assert {found[job].attempt for job in jobs} == {2}
    assert {found[job].failures for job in jobs} == {0}
    report = await stand.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == len(begun)


@pytest.mark.asyncio
async def test_job_that_kills_every_worker_ends_as_poison(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    [poison] = await producer.dispatch(1, task={"hold": "never"})
    [other] = await producer.dispatch(1, queue="other")
    for number in (1, 2, 3):
        worker = await stand.add_worker(f"victim-{number}")
        await stand.started(1, worker.name, within=25)  # the third only after its crash backoff of 10 s
        worker.kill()
        await until(f"crash {number} is counted", partial(producer.has_crashed, poison, number))

    job = await producer.client.get(poison)
    assert (job.state.name, job.reason, job.failures) == ("FAILED", "POISON", 0)
    await stand.add_worker("survivor", queues=["main", "other"])
    await until("the other job completes", lambda: producer.final_state(other))
    report = await stand.judge(queues=["main", "other"], quiet=["main", "other"])
    assert report.ok, str(report)


@pytest.mark.asyncio
async def test_frozen_worker_is_superseded_and_its_late_outcome_is_refused(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    frozen = await stand.add_worker("frozen", raw=True)
    [job] = await producer.dispatch(1, task={"hold": {"frozen": "thaw"}})
    await stand.started(1, "frozen")
    await stand.add_worker("heir", raw=True)

    frozen.freeze()
    await until("the heir has run it", lambda: stand.seen("settled", proc="heir", job=job), within=TTL + 10)
    stand.open_gate("thaw")
    frozen.thaw()
    [answer] = await until("the late outcome is answered", lambda: stand.seen("settled", proc="frozen", job=job))

    assert (answer["attempt"], answer["code"]) == (1, "LEASE_SUPERSEDED")
    info = await producer.client.get(job)
    assert (info.state.name, info.attempt, info.failures) == ("COMPLETED", 2, 0)
    report = await stand.judge()
    assert report.ok, str(report)


@pytest.mark.asyncio
async def test_frozen_worker_of_the_sdk_drops_what_it_has_lost_and_works_on(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    frozen = await stand.add_worker("frozen")
    [job] = await producer.dispatch(1, task={"hold": {"frozen": "thaw"}})
    await stand.started(1, "frozen")
    heir = await stand.add_worker("heir")

    frozen.freeze()
    await until("the heir has run it", lambda: producer.final_state(job), within=TTL + 10)
    stand.open_gate("thaw")
    frozen.thaw()
    await until("its handler ends", lambda: stand.seen("end", proc="frozen", job=job))
    heir.terminate()
    assert await heir.ended() == 0
    [after] = await producer.dispatch(1)
    await until("the thawed worker runs the next job", lambda: stand.seen("start", proc="frozen", job=after))
    await until("and completes it", lambda: producer.final_state(after))

    attempts = [attempt async for attempt in producer.client.attempts(job)]
    assert [attempt.attempt for attempt in attempts if attempt.outcome.name == "COMPLETED"] == [2]
    report = await stand.judge()
    assert report.ok, str(report)


@pytest.mark.asyncio
async def test_terminated_worker_finishes_what_has_begun_and_gives_back_the_rest(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    leaving = await stand.add_worker("leaving", concurrency=2, window=6)
    jobs = await producer.dispatch(6, task={"hold": {"leaving": "finish"}})
    begun = {event["job"] for event in await stand.started(2, "leaving")}
    await until("all six are leased", lambda: producer.has("main", RUNNING=6))
    await stand.add_worker("heir")

    leaving.terminate()
    await until("the heir has run the other four", lambda: producer.has("main", RUNNING=2, COMPLETED=4))
    stand.open_gate("finish")

    assert await leaving.ended() == 0
    await until("all six have completed", lambda: producer.has("main", COMPLETED=6))
    found = {job: await producer.client.get(job) for job in jobs}
    assert {job: found[job].attempt for job in jobs} == {job: 1 if job in begun else 2 for job in jobs}
    assert {(info.failures, info.crashes) for info in found.values()} == {(0, 0)}
    report = await stand.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == 0
