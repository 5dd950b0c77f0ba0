"""The spans that the service makes of its calls, of what they do to the store, and of the jobs that it creates itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from protojobs.v1 import job_pb2, job_service_pb2, schedule_service_pb2
from protojobs_service.transport.job_servicer import JobServicer
from uuid_utils import uuid7

from tests.telemetry.receiver import Receiver, attributes
from tests.telemetry.stand import traced_server
from tests.wire.peer import Peer, connected

_INSTRUMENTOR: Any = GrpcAioInstrumentorServer  # written without types

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@asynccontextmanager
async def traced_peer(directory: Path) -> AsyncIterator[Peer]:
    """Speak to a traced server. What it has exported is complete when the context ends."""
    async with traced_server(directory) as running, connected(running) as peer:
        yield peer


def _spec(**fields: Any) -> job_pb2.JobSpec:
    return job_pb2.JobSpec(id=str(uuid7()), kind="mail", queue="mails", payload=b"{}", **fields)


def _named(receiver: Receiver, name: str) -> list[Span]:
    return [span for span in receiver.spans if span.name == name]


@pytest.mark.asyncio
async def test_a_unary_call_is_a_span_in_the_trace_of_its_metadata_and_its_store_operation_one_within(
    receiver: Receiver, tmp_path: Path
) -> None:
    async with traced_peer(tmp_path) as peer:
        request = job_service_pb2.DispatchBatchRequest(specs=[_spec(), _spec()])
        await peer.jobs.DispatchBatch(request, metadata=(("traceparent", TRACEPARENT),))

    [call] = _named(receiver, "protojobs.v1.JobService/DispatchBatch")
    assert (call.kind, call.trace_id.hex(), call.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, TRACE, PARENT)
    assert call.status.code == Status.STATUS_CODE_UNSET
    assert attributes(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": "protojobs.v1.JobService/DispatchBatch",
        "rpc.response.status_code": "OK",
    }
    [store] = _named(receiver, "dispatch jobs")
    assert (store.kind, store.trace_id, store.parent_span_id) == (Span.SPAN_KIND_CLIENT, call.trace_id, call.span_id)
    assert attributes(store) == {"db.system.name": "sqlite", "db.operation.name": "dispatch", "db.operation.batch.size": 2}


@pytest.mark.asyncio
async def test_a_refused_call_tells_its_status_and_is_no_error_of_the_server(receiver: Receiver, tmp_path: Path) -> None:
    async with traced_peer(tmp_path) as peer:
        with pytest.raises(grpc.aio.AioRpcError):
            await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=str(uuid7())))

    [call] = _named(receiver, "protojobs.v1.JobService/GetJob")
    assert attributes(call)["rpc.response.status_code"] == "NOT_FOUND"
    assert call.status.code == Status.STATUS_CODE_UNSET
    assert call.parent_span_id == b""


async def _fail(self: JobServicer, request: Any, context: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.asyncio
async def test_a_call_that_fails_within_is_an_error_of_the_server(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobServicer, "GetJob", _fail)
    async with traced_peer(tmp_path) as peer:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=str(uuid7())))

    [span] = _named(receiver, "protojobs.v1.JobService/GetJob")
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert attributes(span)["error.type"] == "INTERNAL"
    assert span.status.code == Status.STATUS_CODE_ERROR


@pytest.mark.asyncio
async def test_streams_health_and_their_store_operations_are_no_spans(receiver: Receiver, tmp_path: Path) -> None:
    async with traced_peer(tmp_path) as peer:
        stream = peer.jobs.DispatchStream(metadata=(("traceparent", TRACEPARENT),))
        await stream.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=[_spec(headers={"traceparent": TRACEPARENT})]))
        await stream.done_writing()
        acknowledged = [answer.up_to_seq async for answer in stream]
        health: Any = HealthStub(peer.channel)
        await health.Check(health_pb2.HealthCheckRequest())

    assert acknowledged[-1] == 1
    assert receiver.spans == []
    assert "rpc.server.call.duration" not in {metric.name for metric in receiver.metrics}


@pytest.mark.asyncio
async def test_a_call_that_is_not_sampled_leaves_nothing(receiver: Receiver, tmp_path: Path) -> None:
    async with traced_peer(tmp_path) as peer:
        await peer.jobs.Dispatch(
            job_service_pb2.DispatchRequest(spec=_spec()), metadata=(("traceparent", TRACEPARENT[:-2] + "00"),)
        )

    assert receiver.spans == []


@pytest.mark.asyncio
async def test_ours_makes_way_for_the_instrumentation_of_opentelemetry(receiver: Receiver, tmp_path: Path) -> None:
    instrumentor: Any = _INSTRUMENTOR()
    instrumentor.instrument()
    try:
        async with traced_peer(tmp_path) as peer:
            await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=_spec()))
    finally:
        instrumentor.uninstrument()

    assert receiver.spans == []


def _schedule(**headers: str) -> schedule_service_pb2.ScheduleRequest:
    schedule = schedule_service_pb2.Schedule(name="nightly", job=job_pb2.JobSpec(kind="mail", queue="mails", headers=headers))
    schedule.spec.every.interval.FromTimedelta(timedelta(hours=1))
    return schedule_service_pb2.ScheduleRequest(schedule=schedule)


@pytest.mark.asyncio
async def test_a_job_of_a_schedule_carries_the_span_that_creates_it_which_links_to_what_the_template_names(
    receiver: Receiver, tmp_path: Path
) -> None:
    async with traced_peer(tmp_path) as peer:
        await peer.schedules.Schedule(_schedule(traceparent=TRACEPARENT, mine="1"))
        triggered = await peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="nightly"))
        job = await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=triggered.job_id, view=job_pb2.JOB_VIEW_FULL))

    [create] = _named(receiver, "create mails")
    assert create.kind == Span.SPAN_KIND_PRODUCER
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in create.links] == [(TRACE, PARENT)]
    headers = job.job.spec.headers
    assert headers["traceparent"].startswith(f"00-{create.trace_id.hex()}-{create.span_id.hex()}-")
    assert headers["mine"] == "1"
    assert attributes(create)["messaging.message.id"] == triggered.job_id


@pytest.mark.asyncio
async def test_an_unsampled_tick_leaves_the_context_that_the_template_has(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with traced_peer(tmp_path) as peer:
        await peer.schedules.Schedule(_schedule(traceparent=TRACEPARENT))
        triggered = await peer.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name="nightly"))
        job = await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=triggered.job_id, view=job_pb2.JOB_VIEW_FULL))

    assert job.job.spec.headers["traceparent"] == TRACEPARENT
    assert receiver.spans == []
