"""Errors of the server as exceptions."""

import pickle
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata
from protojobs.v1.errors_pb2 import ErrorReason
from protojobs_client import errors
from protojobs_client.errors import (
    DeadlineExceededError,
    DuplicateJobError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    JobIdTimeError,
    OverloadedError,
    PayloadTooLargeError,
    ProtoJobsError,
    UnavailableError,
    UnsupportedError,
)
from protojobs_client.statuses import from_status, translate

from tests.unit.client.fake import DETAILS, status

REASONS = sorted(name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items() if not name.endswith("UNSPECIFIED"))
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def rpc_error(code: grpc.StatusCode, details: str = "", error: Status | None = None) -> AioRpcError:
    """Make the error that gRPC raises."""
    trailing = Metadata((DETAILS, error.SerializeToString())) if error else Metadata()
    return AioRpcError(code, Metadata(), trailing, details=details)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_the_contract_has_a_class(reason: str) -> None:
    error = from_status(status(grpc.StatusCode.DATA_LOSS, reason))  # no class stands for this code

    assert type(error) is not ProtoJobsError
    assert error.reason == reason


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"INVALID_FIELD"}))
def test_no_two_reasons_share_a_class(reason: str) -> None:
    kinds = [type(from_status(status(grpc.StatusCode.DATA_LOSS, other))) for other in REASONS]

    assert kinds.count(kinds[REASONS.index(reason)]) == 1


@pytest.mark.parametrize("code", CODES)
def test_an_unknown_reason_is_told_by_its_code(code: grpc.StatusCode) -> None:
    error = from_status(status(code, "SOMETHING_NEW"))

    assert (error.code, error.reason) == (code, "SOMETHING_NEW")
    assert type(error) is type(from_status(Status(code=code.value[0])))


def test_a_reason_of_another_domain_is_not_ours() -> None:
    foreign = status(grpc.StatusCode.UNAVAILABLE, "JOB_NOT_FOUND")
    foreign.details[0].value = foreign.details[0].value.replace(b"protojobs.dev", b"protojobs.xyz")

    assert type(from_status(foreign)) is UnavailableError


def test_details_become_attributes() -> None:
    error = translate(
        rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT,
            "refused",
            status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations={"spec.kind": "is empty"}),
        )
    )

    assert isinstance(error, InvalidArgumentError)
    assert error.violations == (FieldViolation(field="spec.kind", description="is empty"),)
    assert str(error) == "refused"


def test_metadata_becomes_typed_attributes() -> None:
    taken = from_status(status(grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_JOB", metadata={"job_id": "7"}))
    large = from_status(status(grpc.StatusCode.FAILED_PRECONDITION, "PAYLOAD_TOO_LARGE", metadata={"limit": "5", "size": "6"}))
    late = from_status(status(grpc.StatusCode.INVALID_ARGUMENT, "JOB_ID_TIME", metadata={"server_time": "2030-01-01T00:00:00Z"}))

    assert isinstance(taken, DuplicateJobError)
    assert isinstance(large, PayloadTooLargeError)
    assert isinstance(late, JobIdTimeError)
    assert (taken.job_id, large.limit, large.size) == ("7", 5, 6)
    assert late.server_time == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("server_time", ["", "tomorrow", "2030-01-01T00:00:00"])
def test_a_server_time_that_makes_no_sense_is_none(server_time: str) -> None:
    assert JobIdTimeError(metadata={"server_time": server_time}).server_time is None


def test_overload_is_worth_a_retry_when_the_server_says_when() -> None:
    wait = timedelta(seconds=1.5)

    told = from_status(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=wait))

    assert isinstance(told, OverloadedError)
    assert (told.retry_after, told.retryable) == (wait, True)
    assert not from_status(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")).retryable


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", UnavailableError),
        (grpc.StatusCode.CANCELLED, "", UnavailableError),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", UnavailableError),
        (grpc.StatusCode.INTERNAL, "Internal error from Core", UnavailableError),
        (grpc.StatusCode.INTERNAL, "Exception serializing request", InternalError),
        (grpc.StatusCode.UNKNOWN, "Stream removed", UnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineExceededError),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", UnsupportedError),
        (grpc.StatusCode.UNKNOWN, "Unexpected", ProtoJobsError),
    ],
)
def test_errors_of_grpc_itself_are_told_apart(code: grpc.StatusCode, details: str, kind: type[ProtoJobsError]) -> None:
    error = translate(rpc_error(code, details))

    assert type(error) is kind
    assert (error.code, error.reason) == (code, "")


def test_details_that_cannot_be_read_leave_the_code() -> None:
    error = translate(AioRpcError(grpc.StatusCode.NOT_FOUND, Metadata(), Metadata((DETAILS, b"\xff")), details="gone"))

    assert isinstance(error, errors.NotFoundError)


def test_a_late_answer_is_a_timeout_for_those_who_catch_that() -> None:
    assert issubclass(DeadlineExceededError, TimeoutError)
    assert issubclass(errors.WaitTimeoutError, TimeoutError)


def test_errors_survive_the_way_between_processes() -> None:
    error = from_status(status(grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_JOB", metadata={"job_id": "7"}))

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(copy), str(copy), copy.reason, copy.job_id) == (DuplicateJobError, "refused", "DUPLICATE_JOB", "7")


def test_the_tree_in_the_docstring_names_every_class() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ProtoJobsError)}

    assert {name for name in classes if name not in (errors.__doc__ or "")} == set()
