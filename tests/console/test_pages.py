"""What pages show, and what their forms do, over a real server on SQLite."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, queue_service_pb2, schedule_service_pb2, worker_service_pb2
from protojobs_service.drivers.sql import jobs as sql_jobs
from uuid_utils import uuid7

from tests.console.site import Site
from tests.wire.lease_worker import UnaryWorker

pytestmark = pytest.mark.asyncio


async def failed_job(site: Site, message: str = "gateway is down", **spec: Any) -> str:
    """Return the id of a job that has failed for good."""
    fields: dict[str, Any] = {"queue": "payments", "kind": "Charge", "payload": b'{"amount": 12.5}', **spec}
    [job_id] = await site.service.dispatch(retry=job_pb2.RetryPolicy(max_retries=0), **fields)
    worker = await UnaryWorker.open(site.service, worker="till-1", queues=[worker_service_pb2.QueueSubscription(name="payments")])
    [lease] = await worker.get(1)
    error = job_pb2.JobError(type="ConnectionError", message=message, stack="Traceback: line 1")
    fail = worker_service_pb2.SettleItem(job_id=job_id, attempt=lease.attempt, fail=worker_service_pb2.Fail(error=error))
    await worker.settle(worker_service_pb2.Settle(items=[fail]))
    return job_id


async def test_an_empty_console_says_how_to_begin(site: Site) -> None:
    pages = {path: await site.page(path) for path in ("/", "/jobs", "/schedules", "/workers")}

    assert "protojobs dispatch" in pages["/"].text
    assert "No jobs" in pages["/jobs"].text
    assert "protojobs schedules create" in pages["/schedules"].text
    assert "protojobs_worker" in pages["/workers"].text


async def test_the_first_page_has_a_row_for_each_queue_with_its_counts(site: Site) -> None:
    await site.service.dispatch(3, queue="emails")
    await failed_job(site)

    page = await site.page("/")

    assert {row["id"] for row in page.named("tr") if "id" in row} == {"q-emails", "q-payments"}
    assert page.named("a", href="/jobs?queue=emails&state=pending", **{"aria-label": "3 pending"})
    assert page.named("a", href="/jobs?queue=payments&state=failed", **{"aria-label": "1 failed"})


async def test_a_queue_is_paused_and_resumed_from_the_first_page(site: Site) -> None:
    await site.service.dispatch(queue="emails")

    paused = await site.send("/queues/emails/pause")
    resumed = await site.send("/queues/emails/resume")

    assert "The queue is paused." in paused.text
    assert paused.actions == ["/queues/emails/resume"]
    assert resumed.actions == ["/queues/emails/pause"]


async def test_the_page_of_a_queue_tells_which_settings_somebody_chose(site: Site) -> None:
    queue = queue_service_pb2.Queue(name="emails", max_in_flight=7)
    await site.peer.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue))

    page = await site.page("/queues/emails")

    assert "Jobs at once 7 Starts per second no limit default" in page.text


async def test_an_unknown_queue_is_a_page_that_says_so(site: Site) -> None:
    page = await site.page("/queues/nobody", status=404)

    assert "no such queue" in page.text


async def test_clearing_says_how_many_before_anything_goes(site: Site) -> None:
    await site.service.dispatch(5, queue="emails")

    counted = await site.send("/queues/emails/clear", {"state": "pending"})
    left = await site.page("/jobs?queue=emails&state=pending")
    cleared = await site.send("/queues/emails/clear", {"state": "pending", "sure": "yes"})

    assert "This deletes 5 jobs" in counted.text
    assert len(left.named("input", name="id")) == 5
    assert "5 jobs are deleted." in cleared.text
    assert not (await site.page("/jobs?queue=emails")).named("input", name="id")


async def test_jobs_are_found_by_each_field_of_the_filter(site: Site) -> None:
    [wanted] = await site.service.dispatch(queue="emails", kind="Welcome", labels={"customer": "77"})
    await site.service.dispatch(queue="images", kind="Resize")

    for query in (
        "queue=emails",
        "kind=Welcome",
        "label=customer%3D77",
        "expression=kind+in+(Welcome,+Bill)",
        "state=pending&kind=Welcome",
    ):
        page = await site.page(f"/jobs?{query}")
        assert [box["value"] for box in page.named("input", name="id")] == [wanted], query


async def test_a_filter_that_is_none_is_shown_with_what_is_wrong_beside_it(site: Site) -> None:
    page = await site.page("/jobs?expression=kind+~+Welcome")

    assert page.named("p", role="alert")
    assert page.named("input", name="expression", value="kind ~ Welcome", **{"aria-invalid": "true"})


async def test_the_states_are_counted_only_where_the_counters_know_the_filter(site: Site) -> None:
    await site.service.dispatch(3, queue="emails", kind="Welcome")
    await site.service.dispatch(2, queue="images", kind="Resize")

    by_queue, by_kind = await site.page("/jobs?queue=emails"), await site.page("/jobs?queue=emails&kind=Resize")

    assert "pending 3" in by_queue.text
    assert "pending 3" not in by_kind.text


async def test_the_id_of_a_job_leads_to_its_page(site: Site) -> None:
    [job_id] = await site.service.dispatch(kind="Welcome")

    page = await site.page(f"/jobs?expression=+{job_id.upper()}")

    assert page.named("form", action=f"/jobs/{job_id}/cancel")


async def test_older_jobs_are_on_the_next_page_and_the_filter_goes_along(site: Site) -> None:
    ids = await site.service.dispatch(60, queue="emails")

    first = await site.page("/jobs?queue=emails")
    [older] = first.named("a", rel="next")
    second = await site.page(older["href"])

    shown = [box["value"] for page in (first, second) for box in page.named("input", name="id")]
    assert shown == ids[::-1]
    assert second.named("a", href="/jobs?queue=emails")


async def test_an_old_job_among_many_others_is_found_by_looking_further_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_jobs, "_FIRST_LOOK", 10)
    monkeypatch.setattr(sql_jobs, "_LONGEST_LOOK", 20)
    [wanted] = await site.service.dispatch(queue="emails")
    await site.service.dispatch(40, queue="images")

    first = await site.page("/jobs?queue=emails")
    [further] = first.named("a", rel="next")
    second = await site.page(further["href"])

    assert "Look further back" in first.text
    assert "No jobs" not in first.text
    assert [box["value"] for box in second.named("input", name="id")] == [wanted]


async def test_the_page_of_a_failed_job_tells_everything_about_it(site: Site) -> None:
    job_id = await failed_job(site, labels={"customer": "77"})

    page = await site.page(f"/jobs/{job_id}")

    for words in (
        "Charge",
        "failed",
        "gateway is down",
        "ConnectionError",
        "Traceback: line 1",
        "till-1",
        "customer=77",
        '"amount": 12.5',
    ):
        assert words in page.text
    assert "created" in page.text
    assert "attempt 1 leased" in page.text
    assert "attempt 1 failed" in page.text
    assert "data-hx-get" not in page.named("section", id="live")[0]


async def test_the_page_of_a_running_job_shows_its_progress_and_stays_live(site: Site) -> None:
    [job_id] = await site.service.dispatch(queue="reports", kind="Build")
    worker = await UnaryWorker.open(site.service, queues=[worker_service_pb2.QueueSubscription(name="reports")])
    await worker.get(1)
    progress = job_pb2.Progress(ratio=0.25, message="page 3 of 12")
    await worker.update(worker_service_pb2.UpdateItem(job_id=job_id, attempt=1, progress=progress))

    page = await site.page(f"/jobs/{job_id}")

    assert page.named("progress", max="1", value="0.25")
    assert "25 % page 3 of 12" in page.text
    assert page.named("section", id="live")[0]["data-hx-get"] == f"/jobs/{job_id}"


async def test_a_failed_job_is_retried_with_an_edited_payload(site: Site) -> None:
    job_id = await failed_job(site)

    editor = await site.page(f"/jobs/{job_id}/edit")
    after = await site.send(f"/jobs/{job_id}/retry", {"attempt": "1", "payload": '{\r\n  "amount": 13\r\n}'})

    assert '"amount": 12.5' in editor.text
    assert "The job runs again." in after.text
    job = await site.peer.get(job_id)
    assert job.state == job_pb2.JOB_STATE_PENDING
    assert job.spec.payload == b'{\n  "amount": 13\n}'


async def test_a_payload_that_is_not_json_is_given_back_to_be_mended(site: Site) -> None:
    job_id = await failed_job(site)

    page = await site.send(f"/jobs/{job_id}/retry", {"attempt": "1", "payload": '{"amount": }'}, status=422)

    assert "This is not JSON: line 1, column 12" in page.text
    assert '{"amount": }' in page.text
    assert (await site.peer.get(job_id)).state == job_pb2.JOB_STATE_FAILED


async def test_a_second_click_on_retry_changes_nothing(site: Site) -> None:
    job_id = await failed_job(site)
    await site.send(f"/jobs/{job_id}/retry", {"attempt": "1"})

    again = await site.send(f"/jobs/{job_id}/retry", {"attempt": "1"})

    assert "The job runs again." in again.text
    assert (await site.peer.get(job_id)).attempt == 1


async def test_a_clone_is_a_new_job_like_the_old_one(site: Site) -> None:
    job_id, new_id = await failed_job(site, labels={"customer": "77"}), str(uuid7())

    await site.send(f"/jobs/{job_id}/clone", {"id": new_id, "payload": '{"amount": 1}'})
    await site.send(f"/jobs/{job_id}/clone", {"id": new_id, "payload": '{"amount": 1}'})

    clone = await site.peer.get(new_id)
    assert (clone.spec.kind, clone.spec.queue, dict(clone.spec.labels)) == ("Charge", "payments", {"customer": "77"})
    assert clone.spec.payload == b'{"amount": 1}'
    assert clone.state == job_pb2.JOB_STATE_PENDING


async def test_a_binary_payload_is_dumped_and_goes_along_with_a_clone(site: Site) -> None:
    binary, new_id = bytes(range(256)), str(uuid7())
    [job_id] = await site.service.dispatch(payload=binary, content_type="application/octet-stream")

    page = await site.page(f"/jobs/{job_id}")
    editor = await site.page(f"/jobs/{job_id}/edit?for=clone")
    await site.send(f"/jobs/{job_id}/clone", {"id": new_id})

    assert "00000040 40 41 42" in page.text
    assert not editor.named("textarea")
    assert (await site.peer.get(new_id)).spec.payload == binary


async def test_a_long_payload_is_cut_with_a_mark(site: Site) -> None:
    [job_id] = await site.service.dispatch(payload=json.dumps("x" * 100_000).encode())

    page = await site.page(f"/jobs/{job_id}")

    assert "shown in part: the first 64 KiB" in page.text
    assert len(page.source) < 100_000


async def test_a_waiting_job_is_cancelled_and_then_deleted(site: Site) -> None:
    [job_id] = await site.service.dispatch()

    cancelled = await site.send(f"/jobs/{job_id}/cancel")
    deleted = await site.send(f"/jobs/{job_id}/delete")

    assert f"/jobs/{job_id}/cancel" not in cancelled.actions
    assert "The job is deleted." in deleted.text
    await site.page(f"/jobs/{job_id}", status=404)


async def test_chosen_jobs_are_deleted_after_a_look_at_how_many_it_would_be(site: Site) -> None:
    ids = await site.service.dispatch(3, queue="emails")

    asked = await site.send("/jobs/bulk", {"action": "delete", "which": "chosen", "id": ids[:2], "queue": "emails"})
    done = await site.send("/jobs/bulk", {"action": "delete", "which": "chosen", "id": ids[:2], "queue": "emails", "sure": "yes"})

    assert "This will delete 2 jobs. It cannot be undone." in asked.text
    assert "2 jobs are deleted; 0 were left alone." in done.text
    assert [box["value"] for box in done.named("input", name="id")] == ids[2:]


async def test_what_was_done_to_one_job_is_said_of_one(site: Site) -> None:
    [job_id] = await site.service.dispatch(queue="emails")

    done = await site.send("/jobs/bulk", {"action": "delete", "which": "chosen", "id": job_id, "sure": "yes"})

    assert "1 job is deleted; 0 were left alone." in done.text


async def test_a_bulk_change_is_counted_to_its_end_before_it_is_made(site: Site) -> None:
    await site.service.dispatch(1001, queue="emails")

    asked = await site.send("/jobs/bulk", {"action": "cancel", "which": "all", "queue": "emails"})

    assert "This will cancel 1,001 jobs." in asked.text
    assert "at least" not in asked.text
    assert len(asked.named("a", **{"class": "id"})) == 10


async def test_all_jobs_that_match_are_cancelled_whatever_page_they_are_on(site: Site) -> None:
    await site.service.dispatch(70, queue="emails")
    await site.service.dispatch(2, queue="images")
    fields = {"action": "cancel", "which": "all", "queue": "emails"}

    asked = await site.send("/jobs/bulk", fields)
    done = await site.send("/jobs/bulk", {**fields, "sure": "yes"})

    assert "This will cancel 70 jobs" in asked.text
    assert "70 jobs are cancelled" in done.text
    assert len((await site.page("/jobs?state=pending")).named("input", name="id")) == 2


async def test_all_failed_jobs_are_retried_at_once(site: Site) -> None:
    ids = [await failed_job(site) for _ in range(3)]
    fields = {"action": "retry", "which": "all", "state": "failed"}

    asked = await site.send("/jobs/bulk", fields)
    await site.send("/jobs/bulk", {**fields, "sure": "yes"})

    assert "This will retry 3 jobs" in asked.text
    assert {(await site.peer.get(each)).state for each in ids} == {job_pb2.JOB_STATE_PENDING}


async def test_a_bulk_change_of_nothing_changes_nothing(site: Site) -> None:
    await site.service.dispatch(2)

    page = await site.send("/jobs/bulk", {"action": "delete", "which": "chosen", "sure": "yes"})

    assert "Nothing was chosen." in page.text
    assert len(page.named("input", name="id")) == 2


async def make_schedule(site: Site, name: str, **spec: Any) -> None:
    """Store a schedule of mails."""
    job = job_pb2.JobSpec(kind="Welcome", queue="emails", payload=b"{}")
    when = schedule_service_pb2.ScheduleSpec(**spec)
    schedule = schedule_service_pb2.Schedule(name=name, spec=when, job=job)
    await site.peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule))


async def test_schedules_are_listed_with_their_next_five_fires_and_zone(site: Site) -> None:
    await make_schedule(site, "morning", cron="30 6 * * *", time_zone="Europe/Berlin")
    await make_schedule(site, "often", every=schedule_service_pb2.Every(interval=Duration(seconds=90)))

    page = await site.page("/schedules")

    assert "cron 30 6 * * * Europe/Berlin" in page.text
    assert "every 1 min 30 s" in page.text
    assert page.text.count("next 5") == 2


async def test_a_schedule_is_paused_resumed_triggered_and_deleted(site: Site) -> None:
    await make_schedule(site, "morning", cron="30 6 * * *")
    job_id = str(uuid7())

    paused = await site.send("/schedules/morning/pause")
    resumed = await site.send("/schedules/morning/resume")
    triggered = await site.send("/schedules/morning/trigger", {"id": job_id})
    deleted = await site.send("/schedules/morning/delete")

    assert "/schedules/morning/resume" in paused.actions
    assert "next 5" not in paused.text
    assert "/schedules/morning/pause" in resumed.actions
    assert job_id in triggered.text
    assert "Welcome" in triggered.text
    assert "No schedules" in deleted.text


async def test_a_schedule_that_was_changed_since_is_not_deleted(site: Site) -> None:
    await make_schedule(site, "morning", cron="30 6 * * *")
    [etag] = (await site.page("/schedules")).named("input", name="etag")
    await make_schedule(site, "morning", cron="30 7 * * *")

    await site.send("/schedules/morning/delete", {"etag": etag["value"]}, status=400)

    assert "30 7 * * *" in (await site.page("/schedules")).text


async def test_workers_are_listed_with_what_they_run_and_are_drained(site: Site) -> None:
    [job_id] = await site.service.dispatch(queue="reports", kind="Build")
    subscription = [worker_service_pb2.QueueSubscription(name="reports")]
    worker = await UnaryWorker.open(site.service, worker="host-9:41", sdk="go", sdk_version="1.2.3", queues=subscription)
    await worker.get(1)

    before = await site.page("/workers?queue=reports")
    drained = await site.send(before.actions[0])

    for words in ("host-9:41", "go 1.2.3", "reports", "Build", job_id):
        assert words in before.text
    assert "draining" in drained.text
    assert drained.actions == []


async def test_what_an_address_says_was_done_is_never_in_its_own_words(site: Site) -> None:
    page = await site.page("/?done=Call+us+at+0900&changed=<b>")
    known = await site.page("/?done=cleared&changed=<b>")

    assert "0900" not in page.source
    assert "0 jobs are deleted." in known.text
