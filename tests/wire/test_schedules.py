"""ScheduleService over the wire."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2
from protojobs_service.application import Timings
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.transport.specs import fingerprint
from uuid_utils import uuid7

from tests.canaries import PAYLOAD
from tests.wire.peer import Peer, id_at, now, refused, serving, until

pytestmark = pytest.mark.asyncio

INVALID = grpc.StatusCode.INVALID_ARGUMENT
Spec, Schedule, Every = schedule_service_pb2.ScheduleSpec, schedule_service_pb2.Schedule, schedule_service_pb2.Every
Daily, Weekly, Catchup = schedule_service_pb2.Daily, schedule_service_pb2.Weekly, schedule_service_pb2.Catchup
HOURLY = Spec(cron="@hourly")


def template(**fields: Any) -> job_pb2.JobSpec:
    """Return a job that a schedule may make."""
    return job_pb2.JobSpec(**{"kind": "report", "payload": PAYLOAD, **fields})


def wanted(spec: schedule_service_pb2.ScheduleSpec = HOURLY, **fields: Any) -> schedule_service_pb2.Schedule:
    """Return a schedule that is good but for `fields`."""
    return Schedule(**{"spec": spec, "job": template(), **fields})


async def put(
    peer: Peer, schedule: schedule_service_pb2.Schedule | None = None, *, validate_only: bool = False, **fields: Any
) -> schedule_service_pb2.Schedule:
    """Declare a schedule and return it as stored."""
    request = schedule_service_pb2.ScheduleRequest(schedule=schedule or wanted(**fields), validate_only=validate_only)
    stored: schedule_service_pb2.Schedule = (await peer.schedules.Schedule(request)).schedule
    return stored


async def get(peer: Peer, name: str) -> schedule_service_pb2.Schedule:
    """Return a schedule."""
    found: schedule_service_pb2.Schedule = (
        await peer.schedules.GetSchedule(schedule_service_pb2.GetScheduleRequest(name=name))
    ).schedule
    return found


async def names(peer: Peer) -> list[str]:
    """Return the names of all schedules."""
    answer = await peer.schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest(page_size=500))
    return [each.name for each in answer.schedules]


async def preview(peer: Peer, **fields: Any) -> list[str]:
    """Return previewed times."""
    answer = await peer.schedules.PreviewSchedule(schedule_service_pb2.PreviewScheduleRequest(**fields))
    return [each.ToDatetime(tzinfo=UTC).isoformat() for each in answer.times]


async def test_a_schedule_is_stored_read_listed_and_removed(peer: Peer) -> None:
    spec = Spec(
        weekly=Weekly(days=[schedule_service_pb2.WEEKDAY_FRIDAY, schedule_service_pb2.WEEKDAY_MONDAY], times=["17:30:15", "09:00"]),
        time_zone="Europe/Prague",
        start_time=Timestamp(seconds=1_000),
        end_time=Timestamp(seconds=9_000_000_000),
        jitter=Duration(seconds=30),
    )
    stored = await put(
        peer,
        wanted(
            spec,
            name="weekly.report",
            job=template(queue="reports", headers={"a": "1"}, priority=9),
            catchup=Catchup(mode=schedule_service_pb2.CATCHUP_MODE_ALL, max=7, window=Duration(seconds=60)),
            overlap=schedule_service_pb2.OVERLAP_MODE_BUFFER_ONE,
        ),
    )

    read = await get(peer, "weekly.report")
    listed = await names(peer)
    await peer.schedules.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(name="weekly.report"))
    gone = await refused(get(peer, "weekly.report"))

    assert read == stored
    assert (list(read.spec.weekly.days), list(read.spec.weekly.times)) == ([1, 5], ["09:00:00", "17:30:15"])
    assert (read.spec.time_zone, read.spec.jitter.seconds, read.spec.start_time.seconds) == ("Europe/Prague", 30, 1_000)
    assert (read.job.queue, read.job.headers["a"], read.job.priority) == ("reports", "1", 9)
    assert (read.catchup.max, read.overlap, read.paused) == (7, schedule_service_pb2.OVERLAP_MODE_BUFFER_ONE, False)
    assert read.etag
    assert read.next_time.ToDatetime(tzinfo=UTC) > read.create_time.ToDatetime(tzinfo=UTC)
    assert listed == ["weekly.report"]
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "SCHEDULE_NOT_FOUND")


SPECS = [
    Spec(every=Every(interval=Duration(seconds=90))),
    Spec(every=Every(interval=Duration(seconds=90), anchor=Timestamp(seconds=5))),
    Spec(cron="*/5 * * * MON-FRI"),
    Spec(daily=Daily(times=["00:00"])),
    Spec(weekly=Weekly(days=[schedule_service_pb2.WEEKDAY_SUNDAY], times=["23:59:59"])),
]


@pytest.mark.parametrize("spec", SPECS, ids=["every", "anchor", "cron", "daily", "weekly"])
async def test_a_program_that_declares_its_schedules_at_each_start_makes_each_once(
    peer: Peer, spec: schedule_service_pb2.ScheduleSpec
) -> None:
    first = await put(peer, spec=spec, job=template(headers={"b": "2", "a": "1"}))
    second = await put(peer, spec=spec, job=template(headers={"a": "1", "b": "2"}))

    assert second == first
    assert await names(peer) == [first.name]
    assert first.name.startswith("report-")
    assert first.HasField("next_time")


async def test_another_payload_or_zone_is_another_schedule(peer: Peer) -> None:
    await put(peer)
    await put(peer, job=template(payload=b"[]"))
    await put(peer, spec=Spec(cron="0 * * * *", time_zone="Asia/Tokyo"))

    assert len(await names(peer)) == 3


async def test_a_schedule_makes_jobs_that_are_of_its_template(peer: Peer) -> None:
    retry = job_pb2.RetryPolicy(max_retries=1)
    stored = await put(
        peer, spec=Spec(every=Every(interval=Duration(seconds=1))), job=template(queue="q", labels={"a": "1"}, retry=retry)
    )

    ticked = await until(lambda: get(peer, stored.name), lambda schedule: schedule.last_job_id)
    job = await peer.get(ticked.last_job_id)

    assert (job.spec.kind, job.spec.queue, job.spec.payload, dict(job.spec.labels)) == ("report", "q", PAYLOAD, {"a": "1"})
    assert (job.retry.max_retries, job.state) == (1, job_pb2.JOB_STATE_PENDING)
    assert job.spec.id == ticked.last_job_id
    assert ticked.etag == stored.etag


async def test_settings_of_the_queue_hold_for_jobs_of_ticks(peer: Peer) -> None:
    queue = queue_service_pb2.Queue(name="q", run_timeout=Duration(seconds=9))
    await peer.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue))
    stored = await put(peer, spec=Spec(every=Every(interval=Duration(seconds=1))), job=template(queue="q"))

    ticked = await until(lambda: get(peer, stored.name), lambda schedule: schedule.last_job_id)

    assert (await peer.get(ticked.last_job_id)).run_timeout.seconds == 9


async def test_validate_only_says_what_would_be_stored_and_stores_nothing(peer: Peer) -> None:
    rehearsed = await put(peer, validate_only=True)
    nothing = await names(peer)
    stored = await put(peer)
    again = await put(peer, validate_only=True)
    changed = await put(peer, wanted(name=stored.name, job=template(payload=b"[]")), validate_only=True)

    assert nothing == []
    assert (rehearsed.name, again) == (stored.name, stored)
    assert changed.etag != stored.etag
    assert await get(peer, stored.name) == stored


async def test_an_etag_must_match(peer: Peer) -> None:
    stored = await put(peer, name="s")
    await put(peer, name="s", etag=stored.etag, job=template(payload=b"[]"))

    late = await refused(put(peer, name="s", etag=stored.etag, job=template(payload=b"[1]")))
    new = await refused(put(peer, name="t", etag=stored.etag))
    removed = await refused(peer.schedules.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(name="s", etag=stored.etag)))

    for error in (late, new, removed):
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT")
    assert (await get(peer, "s")).job.payload == b"[]"


async def test_a_paused_schedule_has_no_next_time_until_it_is_resumed(peer: Peer) -> None:
    await put(peer, name="s")

    for _ in range(2):
        await peer.schedules.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(name="s"))
    paused = await put(peer, name="s")
    for _ in range(2):
        await peer.schedules.ResumeSchedule(schedule_service_pb2.ResumeScheduleRequest(name="s"))
    resumed = await get(peer, "s")

    assert (paused.paused, paused.HasField("next_time")) == (True, False)
    assert (resumed.paused, resumed.HasField("next_time")) == (False, True)


async def test_trigger_makes_a_job_now_once_for_an_id(peer: Peer) -> None:
    await put(peer, name="s", paused=True)
    request = schedule_service_pb2.TriggerScheduleRequest(name="s", job_id=str(uuid7()))

    ids = {(await peer.schedules.TriggerSchedule(request)).job_id for _ in range(2)}
    other = (await peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="s"))).job_id

    assert ids == {request.job_id}
    assert other not in ids
    assert (await peer.get(request.job_id)).spec.kind == "report"
    assert len((await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs) == 2


async def test_pages_hold_every_schedule_once(peer: Peer) -> None:
    for n in range(7):
        await put(peer, name=f"s{n}")
    found, token = list[str](), ""
    while True:
        request = schedule_service_pb2.ListSchedulesRequest(page_size=3, page_token=token)
        answer = await peer.schedules.ListSchedules(request)
        found += [each.name for each in answer.schedules]
        token = answer.next_page_token
        if not token:
            break

    assert found == [f"s{n}" for n in range(7)]


async def test_large_templates_come_in_smaller_pages(peer: Peer) -> None:
    for n in range(45):
        await put(peer, name=f"s{n:02}", job=template(payload=bytes(400_000)))

    answer = await peer.schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest(page_size=500))

    assert 10 <= len(answer.schedules) < 45
    assert answer.next_page_token
    assert answer.ByteSize() < 16 * 1024 * 1024


async def test_preview_shows_the_ticks_of_a_spec_and_of_a_schedule(peer: Peer) -> None:
    start = Timestamp(seconds=int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()))
    spec = Spec(cron="30 2 * * *", time_zone="Europe/Prague")
    await put(peer, spec=spec, name="s")

    of_spec = await preview(peer, spec=spec, count=2, from_time=start)
    of_name = await preview(peer, name="s", count=2, from_time=start)
    plain = await preview(peer, spec=HOURLY)

    assert of_spec == of_name == ["2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"]
    assert len(plain) == 5
    assert len(await preview(peer, spec=Spec(cron="0 0 29 2 *"), count=100)) == 66  # until 2300


async def test_preview_begins_at_its_time(peer: Peer) -> None:
    at = Timestamp(seconds=int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()))

    assert (await preview(peer, spec=HOURLY, count=1, from_time=at)) == ["2030-01-01T00:00:00+00:00"]
    assert await preview(peer, spec=Spec(at=at)) == ["2030-01-01T00:00:00+00:00"]
    assert await preview(peer, spec=Spec(at=at), from_time=Timestamp(seconds=at.seconds + 1)) == []


def _weekly(**fields: Any) -> schedule_service_pb2.ScheduleSpec:
    return Spec(weekly=Weekly(**{"days": [1], "times": ["09:00"], **fields}))


BAD_SPECS: list[tuple[str, schedule_service_pb2.ScheduleSpec]] = [
    ("", Spec()),
    ("every.interval", Spec(every=Every())),
    ("every.interval", Spec(every=Every(interval=Duration(nanos=999_999_999)))),
    ("every.interval", Spec(every=Every(interval=Duration(seconds=-60)))),
    ("every.interval", Spec(every=Every(interval=Duration(seconds=366 * 86_400)))),
    ("every.anchor", Spec(every=Every(interval=Duration(seconds=60), anchor=Timestamp(seconds=253_370_764_800)))),
    ("cron", Spec(cron="")),
    ("cron", Spec(cron="0 0 30 2 *")),
    ("cron", Spec(cron="* * * * * *")),
    ("cron", Spec(cron="@reboot")),
    ("cron", Spec(cron="* " * 1_000_000)),
    ("time_zone", Spec(cron="@daily", time_zone="Mars/Olympus")),
    ("time_zone", Spec(cron="@daily", time_zone="../../etc/passwd")),
    ("daily.times", Spec(daily=Daily())),
    ("daily.times", Spec(daily=Daily(times=["09:00"] * 49))),
    ("daily.times[1]", Spec(daily=Daily(times=["09:00", "24:00"]))),
    ("daily.times[0]", Spec(daily=Daily(times=["9:00"]))),
    ("daily.times[0]", Spec(daily=Daily(times=["09:00\n"]))),
    ("daily.times[0]", Spec(daily=Daily(times=["٠٩:٠٠"]))),
    ("weekly.days", _weekly(days=[])),
    ("weekly.days[0]", _weekly(days=[0])),
    ("weekly.days[1]", _weekly(days=[1, 8])),
    ("weekly.times", _weekly(times=[])),
    ("start_time", Spec(cron="@daily", start_time=Timestamp(seconds=-1))),
    ("start_time", Spec(cron="@daily", start_time=Timestamp(seconds=1, nanos=-1))),
    ("end_time", Spec(cron="@daily", end_time=Timestamp(seconds=253_402_300_800))),
    ("end_time", Spec(cron="@daily", start_time=Timestamp(seconds=60), end_time=Timestamp(seconds=60))),
    ("jitter", Spec(cron="@daily", jitter=Duration(seconds=3601))),
    ("jitter", Spec(cron="@daily", jitter=Duration(seconds=-1))),
]


@pytest.mark.parametrize(("field", "spec"), BAD_SPECS, ids=[f"{n}-{field or 'when'}" for n, (field, _) in enumerate(BAD_SPECS)])
async def test_a_bad_spec_is_refused_with_its_field(peer: Peer, field: str, spec: schedule_service_pb2.ScheduleSpec) -> None:
    stored = await refused(put(peer, spec=spec))
    shown = await refused(preview(peer, spec=spec))

    path = f".{field}" if field else ""
    assert (stored.code, stored.reason, stored.fields) == (INVALID, "INVALID_FIELD", [f"schedule.spec{path}"])
    assert (shown.code, shown.reason, shown.fields) == (INVALID, "INVALID_FIELD", [f"spec{path}"])
    assert await names(peer) == []


BAD: list[tuple[str, dict[str, Any]]] = [
    ("schedule.name", {"name": "a/b"}),
    ("schedule.name", {"name": "n" * 129}),
    ("schedule.catchup.mode", {"catchup": Catchup(mode=9)}),  # type: ignore[arg-type] # a value of no version
    ("schedule.catchup.max", {"catchup": Catchup(max=1001)}),
    ("schedule.catchup.window", {"catchup": Catchup(window=Duration())}),
    ("schedule.catchup.window", {"catchup": Catchup(window=Duration(seconds=31 * 86_400))}),
    ("schedule.overlap", {"overlap": 9}),
    ("schedule.job.id", {"job": template(id=str(uuid7()))}),
    ("schedule.job.delay", {"job": template(delay=Duration(seconds=1))}),
    ("schedule.job.run_time", {"job": template(run_time=Timestamp(seconds=1))}),
    ("schedule.job.kind", {"job": template(kind="")}),
    ("schedule.job.priority", {"job": template(priority=10)}),
]


@pytest.mark.parametrize(("field", "fields"), BAD, ids=[f"{n}-{field}" for n, (field, _) in enumerate(BAD)])
async def test_a_bad_schedule_is_refused_with_its_field(peer: Peer, field: str, fields: dict[str, Any]) -> None:
    error = await refused(put(peer, wanted(**fields)))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", [field])
    assert await names(peer) == []


async def test_a_template_that_is_too_large_is_refused_at_once(peer: Peer) -> None:
    error = await refused(put(peer, job=template(payload=bytes(1024 * 1024 + 1))))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYLOAD_TOO_LARGE")
    assert error.metadata == {"size": "1048577", "limit": "1048576"}
    assert await names(peer) == []


async def test_calls_about_a_schedule_that_does_not_exist_say_so(peer: Peer) -> None:
    calls = [
        peer.schedules.GetSchedule(schedule_service_pb2.GetScheduleRequest(name="s")),
        peer.schedules.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(name="s")),
        peer.schedules.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(name="s")),
        peer.schedules.ResumeSchedule(schedule_service_pb2.ResumeScheduleRequest(name="s")),
        peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="s")),
        peer.schedules.PreviewSchedule(schedule_service_pb2.PreviewScheduleRequest(name="s")),
    ]

    errors = [await refused(call) for call in calls]

    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.NOT_FOUND, "SCHEDULE_NOT_FOUND")}


async def test_malformed_names_counts_and_ids_are_refused(peer: Peer) -> None:
    await put(peer, name="s")
    trigger = schedule_service_pb2.TriggerScheduleRequest
    calls = [
        ("name", peer.schedules.GetSchedule(schedule_service_pb2.GetScheduleRequest())),
        ("name", peer.schedules.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(name="\u0000"))),
        ("name", peer.schedules.PreviewSchedule(schedule_service_pb2.PreviewScheduleRequest())),
        ("count", peer.schedules.PreviewSchedule(schedule_service_pb2.PreviewScheduleRequest(name="s", count=101))),
        ("from_time", peer.schedules.PreviewSchedule(
            schedule_service_pb2.PreviewScheduleRequest(name="s", from_time=Timestamp(seconds=253_402_300_000)))),
        ("job_id", peer.schedules.TriggerSchedule(trigger(name="s", job_id="1"))),
        ("job_id", peer.schedules.TriggerSchedule(trigger(name="s", job_id=id_at(now() - timedelta(days=9))))),
        ("page_size", peer.schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest(page_size=501))),
        ("page_token", peer.schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest(page_token="x" * 20))),
    ]  # fmt: skip

    errors = [(field, await refused(call)) for field, call in calls]

    assert [(error.code, error.fields) for _, error in errors] == [(INVALID, [field]) for field, _ in errors]


async def test_a_server_that_was_away_for_six_hours_runs_the_latest_tick() -> None:
    offset = [timedelta()]
    driver = MemoryDriver(fingerprint=fingerprint, clock=lambda: now() + offset[0], rng=Random(1))
    async with serving(driver, timings=Timings(tick=3600.0)) as peer:
        stored = await put(peer, spec=Spec(every=Every(interval=Duration(seconds=1800))), name="s")
    offset[0] = timedelta(hours=6, minutes=10)

    async with serving(driver) as peer:
        ticked = await until(lambda: get(peer, "s"), lambda schedule: schedule.last_job_id)
        jobs = (await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs

    assert len(jobs) == 1
    assert ticked.last_time.seconds - stored.create_time.seconds == pytest.approx(6 * 3600, abs=1)
    assert ticked.next_time.seconds == ticked.last_time.seconds + 1800
