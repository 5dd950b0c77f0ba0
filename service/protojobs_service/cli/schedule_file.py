"""Schedules as people write them into a file, and when they tick as one line."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import typer
import yaml
from protojobs_client import (
    Catchup,
    CatchupMode,
    Cron,
    Daily,
    Every,
    OnConflict,
    Overlap,
    RetryPolicy,
    ScheduleOptions,
    ScheduleRequest,
    Unique,
    UniqueScope,
    Weekday,
    Weekly,
)

from protojobs_service.cli.output import show_span
from protojobs_service.cli.values import parse_span, parse_time

When = Every | Cron | Daily | Weekly

_WHEN = ("cron", "every", "daily", "weekly")
_PLAIN = (
    "name", "queue", "time_zone", "priority", "headers", "labels", "fairness_key", "concurrency_key", "paused", "content_type",
)  # fmt: skip
_KEYS = (
    "kind", "data", *_WHEN, "anchor", *_PLAIN, "start", "end", "jitter", "catchup", "overlap", "retries", "run_timeout",
    "unique",
)  # fmt: skip


def read_schedules(file: Path) -> list[ScheduleRequest]:
    """Return the schedules of a YAML file. Raises BadParameter with the place of what is wrong."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--file") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise typer.BadParameter(f"{file} is not YAML: {error}", param_hint="--file") from None
    listed = cast(dict[str, object], found).get("schedules") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise typer.BadParameter("must be a mapping with a list `schedules`", param_hint="--file")
    return [_read(f"schedules[{place}]", entry) for place, entry in enumerate(cast(list[object], listed))]


def one_when(entry: Mapping[str, Any]) -> When:
    """Return when a schedule ticks that says it in exactly one way. Raises BadParameter."""
    named = [key for key in _WHEN if key in entry]
    if len(named) != 1:
        raise typer.BadParameter("say when in one way: cron, every, daily or weekly")
    value = entry[named[0]]
    match named[0]:
        case "cron":
            return Cron(str(value))
        case "every":
            return Every(_span(value), _time(entry["anchor"]) if "anchor" in entry else None)
        case "daily":
            return Daily(_texts(value))
        case _:
            if not isinstance(value, Mapping):
                raise typer.BadParameter("weekly must have days and times")
            weekly = cast(Mapping[str, Any], value)
            return Weekly(tuple(_day(each) for each in _texts(weekly.get("days"))), _texts(weekly.get("times")))


def show_when(when: When | None) -> str:
    """Return when a schedule ticks as one line."""
    match when:
        case None:
            return "?"
        case Cron(expression):
            return expression
        case Every(interval):
            return f"every {show_span(interval if isinstance(interval, timedelta) else timedelta(seconds=interval))}"
        case Daily(times):
            return f"daily {' '.join(times)}"
        case Weekly(days, times):
            return f"{' '.join(day.name.lower() for day in days)} {' '.join(times)}"


def _read(where: str, entry: object) -> ScheduleRequest:
    try:
        return _request(_mapping(entry))
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{where}: {error.message}", param_hint="--file") from None
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise typer.BadParameter(f"{where}: {error}", param_hint="--file") from None


def _mapping(entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise typer.BadParameter("must be a mapping")
    return cast(dict[str, Any], entry)


def _request(entry: dict[str, Any]) -> ScheduleRequest:
    unknown = sorted(str(key) for key in entry if key not in _KEYS)
    if unknown:
        raise typer.BadParameter(f"has no field {', '.join(unknown)}")
    if not isinstance(entry.get("kind"), str):
        raise typer.BadParameter("kind is missing")
    options: dict[str, Any] = {key: entry[key] for key in _PLAIN if key in entry}
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "start": ("start_at", _time),
        "end": ("end_at", _time),
        "jitter": ("jitter", _span),
        "run_timeout": ("run_timeout", _span),
        "overlap": ("overlap", lambda value: Overlap(str(value))),
        "catchup": ("catchup", _catchup),
        "unique": ("unique", _unique),
        "retries": ("retry", lambda value: RetryPolicy(max_retries=int(value))),
    }
    options |= {option: read(entry[key]) for key, (option, read) in readers.items() if key in entry}
    if "data" in entry:
        # The same file must give the same bytes, or each apply would be a change.
        options["payload"] = json.dumps(entry["data"], separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return ScheduleRequest.of(entry["kind"], None, one_when(entry), **cast(ScheduleOptions, options))


def _catchup(value: Any) -> Catchup:
    if isinstance(value, str):
        return Catchup(mode=CatchupMode(value))
    default = Catchup()
    window = _span(value["window"]) if "window" in value else default.window
    return Catchup(mode=CatchupMode(value.get("mode", "last")), most=int(value.get("max", default.most)), window=window)


def _unique(value: Any) -> Unique:
    if isinstance(value, str):
        return Unique(value)
    return Unique(
        str(value.get("key", "")),
        scope=UniqueScope(value.get("scope", "until_done")),
        window=_span(value["window"]) if "window" in value else None,
        on_conflict=OnConflict(value.get("on_conflict", "reject")),
    )


def _span(value: Any) -> timedelta:
    return parse_span(str(value))


def _time(value: Any) -> datetime:
    """Return a time; YAML has read it already where it is written plainly."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return parse_time(value.isoformat() if isinstance(value, date) else str(value))


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts. YAML 1.1 reads 09:30 without quotes as 570 minutes of an hour."""
    if not isinstance(value, list | tuple):
        raise typer.BadParameter("must be a list")
    return tuple(f"{each // 60:02}:{each % 60:02}" if isinstance(each, int) else str(each) for each in cast(list[Any], value))


def _day(text: str) -> Weekday:
    try:
        return Weekday[text.upper()]
    except KeyError:
        raise typer.BadParameter(f"{text} is no day of the week") from None
