"""`protojobs serve --processes N`: the real processes, and the ports that they share."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import typer

from protojobs_service.cli.process import Line, Told
from protojobs_service.cli.serving import run
from protojobs_service.cli.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from protojobs_service.settings import Listener, Settings

_PROGRAM = "protojobs_service.cli.process"
_log = logging.getLogger(__name__)


def supervise(chosen: "Settings", config: Path | None, overrides: Mapping[str, Any], *, migrate: bool) -> None:
    """Run the processes until a signal; then end this one with their exit code. overrides: what `chosen` was made with."""
    server = _Server(chosen, config, overrides, migrate=migrate)
    run(server.serve, chosen, at_once=server.kill)
    raise typer.Exit(server.code)


class _Server:
    """The processes of one server."""

    def __init__(self, chosen: "Settings", config: Path | None, overrides: Mapping[str, Any], *, migrate: bool) -> None:
        self.code = 0
        self._chosen = chosen
        self._config = config
        self._overrides = overrides
        self._migrate = migrate
        self._supervisor: Supervisor | None = None

    async def serve(self, stop: asyncio.Event) -> None:
        count, name = self._chosen.processes, self._chosen.server_id
        with _ports(self._chosen) as (port, scaler_port):

            async def launch(number: int, first: bool) -> Child:
                own = self._chosen.of_process(number, port=port, scaler_port=scaler_port)
                migrates = self._migrate and first and number == 1
                return await _Process.start(number, self._config, {**self._overrides, **own}, migrate=migrates)

            _log.info("starting the processes of the server", extra={"processes": count, "port": port, "server_id": name})
            self._supervisor = Supervisor(count, launch, stop, Random())
            try:
                self.code = await self._supervisor.run()
            finally:
                self.kill()

    def kill(self) -> None:
        """End whatever still runs, at once."""
        if self._supervisor is not None:
            self._supervisor.kill()


class _Process:
    """A process of ours, in a session of its own: what a terminal sends to its foreground group is passed on by us alone."""

    def __init__(self, process: asyncio.subprocess.Process, line: Line) -> None:
        self._process = process
        self._line = line

    @classmethod
    async def start(cls, number: int, config: Path | None, overrides: Mapping[str, Any], *, migrate: bool) -> "_Process":
        ours, theirs = socket.socketpair()
        with theirs:
            told = Told(
                number=number,
                line=theirs.fileno(),
                migrate=migrate,
                config=None if config is None else str(config),
                overrides=dict(overrides),
            )
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the working directory is no module of ours.
                *(sys.executable, "-P", "-m", _PROGRAM, told.dump()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return cls(process, await Line.over(ours))

    def reports(self) -> AsyncIterator[bool]:
        return self._line.heard()

    async def ended(self) -> int:
        code = await self._process.wait()
        self._line.close()
        return code

    def tell(self, *, all_ready: bool) -> None:
        self._line.say(all_ready)

    def stop(self) -> None:
        self._line.say_no_more()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


@contextlib.contextmanager
def _ports(chosen: "Settings") -> Generator[tuple[int, int | None]]:
    """Hold the addresses that all processes share: gRPC's port, and the scaler's. Raises OSError for one that is not to be had."""
    with contextlib.ExitStack() as held:
        found = {
            each.name: held.enter_context(_held(each, shared=chosen.grpc.reuse_port))
            for each in chosen.listeners
            if each.name != "admin"
        }
        yield found["api"], found.get("scaler")


@contextlib.contextmanager
def _held(place: "Listener", *, shared: bool) -> Generator[int]:
    """Bind an address and never listen there: its port stays ours while processes come and go. shared: with other servers, too."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        place.host.strip("[]"), place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as holder:
        try:
            if not shared:
                # With SO_REUSEPORT it would be had although another server has it.
                with socket.socket(family, kind, protocol) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(address)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(address)
        except OSError as error:
            raise OSError(f"cannot listen on {place.host}:{place.port}: {error.strerror}") from error
        yield holder.getsockname()[1]
