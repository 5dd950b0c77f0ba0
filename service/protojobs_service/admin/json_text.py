"""JSON as text: parsed strictly, and written."""

import json
from collections import Counter
from typing import Any, Final, NoReturn, cast

import orjson

from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport.status import MalformedMessage

MOST_DEPTH: Final = 64
"""Objects and lists within each other. The deepest request that we take has 40: a chain of 16 jobs."""


class Twice(dict[str, Any]):
    """An object in which a name stands twice; parsers disagree about which one counts."""

    name = ""


def parse_json(body: bytes) -> Any:
    """Return what a text in UTF-8 says; an object that repeats a name as `Twice`. Raises MalformedMessage."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except RecursionError:
        raise MalformedMessage("the body is nested too deeply") from None
    except ValueError:
        raise MalformedMessage("the body is not JSON in UTF-8") from None


def render_json(value: Any) -> bytes:
    """Return the text of what a message says."""
    return orjson.dumps(value)


def text_of(value: Any, path: str, depth: int) -> bytes:
    """Return any parsed value as compact text again. Raises InvalidField, which names where it is no plain JSON."""
    _check_plain(value, path, depth)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise InvalidField(path, "holds a number or a character that JSON cannot carry") from None


def check_object(value: Any, path: str, depth: int) -> dict[str, Any]:
    """Return a value that is an object. Raises InvalidField."""
    if not isinstance(value, dict):
        raise InvalidField(path or "body", "must be an object")
    if isinstance(value, Twice):
        raise InvalidField(at(path, value.name), "is given twice")
    check_depth(path, depth)
    return cast("dict[str, Any]", value)


def check_depth(path: str, depth: int) -> None:
    """Refuse what is nested too deeply. Raises InvalidField."""
    if depth > MOST_DEPTH:
        raise InvalidField(path[:_MOST_NAME], f"is nested deeper than {MOST_DEPTH}")


def at(path: str, name: str) -> str:
    """Return the path of a member."""
    shown = name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME]}..."
    return f"{path}.{shown}" if path else shown


# Names come from whoever calls, and go into messages.
_MOST_NAME = 128


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    twice = Twice(made)
    [(twice.name, _)] = Counter(name for name, _ in pairs).most_common(1)
    return twice


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _check_plain(value: Any, path: str, depth: int) -> None:
    match value:
        case dict():
            members = check_object(value, path, depth)
            for name, member in members.items():
                if isinstance(member, dict | list):
                    _check_plain(member, at(path, name), depth + 1)
        case list():
            check_depth(path, depth)
            for place, member in enumerate(cast("list[object]", value)):
                if isinstance(member, dict | list):
                    _check_plain(member, f"{path}[{place}]", depth + 1)
        case _:
            pass
