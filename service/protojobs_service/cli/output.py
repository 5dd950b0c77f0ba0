"""What commands print: tables for people, JSON for programs, one clear line for errors."""

import base64
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Columns that people copy from.
_WHOLE = frozenset({"id", "session", "created", "next", "started", "state"})
_WIDE = 200


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOT_FOUND = 4
    WAIT_OVER = 5


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value as JSON: dataclasses as objects, times in ISO 8601, spans in seconds, bytes as text or base64."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_line(value: Any) -> None:
    """Print a value as JSON in one line, as programs read streams."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False))


def print_done(noun: str, name: str, what: str, *, as_json: bool) -> None:
    """Say what was done to something."""
    if as_json:
        print_json({noun: name, "done": what})
    else:
        typer.echo(f"{name}: {what}")


def plain(value: Any) -> Any:
    """Return a value made of what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in _pairs(value)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast(Sequence[Any], value)]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return _plain_bytes(value)
    return value


def _pairs(mapping: Any) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = mapping.items()
    return pairs


def _plain_bytes(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print rows under their columns, or `empty` where there are none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console = screen()
    if table.row_count:
        console.print(table)
    else:
        console.print(Text(empty, style="dim"))


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line; those without a value are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", (), {}):
            table.add_row(name, cell(value))
    screen().print(table)


def screen() -> Console:
    """Return standard output; where it is no terminal, lines are as long as they need to be."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def cell(value: Any) -> Text:
    """Return a value as people read it."""
    match value:
        case None:
            return Text("-", style="dim")
        case bool():
            return Text("yes" if value else "no")
        case Enum():
            return Text(clean(str(value.value)), style=_STYLES.get(str(value.value), ""))
        case datetime():
            return Text(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"))
        case timedelta():
            return Text(show_span(value))
        case float():
            return Text(f"{value:.1f}")
        case list() | tuple():
            parts = cast(Sequence[Any], value)
            return Text(clean(", ".join(str(each) for each in parts)) or "-")
        case dict():
            return Text(clean(", ".join(f"{key}={each}" for key, each in _pairs(value))) or "-")
        case _:
            return Text(clean(str(value)))


_STYLES = {
    "completed": "green",
    "serving": "green",
    "running": "cyan",
    "failed": "red",
    "not_serving": "red",
    "crashed": "red",
    "retrying": "yellow",
    "retried": "yellow",
    "cancelled": "magenta",
    "expired": "magenta",
    "scheduled": "blue",
}


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: what others wrote may hold escape sequences."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def show_span(span: timedelta) -> str:
    """Return a span in its two largest units: 850 ms, 12 s, 3 m 20 s, 2 d 4 h."""
    seconds = span.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    parts: list[str] = []
    rest = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count and len(parts) < 2:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def fail(message: str, code: ExitCode, *, as_json: bool = False, **details: Any) -> NoReturn:
    """Print one line to standard error and exit."""
    if as_json:
        typer.echo(json.dumps({"error": {"message": message, **plain(details)}}, ensure_ascii=False), err=True)
    else:
        Console(file=sys.stderr, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), clean(message)))
    raise typer.Exit(code)
