"""Errors on the wire."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status
from protojobs.v1 import errors_pb2
from protojobs_service.domain import errors
from protojobs_service.domain.errors import (
    InvalidField,
    JobFinal,
    JobIdTime,
    JobNotFound,
    JobsError,
    Overloaded,
    PayloadTooLarge,
    StoreUnavailable,
    Unsupported,
)
from protojobs_service.transport.status import CODES, DeadlinePassed, MalformedMessage, UnsupportedRpc, to_status


def _tree(root: type[JobsError]) -> Iterator[type[JobsError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


def _details(status: Status, *kinds: type) -> list[object]:
    found = []
    for kind in kinds:
        message = kind()
        found += [message for each in status.details if each.Unpack(message)]
    return found


def _info(status: Status) -> ErrorInfo:
    [info] = _details(status, ErrorInfo)
    assert isinstance(info, ErrorInfo)
    return info


DOMAIN = [each for each in _tree(JobsError) if each.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", DOMAIN, ids=lambda kind: kind.__name__)
def test_every_error_of_the_domain_has_a_code(kind: type[JobsError]) -> None:
    assert kind in CODES
    assert CODES[kind] not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.OK)


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_every_reason_is_one_of_the_contract(kind: type[JobsError]) -> None:
    roots = {errors.NotFound, errors.AlreadyExists, errors.WrongState, errors.Unavailable}  # never raised themselves

    if kind not in roots:
        assert f"ERROR_REASON_{kind.reason}" in errors_pb2.ErrorReason.keys()  # noqa: SIM118 # no mapping


def test_a_bad_field_is_named() -> None:
    status = to_status(InvalidField("specs[3].priority", "must be 1 to 9"))

    [bad] = _details(status, BadRequest)
    assert isinstance(bad, BadRequest)
    assert [(each.field, each.description, each.reason) for each in bad.field_violations] == [
        ("specs[3].priority", "must be 1 to 9", "INVALID_FIELD")
    ]
    assert (status.code, _info(status).reason, _info(status).domain) == (3, "INVALID_FIELD", "protojobs.dev")


def test_a_far_off_id_tells_the_servers_time_under_a_longer_path_too() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    status = to_status(JobIdTime.at("id", now).under("spec"))

    assert _info(status).reason == "JOB_ID_TIME"
    assert dict(_info(status).metadata) == {"server_time": "2026-01-02T03:04:05+00:00"}
    [bad] = _details(status, BadRequest)
    assert isinstance(bad, BadRequest)
    assert bad.field_violations[0].field == "spec.id"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (JobFinal(), PreconditionFailure),
        (PayloadTooLarge(2, 1), PreconditionFailure),
        (JobNotFound(), ResourceInfo),
        (Overloaded("busy"), RetryInfo),
        (StoreUnavailable(), RetryInfo),
    ],
)
def test_an_error_brings_the_detail_that_fits(error: JobsError, kind: type) -> None:
    assert len(_details(to_status(error), kind)) == 1


def test_overload_says_when_to_come_again() -> None:
    [retry] = _details(to_status(Overloaded("busy", retry_after=timedelta(seconds=7))), RetryInfo)

    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.seconds == 7


@pytest.mark.parametrize(
    ("error", "code", "metadata"),
    [
        (Unsupported("spec.unique", "later"), 12, {"field": "spec.unique", "why": "later"}),
        (UnsupportedRpc("JobService.BulkJobs", "later"), 12, {"method": "JobService.BulkJobs", "why": "later"}),
        (MalformedMessage(), 3, {}),
        (DeadlinePassed(), 4, {}),
    ],
)
def test_errors_of_the_wire_itself(error: JobsError, code: int, metadata: dict[str, str]) -> None:
    status = to_status(error)

    assert (status.code, dict(_info(status).metadata)) == (code, metadata)


class Surprise(JobsError):
    """An error of the domain that nobody has mapped."""


@pytest.mark.parametrize("error", [ZeroDivisionError("the password is hunter2"), Surprise("hunter2")])
def test_an_unexpected_error_is_logged_whole_and_says_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = to_status(error)

    assert (status.code, _info(status).reason) == (13, "INTERNAL")
    assert "hunter2" not in str(status)
    assert type(error).__name__ not in str(status)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert getattr(record, "error_id", None) == _info(status).metadata["error_id"]


def test_an_error_of_the_domain_is_found_in_a_group() -> None:
    group = ExceptionGroup("a", [ExceptionGroup("b", [ValueError(), JobNotFound()])])

    assert _info(to_status(group)).reason == "JOB_NOT_FOUND"
