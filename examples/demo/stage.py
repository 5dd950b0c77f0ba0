"""What the demo needs around it: a server and workers as processes of their own, a mail sink, files to work on."""

import os
import random
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from PIL import Image
from protojobs_client import Client, Options

WORKER = "examples.worker:worker"


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True, kw_only=True)
class Stage:
    """Processes and files of one run, all below `home`."""

    home: Path
    driver: str
    store: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    smtp_port: int = field(default_factory=free_port)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, subprocess.Popen[bytes]])

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def console(self) -> str:
        """Where the server's web pages are."""
        return f"http://127.0.0.1:{self.admin_port}/"

    @property
    def inbox(self) -> Path:
        """Where mails arrive, one file each."""
        return self.home / "mail" / "new"

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes."""
        here = {
            "PROTOJOBS_ADDRESS": self.address,
            "PROTOJOBS_DRIVER": self.driver,
            "PROTOJOBS_SQLITE__PATH": str(self.home / "jobs.db"),
            "PROTOJOBS_PORT": str(self.port),
            "PROTOJOBS_ADMIN_PORT": str(self.admin_port),
        }
        return {**os.environ, **here, **self.store}

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start a worker process under a name of its own."""
        command = [sys.executable, "-m", "protojobs_worker", WORKER, "--name", name]
        log = (self.home / f"{name}.log").open("wb")
        self.workers[name] = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=subprocess.STDOUT)
        return self.workers[name]

    def open_client(self) -> Client:
        """Return a client of the server."""
        return Client(options=Options.from_env().at(self.address))

    @contextmanager
    def running(self) -> Generator["Stage"]:
        """Run the server and the mail sink; on the way out every process ends."""
        self.inbox.parent.parent.mkdir(parents=True, exist_ok=True)
        sink = Controller(Mailbox(self.inbox.parent), hostname="127.0.0.1", port=self.smtp_port)
        command = [sys.executable, "-m", "protojobs_service", "serve", "--migrate"]
        log = (self.home / "server.log").open("wb")
        server = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=subprocess.STDOUT)
        sink.start()
        try:
            yield self
        finally:
            for process in (*self.workers.values(), server):
                process.terminate()
            for process in (*self.workers.values(), server):
                end(process)
            sink.stop()


@contextmanager
def store_of(driver: str) -> Generator[Mapping[str, str]]:
    """Yield the settings of the store: of Kafka those of a broker of our own, unless the environment names one."""
    if driver != "kafka" or "PROTOJOBS_KAFKA__BROKERS" in os.environ:
        yield {}
        return
    from tests.brokers.cluster import running_brokers

    with running_brokers() as cluster:
        yield {"PROTOJOBS_KAFKA__BROKERS": cluster.servers, "PROTOJOBS_KAFKA__REPLICATION": "1"}


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was asked to leave; one that does not is killed."""
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def draw_pictures(folder: Path, count: int) -> list[Path]:
    """Draw pictures of 1600 x 1200 pixels: a fractal, each with colours of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in range(count):
        fractal = Image.effect_mandelbrot((1600, 1200), (-2.2 + number * 0.1, -1.5, 1.0, 1.5), 60 + 20 * number)
        channels = [_recolour(fractal, factor, number * 40) for factor in (1, 3, 7)]
        path = folder / f"picture-{number + 1}.jpg"
        Image.merge("RGB", channels).save(path, quality=92)
        paths.append(path)
    return paths


def _recolour(picture: Image.Image, factor: int, shift: int) -> Image.Image:
    table = bytes((value * factor + shift) % 256 for value in range(256))
    return Image.frombytes("L", picture.size, picture.tobytes().translate(table))


def fill_database(path: Path, rows: int) -> Path:
    """Make a database of visits, about half of them older than 90 days."""
    chance = random.Random(7)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table visit (page text, at text)")
        database.executemany(
            "insert into visit values (?, datetime('now', ?))",
            [(f"/page/{chance.randrange(50)}", f"-{chance.randrange(1, 180)} days") for _ in range(rows)],
        )
    return path
