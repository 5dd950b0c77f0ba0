"""What people type: spans, times, labels, data."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_span(text: str, option: str | None = None) -> timedelta:
    """Return the span that 30, 30s, 5m, 2h, 1d or 250ms means; what is none is refused by the name of its option."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no span of time; write 30s, 5m, 2h or 1d", param_hint=option)
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def parse_time(text: str, option: str | None = None) -> datetime:
    """Return the time that an ISO 8601 text means; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write 2030-01-31T08:00:00Z", param_hint=option) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """Return the pairs that key=value texts mean."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} is not key=value", param_hint=option)
        pairs[key] = value
    return pairs


def parse_number(text: str, option: str) -> int:
    """Return a whole number."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number", param_hint=option) from None


def read_data(text: str) -> bytes:
    """Return the bytes of --data: the text itself, @file, or @- for standard input."""
    if not text.startswith("@"):
        return text.encode()
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]}: {error.strerror}", param_hint="--data") from None


def parse_json(data: bytes) -> Any:
    """Return what JSON bytes mean."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise typer.BadParameter(f"is not JSON: {error}; give --content-type for anything else", param_hint="--data") from None
