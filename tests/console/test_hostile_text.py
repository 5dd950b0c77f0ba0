"""Nothing that a job, a worker or an address holds becomes markup, acts on the reader's terminal, or turns text around."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from protojobs.v1 import job_pb2, schedule_service_pb2, worker_service_pb2
from protojobs_service.admin.console.views.text import is_plain

from tests.console.site import Markup, Site, serving
from tests.wire.lease_worker import UnaryWorker

pytestmark = pytest.mark.asyncio

MARKUP = """</textarea></pre></script><script>alert(1)</script><img src=x onerror=alert(2)>"' onload='alert(3)'{{ 7*7 }}"""
TURNED = "invoice-\u202egpj.exe\u202c\u2066\u200f"
CONTROL = "\x1b]0;owned\x07\x08\x7f\x9b31m"
HOSTILE = f"{MARKUP} {TURNED} {CONTROL}"
OUR_SCRIPTS = {
    "/static/theme.js",
    "/static/vendor/htmx.min.js",
    "/static/vendor/uPlot.iife.min.js",
    "/static/charts.js",
    "/static/console.js",
}


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Run a server with a job, its attempts, a schedule and a worker that are as hostile as the server lets them be."""
    async with serving(tmp_path) as running:
        await fill(running)
        yield running


async def fill(site: Site) -> None:
    """Store it all."""
    spec: dict[str, Any] = {
        "queue": "evil",
        "kind": "Evil",
        "payload": HOSTILE.encode() + b"\0",
        "content_type": f"text/plain; {TURNED}",
        "labels": {"name": HOSTILE[:80]},
        "headers": {"x-name": HOSTILE},
        "concurrency_key": TURNED,
        "fairness_key": CONTROL,
    }
    queues = [worker_service_pb2.QueueSubscription(name="evil")]
    as_json: dict[str, Any] = {"payload": b'["\\u202e\\u0000<script>"]', "content_type": "application/json", "concurrency_key": ""}
    [job_id] = await site.service.dispatch(**spec)
    [json_id] = await site.service.dispatch(**{**spec, **as_json})
    worker = await UnaryWorker.open(site.service, worker=HOSTILE[:100], sdk=TURNED, sdk_version="<b>1</b>", queues=queues)
    leases = {lease.job_id: lease for lease in await worker.get(2)}
    progress = job_pb2.Progress(ratio=0.5, message=HOSTILE)
    await worker.update(worker_service_pb2.UpdateItem(job_id=json_id, attempt=leases[json_id].attempt, progress=progress))
    error = job_pb2.JobError(type=HOSTILE[:200], message=HOSTILE, stack=HOSTILE)
    fail = worker_service_pb2.Fail(error=error, retryable=False)
    await worker.settle(worker_service_pb2.Settle(items=[worker_service_pb2.SettleItem(job_id=job_id, attempt=1, fail=fail)]))
    job = job_pb2.JobSpec(kind="Evil", queue="evil", payload=HOSTILE.encode())
    schedule = schedule_service_pb2.Schedule(name="evil", spec=schedule_service_pb2.ScheduleSpec(cron="0 1 * * *"), job=job)
    await site.peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule))


def assert_harmless(page: Markup) -> None:
    """Fail where anything of the page was not ours, or cannot be seen."""
    assert {attributes.get("src", "inline") for attributes in page.named("script")} == OUR_SCRIPTS
    assert {attributes["src"] for attributes in page.named("img")} == {"/static/mark.svg"}
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "style", "base", "b1"}
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "srcdoc"}], (tag, attributes)
        assert not [value for value in attributes.values() if value.lstrip().lower().startswith("javascript:")]
    assert is_plain(page.source)
    assert "49" not in page.text.partition("onload")[2][:40]


async def the_jobs(site: Site) -> list[str]:
    page = await site.page("/jobs?queue=evil")
    return [box["value"] for box in page.named("input", name="id")]


@pytest.mark.parametrize("path", ["/", "/queues/evil", "/jobs", "/jobs?state=failed", "/schedules", "/workers"])
async def test_lists_show_hostile_text_as_text(site: Site, path: str) -> None:
    assert_harmless(await site.page(path))


async def test_the_pages_of_hostile_jobs_show_all_of_it_as_text(site: Site) -> None:
    pages = [await site.page(f"/jobs/{each}{what}") for each in await the_jobs(site) for what in ("", "/edit", "/edit?for=clone")]

    for page in pages:
        assert_harmless(page)
    assert any("<script>alert(1)</script>" in page.text for page in pages)
    assert any("invoice-[U+202E]gpj.exe[U+202C]" in page.text for page in pages)
    assert any("\u241b]0;owned\u2407" in page.text for page in pages)


async def test_a_json_payload_is_edited_with_what_cannot_be_seen_written_as_escapes(site: Site) -> None:
    [json_id] = [each for each in await the_jobs(site) if (await site.peer.get(each)).spec.content_type == "application/json"]

    editor = await site.page(f"/jobs/{json_id}/edit?for=clone")

    assert editor.named("textarea")
    assert r'"\u202e\u0000<script>"' in editor.text


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?queue={}&kind={}&label={}&expression={}&parent=x",
        "/jobs?state={}&after={}",
        "/workers?queue={}",
        "/schedules?after={}",
        "/queues/{}",
        "/jobs/{}",
        "/{}",
        "/?done={}&changed={}",
    ],
)
async def test_addresses_that_hold_hostile_text_are_answered_with_text(site: Site, path: str) -> None:
    response = await site.http.get(path.replace("{}", "%3C%2Fscript%3E%3Cscript%3Ealert(1)%3C/script%3E%22%E2%80%AE%1B%00"))

    assert response.status_code < 500
    assert_harmless(Markup(response.text))


async def test_what_a_form_brings_back_is_text(site: Site) -> None:
    [json_id] = [each for each in await the_jobs(site) if (await site.peer.get(each)).spec.content_type == "application/json"]

    edited = await site.send(f"/jobs/{json_id}/clone", {"payload": f"{{{HOSTILE}"}, status=422)
    asked = await site.send(
        "/jobs/bulk", {"action": "delete", "which": "all", "kind": "Evil", "expression": 'label.name != ""'}, status=400
    )

    assert_harmless(edited)
    assert_harmless(asked)
