"""What a run is made of: the store with its durability, the server, the programs that load it, and what each of them used."""

import importlib.metadata
import json
import os
import platform
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

import grpc
import psutil
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from protojobs_client import Client, QueueStats

from benchmarks.waiting import until
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster

QUEUE: Final = "bench"
KIND: Final = "noop"
ROOT: Final = Path(__file__).resolve().parents[1]
BIN: Final = Path(sys.executable).parent

Driver = Literal["postgres", "mariadb", "sqlite", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds, user and system together."""

    cpu_s: float

    @classmethod
    def now(cls) -> Self:
        """Return what this process has used so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(cpu_s=used.ru_utime + used.ru_stime)

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return what a process, its live children and those it has waited for have used."""
        parent = psutil.Process(pid)
        times = parent.cpu_times()
        used = times.user + times.system + times.children_user + times.children_system
        for child in parent.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return cls(cpu_s=used)

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(cpu_s=self.cpu_s - earlier.cpu_s)


@dataclass(slots=True, kw_only=True)
class Stack:
    """A running store and server, and a directory for histories."""

    driver: Driver
    directory: Path
    address: str
    server: "subprocess.Popen[bytes]"
    cluster: Cluster | None = None
    maria: MariaServer | None = None
    programs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def launch(self, module: str, name: str, **config: Any) -> "subprocess.Popen[bytes]":
        """Start one of our programs; its history is `name`.jsonl."""
        told = {"name": name, "address": self.address, "history": str(self.directory / f"{name}.jsonl"), **config}
        program = _spawn([sys.executable, "-m", f"benchmarks.{module}", json.dumps(told)], self.directory / f"{name}.log")
        self.programs[name] = program
        return program

    def end(self, name: str, *, within: float = 60.0) -> None:
        """Ask a worker to end, or wait for a producer that ends by itself. Raises RuntimeError if it failed."""
        program = self.programs.pop(name)
        if name.startswith("worker"):
            program.send_signal(signal.SIGTERM)
        code = program.wait(within)
        if code:
            raise RuntimeError(f"{name} ended with {code}:\n{(self.directory / f'{name}.log').read_text()[-3000:]}")

    def stats(self, client: Client) -> QueueStats | None:
        """Return the numbers of the queue."""
        return next((numbers for numbers in client.stats().queues if numbers.queue == QUEUE), None)

    def usage(self) -> dict[str, Usage]:
        """Return what server and store have used so far; an embedded store is part of its server."""
        used = {"server": Usage.of(self.server.pid)}
        if self.cluster is not None:
            used["store"] = Usage.of(self._postmaster)
        if self.maria is not None:
            used["store"] = Usage.of(int((self.maria.home / "mariadb.pid").read_text()))
        return used

    def server_rss_mb(self) -> float:
        """Return the resident memory of the server."""
        return round(psutil.Process(self.server.pid).memory_info().rss / 1e6, 1)

    def wal_bytes(self) -> int | None:
        """Return how much PostgreSQL has written ahead since it was made."""
        if self.cluster is None:
            return None
        return int(self.cluster.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"))

    def durability(self) -> dict[str, str]:
        """Return the settings that decide whether a commit outlives a power cut."""
        if self.cluster is not None:
            names = ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"]
            return {name: self.cluster.execute(f"show {name}").strip() for name in names}
        if self.maria is not None:
            names = ["innodb_flush_log_at_trx_commit", "innodb_doublewrite", "log_bin"]
            return {name: self.maria.execute(f"SELECT @@{name}").strip() for name in names}
        if self.driver == "sqlite":
            with closing(sqlite3.connect(self.directory / "jobs.db")) as connection:
                return {
                    "journal_mode": str(connection.execute("pragma journal_mode").fetchone()[0]),
                    "synchronous": "FULL (set by the driver)",
                }
        return {"durable": "no"}

    def versions(self) -> dict[str, str]:
        """Return what ran."""
        found = {name: importlib.metadata.version(name) for name in ("proto-jobs-service", "grpcio", "protobuf")}
        if self.cluster is not None:
            found["postgresql"] = self.cluster.execute("show server_version").strip()
        if self.maria is not None:
            found["mariadb"] = self.maria.execute("SELECT version()").strip()
        if self.driver == "sqlite":
            found["sqlite"] = sqlite3.sqlite_version
        return {"python": platform.python_version(), **found, "commit": _commit()}

    @property
    def _postmaster(self) -> int:
        assert self.cluster is not None
        return int((self.cluster.log.parent / "data" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def running_stack(driver: Driver) -> Generator[Stack, None, None]:
    """Start store and server; end them, and every program that still runs, at the end."""
    with tempfile.TemporaryDirectory(prefix="protojobs-bench-") as name:
        directory = Path(name)
        if driver == "postgres":
            with running_cluster() as cluster, _serving(driver, directory, cluster=cluster) as stack:
                yield stack
        elif driver == "mariadb":
            with running_server() as maria, _serving(driver, directory, maria=maria) as stack:
                yield stack
        else:
            with _serving(driver, directory) as stack:
                yield stack


@contextmanager
def _serving(
    driver: Driver, directory: Path, *, cluster: Cluster | None = None, maria: MariaServer | None = None
) -> Generator[Stack, None, None]:
    port = _free_port()
    env: dict[str, str] = {"PROTOJOBS_DRIVER": driver, "PROTOJOBS_PORT": str(port), "PROTOJOBS_ADMIN_PORT": "0"}
    if driver == "sqlite":
        env["PROTOJOBS_SQLITE__PATH"] = str(directory / "jobs.db")
    if cluster is not None:
        dsn = cluster.dsn(cluster.create_database())
        env["PROTOJOBS_POSTGRES__DSN"] = dsn.replace("postgresql+asyncpg://", "postgresql://")
    if maria is not None:
        dsn = maria.dsn(maria.create_database())
        env |= {"PROTOJOBS_DRIVER": "mysql", "PROTOJOBS_MYSQL__DSN": dsn.replace("mysql+asyncmy://", "mysql://")}
    log = directory / "server.log"
    server = _spawn([BIN / "protojobs", "serve", "--migrate"], log, env)
    stack = Stack(driver=driver, directory=directory, address=f"127.0.0.1:{port}", server=server, cluster=cluster, maria=maria)
    try:
        # By default gRPC tries again ever less often, up to every two minutes.
        with grpc.insecure_channel(stack.address, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            until("the server serves", lambda: _serves(channel, server, log), within=60)
        yield stack
    finally:
        for program in [*stack.programs.values(), server]:
            program.terminate()
            try:
                program.wait(15)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _serves(channel: grpc.Channel, server: "subprocess.Popen[bytes]", log: Path) -> bool:
    if server.poll() is not None:
        raise RuntimeError(f"the server ended with {server.returncode}:\n{log.read_text()[-3000:]}")
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    try:
        answer = check(HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return answer.status == HealthCheckResponse.SERVING


def _spawn(command: Sequence[str | Path], log: Path, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOJOBS_")}
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env={**inherited, **(env or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"
