"""`protojobs stats`: numbers of queues, once or live."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import typer
from protojobs_client import QueueStats, Stats
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, cell, clean, print_json, print_line, screen
from protojobs_service.cli.values import parse_span

_BAR = 16
_PARTS = (("running", "cyan"), ("pending", "white"), ("retrying", "yellow"), ("scheduled", "blue"))


def stats(
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Only this queue.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep looking until Ctrl-C.")] = False,
    interval: Annotated[str, typer.Option(help="--watch: time between two looks, 1 to 60 s.")] = "1s",
    count: Annotated[int, typer.Option(min=0, help="--watch: stop after so many looks; 0: never.")] = 0,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what is waiting, running and done; with --watch --json one object a line."""
    pause = parse_span(interval, "--interval")
    with connected(address, as_json=as_json) as client:
        if not watch:
            found = client.stats(queue)
            if as_json:
                print_json(found)
            else:
                screen().print(_picture(found))
            return
        with client.watch_stats(queue, interval=pause) as looks:
            _watch(islice(looks, count or None), as_json=as_json)


def _watch(looks: Iterable[Stats], *, as_json: bool) -> None:
    console = screen()
    if as_json:
        for found in looks:
            print_line(found)
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for found in looks:
                live.update(_picture(found), refresh=True)
    else:  # a file or a pipe: one picture below the other
        for found in looks:
            console.print(_picture(found))


def _picture(found: Stats) -> RenderableType:
    if not found.queues:
        return Text("no queues", style="dim")
    most = max(_alive(each) for each in found.queues)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("queue", overflow="fold")
    table.add_column("alive", width=_BAR, no_wrap=True)
    for name in ("pending", "running", "later", "retry", "done", "failed", "done/s", "oldest", "workers"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.queues:
        table.add_row(
            Text(clean(each.queue), style="dim" if each.paused else "bold"),
            _bar(each, most),
            *(_number(value) for value in (each.pending, each.running, each.scheduled, each.retrying, each.completed)),
            _number(each.failed, "red"),
            cell(each.completed_per_second_1m),
            cell(each.oldest_pending_age),
            _number(each.workers),
        )
    notes = [note for each in found.queues for note in _notes(each)]
    return Group(table, *notes)


def _bar(stats: QueueStats, most: int) -> Text:
    """Return a bar as long as the queue is, against the longest one; every state that has jobs shows."""
    bar = Text()
    for name, style in _PARTS:
        jobs = getattr(stats, name)
        if jobs:
            bar.append("\N{FULL BLOCK}" * max(1, round(_BAR * jobs / most)), style=style)
    bar.truncate(_BAR)
    return bar


def _alive(stats: QueueStats) -> int:
    return stats.running + stats.pending + stats.retrying + stats.scheduled


def _number(value: int, style: str = "") -> Text:
    return Text(f"{value:,}", style=style if value else "dim")


def _notes(stats: QueueStats) -> list[Text]:
    notes: list[Text] = []
    if stats.paused:
        notes.append(Text(f"{clean(stats.queue)} is paused", style="yellow"))
    if stats.limited_by.concurrency:
        notes.append(
            Text(f"{clean(stats.queue)}: jobs wait for a place of max_in_flight or of their concurrency key", style="yellow")
        )
    if stats.limited_by.rate:
        notes.append(Text(f"{clean(stats.queue)}: the rate limit is used up", style="yellow"))
    notes += [
        Text(f"{clean(stats.queue)}: no worker for {clean(each.kind)}, {each.pending:,} pending", style="yellow")
        for each in stats.limited_by.no_worker_kinds
    ]
    return notes
