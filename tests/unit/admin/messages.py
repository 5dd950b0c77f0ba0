"""Messages of any type, made up from their descriptors."""

from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from hypothesis import strategies as st
from protojobs_service.admin.json_fields import Shape, map_value
from protojobs_service.admin.json_read import RANGES

MOST_SECONDS = 315_576_000_000
_TEXTS = st.text(max_size=8)
_DEPTH = 3


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = _DEPTH) -> Any:
    """Draw a message; of those within each other at most `_DEPTH`."""
    made: Any = kind()
    fields = list(made.DESCRIPTOR.fields)
    chosen = draw(st.lists(st.sampled_from(fields), unique_by=lambda field: field.number, max_size=6)) if fields else []
    for field in chosen:
        _draw_field(draw, made, field, depth)
    return made


def _draw_field(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    of_map = map_value(field)
    target = getattr(message, field.name)
    if of_map is not None:
        target.update(draw(st.dictionaries(_TEXTS, _scalars(of_map), max_size=2)))
    elif field.message_type is not None and depth > 0:
        parts = [target.add() for _ in range(draw(st.integers(0, 2)))] if field.is_repeated else [target]
        for part in parts:
            part.MergeFrom(draw(_part(type(part), depth - 1)))
            if not field.is_repeated:
                part.SetInParent()
    elif field.message_type is None and field.is_repeated:
        target.extend(draw(st.lists(_scalars(field), max_size=2)))
    elif field.message_type is None:
        setattr(message, field.name, draw(_scalars(field)))


def _part(kind: type[Message], depth: int) -> st.SearchStrategy[Any]:
    nanos = st.sampled_from([0, 1, 1_000, 500_000_000, 999_999_999]) | st.integers(0, 999_999_999)
    if kind is Timestamp:
        return st.builds(Timestamp, seconds=st.integers(-62_135_596_800, 253_402_300_799), nanos=nanos)
    if kind is Duration:
        forward = st.builds(Duration, seconds=st.integers(0, MOST_SECONDS), nanos=nanos)
        return forward | forward.map(lambda span: Duration(seconds=-span.seconds, nanos=-span.nanos))
    if kind is Packed:
        return st.sampled_from([ErrorInfo, RetryInfo, BadRequest]).flatmap(lambda detail: messages(detail, depth)).map(_pack)
    return messages(kind, depth)


def _pack(detail: Message) -> Packed:
    packed = Packed()
    packed.Pack(detail)
    return packed


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind: Shape = field.enum_type
    if kind is not None:
        return st.sampled_from([value.number for value in kind.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=16)
    if field.cpp_type in RANGES:
        return st.integers(*RANGES[field.cpp_type])
    return {
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_STRING: _TEXTS,
    }[field.cpp_type]
