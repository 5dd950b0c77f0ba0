"""Fields of messages, as JSON names them."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Shape: TypeAlias = Any  # a Descriptor, of which protobuf has two unrelated classes


@cache
def fields_of(message: Shape) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message by each name that JSON may call them: `jobId` and `job_id`."""
    return {name: field for field in message.fields for name in (field.json_name, field.name)}


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the field that holds the values of a map; None for a field that is no map."""
    shape: Shape = field.message_type
    if shape is None or not shape.GetOptions().map_entry:
        return None
    value: FieldDescriptor = shape.fields_by_name["value"]
    return value
