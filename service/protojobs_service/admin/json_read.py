"""JSON into messages, by their descriptors: https://protobuf.dev/programming-guides/json, and nothing that it leaves to taste.

An own mapping of few types instead of protobuf's, whose parser has been brought down by what callers sent
(CVE-2026-0994 and after). Enums come by name, numbers whole, and nothing comes twice or unknown.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protojobs_service.admin.json_fields import Shape, fields_of, map_value
from protojobs_service.admin.json_text import at, check_depth, check_object, text_of
from protojobs_service.domain.errors import InvalidField

M = TypeVar("M", bound=Message)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})")
_BASE64_URL = str.maketrans("-_", "+/")
_MOST_SECONDS = 315_576_000_000  # duration.proto
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # timestamp.proto: the years 1 to 9999

RANGES: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}

JSON_FIELD, PAYLOAD_FIELD, CONTENT_TYPE_FIELD = "json", "payload", "content_type"
_JSON_TYPE = "application/json"


def read_message(value: Any, message: type[M]) -> M:
    """Return the message that parsed JSON says. Raises InvalidField, which names the path."""
    made = message()
    _fill(made, value, "", 1)
    return made


def _fill(message: Any, value: Any, path: str, depth: int) -> None:
    """Set the fields of a message from an object."""
    descriptor = message.DESCRIPTOR
    fields = fields_of(descriptor)
    given = set[str]()
    for name, member in check_object(value, path, depth).items():
        where = at(path, name)
        if name == JSON_FIELD and name not in fields and _has_payload(fields):
            _once(given, PAYLOAD_FIELD, where)
            message.payload = text_of(member, where, depth + 1)
            continue
        field = fields.get(name)
        if field is None:
            raise InvalidField(where, "is not a field here")
        if member is None:
            continue
        _once(given, field.name, where)
        if field.containing_oneof is not None:
            _once(given, f"oneof {field.containing_oneof.name}", where)
        _set(message, field, member, where, depth)
    if JSON_FIELD in value and JSON_FIELD not in fields and message.content_type not in {"", _JSON_TYPE}:
        raise InvalidField(at(path, CONTENT_TYPE_FIELD), f"is {_JSON_TYPE} where the payload is given as json")


def _has_payload(fields: Mapping[str, FieldDescriptor]) -> bool:
    return PAYLOAD_FIELD in fields and CONTENT_TYPE_FIELD in fields


def _once(given: set[str], what: str, where: str) -> None:
    if what in given:
        raise InvalidField(where, "is given twice, or beside another that excludes it")
    given.add(what)


def _set(message: Any, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
    of_map = map_value(field)
    if of_map is not None:
        _set_map(getattr(message, field.name), of_map, value, path, depth + 1)
    elif field.is_repeated:
        _set_list(getattr(message, field.name), field, value, path, depth + 1)
    elif field.message_type is not None:
        part = getattr(message, field.name)
        part.SetInParent()
        _read_part(part, value, path, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, value, path))


def _set_list(target: Any, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
    if not isinstance(value, list):
        raise InvalidField(path, "must be a list")
    check_depth(path, depth)
    for place, member in enumerate(cast("list[object]", value)):
        where = f"{path}[{place}]"
        if field.message_type is not None:
            _read_part(target.add(), member, where, depth + 1)
        else:
            target.append(_scalar(field, member, where))


def _set_map(target: Any, of_map: FieldDescriptor, value: Any, path: str, depth: int) -> None:
    """Set a map from texts to scalars: requests have no others."""
    for name, member in check_object(value, path, depth).items():
        where = at(path, name)
        target[_text(name, where)] = _scalar(of_map, member, where)


def _read_part(part: Any, value: Any, path: str, depth: int) -> None:
    match part:
        case Timestamp():
            _read_timestamp(part, value, path)
        case Duration():
            read_duration(part, value, path)
        case _:
            _fill(part, value, path, depth)


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    """Return the value of a field that is no message. Raises InvalidField."""
    if field.enum_type is not None:
        return _enum(field, value, path)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(value, path)
    if field.cpp_type in RANGES:
        return _integer(value, path, *RANGES[field.cpp_type])
    return _READERS[field.cpp_type](value, path)


def _enum(field: FieldDescriptor, value: Any, path: str) -> int:
    kind: Shape = field.enum_type
    names: Mapping[str, Any] = kind.values_by_name
    known = names.get(value) if isinstance(value, str) else None
    if known is None:
        raise InvalidField(path, f"is not one of {', '.join(names)}")
    return int(known.number)


def _integer(value: Any, path: str, least: int, most: int) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidField(path, "must be a whole number")
    if not least <= value <= most:
        raise InvalidField(path, f"must be between {least} and {most}")
    return value


def _double(value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidField(path, "must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidField(path, "is too large")
    return number


def _bool(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(path, "must be true or false")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidField(path, "must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidField(path, "holds half a surrogate pair") from None
    return value


def _bytes(value: Any, path: str) -> bytes:
    """Read base64 of either alphabet, with or without padding: the specification asks for all of them."""
    if not isinstance(value, str):
        raise InvalidField(path, "must be base64 in a text")
    standard = value.rstrip("=").translate(_BASE64_URL)
    padded = standard + "=" * (-len(standard) % 4)
    try:
        data = base64.b64decode(padded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidField(path, "is not base64") from None
    # What is left over in the last character must be 0, and padding whole: there is one text for each value.
    if base64.b64encode(data).decode() != padded or len(value) not in {len(standard), len(padded)}:
        raise InvalidField(path, "is not base64")
    return data


def _read_timestamp(part: Timestamp, value: Any, path: str) -> None:
    found = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    try:
        moment = None if found is None else datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
        seconds = None if moment is None else round((moment - _EPOCH).total_seconds())
    except (ValueError, OverflowError):
        seconds = None
    if found is None or seconds is None or not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise InvalidField(path, "is not a time of RFC 3339 such as 2026-11-28T09:30:00Z")
    part.seconds, part.nanos = seconds, int((found[2] or "").ljust(9, "0"))


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def read_duration(part: Duration, value: Any, path: str) -> None:
    """Read a span: seconds, with up to 9 digits behind the point, and an s. Raises InvalidField."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[2]) > _MOST_SECONDS:
        raise InvalidField(path, "is not a span in seconds such as 1.5s")
    sign = -1 if found[1] else 1
    part.seconds, part.nanos = sign * int(found[2]), sign * int((found[3] or "").ljust(9, "0"))


_READERS: Final[Mapping[int, Callable[[Any, str], Any]]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_STRING: _text,
}
