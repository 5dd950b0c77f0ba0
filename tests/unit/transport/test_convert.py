"""JobSpecs into drafts: every bound of the contract, and what is kept of a spec."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from protojobs.v1 import job_pb2
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobsError, PayloadTooLarge
from protojobs_service.domain.job import Draft, NewJob
from protojobs_service.domain.retry import Jitter, PolicyChanges
from protojobs_service.transport import convert
from protojobs_service.transport.convert import with_payload
from protojobs_service.transport.ids import format_id, parse_id
from protojobs_service.transport.specs import Specs, fingerprint
from protojobs_service.transport.status import MalformedMessage
from uuid_utils import uuid7

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = "018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a6b"


def _specs(**limits: Any) -> Specs:
    return Specs(bounds.Limits(**limits), clock=lambda: NOW)


def _draft(specs: Specs | None = None, **fields: Any) -> Draft:
    return (specs or _specs()).draft(_bytes(**fields))


def _bytes(**fields: Any) -> bytes:
    return job_pb2.JobSpec(**{"id": ID, "kind": "email", **fields}).SerializeToString()


def test_a_plain_spec_becomes_a_job_with_its_own_bytes_and_the_defaults() -> None:
    envelope = _bytes(payload=b"\0\xff")

    draft = _specs().draft(envelope)

    assert draft == Draft(NewJob(parse_id(ID), "default", "email", 5, envelope), None)
    assert draft.job.envelope is envelope
    assert isinstance(draft, Draft)
    assert isinstance(draft.job, NewJob)


def test_a_full_spec_becomes_a_job_with_everything_that_it_sets() -> None:
    run_time, expire_time = Timestamp(seconds=2_000_000_000, nanos=5000), Timestamp(seconds=2_000_000_001)
    retry = job_pb2.RetryPolicy(
        max_retries=0,
        initial_backoff=Duration(seconds=1),
        multiplier=1.5,
        max_backoff=Duration(seconds=9),
        jitter=job_pb2.JITTER_NONE,
        max_retry_duration=Duration(seconds=99),
    )

    draft = _draft(
        queue="q", priority=9, labels={"a": "b"}, run_time=run_time, expire_time=expire_time, retry=retry,
        run_timeout=Duration(seconds=1), concurrency_key="acme", fairness_key="ann",
    )  # fmt: skip

    job = draft.job
    assert (job.queue, job.kind, job.priority, job.labels) == ("q", "email", 9, {"a": "b"})
    assert (job.concurrency_key, job.fairness_key) == ("acme", "ann")
    assert job.run_at == datetime.fromtimestamp(2_000_000_000, UTC) + timedelta(microseconds=5)
    assert (job.delay, job.expire_at) == (None, datetime.fromtimestamp(2_000_000_001, UTC))
    assert draft.changes == PolicyChanges(
        max_retries=0,
        initial_backoff=timedelta(seconds=1),
        multiplier=1.5,
        max_backoff=timedelta(seconds=9),
        jitter=Jitter.NONE,
        max_retry_duration=timedelta(seconds=99),
        run_timeout=timedelta(seconds=1),
    )


@pytest.mark.parametrize("fields", [{"retry": job_pb2.RetryPolicy()}, {"delay": Duration()}, {"expire_time": Timestamp()}])
def test_a_field_that_says_nothing_changes_nothing(fields: dict[str, Any]) -> None:
    draft = _draft(**fields)

    assert draft.changes is None
    assert draft.job.delay is None


def test_a_spec_without_an_id_gets_one_in_its_envelope() -> None:
    envelope = _bytes(id="", payload=b"x", labels={"a": "b"})

    job = _specs().draft(envelope).job
    spec = job_pb2.JobSpec.FromString(job.envelope)

    assert UUID(bytes=bytes(job.id)).version == 7
    assert spec.id == format_id(job.id)
    assert (spec.payload, dict(spec.labels)) == (b"x", {"a": "b"})
    assert job.envelope.startswith(envelope)


@given(st.builds(uuid7).map(lambda made: (str(made), made.bytes)))
def test_an_id_is_read_and_written_in_canonical_form(pair: tuple[str, bytes]) -> None:
    text, value = pair

    assert parse_id(text) == value
    assert format_id(value) == text


@given(st.text(max_size=40) | st.text("0123456789abcdefABCDEF- {}", min_size=36, max_size=36) | st.uuids().map(str))
def test_what_is_no_canonical_uuidv7_is_refused(text: str) -> None:
    try:
        value = parse_id(text)
    except InvalidField:
        return
    made = UUID(text)
    assert (made.version, str(made), made.bytes) == (7, text, value)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_a_draft_comes_out_or_an_error_of_the_domain(data: bytes) -> None:
    try:
        draft = _specs().draft(data)
    except JobsError:
        return
    spec = job_pb2.JobSpec.FromString(draft.job.envelope)
    assert parse_id(spec.id) == draft.job.id
    assert draft.job.kind == spec.kind


names = st.text(max_size=140) | st.from_regex(r"[A-Za-z0-9._-]{1,130}\Z", fullmatch=True)


@given(names, names)
def test_names_are_taken_exactly_where_the_contract_says_so(queue: str, kind: str) -> None:
    specs = _specs()
    good = bool(bounds.NAME.match(kind)) and (queue == "" or bool(bounds.NAME.match(queue)))
    for _ in range(2):  # from the cache too
        if good:
            job = _draft(specs, queue=queue, kind=kind).job
            assert (job.queue, job.kind) == (queue or "default", kind)
        else:
            with pytest.raises(InvalidField, match=r"queue|kind"):
                _draft(specs, queue=queue, kind=kind)


def test_remembered_names_are_bounded() -> None:
    specs = _specs()

    for number in range(10_000):
        _draft(specs, queue=f"q{number}", content_type=f"text/{number}")

    assert len(specs._queues) <= 4096
    assert len(specs._types) <= 4096
    assert _draft(specs).job.queue == "default"


@pytest.mark.parametrize("size", [1024, 8192, 70_000])
def test_a_payload_is_bounded_to_the_byte(size: int) -> None:
    specs = _specs(max_payload_bytes=size)

    assert _draft(specs, payload=b"x" * size)
    with pytest.raises(PayloadTooLarge) as error:
        _draft(specs, payload=b"x" * (size + 1))
    assert error.value.metadata == {"size": str(size + 1), "limit": str(size)}


@pytest.mark.parametrize("size", [1, 300, 1024, 9000])
def test_a_payload_is_bounded_to_the_byte_of_its_queue_and_other_queues_take_what_the_server_takes(size: int) -> None:
    specs = _specs(max_payload_bytes=10_000)
    specs.limit_payloads({"small": size, "large": 20_000})

    assert _draft(specs, queue="small", payload=b"x" * size)
    assert _draft(specs, queue="q", payload=b"x" * 10_000)
    with pytest.raises(PayloadTooLarge) as error:
        _draft(specs, queue="small", payload=b"x" * (size + 1))
    assert error.value.metadata == {"size": str(size + 1), "limit": str(size)}
    with pytest.raises(PayloadTooLarge):
        _draft(specs, queue="large", payload=b"x" * 10_001)

    specs.limit_payloads({})
    assert _draft(specs, queue="small", payload=b"x" * 10_000)


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=70))
def test_headers_are_bounded_by_number(headers: dict[str, str]) -> None:
    if len(headers) <= 64:
        assert _draft(headers=headers)
        return
    with pytest.raises(InvalidField, match="headers"):
        _draft(headers=headers)


@pytest.mark.parametrize("key", ["h", "\u00e9" * 10])
def test_headers_are_bounded_by_bytes(key: str) -> None:
    room = 8192 - len(key.encode())

    assert _draft(headers={key: "v" * room})
    with pytest.raises(InvalidField, match="headers: at most 8192 bytes"):
        _draft(headers={key: "v" * (room + 1)})


def test_65_headers_with_the_shortest_keys_are_found() -> None:
    keys = [chr(code) for code in range(1, 65)] + [""]

    with pytest.raises(InvalidField, match="64 entries"):
        _draft(headers=dict.fromkeys(keys, ""))


@given(st.integers(0, 2**32 - 1))
def test_a_priority_is_1_to_9_or_the_default(priority: int) -> None:
    if priority > 9:
        with pytest.raises(InvalidField, match="priority"):
            _draft(priority=priority)
    else:
        assert _draft(priority=priority).job.priority == (priority or 5)


spans = st.builds(Duration, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1)) | st.builds(
    Duration, seconds=st.integers(-10, 3650 * 86_400 + 10), nanos=st.integers(-5, 999_999_999)
)


@given(spans)
def test_a_delay_is_0_s_to_10_years_and_well_formed(delay: Duration) -> None:
    nanos = delay.seconds * 10**9 + delay.nanos
    formed = abs(delay.nanos) < 10**9 and (delay.seconds == 0 or delay.nanos == 0 or (delay.seconds > 0) == (delay.nanos > 0))
    good = formed and 0 <= nanos <= 3650 * 86_400 * 10**9
    if good:
        wait = _draft(delay=delay).job.delay or timedelta()
        assert wait == timedelta(microseconds=nanos // 1000)
    else:
        with pytest.raises(InvalidField, match="delay"):
            _draft(delay=delay)


@given(st.builds(Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1)))
def test_a_run_time_is_at_most_10_years_ahead_and_well_formed(at: Timestamp) -> None:
    high = int((NOW + bounds.MAX_DELAY).timestamp())
    if not -62_135_596_800 <= at.seconds <= high or not 0 <= at.nanos < 10**9:
        with pytest.raises(InvalidField, match="run_time"):
            _draft(run_time=at)
    elif at.seconds < high:
        assert _draft(run_time=at).job.run_at is not None


FIELDS: list[tuple[str, Any, Any]] = [
    ("delay", Duration(seconds=3650 * 86_400), Duration(seconds=3650 * 86_400, nanos=1)),
    ("delay", Duration(), Duration(nanos=-1)),
    ("result_retention", Duration(seconds=1), Duration(nanos=999_999_999)),
    ("result_retention", Duration(seconds=3650 * 86_400), Duration(seconds=3650 * 86_400, nanos=1)),
    ("run_timeout", Duration(seconds=1), Duration(nanos=999_999_999)),
    ("run_timeout", Duration(seconds=30 * 86_400), Duration(seconds=30 * 86_400, nanos=1)),
    ("content_type", "a" * 128, "a" * 129),
    ("content_type", "\u00e9" * 64, "\u00e9" * 64 + "a"),
    ("labels", {f"k{n}": "" for n in range(16)}, {f"k{n}": "" for n in range(17)}),
    ("labels", {"k" * 63: "v"}, {"k" * 64: "v"}),
    ("labels", {"k": "\u00e9" * 128}, {"k": "\u00e9" * 128 + "a"}),
    ("labels", {"a.b_c-D": "v"}, {"a b": "v"}),
    ("concurrency_key", "\u00e9" * 64, "\u00e9" * 64 + "a"),
    ("concurrency_key", " a/b ", "a\0b"),
    ("fairness_key", "k" * 128, "k" * 129),
]


@pytest.mark.parametrize(("field", "good", "bad"), FIELDS, ids=range(len(FIELDS)))
def test_a_field_is_good_up_to_its_bound(field: str, good: Any, bad: Any) -> None:
    assert _draft(**{field: good})
    with pytest.raises(InvalidField) as error:
        _draft(**{field: bad})
    assert error.value.field.partition("[")[0] == field


RETRY: list[tuple[str, Any, Any]] = [
    ("max_retries", 1000, 1001),
    ("initial_backoff", Duration(seconds=365 * 86_400), Duration(seconds=365 * 86_400, nanos=1)),
    ("max_backoff", Duration(), Duration(seconds=-1)),
    ("max_retry_duration", Duration(seconds=365 * 86_400), Duration(seconds=365 * 86_400, nanos=1)),
    ("multiplier", 1.0, 0.999),
    ("multiplier", 100.0, 100.001),
    ("multiplier", 2.0, float("nan")),
    ("multiplier", 2.0, float("-inf")),
]


@pytest.mark.parametrize(("field", "good", "bad"), RETRY, ids=range(len(RETRY)))
def test_a_part_of_the_policy_is_good_up_to_its_bound(field: str, good: Any, bad: Any) -> None:
    changes = _draft(retry=job_pb2.RetryPolicy(**{field: good})).changes

    assert changes is not None
    assert getattr(changes, field) is not None
    with pytest.raises(InvalidField) as error:
        _draft(retry=job_pb2.RetryPolicy(**{field: bad}))
    assert error.value.field == f"retry.{field}"


def test_every_field_of_a_spec_is_read() -> None:
    read = {"id", "queue", "kind", "payload", "content_type", "headers", "priority", "delay", "run_time", "labels"}
    read |= {"run_timeout", "retry", "expire_time", "unique", "on_complete", "on_failed", "fairness_key", "concurrency_key"}
    read |= {"result_retention"}

    assert {field.name for field in job_pb2.JobSpec.DESCRIPTOR.fields} == read


def test_an_expiry_must_be_after_the_run_time_and_may_have_passed() -> None:
    at = Timestamp(seconds=2_000_000_000)

    assert _draft(expire_time=Timestamp(seconds=1)).job.expire_at is not None
    with pytest.raises(InvalidField, match="expire_time: must be after run_time"):
        _draft(run_time=at, expire_time=at)


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xff", b"\xc0\x80"])
@pytest.mark.parametrize("prefix", [b"\x0a", b"\x12", b"\x1a", b"\x2a"], ids=["id", "queue", "kind", "content_type"])
def test_text_that_is_no_utf8_is_malformed(prefix: bytes, text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        _specs().draft(_bytes() + prefix + bytes([len(text)]) + text)


payloads = st.binary(max_size=20)
simple = st.from_regex(r"[a-z]{1,4}\Z", fullmatch=True)


@given(simple, simple, st.sampled_from(["", "application/json", "text/plain"]), payloads, st.integers(0, 9))
def test_a_fingerprint_depends_on_queue_kind_content_type_and_payload_alone(
    queue: str, kind: str, content_type: str, payload: bytes, priority: int
) -> None:
    plain = _bytes(queue=queue, kind=kind, content_type=content_type, payload=payload)
    other = _bytes(
        queue=queue, kind=kind, content_type=content_type or "application/json", payload=payload, priority=priority,
        labels={"a": "b"}, headers={"c": "d"}, delay=Duration(seconds=1),
    )  # fmt: skip
    first = fingerprint(queue, kind, plain)

    assert len(first) == 16
    assert fingerprint(queue, kind, other) == first
    assert fingerprint(queue + "x", kind, plain) != first
    assert fingerprint(queue, kind + "x", plain) != first
    assert fingerprint(queue, kind, _bytes(content_type=content_type, payload=payload + b"x")) != first
    assert fingerprint(queue, kind, _bytes(content_type="a/b", payload=payload)) != first


def test_a_fingerprint_knows_where_one_part_ends() -> None:
    assert fingerprint("ab", "c", _bytes()) != fingerprint("a", "bc", _bytes())


def test_a_new_payload_keeps_everything_else_of_an_envelope() -> None:
    unknown = b"\xba\x06\x03abc"
    envelope = _bytes(payload=b"1", content_type="a/b", headers={"h": "v"}, delay=Duration(seconds=4)) + unknown

    same, other = with_payload(envelope, b"2", ""), with_payload(envelope, b"", "c/d")

    assert job_pb2.JobSpec.FromString(same).content_type == "a/b"
    assert (job_pb2.JobSpec.FromString(other).payload, job_pb2.JobSpec.FromString(other).content_type) == (b"", "c/d")
    for changed in (same, other):
        assert job_pb2.JobSpec.FromString(changed).headers["h"] == "v"
        assert unknown in changed


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_the_wire(at: datetime) -> None:
    assert convert.parse_time("t", convert.to_timestamp(at)) == at


@pytest.mark.parametrize(
    ("span", "text"),
    [(timedelta(), "0 s"), (timedelta(days=30), "30 days"), (timedelta(days=3650), "10 years"), (timedelta(seconds=90), "90 s")],
)
def test_a_bound_is_written_as_the_contract_writes_it(span: timedelta, text: str) -> None:
    assert convert.format_span(span) == text
