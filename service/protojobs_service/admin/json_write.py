"""Messages into JSON, as https://protobuf.dev/programming-guides/json has it: what is unset or 0 is left out."""

import base64
import math
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from protojobs_service.admin.json_fields import map_value

_WIDE = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})


def write_message(message: Message) -> Any:
    """Return what a message says in the types of JSON: an object, or a text for a time or a span."""
    match message:
        case Timestamp() | Duration() | FieldMask():
            return message.ToJsonString()
        case Packed():
            return _packed(message)
        case _:
            return {field.json_name: _field(field, value) for field, value in message.ListFields()}


def _packed(message: Packed) -> Any:
    """Return what is packed, beside the name of its type; a type that nobody here knows as it is."""
    try:
        kind = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(message.TypeName()))
        return {"@type": message.type_url, **write_message(kind.FromString(message.value))}
    except (KeyError, DecodeError):
        return {"@type": message.type_url, "value": base64.b64encode(message.value).decode()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    of_map = map_value(field)
    if of_map is not None:
        return {name: _one(of_map, value[name]) for name in value}
    if field.is_repeated:
        return [_one(field, each) for each in value]
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return write_message(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if field.cpp_type in _WIDE:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
