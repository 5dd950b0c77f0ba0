"""Bytes that belong to a producer, shown as what they say they are: JSON, text, or a hex dump."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import NoReturn

from protojobs_service.admin.console.views.text import is_plain

MOST_BYTES = 64 * 1024
_HEX_BYTES = 4 * 1024
_ROW = 16

# Keeps what json.loads would lose: how floats were written, and names that occur twice.
_exactly = partial(json.loads, parse_float=Decimal, object_pairs_hook=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadView:
    """form: json, text, hex, or empty for no bytes. editable: what a text field would send back is what it was given."""

    form: str
    text: str
    bytes: int
    cut: bool
    content_type: str
    editable: bool


def view_payload(payload: bytes, content_type: str) -> PayloadView:
    """Return how a payload is shown: at most 64 KiB of text, 4 KiB of what is not."""
    form, text = _read(payload[:MOST_BYTES], content_type, whole=len(payload) <= MOST_BYTES)
    whole = len(payload) <= (_HEX_BYTES if form == "hex" else MOST_BYTES)
    return PayloadView(
        form=form,
        text=text,
        bytes=len(payload),
        cut=not whole,
        content_type=content_type,
        editable=whole and form != "hex" and is_plain(text) and "\r" not in text,
    )


def check_json(text: str) -> str:
    """Return what is wrong with a JSON text, in words with a line; empty when it is one."""
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return "a number that JSON has not, or too deep"
    return ""


def is_json(content_type: str) -> bool:
    """Tell whether a content type says JSON (RFC 6839: also `+json`)."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def _read(payload: bytes, content_type: str, *, whole: bool) -> tuple[str, str]:
    if not payload:
        return "", ""
    try:
        # A cut may have hit the middle of a character.
        text = payload.decode("utf-8", errors="strict" if whole else "ignore")
    except UnicodeDecodeError:
        return "hex", _dump(payload[:_HEX_BYTES])
    if "\0" in text and not is_json(content_type):
        return "hex", _dump(payload[:_HEX_BYTES])
    if not (whole and is_json(content_type)):
        return "text", text
    return _pretty(text)


def _pretty(text: str) -> tuple[str, str]:
    """Return JSON with a line per member where that says exactly the same, else as it came."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        pretty = json.dumps(value, ensure_ascii=False, indent=2)
        if not is_plain(pretty):
            pretty = json.dumps(value, indent=2)
        if len(pretty) > MOST_BYTES or _exactly(pretty) != _exactly(text):
            return "json", text
    except (ValueError, RecursionError):
        return "text", text
    return "json", pretty


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _dump(payload: bytes) -> str:
    rows = (payload[start : start + _ROW] for start in range(0, len(payload), _ROW))
    return "\n".join(f"{number * _ROW:08x}  {row.hex(' '):<47}  {_ascii(row)}" for number, row in enumerate(rows))


def _ascii(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
