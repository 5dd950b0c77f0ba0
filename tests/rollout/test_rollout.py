"""Rolling replacement of servers, and workers scaled in: no call fails, no job is lost, fails or runs twice."""

import asyncio

import pytest

from tests.chaos.conftest import MakeStand
from tests.chaos.stores import PostgresStore
from tests.rollout.fleet import Calls, Fleet, all_ended, jobs_flow, moves, said

pytestmark = [pytest.mark.kill, pytest.mark.timeout(180)]

ROUNDS = 3
LOST_STREAM = ("stream ended", "no frame in three heartbeat intervals", "no answer for 80 %", "session is over")


@pytest.mark.asyncio
async def test_servers_are_replaced_under_load_and_nobody_notices(make_stand: MakeStand, postgres_store: PostgresStore) -> None:
    stand = make_stand(postgres_store)
    fleet = await Fleet.start(stand)
    calls, watching = Calls(stand), stand.producer("watching")
    workers = [await stand.add_worker(f"worker-{number}", concurrency=8, ttl=10.0) for number in (1, 2, 3)]
    long = await watching.dispatch(6, task={"hold": "until the end"})
    await stand.started(len(long))
    await fleet.begin()

    async with asyncio.TaskGroup() as group:
        await calls.run(group)
        for _ in range(ROUNDS):
            await jobs_flow(stand)
            await fleet.replace(lambda: jobs_flow(stand))
        await jobs_flow(stand)
        calls.stop()
    stand.open_gate("until the end")
    await all_ended(stand, watching)

    attempts = {(await watching.client.get(job)).attempt for job in long}
    report = await stand.judge()
    assert report.ok, str(report)
    assert (report.repeated_runs, attempts) == (0, {1})
    errors = [event for op in ("dispatch", "call") for event in stand.seen(op) if event["phase"] in {"fail", "info"}]
    assert errors == []
    # Every server but those of the end was left because it asked to be, and no stream in any other way.
    told = moves(stand, workers)
    print(f"{calls.made} calls; longest times without a new job, in ms: {sorted(round(1000 * move.gap) for move in told)}")
    assert {move.reason for move in told} == {"DRAIN_REASON_SHUTDOWN"}
    assert len(told) >= ROUNDS
    assert [line["event"] for worker in workers for line in said(worker) if line["event"].startswith(LOST_STREAM)] == []


@pytest.mark.asyncio
async def test_workers_are_scaled_in_under_running_jobs_and_none_is_lost_or_fails(
    make_stand: MakeStand, postgres_store: PostgresStore
) -> None:
    stand = make_stand(postgres_store)
    await stand.add_server()
    await stand.add_server()
    calls, watching = Calls(stand, producers=1), stand.producer("watching")
    patient = [await stand.add_worker(f"patient-{number}", concurrency=6, window=6) for number in (1, 2)]
    hasty = await stand.add_worker("hasty", concurrency=6, window=6, grace=0.5)
    leaving = [*patient, hasty]
    # Each of the first 18 keeps a place of a worker that leaves: with `patient` until it is told to, with `hasty` beyond its grace.
    gates = {worker.name: "finish" for worker in patient} | {hasty.name: "never"}
    long = await watching.dispatch(18, task={"hold": gates})
    begun = {event["job"]: event["proc"] for event in await stand.started(18)}
    await stand.add_worker("stays", concurrency=8)

    async with asyncio.TaskGroup() as group:
        await calls.run(group)
        await jobs_flow(stand)
        for worker in leaving:
            worker.terminate()
        assert await hasty.ended() == 0
        stand.open_gate("finish")
        assert [await worker.ended() for worker in patient] == [0, 0]
        await jobs_flow(stand)
        calls.stop()
    await all_ended(stand, watching)

    found = {job: await watching.client.get(job) for job in long}
    assert {(info.state.name, info.failures, info.crashes) for info in found.values()} == {("COMPLETED", 0, 0)}
    assert {job: info.attempt for job, info in found.items()} == {job: 1 + (begun[job] == hasty.name) for job in long}
    report = await stand.judge()
    assert report.ok, str(report)
    # A run that goes back was stopped before, and its job asked for the next one.
    assert (report.repeated_runs, report.overlaps) == (0, 0)
