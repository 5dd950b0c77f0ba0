"""`protojobs jobs tail`: what happens to jobs, as it happens."""

import base64
import binascii
from collections.abc import Collection
from typing import Annotated

import typer
from protojobs_client import EventName, JobEvent, JobState
from protojobs_client.events import STATES
from rich.text import Text

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, clean, plain, print_line, screen
from protojobs_service.cli.values import parse_pairs

_STYLES = {"job.processed": "green", "job.failed": "red", "job.retrying": "yellow", "job.expired": "red"}


def tail(
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="Only of this queue; repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only of this kind; repeatable.")] = None,
    event: Annotated[
        list[str] | None, typer.Option("--event", "-e", help="Only events of this name, such as job.failed; repeatable.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Only with key=value; repeatable.")] = None,
    cursor: Annotated[str, typer.Option(help="Go on behind an event, by the cursor that --json printed.", show_default=False)] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="Stop after so many; 0: never.")] = 0,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print what happens to jobs from now on, or from a cursor on, until Ctrl-C; with --json one object a line."""
    names: list[EventName] = [_name(each) for each in event or []]
    states = _states(names)
    labels = parse_pairs(label or [], "--label")
    place = _place(cursor)
    shown = 0
    with (
        connected(address, as_json=as_json) as client,
        client.watch_jobs(cursor=place, queues=queue or (), kinds=kind or (), labels=labels, states=states) as events,
    ):
        for each in events:
            if names and each.name not in names:
                continue
            _print(each, as_json=as_json)
            shown += 1
            if shown == count:
                return


def _place(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor, validate=True)
    except binascii.Error:
        raise typer.BadParameter("is not what --json printed", param_hint="--cursor") from None


def _name(text: str) -> EventName:
    for name in STATES:
        if text in (name, name.removeprefix("job.")):
            return name
    raise typer.BadParameter(f"no event is called {text!r}; there are {', '.join(STATES)}", param_hint="--event")


def _states(names: Collection[EventName]) -> Collection[JobState]:
    """Return the states that the server has to tell of; none means all, as it does where a name has none."""
    states = {state for name in names for state in STATES[name]}
    return states if all(STATES[name] for name in names) else ()


def _print(event: JobEvent, *, as_json: bool) -> None:
    if as_json:
        print_line(plain(event) | {"cursor": base64.b64encode(event.cursor).decode()})
        return
    at = "" if event.at is None else event.at.strftime("%H:%M:%S.%f")[:-3]
    took = "" if event.execution_time is None else f"{event.execution_time.total_seconds():.3f}s"
    error = "" if event.error is None else f"{event.error.type}: {event.error.message}".partition("\n")[0]
    parts = (at, f"{event.name:<14}", event.id, event.queue, event.kind, f"#{event.attempt}", took, error)
    screen().print(Text(clean(" ".join(part for part in parts if part)), style=_STYLES.get(event.name, "")))
