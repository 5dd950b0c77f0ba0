"""A collector that is away or hangs: jobs go on, what waits for it is bounded, and the end of the process is too."""

import asyncio
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from protojobs_client import AsyncClient, JobRequest, Options
from protojobs_service import telemetry
from protojobs_service.exporters import Exporter, tracer_provider, within
from protojobs_service.settings import OtelSettings
from protojobs_service.telemetry import Telemetry, configure_logs
from protojobs_worker import JobContext, Worker

from tests.telemetry.receiver import Receiver
from tests.telemetry.stand import traced_server

QUEUED = 64
CALLS = 3 * QUEUED


@pytest.fixture(autouse=True)
def _small_queue_and_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(QUEUED))
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    monkeypatch.setattr(telemetry, "FLUSH_SECONDS", 0.2)


def _waiting(of: TracerProvider) -> int:
    [processor] = of._active_span_processor._span_processors
    batches: Any = processor
    return len(batches._batch_processor._queue)


async def _jobs_go_on(directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Dispatch and run jobs, more than the queue has places for; returns how many spans of the server then wait."""
    made: list[TracerProvider] = []

    def remember(otel: OtelSettings, resource: Resource, opened: list[Exporter]) -> TracerProvider | None:
        provider = tracer_provider(otel, resource, opened)
        made.extend([provider] if provider else [])
        return provider

    monkeypatch.setattr(telemetry, "tracer_provider", remember)
    async with traced_server(directory) as server:
        options = Options(address=server.address, streaming=False)
        async with AsyncClient(options=options) as client:
            for _ in range(CALLS):
                await client.dispatch(JobRequest("mail").on_queue("mails"))
        done: list[str] = []
        worker = Worker(options, queues=["mails"], max_jobs=CALLS)

        @worker.handler("mail")
        async def send(context: JobContext) -> None:
            done.append(context.job_id)

        await worker.serve()
        assert len(set(done)) == CALLS
        [provider] = made
        waiting = _waiting(provider)
    # What could not be pushed has been given up, and nothing goes on behind the server's back.
    assert await asyncio.to_thread(within, 30, _all_ended)
    return waiting


def _all_ended() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith(("OtelBatch", "OtelPeriodic")):
            thread.join()


@pytest.mark.asyncio
async def test_jobs_go_on_while_the_collector_hangs_and_no_more_spans_wait_than_there_are_places(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers.clear()

    waiting = await _jobs_go_on(tmp_path, monkeypatch)

    assert receiver.called.is_set()
    assert waiting == QUEUED
    assert receiver.spans == []


@pytest.mark.asyncio
async def test_jobs_go_on_while_nobody_listens_where_the_collector_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")

        waiting = await _jobs_go_on(tmp_path, monkeypatch)

    assert waiting <= QUEUED


def test_a_flush_that_hangs_is_left_behind_and_one_that_ends_is_waited_for(receiver: Receiver) -> None:
    ended: list[str] = []

    assert within(60, lambda: ended.append("one"), lambda: ended.append("other")) is True
    assert sorted(ended) == ["one", "other"]

    receiver.answers.clear()
    assert within(0.01, receiver.answers.wait) is False


def test_a_full_queue_is_told_once_a_minute(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    # The SDK's own, which drops what was said in the last 20 s, whoever said it.
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk._shared_internal"), "filters", [])
    configure_logs("info", "json")
    receiver.answers.clear()
    made = Telemetry(driver="memory", otel=OtelSettings())
    assert made.tracer is not None

    for _ in range(QUEUED * 3):
        made.tracer.start_span("one of many").end()
    made.close()

    warnings = [line for line in capsys.readouterr().err.splitlines() if "opentelemetry" in line]
    assert len(warnings) == 1
    assert "Queue full" in warnings[0]
