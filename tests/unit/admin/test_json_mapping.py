"""JSON to messages and back, beside protobuf's own mapping."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, worker_service_pb2
from protojobs_service.admin.json_api import ENDPOINTS
from protojobs_service.admin.json_fields import Shape, map_value
from protojobs_service.admin.json_read import read_message
from protojobs_service.admin.json_text import MOST_DEPTH, parse_json, render_json
from protojobs_service.admin.json_write import write_message
from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport.status import MalformedMessage

from tests.unit.admin.messages import messages

REQUESTS = st.sampled_from(sorted({each.request for each in ENDPOINTS}, key=lambda kind: kind.DESCRIPTOR.full_name))
ANSWERS = st.sampled_from(sorted({each.answer for each in ENDPOINTS}, key=lambda kind: kind.DESCRIPTOR.full_name))


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_protobuf_writes_is_read_as_the_same_message(data: st.DataObject) -> None:
    kind = data.draw(REQUESTS)
    message = data.draw(messages(kind))

    read = read_message(parse_json(json_format.MessageToJson(message).encode()), kind)

    assert read == message


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_what_protobuf_writes(data: st.DataObject) -> None:
    message = data.draw(messages(data.draw(REQUESTS | ANSWERS)))

    written = json.loads(render_json(write_message(message)))

    assert written == json_format.MessageToDict(message)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_read_protobuf_reads_too_and_as_the_same(data: st.DataObject) -> None:
    kind = data.draw(REQUESTS)
    value = json_format.MessageToDict(data.draw(messages(kind)))
    _disturb(data, value)

    try:
        read = read_message(value, kind)
    except InvalidField:
        return

    assert read == json_format.ParseDict(value, kind())


def _disturb(data: st.DataObject, value: Any) -> None:
    """Put anything anywhere."""
    while isinstance(value, dict | list) and value:
        places: list[Any] = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        place = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()):
            anything: st.SearchStrategy[Any] = (
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
            )
            value[place] = data.draw(anything)
            return
        value = value[place]


def test_requests_hold_no_type_that_is_not_mapped() -> None:
    mapped = {"google.protobuf.Timestamp", "google.protobuf.Duration"}
    scalars = {FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_BOOL}
    scalars |= {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_DOUBLE}

    seen: set[str] = set()
    waiting: list[Shape] = [each.request.DESCRIPTOR for each in ENDPOINTS]
    while waiting:
        shape = waiting.pop()
        seen.add(shape.full_name)
        for field in shape.fields if shape.full_name not in mapped else ():
            of_map = map_value(field)
            if of_map is not None:
                key: Shape = field.message_type.fields_by_name["key"]
                assert (key.cpp_type, of_map.message_type) == (FieldDescriptor.CPPTYPE_STRING, None), field.full_name
            elif field.message_type is not None and field.message_type.full_name not in seen:
                waiting.append(field.message_type)
            elif field.message_type is None:
                assert field.cpp_type in scalars, field.full_name

    assert {name for name in seen if name.startswith("google.")} == mapped


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"specs": [{}, {"kindd": "a"}]}', "specs[1].kindd"),
        ('{"specs": {"kind": "a"}}', "specs"),
        ('{"specs": [null]}', "specs[0]"),
        ('{"specs": [{"kind": 1}]}', "specs[0].kind"),
        ('{"specs": [{"kind": "a", "kind": "b"}]}', "specs[0].kind"),
        ('{"specs": [{"runTimeout": "1s", "run_timeout": "1s"}]}', "specs[0].run_timeout"),
        ('{"specs": [{"delay": "1s", "runTime": "2026-11-28T00:00:00Z"}]}', "specs[0].runTime"),
        ('{"specs": [{"priority": -1}]}', "specs[0].priority"),
        ('{"specs": [{"priority": 4294967296}]}', "specs[0].priority"),
        ('{"specs": [{"priority": "99999999999999999999"}]}', "specs[0].priority"),
        ('{"specs": [{"priority": "0x5"}]}', "specs[0].priority"),
        ('{"specs": [{"priority": " 5"}]}', "specs[0].priority"),
        ('{"specs": [{"priority": 5.0}]}', "specs[0].priority"),
        ('{"specs": [{"priority": true}]}', "specs[0].priority"),
        ('{"specs": [{"retry": {"multiplier": 1e999}}]}', "specs[0].retry.multiplier"),
        ('{"specs": [{"retry": {"multiplier": "2"}}]}', "specs[0].retry.multiplier"),
        ('{"specs": [{"retry": {"multiplier": %s}}]}' % ("9" * 400), "specs[0].retry.multiplier"),
        ('{"specs": [{"retry": {"jitter": 1}}]}', "specs[0].retry.jitter"),
        ('{"specs": [{"retry": {"jitter": "FULL"}}]}', "specs[0].retry.jitter"),
        ('{"specs": [{"payload": "a"}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "YR=="}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "YQ="}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "YQ===="}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "Y Q=="}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "é"}]}', "specs[0].payload"),
        ('{"specs": [{"payload": {}}]}', "specs[0].payload"),
        ('{"specs": [{"delay": "1.5"}]}', "specs[0].delay"),
        ('{"specs": [{"delay": "1.0000000000s"}]}', "specs[0].delay"),
        ('{"specs": [{"delay": "1e3s"}]}', "specs[0].delay"),
        ('{"specs": [{"delay": "315576000001s"}]}', "specs[0].delay"),
        ('{"specs": [{"delay": 5}]}', "specs[0].delay"),
        ('{"specs": [{"runTime": "2026-11-28"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "2026-11-28T00:00:00"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "2026-11-31T00:00:00Z"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "2026-11-28T23:59:60Z"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "2026-11-28T00:00:00+24:00"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "0000-01-01T00:00:00Z"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "0001-01-01T00:00:00+01:00"}]}', "specs[0].runTime"),
        ('{"specs": [{"runTime": "２026-11-28T00:00:00Z"}]}', "specs[0].runTime"),
        ('{"specs": [{"labels": {"a": null}}]}', "specs[0].labels.a"),
        ('{"specs": [{"labels": {"a": "b", "a": "c"}}]}', "specs[0].labels.a"),
        ('{"specs": [{"labels": ["a"]}]}', "specs[0].labels"),
        ('{"specs": [{"kind": "\\ud800"}]}', "specs[0].kind"),
        ('{"specs": [{"json": {"a": {"b": 1, "b": 2}}}]}', "specs[0].json.a.b"),
        ('{"specs": [{"json": [1e999]}]}', "specs[0].json"),
        ('{"specs": [{"json": "\\udc00"}]}', "specs[0].json"),
        ('{"specs": [{"json": 1, "payload": "MQ=="}]}', "specs[0].payload"),
        ('{"specs": [{"payload": "MQ==", "json": 1}]}', "specs[0].json"),
        ('{"specs": [{"json": 1, "contentType": "text/plain"}]}', "specs[0].content_type"),
        ('{"atomic": "true"}', "atomic"),
        ('{"atomic": 1}', "atomic"),
        ("[]", "body"),
        ('"x"', "body"),
    ],
)
def test_what_is_no_plain_value_of_its_field_is_refused_by_its_path(text: str, path: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        read_message(parse_json(text.encode()), job_service_pb2.DispatchBatchRequest)

    assert refusal.value.field == path


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff\xfe",
        b'{"a": "\xe9"}',
        b"\xef\xbb\xbf{}",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": "\x01"}',
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_json(body)


@pytest.mark.parametrize("field", ["specs", "json"])
def test_nesting_ends_somewhere(field: str) -> None:
    chain: Any = {"kind": "a"}
    for _ in range(MOST_DEPTH):
        chain = {"onComplete": [chain]} if field == "specs" else [chain]
    request = {"specs": [chain if field == "specs" else {"json": chain}]}

    with pytest.raises(InvalidField, match="nested deeper"):
        read_message(request, job_service_pb2.DispatchBatchRequest)


def test_the_longest_chain_is_not_too_deep() -> None:
    chain: Any = {"kind": "a", "json": {"a": [1]}}
    for _ in range(16):
        chain = {"kind": "a", "onComplete": [chain]}

    request = read_message({"specs": [chain]}, job_service_pb2.DispatchBatchRequest)

    assert json_format.MessageToJson(request).count('"kind"') == 17


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (None, b"null"),
        ({"b": [1, 2.5, "é", True], "a": {}}, '{"b":[1,2.5,"é",true],"a":{}}'.encode()),
        (12345678901234567890123, b"12345678901234567890123"),
        ("", b'""'),
    ],
)
def test_a_payload_may_be_given_as_json(value: Any, payload: bytes) -> None:
    dispatch = read_message({"spec": {"kind": "a", "json": value}}, job_service_pb2.DispatchRequest)
    retry = read_message({"json": value, "contentType": "application/json"}, job_service_pb2.RetryRequest)

    assert (dispatch.spec.payload, retry.payload) == (payload, payload)


@pytest.mark.parametrize("text", ["YWI_YWI-", "YWI/YWI+", "YQ", "YQ=="])
def test_base64_of_both_alphabets_and_without_padding_is_read(text: str) -> None:
    spec = read_message({"payload": text}, job_pb2.JobSpec)

    assert spec.payload == {"YWI_YWI-": b"ab?ab>", "YWI/YWI+": b"ab?ab>", "YQ": b"a", "YQ==": b"a"}[text]


def test_what_is_null_is_unset_and_what_is_given_is_present() -> None:
    fail = read_message({"retryable": None, "checkpoint": "", "retryAfter": "-0.5s", "error": {}}, worker_service_pb2.Fail)

    assert (fail.HasField("retryable"), fail.HasField("checkpoint"), fail.HasField("error")) == (False, True, True)
    assert (fail.retry_after.seconds, fail.retry_after.nanos) == (0, -500_000_000)


def test_times_have_any_offset_and_nine_digits() -> None:
    spec = read_message({"runTime": "2026-11-28T01:00:00.000000001+01:00"}, job_pb2.JobSpec)

    assert (spec.run_time.ToJsonString(), spec.run_time.nanos) == ("2026-11-28T00:00:00.000000001Z", 1)


def test_details_of_errors_are_written_by_their_type_and_unknown_ones_as_they_are() -> None:
    status = Status(code=3, message="no")
    status.details.add().Pack(ErrorInfo(reason="INVALID_FIELD"))
    status.details.add(type_url="type.googleapis.com/some.Other", value=b"\x00")
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")

    assert write_message(status)["details"] == [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_FIELD"},
        {"@type": "type.googleapis.com/some.Other", "value": "AA=="},
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": "/w=="},
    ]


def test_numbers_that_json_lacks_are_texts_and_unknown_enums_numbers() -> None:
    stats = queue_service_pb2.QueueStats(
        completed_per_second_1m=float("nan"), completed_per_second_5m=float("inf"), failed_per_second_1m=float("-inf")
    )

    assert list(write_message(stats).values()) == ["NaN", "Infinity", "-Infinity"]
    assert write_message(job_pb2.Job(state=99)) == {"state": 99}  # type: ignore[arg-type] # of a newer server


def test_names_in_refusals_are_cut() -> None:
    with pytest.raises(InvalidField) as refusal:
        read_message({"x" * 100_000: 1}, job_pb2.JobSpec)

    assert len(refusal.value.message) < 200
