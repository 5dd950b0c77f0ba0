"""One trace across dispatch, service, handler and retry: each scenario against a real receiver, and what it leaves there."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from protojobs_client import AsyncClient, JobRequest, Options, RetryPolicy, outbox
from protojobs_service.compose import RunningServer
from protojobs_worker import JobContext, Worker

from tests.telemetry import golden
from tests.telemetry.receiver import Receiver
from tests.telemetry.stand import application, traced_server

SOON = RetryPolicy(max_retries=2, initial_backoff=timedelta(milliseconds=1))


def _options(server: RunningServer, **options: Any) -> Options:
    return Options(address=server.address, **options)


async def _work(server: RunningServer, runs: int, **settings: Any) -> list[str]:
    """Run a worker until its handler has been called so often; the first attempt of each job fails. Returns job ids."""
    worker = Worker(_options(server), queues=["mails"], max_jobs=runs, **settings)
    seen: list[str] = []

    @worker.handler("mail")
    async def send(context: JobContext) -> None:
        seen.append(context.job_id)
        if runs > 1 and context.attempt == 1:
            raise ConnectionError("no route")

    await worker.serve()
    return seen


def _trace_ids(spans: Sequence[Span], *names: str) -> set[bytes]:
    found = [span for span in spans if span.name in names]
    assert {span.name for span in found} == set(names)
    return {span.trace_id for span in found}


@pytest.mark.asyncio
async def test_one_trace_goes_from_the_dispatch_through_the_service_to_the_handler_and_its_retry(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch) as tracer:
            async with AsyncClient(options=_options(server, streaming=False)) as client:
                with tracer.start_as_current_span("checkout"):
                    job = await client.dispatch(JobRequest("mail").on_queue("mails").with_options(retry=SOON))
            seen = await _work(server, runs=2, trace_parent="continue")

    assert seen == [job.job_id, job.job_id]
    rpc = "protojobs.v1.JobService/Dispatch"
    one = _trace_ids(receiver.spans, "checkout", "dispatch mails", rpc, "dispatch jobs", "process mails", "nack mails", "ack mails")
    assert len(one) == 1
    golden.check("retry_in_one_trace", receiver, [job.job_id])


@pytest.mark.asyncio
async def test_by_default_a_handler_begins_a_trace_that_links_to_the_dispatch(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch):
            async with AsyncClient(options=_options(server)) as client:
                job = await client.dispatch(JobRequest("mail").on_queue("mails").priority(7))
            await _work(server, runs=1)

    spans = {span.name: span for span in receiver.spans}
    process, dispatch = spans["process mails"], spans["dispatch mails"]
    assert process.trace_id != dispatch.trace_id
    assert process.parent_span_id == b""
    assert [link.span_id for link in process.links] == [dispatch.span_id]
    golden.check("stream_and_link", receiver, [job.job_id])


@pytest.mark.asyncio
async def test_each_job_of_a_batch_has_a_span_to_which_that_of_the_batch_links(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch) as tracer:
            async with AsyncClient(options=_options(server)) as client:
                with tracer.start_as_current_span("checkout"):
                    jobs = await client.dispatch_many([JobRequest("mail").on_queue("mails"), JobRequest("bill").on_queue("bills")])

    assert len(_trace_ids(receiver.spans, "checkout", "dispatch_batch", "create mails", "create bills")) == 1
    golden.check("batch", receiver, [job.job_id for job in jobs])


@pytest.mark.asyncio
async def test_jobs_of_a_batch_can_share_its_span(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch):
            async with AsyncClient(options=_options(server, create_spans=False)) as client:
                jobs = await client.dispatch_many([JobRequest("mail").on_queue("mails")] * 2)
                headers = [(await client.get(job.job_id, full=True)).headers for job in jobs]

    [batch] = [span for span in receiver.spans if span.name == "dispatch_batch mails"]
    assert not [span for span in receiver.spans if span.name.startswith("create")]
    assert batch.kind == Span.SPAN_KIND_PRODUCER
    assert {each["traceparent"][36:52] for each in headers if each} == {batch.span_id.hex()}


@pytest.mark.asyncio
async def test_the_trace_goes_on_through_a_job_that_is_scheduled_for_later(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch):
            async with AsyncClient(options=_options(server)) as client:
                job_id = await client.schedule_in(JobRequest("mail").on_queue("mails"), None, 0.2)
            seen = await _work(server, runs=1, trace_parent="continue")

    assert seen == [job_id]
    rpc = "protojobs.v1.ScheduleService/Schedule"
    assert len(_trace_ids(receiver.spans, "schedule mails", rpc, "process mails", "ack mails")) == 1
    golden.check("scheduled_once", receiver, [job_id])


@pytest.mark.asyncio
async def test_a_tick_of_a_schedule_begins_a_trace_that_its_handler_goes_on_with(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced_server(tmp_path) as server:
        with application(monkeypatch):
            async with AsyncClient(options=_options(server)) as client:
                soon = datetime.now(UTC) + timedelta(seconds=4)  # a machine may stand still before the schedule is stored
                await client.schedule_every(JobRequest("mail").on_queue("mails"), None, timedelta(hours=1), anchor=soon)
            [job_id] = await _work(server, runs=1, trace_parent="continue")

    [create] = [span for span in receiver.spans if span.name == "create mails"]
    assert create.parent_span_id == b""
    assert len(_trace_ids(receiver.spans, "create mails", "process mails", "ack mails")) == 1
    golden.check("schedule_that_repeats", receiver, [job_id])


@pytest.mark.asyncio
async def test_the_trace_goes_on_through_an_outbox(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as shop:
        shop.executescript(outbox.ddl("sqlite"))
    async with traced_server(tmp_path, outbox_dsn=(f"sqlite:///{database}",)) as server:
        with application(monkeypatch) as tracer:
            with tracer.start_as_current_span("checkout"), sqlite3.connect(database) as shop:
                job_id = outbox.enqueue(shop, JobRequest("mail").on_queue("mails"))
            seen = await _work(server, runs=1, trace_parent="continue")
    shop.close()

    assert seen == [job_id]
    assert len(_trace_ids(receiver.spans, "checkout", "create mails", "process mails", "ack mails")) == 1
    golden.check("outbox", receiver, [job_id])
