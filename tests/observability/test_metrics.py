"""What /metrics says: exactly what the page lists, and never more series than it promises."""

import asyncio
from pathlib import Path

import pytest
from protojobs.v1 import job_pb2, job_service_pb2, worker_service_pb2
from protojobs_service.domain.labels import CRASHED, MAX_ENDED_SERIES, MAX_KIND_LABELS, MAX_QUEUE_LABELS, OTHER, OUTCOMES
from uuid_utils import uuid7

from tests.observability.live import families, labels_of, metrics_once, service_of, serving_sqlite
from tests.observability.page import Listed, listed
from tests.wire.lease_worker import Service, StreamWorker, complete
from tests.wire.peer import serving

_OF_THE_LIBRARY = "target_info"
_SERIES_OF_THE_SDK = 2000


def test_the_page_lists_exactly_what_a_server_says(metrics_text: str) -> None:
    said = {name: (metric.type, labels_of(metric)) for name, metric in families(metrics_text).items() if name != _OF_THE_LIBRARY}

    assert said == {name: (row.kind, row.labels) for name, row in listed().items()}


def test_the_names_of_the_page_are_those_of_opentelemetry_with_their_unit_and_type() -> None:
    odd = [row for row in listed().values() if not row.name.startswith(row.otel.replace(".", "_").removesuffix("_total"))]

    assert not odd
    assert all((row.kind == "counter") == row.name.endswith("_total") for row in listed().values())


def test_waits_are_measured_up_to_ten_minutes(metrics_text: str) -> None:
    bounds = {
        sample.labels["le"]
        for sample in families(metrics_text)["protojobs_job_wait_duration_seconds"].samples
        if "le" in sample.labels
    }

    assert {0.005, 600.0} <= set(map(float, bounds))


def test_jobs_are_counted_by_queue_kind_and_outcome(metrics_text: str) -> None:
    counted = {
        (sample.labels["queue"], sample.labels["kind"], sample.labels["outcome"]): sample.value
        for sample in families(metrics_text)["protojobs_job"].samples
    }

    assert counted == {("default", "email", "completed"): 1, ("default", "email", "retried"): 1}


def test_what_a_driver_tells_of_itself_is_shown_by_its_own_names(metrics_text: str) -> None:
    assert 'protojobs_driver_level{what="jobs_in_topics"} 7.0' in metrics_text
    assert 'protojobs_driver_events_total{what="records_lost"} 2.0' in metrics_text


@pytest.mark.asyncio
async def test_ten_thousand_kinds_in_a_thousand_queues_make_no_more_series_than_promised() -> None:
    async with serving() as peer:
        service = service_of(peer)
        jobs = 10_000
        for start in range(0, jobs, 500):
            specs = [_spec(number) for number in range(start, start + 500)]
            await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs))
        await asyncio.gather(*(_complete_some(service, first) for first in range(0, 1000, 100)))
        text = await metrics_once(peer, lambda text: 'protojobs_jobs_settled_total{outcome="completed"} 10000.0' in text)

    found = families(text)
    ended = found["protojobs_job"].samples
    assert sum(sample.value for sample in ended) == jobs
    assert len({sample.labels["queue"] for sample in ended}) == MAX_QUEUE_LABELS + 1
    assert len({sample.labels["kind"] for sample in ended}) == MAX_KIND_LABELS + 1
    assert any(sample.labels["kind"] == OTHER for sample in ended)
    assert len(ended) <= MAX_ENDED_SERIES + (MAX_QUEUE_LABELS + 1) * len({*OUTCOMES, CRASHED}) < _SERIES_OF_THE_SDK
    depth = found["protojobs_queue_jobs"].samples
    assert len({sample.labels["queue"] for sample in depth}) == MAX_QUEUE_LABELS + 1
    assert sum(sample.value for sample in depth if sample.labels["state"] == "completed") == jobs
    assert "otel_metric_overflow" not in text


@pytest.mark.asyncio
async def test_jobs_of_a_worker_that_died_are_counted_with_their_queue(tmp_path: Path) -> None:
    async with serving_sqlite(tmp_path, session={"reconnect_grace": 0}) as peer:
        service = service_of(peer)
        await service.dispatch(2, queue="default", kind="email")
        dying = await StreamWorker.open(service)
        await dying.get(2)
        await dying.stream.send(ping=worker_service_pb2.Ping())  # says that both have begun
        await dying.stream.until("pong")
        dying.stream.call.cancel()
        text = await metrics_once(peer, lambda text: 'kind="_OTHER"' in text)

    assert 'protojobs_lease_expired_total{cause="session"} 2.0' in text
    assert 'protojobs_job_total{kind="_OTHER",outcome="crashed",queue="default"} 2.0' in text


def test_a_row_of_the_page_names_what_queries_may_use() -> None:
    histogram = Listed("a.b", "a_b_seconds", "histogram", frozenset())

    assert histogram.samples() == {"a_b_seconds_bucket", "a_b_seconds_sum", "a_b_seconds_count"}
    assert Listed("a", "a_total", "counter", frozenset()).samples() == {"a_total"}


def _spec(number: int) -> job_pb2.JobSpec:
    return job_pb2.JobSpec(id=str(uuid7()), queue=f"q{number % 1000}", kind=f"k{number}", payload=b"{}")


async def _complete_some(service: Service, first: int) -> None:
    """Complete the jobs of a hundred queues: a worker may read no more."""
    queues = [worker_service_pb2.QueueSubscription(name=f"q{number}") for number in range(first, first + 100)]
    worker = await StreamWorker.open(service, queues=queues, window=worker_service_pb2.Window(max_in_flight=1000), slots=1000)
    await worker.settle(complete(*await worker.get(1000)))
    await worker.close()
