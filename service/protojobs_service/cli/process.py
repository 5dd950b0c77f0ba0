"""One of several processes of a server, as `protojobs serve --processes N` starts it: `python -m protojobs_service.cli.process`."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from protojobs_service.cli.output import ExitCode, fail
from protojobs_service.cli.serving import run, spare_collector

if TYPE_CHECKING:
    from protojobs_service.settings import Settings
    from protojobs_service.transport.health import Health

_READY: Final = b"ready\n"
_NOT_READY: Final = b"not ready\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a process is told when it starts: its number, its end of the line, and its settings, of which no secret is one."""

    number: int
    line: int
    migrate: bool
    config: str | None
    overrides: dict[str, Any]

    def dump(self) -> str:
        """Return it as one argument; `load` reads it back."""
        return json.dumps(asdict(self))

    @staticmethod
    def load(text: str) -> "Told":
        """Return what `dump` wrote."""
        return Told(**json.loads(text))


class Line:
    """What a process and its supervisor tell each other: the one whether it is ready, the other whether all are.

    The supervisor's end asks the process to stop, whether it was closed or died with its owner.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._silent = False

    @classmethod
    async def over(cls, end: socket.socket) -> "Line":
        """Return a line over a connected socket, which it owns from here on."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def say(self, ready: bool) -> None:
        """Tell the other side. Lost where it has gone, and after `say_no_more`."""
        if not self._silent and not self._writer.is_closing():
            self._writer.write(_READY if ready else _NOT_READY)

    async def heard(self) -> AsyncIterator[bool]:
        """Yield what the other side tells, until it has no more to say."""
        try:
            async for line in self._reader:
                yield line == _READY
        except ConnectionError:
            return

    def say_no_more(self) -> None:
        """Let the other side's `heard` end. Safe to repeat."""
        if not self._silent and not self._writer.is_closing():
            self._silent = True
            self._writer.write_eof()

    def close(self) -> None:
        """Give the socket back."""
        self._silent = True
        self._writer.close()


def main(told: str) -> None:
    """Serve until the supervisor says no more, or a signal comes."""
    from protojobs_service import settings

    mine = Told.load(told)
    try:
        chosen = settings.load(Path(mine.config) if mine.config is not None else None, **mine.overrides)
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE)
    run(lambda stop: _serve(mine, chosen, stop), chosen, process_no=mine.number)


async def _serve(mine: Told, chosen: "Settings", stop: asyncio.Event) -> None:
    from protojobs_service import compose
    from protojobs_service.settings import OtelSettings

    line = await Line.over(socket.socket(fileno=mine.line))
    if mine.migrate:
        await compose.upgrade_schema(chosen)
    async with compose.start_server(chosen, says_audit=True, otel=OtelSettings(), process_no=mine.number) as running:
        spare_collector()
        health = running.grpc.health
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(_hear(line, health, stop), name="supervisor")
            health.watched_by(line.say)
            await stop.wait()
            hearing.cancel()


async def _hear(line: Line, health: "Health", stop: asyncio.Event) -> None:
    async for ready in line.heard():
        health.all_ready(ready)
    stop.set()


if __name__ == "__main__":
    # As of `protojobs`: a traceback with the values of variables would show secrets.
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
