"""AdminService over the wire: tokens, and the audit log of what was done."""

import json
from datetime import timedelta
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import admin_service_pb2, job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2, worker_service_pb2
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.domain.access import Grant, Scope

from tests.wire.peer import Peer, connected, refused, settings_for, spec

pytestmark = pytest.mark.asyncio

HOUR = Duration(seconds=3600)
ADMIN = admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_ADMIN)
CANARY = "canary-4f1d"


async def make(peer: Peer, **fields: Any) -> admin_service_pb2.CreateTokenResponse:
    """Make a token."""
    values: dict[str, Any] = {"name": "mailer", "grants": [ADMIN], "ttl": HOUR}
    answer: admin_service_pb2.CreateTokenResponse
    answer = await peer.admin.CreateToken(admin_service_pb2.CreateTokenRequest(**values | fields))
    return answer


async def events(peer: Peer, **fields: Any) -> list[admin_service_pb2.AuditEvent]:
    """Return the audit log, newest first."""
    answer = await peer.admin.ListAuditEvents(admin_service_pb2.ListAuditEventsRequest(**fields))
    return list(answer.events)


async def last(peer: Peer) -> tuple[str, str, str, dict[str, str]]:
    """Return RPC, target, outcome and details of the newest event."""
    [event, *_] = await events(peer, page_size=1)
    return event.rpc.removeprefix("protojobs.v1."), event.target, event.outcome, dict(event.details)


async def test_a_token_is_made_and_its_secret_told_once(peer: Peer, server: RunningServer) -> None:
    grants = [
        admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_WORKER, queues="mail.*"),
        admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_OBSERVER),
    ]

    made = await make(peer, grants=grants)

    assert made.secret.startswith(f"pj_{made.token.token_id}_")
    assert (made.token.name, made.token.created_by) == ("mailer", "anonymous")
    assert [(each.scope, each.queues) for each in made.token.grants] == [
        (admin_service_pb2.SCOPE_WORKER, "mail.*"),
        (admin_service_pb2.SCOPE_OBSERVER, "*"),
    ]
    assert made.token.expire_time.ToDatetime() - made.token.create_time.ToDatetime() == timedelta(hours=1)
    assert not made.token.HasField("revoke_time")
    assert not made.token.HasField("last_used_time")
    principal = await server.application.tokens.verify(made.secret)
    assert principal.grants == (Grant(Scope.WORKER, "mail.*"), Grant(Scope.OBSERVER))
    listed = await peer.admin.ListTokens(admin_service_pb2.ListTokensRequest())
    assert list(listed.tokens) == [made.token]
    assert made.secret[-64:].encode() not in listed.SerializeToString()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": "a b"}),
        ("grants", {"grants": []}),
        ("grants[1].scope", {"grants": [ADMIN, admin_service_pb2.Grant()]}),
        ("grants[0].scope", {"grants": [admin_service_pb2.Grant(scope=77)]}),  # type: ignore[arg-type]
        ("grants[0].queues", {"grants": [admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_WORKER, queues="[a]")]}),
        ("ttl", {"ttl": None}),
        ("ttl", {"ttl": Duration(seconds=59)}),
        ("ttl", {"ttl": Duration(seconds=366 * 86_400, nanos=1)}),
        ("token_id", {"token_id": "1"}),
    ],
)
async def test_malformed_tokens_are_refused_by_field(peer: Peer, field: str, values: dict[str, Any]) -> None:
    refusal = await refused(make(peer, **values))

    assert (refusal.code, refusal.reason, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [field])


async def test_a_repeated_call_and_a_third_token_of_a_name_are_refused(peer: Peer) -> None:
    await make(peer, token_id="00000000000000aa")
    repeated = await refused(make(peer, token_id="00000000000000aa"))
    await make(peer)
    third = await refused(make(peer))

    assert (repeated.code, repeated.reason) == (grpc.StatusCode.ALREADY_EXISTS, "TOKEN_EXISTS")
    assert (third.code, third.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")


async def test_tokens_are_listed_page_by_page(peer: Peer) -> None:
    ids = [f"{n:016x}" for n in range(5)]
    for token_id in reversed(ids):
        await make(peer, name=f"n-{token_id}", token_id=token_id)

    found: list[str] = []
    request = admin_service_pb2.ListTokensRequest(page_size=2)
    for _ in range(3):
        answer = await peer.admin.ListTokens(request)
        found += [each.token_id for each in answer.tokens]
        request.page_token = answer.next_page_token

    assert (found, request.page_token) == (ids, "")


async def test_a_revoked_token_is_shown_as_that_and_repeating_it_is_safe(peer: Peer) -> None:
    made = await make(peer)
    request = admin_service_pb2.RevokeTokenRequest(token_id=made.token.token_id)

    first = (await peer.admin.RevokeToken(request)).token
    second = (await peer.admin.RevokeToken(request)).token

    assert first.HasField("revoke_time")
    assert second == first
    unknown = await refused(peer.admin.RevokeToken(admin_service_pb2.RevokeTokenRequest(token_id="f" * 16)))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND")
    malformed = await refused(peer.admin.RevokeToken(admin_service_pb2.RevokeTokenRequest(token_id="x")))
    assert malformed.fields == ["token_id"]


async def test_what_was_done_to_tokens_is_in_the_log_without_their_secret(peer: Peer) -> None:
    made = await make(peer, grants=[ADMIN, admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_WORKER, queues="mail.*")])
    await peer.admin.RevokeToken(admin_service_pb2.RevokeTokenRequest(token_id=made.token.token_id))

    [revoked, created] = await events(peer)

    assert (created.rpc, created.target) == ("protojobs.v1.AdminService/CreateToken", made.token.token_id)
    assert dict(created.details) == {"name": "mailer", "grants": "admin:*, worker:mail.*", "ttl": "3600 s"}
    assert (revoked.rpc, revoked.target) == ("protojobs.v1.AdminService/RevokeToken", made.token.token_id)
    for event in (created, revoked):
        assert (event.principal, event.via, event.outcome) == ("anonymous", "grpc", "OK")
        assert event.peer.startswith("ipv")
        assert made.secret[-64:] not in str(event)
    assert int(revoked.event_id) > int(created.event_id)


async def test_a_failed_action_is_in_the_log_with_its_reason(peer: Peer) -> None:
    await refused(peer.admin.RevokeToken(admin_service_pb2.RevokeTokenRequest(token_id="f" * 16)))
    await peer.server.application.audit.finish()

    assert await last(peer) == ("AdminService/RevokeToken", "f" * 16, "TOKEN_NOT_FOUND", {})


async def test_settings_of_a_queue_are_in_the_log_as_before_and_after(peer: Peer) -> None:
    retry = job_pb2.RetryPolicy(max_retries=7)
    await peer.queues.UpdateQueue(
        queue_service_pb2.UpdateQueueRequest(queue=queue_service_pb2.Queue(name="mail", retry=retry, max_in_flight=3))
    )
    assert await last(peer) == (
        "QueueService/UpdateQueue",
        "mail",
        "OK",
        {"retry": "unset -> {max_retries: 7}", "max_in_flight": "0 -> 3"},
    )

    await peer.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue_service_pb2.Queue(name="mail", max_in_flight=4)))

    assert (await last(peer))[3] == {"max_in_flight": "3 -> 4"}


async def test_what_is_done_to_queues_is_in_the_log(peer: Peer) -> None:
    await peer.dispatch(queue="mail")
    await peer.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(queue="mail"))
    assert await last(peer) == ("QueueService/PauseQueue", "mail", "OK", {})
    await peer.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(queue="mail"))
    assert await last(peer) == ("QueueService/ResumeQueue", "mail", "OK", {})
    clear = queue_service_pb2.ClearQueueRequest(queue="mail", states=[job_pb2.JOB_STATE_PENDING])
    await peer.queues.ClearQueue(clear)
    assert await last(peer) == ("QueueService/ClearQueue", "mail", "OK", {"states": "pending", "deleted": "1"})
    await peer.queues.DeleteQueue(queue_service_pb2.DeleteQueueRequest(queue="mail", force=True))
    assert await last(peer) == ("QueueService/DeleteQueue", "mail", "OK", {"force": "true"})


async def test_what_is_done_to_jobs_is_in_the_log_without_what_they_carry(peer: Peer) -> None:
    carried: dict[str, Any] = {"payload": CANARY.encode(), "labels": {"customer": CANARY}, "headers": {"h": CANARY}}
    job_id = (await peer.dispatch(**carried)).job_id
    change = job_service_pb2.UpdateJobRequest(job_id=job_id, spec=job_pb2.JobSpec(priority=7, labels={"customer": CANARY + "2"}))
    await peer.jobs.UpdateJob(change)
    assert await last(peer) == ("JobService/UpdateJob", job_id, "OK", {"fields": "priority, labels"})
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))
    assert await last(peer) == ("JobService/Cancel", job_id, "OK", {"state": "cancelled"})
    await peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id, payload=CANARY.encode() * 8000))
    assert await last(peer) == ("JobService/Retry", job_id, "OK", {"state": "pending", "changed": "payload"})
    filtered = job_service_pb2.JobFilter(queues=["default", "mail"], labels={"customer": CANARY + "2"})
    await peer.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=job_service_pb2.BULK_ACTION_CANCEL, filter=filtered))
    assert await last(peer) == (
        "JobService/BulkJobs",
        "default, mail",
        "OK",
        {"action": "cancel", "filter": "queues, labels", "changed": "1", "skipped": "0"},
    )
    await peer.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=job_id))
    assert await last(peer) == ("JobService/DeleteJob", job_id, "OK", {})

    assert CANARY not in "".join(str(event) for event in await events(peer))


async def test_what_is_done_to_schedules_and_workers_is_in_the_log(peer: Peer) -> None:
    schedule = schedule_service_pb2.Schedule(
        name="nightly",
        spec=schedule_service_pb2.ScheduleSpec(cron="0 3 * * *"),
        job=spec(id="", queue="mail", payload=CANARY.encode()),
    )
    await peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule))
    assert await last(peer) == (
        "ScheduleService/Schedule",
        "nightly",
        "OK",
        {"when": "cron", "queue": "mail", "kind": "email"},
    )
    await peer.schedules.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(name="nightly"))
    assert await last(peer) == ("ScheduleService/PauseSchedule", "nightly", "OK", {})
    await peer.schedules.ResumeSchedule(schedule_service_pb2.ResumeScheduleRequest(name="nightly"))
    assert await last(peer) == ("ScheduleService/ResumeSchedule", "nightly", "OK", {})
    triggered = await peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="nightly"))
    assert await last(peer) == ("ScheduleService/TriggerSchedule", "nightly", "OK", {"job_id": triggered.job_id})
    await peer.schedules.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(name="nightly"))
    assert await last(peer) == ("ScheduleService/DeleteSchedule", "nightly", "OK", {})
    drain = worker_service_pb2.DrainWorkerRequest(session="12345", deadline=Duration(seconds=9))
    await refused(peer.workers.DrainWorker(drain))
    await peer.server.application.audit.finish()
    assert await last(peer) == ("WorkerService/DrainWorker", "12345", "SESSION_NOT_FOUND", {"deadline": "9 s"})

    assert CANARY not in "".join(str(event) for event in await events(peer))


async def test_rehearsals_reading_and_daily_work_are_not_in_the_log(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    await peer.get(job_id)
    await peer.queues.ClearQueue(queue_service_pb2.ClearQueueRequest(queue="default", validate_only=True))
    rehearsal = job_service_pb2.BulkJobsRequest(action=job_service_pb2.BULK_ACTION_CANCEL, all=True, validate_only=True)
    await peer.jobs.BulkJobs(rehearsal)
    await peer.admin.ListTokens(admin_service_pb2.ListTokensRequest())

    assert await events(peer) == []


@pytest.mark.parametrize(
    ("setting", "serves", "lines"), [("auto", True, 1), ("auto", False, 0), ("on", False, 1), ("off", True, 0)]
)
async def test_records_are_on_standard_output_where_the_setting_says_so(
    capsys: pytest.CaptureFixture[str], setting: str, serves: bool, lines: int
) -> None:
    settings = settings_for(driver="memory", audit={"stdout": setting})

    async with start_server(settings, says_audit=serves) as running, connected(running) as peer:
        await peer.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(queue="mail"))

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["event"], each["rpc"], each["target"]) for each in said] == [
        ("audit", "protojobs.v1.QueueService/PauseQueue", "mail")
    ] * lines


async def test_what_came_over_http_is_in_the_log_as_that_whatever_its_headers_say(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    url = f"http://{peer.server.admin_address}/v1/jobs/{job_id}:cancel"

    async with httpx.AsyncClient() as http:
        answer = await http.post(url, content=b"{}", headers={"content-type": "application/json", "x-protojobs-via": "console"})

    assert answer.status_code == 200, answer.text
    [event] = await events(peer)
    assert (event.rpc, event.target, event.via) == ("protojobs.v1.JobService/Cancel", job_id, "http")
    assert event.peer.startswith("ipv4:127.0.0.1:")


async def test_the_log_is_read_by_page_principal_rpc_and_time(peer: Peer) -> None:
    for number in range(5):
        await peer.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(queue=f"q{number}"))
    await peer.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(queue="q0"))

    found: list[str] = []
    request = admin_service_pb2.ListAuditEventsRequest(page_size=4)
    for _ in range(2):
        answer = await peer.admin.ListAuditEvents(request)
        found += [each.target for each in answer.events]
        request.page_token = answer.next_page_token
    everything = await events(peer)
    times = [each.event_time for each in everything]

    assert (found, request.page_token) == (["q0", "q4", "q3", "q2", "q1", "q0"], "")
    assert [each.target for each in await events(peer, rpc="protojobs.v1.QueueService/ResumeQueue")] == ["q0"]
    assert len(await events(peer, principal="anonymous")) == 6
    assert await events(peer, principal="token:0000000000000000") == []
    assert await events(peer, start_time=Timestamp(seconds=times[0].seconds + 60)) == []
    assert await events(peer, end_time=times[-1]) == []
    assert await events(peer, start_time=times[-1]) == everything
    other = await refused(peer.admin.ListAuditEvents(admin_service_pb2.ListAuditEventsRequest(page_token="A" * 22)))
    assert other.fields == ["page_token"]
