"""How clients take the errors of a server, by one that makes every error when a test wants it."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from protojobs.v1 import job_pb2, job_service_pb2

from tests.interop.fake_server import Call, FakeServer, Refused, fake_server, violation
from tests.interop.languages import Language
from tests.interop.programs import Command

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


class Dispatching:
    """Answers dispatches, one by one, in batches and by stream; the first ones as a test says."""

    def __init__(self, fake: FakeServer) -> None:
        self.specs: list[job_pb2.JobSpec] = []
        self.refuse: list[Refused] = []
        self.calls: list[Call] = []
        fake.answers["Dispatch"] = self._one
        fake.answers["DispatchBatch"] = self._many
        fake.dispatches = self._stream

    def _one(self, request: bytes, call: Call) -> Message:
        spec = job_service_pb2.DispatchRequest.FromString(request).spec
        self._take([spec], call)
        outcome = job_service_pb2.DISPATCH_OUTCOME_CREATED
        return job_service_pb2.DispatchResponse(job_id=spec.id, outcome=outcome, state=job_pb2.JOB_STATE_PENDING)

    def _many(self, request: bytes, call: Call) -> Message:
        specs = job_service_pb2.DispatchBatchRequest.FromString(request).specs
        self._take(list(specs), call)
        outcome = job_service_pb2.DISPATCH_OUTCOME_CREATED
        results = [job_service_pb2.DispatchResult(job_id=spec.id, outcome=outcome) for spec in specs]
        return job_service_pb2.DispatchBatchResponse(results=results)

    def _stream(self, requests: Iterator[bytes], call: Call) -> Iterator[Message]:
        yield job_service_pb2.DispatchStreamResponse(window=1000)
        for data in requests:
            frame = job_service_pb2.DispatchStreamRequest.FromString(data)
            self._take(list(frame.specs), call)
            yield job_service_pb2.DispatchStreamResponse(up_to_seq=frame.seq, window=1000)

    def _take(self, specs: list[job_pb2.JobSpec], call: Call) -> None:
        self.specs += specs
        self.calls.append(call)
        if self.refuse:
            raise self.refuse.pop(0)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server without a will of its own."""
    with fake_server() as server:
        yield server


@pytest.fixture
def dispatching(fake: FakeServer) -> Dispatching:
    """What the server makes of dispatches."""
    return Dispatching(fake)


def dispatch(language: Language, fake: FakeServer, *options: str, **env: str) -> Command:
    """Start a command that dispatches a job."""
    return Command(language, "dispatch", "--addr", fake.address, "--queue", "main", *options, env=env)


@pytest.mark.requirement("CALL-1")
@pytest.mark.parametrize("mode", ["single", "batch", "stream"])
def test_a_dispatch_that_no_server_takes_is_repeated_under_its_id(
    fake: FakeServer, dispatching: Dispatching, language: Language, mode: str
) -> None:
    dispatching.refuse = [Refused(grpc.StatusCode.UNAVAILABLE, "DRAINING"), Refused(grpc.StatusCode.UNAVAILABLE)]

    told = dispatch(language, fake, "--mode", mode).line("dispatched")

    assert [spec.id for spec in dispatching.specs] == [told["job_id"]] * 3
    assert UUID(told["job_id"]).version == 7
    assert all(call.has_deadline or call.path == "DispatchStream" for call in dispatching.calls)


@pytest.mark.requirement("CALL-2")
def test_a_server_that_names_a_wait_is_asked_again(fake: FakeServer, dispatching: Dispatching, language: Language) -> None:
    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.FromTimedelta(timedelta(milliseconds=50))
    dispatching.refuse = [Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", wait)]

    dispatch(language, fake).line("dispatched")

    assert len({spec.id for spec in dispatching.specs}) == 1
    assert len(dispatching.specs) == 2


@pytest.mark.requirement("CALL-2")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
        (grpc.StatusCode.FAILED_PRECONDITION, "A_REASON_OF_LATER"),
        (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_that_no_retry_can_help_is_told_at_once(
    fake: FakeServer, dispatching: Dispatching, language: Language, code: grpc.StatusCode, reason: str
) -> None:
    dispatching.refuse = [Refused(code, reason)]

    error = dispatch(language, fake).error()

    assert (error["code"], error["reason"]) == (code.name, reason)
    assert len(dispatching.specs) == 1


@pytest.mark.requirement("CALL-2")
def test_every_field_that_is_wrong_is_told_by_its_path(fake: FakeServer, dispatching: Dispatching, language: Language) -> None:
    wrong = violation("spec.on_complete[1].labels[region]", "too long")
    dispatching.refuse = [Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", wrong)]

    error = dispatch(language, fake).error()

    assert error["fields"] == ["spec.on_complete[1].labels[region]"]


@pytest.mark.requirement("CONNECT-1")
def test_the_token_goes_with_every_call(fake: FakeServer, dispatching: Dispatching, language: Language) -> None:
    dispatch(language, fake, PROTOJOBS_TOKEN="pj_secret").line("dispatched")

    assert {call.metadata.get("authorization") for call in dispatching.calls} == {"Bearer pj_secret"}
