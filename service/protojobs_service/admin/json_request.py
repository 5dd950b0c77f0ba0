"""The message of a request: from its path, and its body or its query."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.requests import Request

from protojobs_service.admin.json_fields import Shape, fields_of, map_value
from protojobs_service.admin.json_read import read_message
from protojobs_service.admin.json_text import at, check_object, parse_json
from protojobs_service.admin.refusal import HttpRefusal
from protojobs_service.domain.errors import InvalidField

M = TypeVar("M", bound=Message)

TIMEOUT: Final = "timeout"
"""The one name of a query that is no field."""

_JSON = "application/json"
_BOOLS = {"true": True, "false": False}


def message_of_body(request: Request, body: bytes, message: type[M]) -> M:
    """Return the message that a body says; an empty one says nothing. Raises InvalidField, MalformedMessage, HttpRefusal (415)."""
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        # Also what keeps other sites' pages out: without asking first they may send only types that no JSON has.
        raise HttpRefusal(415, f"the body must be {_JSON}")
    unknown = next((name for name in request.query_params if name != TIMEOUT), None)
    if unknown is not None:
        raise InvalidField(at("", unknown), "belongs into the body")
    value = check_object(parse_json(body) if body else {}, "", 1)
    return read_message(_with_path(value, request.path_params, message.DESCRIPTOR), message)


def message_of_query(request: Request, message: type[M]) -> M:
    """Return the message that a query says: `filter.queues=a&filter.queues=b&filter.labels.team=x`. Raises InvalidField."""
    given = ((name, text) for name, text in request.query_params.multi_items() if name != TIMEOUT)
    value = _tree(given, message.DESCRIPTOR)
    return read_message(_with_path(value, request.path_params, message.DESCRIPTOR), message)


def _with_path(value: Mapping[str, Any], path: Mapping[str, Any], message: Shape) -> dict[str, Any]:
    """Add the fields of the path, which nothing else may name."""
    fields = fields_of(message)
    for name in value:
        field = fields.get(name)
        if field is not None and field.name in path:
            raise InvalidField(name, "is given by the path")
    return {**value, **path}


def _tree(given: Iterable[tuple[str, str]], message: Shape) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, text in given:
        _place(tree, message, name, name, text)
    return tree


def _place(tree: dict[str, Any], message: Shape, whole: str, rest: str, text: str) -> None:
    """Put one text of a query where its dotted name says."""
    name, dot, below = rest.partition(".")
    field = fields_of(message).get(name)
    if field is None or (dot and field.message_type is None):
        raise InvalidField(at("", whole), "is not a field here")
    if dot and map_value(field) is not None:
        _put(_within(tree, field, whole), below, text, whole)
    elif dot:
        _place(_within(tree, field, whole), field.message_type, whole, below, text)
    elif field.is_repeated:
        tree.setdefault(field.name, []).append(_value(field, text))
    else:
        _put(tree, field.name, _value(field, text), whole)


def _within(tree: dict[str, Any], field: FieldDescriptor, whole: str) -> dict[str, Any]:
    """Return the object of a field; a text may stand there already."""
    return check_object(tree.setdefault(field.name, {}), at("", whole), 1)


def _put(tree: dict[str, Any], name: str, value: Any, whole: str) -> None:
    if name in tree:
        raise InvalidField(at("", whole), "is given twice")
    tree[name] = value


def _value(field: FieldDescriptor, text: str) -> Any:
    """Return a text as JSON would have it; numbers may be texts there."""
    return _BOOLS.get(text, text) if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else text
