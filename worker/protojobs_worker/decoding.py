"""Payload bytes into what a handler takes.

With pydantic installed (an extra) it builds and validates every type; without it, dataclasses are built field by field
and TypedDicts are taken as they are.
"""

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, cast, get_type_hints, is_typeddict

from protojobs_client.payload import decode_data, plain_bytes

Decode = Callable[[bytes, str], Any]


def typed(annotation: Any) -> Any:
    """Keep an annotation that says how a payload is built; dict, Any and the like say nothing."""
    if not isinstance(annotation, type):
        return None
    kind: Any = annotation
    builds = dataclasses.is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "model_validate")
    return kind if builds else None


def decoder(payload_type: Any) -> Decode:
    """Return what decodes payloads into this type; None means whatever the media type says."""
    if payload_type is None:
        return decode_data
    if payload_type is bytes:
        return plain_bytes
    if inspect.isroutine(payload_type):  # pydantic would take the payload for its arguments
        function: Callable[[Any], Any] = payload_type
        return lambda payload, content_type: function(decode_data(payload, content_type))
    pydantic = _pydantic()
    if pydantic is not None and not (is_typeddict(payload_type) and _is_plain_typed_dict(payload_type)):
        return _validating(pydantic.TypeAdapter(payload_type), pydantic.ValidationError)
    if dataclasses.is_dataclass(payload_type):
        return lambda payload, content_type: _build(payload_type, decode_data(payload, content_type))
    if is_typeddict(payload_type):
        return decode_data
    return lambda payload, content_type: payload_type(decode_data(payload, content_type))


def _is_plain_typed_dict(payload_type: Any) -> bool:
    """Recognise a `typing.TypedDict` before 3.12, which pydantic refuses (it takes the one of typing_extensions)."""
    return sys.version_info < (3, 12) and type(payload_type).__module__ == "typing"


def _pydantic() -> Any:
    try:
        return importlib.import_module("pydantic")
    except ImportError:
        return None


def _validating(adapter: Any, refusal: type[Exception]) -> Decode:
    def decode(payload: bytes, content_type: str) -> Any:
        try:
            if content_type.startswith("application/json"):
                return adapter.validate_json(payload)
            return adapter.validate_python(decode_data(payload, content_type))
        except refusal as error:
            # Its own text quotes the payload, and would be stored with the failure in the clear.
            raise ValueError(_without_input(error)) from None

    return decode


def _without_input(error: Any) -> str:
    """Say what pydantic found where, without what it found."""
    found = error.errors(include_input=False, include_context=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in found)


def _build(payload_type: Any, data: Any) -> Any:
    """Build a dataclass from a mapping, nested dataclasses too. Types of plain fields are not checked."""
    if not isinstance(data, dict):
        raise TypeError(f"{payload_type.__name__} needs an object")
    hints = get_type_hints(payload_type)
    values: dict[str, Any] = {}
    for name, value in cast("dict[str, Any]", data).items():
        nested = hints.get(name)
        values[name] = _build(nested, value) if dataclasses.is_dataclass(nested) and value is not None else value
    return payload_type(**values)
