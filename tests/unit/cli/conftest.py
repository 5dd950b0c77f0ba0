"""The command line, run in this process against a server in a thread."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Self

import pytest
from protojobs_service.cli import app
from protojobs_service.compose import start_server
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.settings import load
from protojobs_service.transport.specs import fingerprint
from typer.testing import CliRunner, Result


class ServerThread(threading.Thread):
    """Runs a server over an empty memory store on an event loop of its own."""

    def __init__(self) -> None:
        super().__init__(name="server", daemon=True)
        self.address = ""
        self.admin_address = ""
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self._leave: Callable[[], object] = lambda: None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 # told to whoever waits
            self.error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._leave = lambda: loop.call_soon_threadsafe(stop.set)
        driver = MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1))
        settings = load(driver="memory", port=0, admin_port=0, shutdown={"grace": 1})
        async with start_server(settings, driver=driver) as running:
            self.address, self.admin_address = running.address, running.admin_address
            self._ready.set()
            await stop.wait()

    def __enter__(self) -> Self:
        self.start()
        self._ready.wait(30)
        if self.error is not None:
            raise self.error
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()
        self.join(30)


@dataclass(frozen=True, slots=True)
class Cli:
    """Runs commands against one server."""

    address: str

    def run(self, *arguments: str, given: str | bytes | None = None, code: int = 0) -> Result:
        """Run a command, which must exit with `code`."""
        result = run("--address", self.address, *arguments, given=given)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json and return what it prints."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def dispatch(self, *arguments: str) -> str:
        """Dispatch a job and return its id."""
        return str(self.json("dispatch", "email", *arguments)["job_id"])


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    """Run a command. A leading --address goes behind the command's names, where it belongs."""
    if arguments[:1] == ("--address",):
        _, address, *rest = arguments
        arguments = (*rest, "--address", address)
    return CliRunner().invoke(app, list(arguments), input=given)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    """Run one server for a file of tests."""
    with ServerThread() as thread:
        yield thread


@pytest.fixture
def cli(server: ServerThread) -> Cli:
    """Run commands against the server."""
    return Cli(server.address)


@pytest.fixture(autouse=True)
def _own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the root logger back as it was, and keep the settings of this machine out."""
    for name in ("PROTOJOBS_ADDRESS", "PROTOJOBS_CONFIG", "PROTOJOBS_DRIVER", "PROTOJOBS_CALL_TIMEOUT", "PROTOJOBS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
