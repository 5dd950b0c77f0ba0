"""Requests as they go onto the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs.v1 import job_pb2
from protojobs_client import (
    JobRequest,
    JobState,
    OnConflict,
    Payload,
    PayloadContext,
    PlainCodec,
    RetryPolicy,
    Unique,
    UniqueScope,
)
from protojobs_client.convert import to_duration, to_retry_policy, to_spec, to_state, to_timestamp
from protojobs_client.models import Jitter
from protojobs_client.parse import job_info, job_state, retry_policy

SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650))


def spec_of(request: JobRequest) -> job_pb2.JobSpec:
    """Build the spec of a request with an id and a header."""
    return to_spec(request, job_id="id", headers={"h": "1"}, codec=PlainCodec())


def test_a_bare_kind_leaves_every_default_to_the_server() -> None:
    spec = spec_of(JobRequest("kind"))

    assert spec == job_pb2.JobSpec(id="id", kind="kind", payload=b"null", content_type="application/json", headers={"h": "1"})


def test_every_option_reaches_the_spec() -> None:
    run_at = datetime(2030, 1, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    request = JobRequest("kind", {"a": 1}).with_options(
        queue="q",
        run_at=run_at,
        priority=9,
        labels={"l": "2"},
        concurrency_key="acme",
        fairness_key="ann",
        retry=RetryPolicy(max_retries=0, jitter=Jitter.NONE),
        run_timeout=1.5,
        result_retention=600,
        expire_at=run_at + timedelta(hours=1),
        unique=Unique("key", scope=UniqueScope.WINDOW, window=2.5, on_conflict=OnConflict.RETURN_EXISTING),
    )

    spec = spec_of(request)

    assert (spec.queue, spec.priority, dict(spec.labels)) == ("q", 9, {"l": "2"})
    assert (spec.concurrency_key, spec.fairness_key) == ("acme", "ann")
    assert spec.run_time.ToJsonString() == "2030-01-01T10:00:00.000005Z"
    assert spec.expire_time.ToJsonString() == "2030-01-01T11:00:00.000005Z"
    assert spec.run_timeout.ToJsonString() == "1.500s"
    assert spec.result_retention.ToJsonString() == "600s"
    assert spec.retry == job_pb2.RetryPolicy(max_retries=0, jitter=job_pb2.JITTER_NONE)
    assert spec.WhichOneof("start") == "run_time"
    assert (spec.unique.key, spec.unique.window.ToJsonString()) == ("key", "2.500s")
    assert (spec.unique.scope, spec.unique.on_conflict) == (
        job_pb2.UNIQUE_SCOPE_WINDOW,
        job_pb2.UNIQUE_CONFLICT_RETURN_EXISTING,
    )


@pytest.mark.parametrize("scope", UniqueScope)
@pytest.mark.parametrize("on_conflict", OnConflict)
def test_every_scope_and_conflict_of_the_contract_has_a_name(scope: UniqueScope, on_conflict: OnConflict) -> None:
    unique = Unique("key", scope=scope, window=1 if scope is UniqueScope.WINDOW else None, on_conflict=on_conflict)

    spec = spec_of(JobRequest("kind").with_options(unique=unique))

    assert job_pb2.UniqueScope.Name(spec.unique.scope) == f"UNIQUE_SCOPE_{scope.name}"
    assert job_pb2.UniqueConflict.Name(spec.unique.on_conflict) == f"UNIQUE_CONFLICT_{on_conflict.name}"


def test_follow_ups_reach_the_spec_with_their_own_and_in_the_trace_of_their_job() -> None:
    last = JobRequest("last").header("traceparent", "own")
    request = JobRequest("first").on_complete(JobRequest("next", 1).on_failed(last), "other").on_failed("alarm")

    spec = to_spec(request, job_id="id", headers={"traceparent": "t", "h": "1"}, codec=PlainCodec())

    assert [(job.kind, job.id, dict(job.headers)) for job in spec.on_complete] == [
        ("next", "", {"traceparent": "t"}),
        ("other", "", {"traceparent": "t"}),
    ]
    assert [(job.kind, dict(job.headers)) for job in spec.on_complete[0].on_failed] == [("last", {"traceparent": "own"})]
    assert [job.kind for job in spec.on_failed] == ["alarm"]


def test_a_raw_payload_goes_as_it_is() -> None:
    spec = spec_of(JobRequest("kind").with_options(payload=b"\x00\xff", content_type="image/png"))

    assert (spec.payload, spec.content_type) == (b"\x00\xff", "image/png")


def test_data_and_payload_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="exclude"):
        spec_of(JobRequest("kind", 1).with_options(payload=b"2"))


def test_the_codec_sees_every_payload() -> None:
    class Reversed(PlainCodec):
        def encode(self, payload: Payload, context: PayloadContext) -> Payload:
            return Payload(payload.data[::-1], f"{payload.content_type}; reversed=1")

    spec = to_spec(JobRequest("kind", "ab"), job_id="id", headers={}, codec=Reversed())

    assert (spec.payload, spec.content_type) == (b'"ba"', "application/json; reversed=1")


@given(SPANS)
def test_spans_survive_the_wire(span: timedelta) -> None:
    duration = to_duration(span)

    assert duration is not None
    assert duration.ToTimedelta() == span


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001
def test_times_survive_the_wire(moment: datetime) -> None:
    timestamp = to_timestamp(moment)

    assert timestamp is not None
    assert timestamp.ToDatetime(tzinfo=UTC) == moment.astimezone(UTC)


@given(
    st.builds(
        RetryPolicy,
        max_retries=st.none() | st.integers(0, 1000),
        initial_backoff=st.none() | SPANS,
        multiplier=st.none() | st.floats(1, 100),
        max_backoff=st.none() | SPANS,
        jitter=st.none() | st.sampled_from(Jitter),
        max_retry_duration=st.none() | SPANS,
    )
)
def test_retry_policies_survive_the_wire(policy: RetryPolicy) -> None:
    message = to_retry_policy(policy)

    assert retry_policy(message or job_pb2.RetryPolicy()) == policy


@pytest.mark.parametrize("name", sorted(set(job_pb2.JobState.keys()) - {"JOB_STATE_UNSPECIFIED"}))
def test_every_state_has_a_name_here(name: str) -> None:
    state = job_state(job_pb2.JobState.Value(name))

    assert state.name == name.removeprefix("JOB_STATE_")
    assert to_state(state) == job_pb2.JobState.Value(name)


def test_a_state_of_a_later_version_is_unknown() -> None:
    assert job_state(99) is JobState.UNKNOWN


def test_a_job_read_without_its_payload_says_so() -> None:
    info = job_info(job_pb2.Job(id="id", spec=job_pb2.JobSpec(kind="kind")), full=False)

    assert (info.payload, info.headers, info.result) == (None, None, None)
    assert (info.started_at, info.last_error, info.progress, info.parent_job_id) == (None, None, None, None)
