"""Page tokens: good for their request alone, and refused by name where somebody made them up."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from protojobs.v1 import admin_service_pb2, job_service_pb2, queue_service_pb2
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.job import JobId
from protojobs_service.transport.convert import EPOCH
from protojobs_service.transport.pages import Pages

NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
JOBS = st.binary(min_size=16, max_size=16).map(JobId)
TIMES = st.integers(min_value=0, max_value=10**15).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))


def sealed(request: Message, place: bytes) -> str:
    """Return a token as anybody can make it who has read how: with the right seal, and this behind it."""
    return Pages(request)._token(place)


def test_a_token_is_good_for_its_request_alone() -> None:
    request = job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(queues=["a"]), page_size=2)
    job_id = JobId(bytes(range(16)))
    token = Pages(request).after_job(job_id)
    longer = job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(queues=["a"]), page_size=9, page_token=token)
    other = job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(queues=["b"]))

    assert Pages(longer).job(token) == job_id
    for bad in (Pages(other), Pages(job_service_pb2.ListAttemptsRequest())):
        with pytest.raises(InvalidField, match="page_token"):
            bad.job(token)


def test_no_token_is_the_start() -> None:
    pages = Pages(job_service_pb2.ListJobsRequest())

    assert (pages.job(""), pages.number(""), pages.name(""), pages.step("")) == (None, None, "", None)


@given(NUMBERS, JOBS, TIMES, st.none() | JOBS)
def test_a_place_survives_its_token(number: int, job_id: JobId, before: datetime, after: JobId | None) -> None:
    pages = Pages(job_service_pb2.ListJobsRequest())

    assert pages.number(pages.after_number(number)) == number
    assert pages.job(pages.after_job(job_id)) == job_id
    assert pages.step(pages.after_step(before, after)) == (before, after)
    assert pages.name(pages.after_name("mail-é")) == "mail-é"


@given(st.text(max_size=60))
def test_a_token_that_was_made_up_is_refused(token: str) -> None:
    pages = Pages(job_service_pb2.ListJobsRequest())

    if token:
        with pytest.raises(InvalidField, match="page_token"):
            pages.job(token)


@given(st.binary(max_size=300))
def test_a_place_that_was_made_up_is_in_bounds_or_refused_though_its_seal_is_right(place: bytes) -> None:
    token = sealed(admin_service_pb2.ListAuditEventsRequest(), place)
    pages = Pages(admin_service_pb2.ListAuditEventsRequest())

    with suppress(InvalidField):
        assert 0 <= (pages.number(token) or 0) < 2**63
    with suppress(InvalidField):
        assert len(pages.job(token) or b"") == 16
    with suppress(InvalidField):
        assert "\0" not in pages.name(token)
    with suppress(InvalidField):
        assert pages.step(token) is not None


@pytest.mark.parametrize(
    "place",
    [b"", b"x", (2**63).to_bytes(8), b"\xff" * 8, b"\0" * 9, b"\x7f" + b"\xff" * 7 + bytes(16), bytes(8) + b"short"],
    ids=["nothing", "short", "above 63 bits", "all ones", "long", "a time after the year 9999", "half an id"],
)
def test_the_step_of_an_action_is_refused_where_it_is_none(place: bytes) -> None:
    request = queue_service_pb2.ClearQueueRequest(queue="a")

    with pytest.raises(InvalidField, match="continuation_token"):
        Pages(request).step(sealed(request, place))


@pytest.mark.parametrize("name", ["a\0b", "a\nb"])
def test_a_name_with_control_characters_is_refused(name: str) -> None:
    request = queue_service_pb2.ListQueuesRequest()

    with pytest.raises(InvalidField, match="page_token"):
        Pages(request).name(sealed(request, name.encode()))
