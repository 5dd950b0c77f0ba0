"""What a run is made of: the store with its durability, the server, the programs that load it, and what each of them used."""

import importlib.metadata
import json
import platform
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from protojobs_client import Client, Options, QueueStats

from benchmarks.drivers import Driver
from benchmarks.extras import CONTROL, Extras, make_certificates, make_tokens
from benchmarks.machine import commit
from benchmarks.programs import BIN, end, spawn
from benchmarks.usage import cpu_s_of
from benchmarks.waiting import until
from tests.brokers.cluster import KafkaCluster, running_brokers
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster
from tests.telemetry.receiver import Receiver, receiving

QUEUE: Final = "bench"
WARM_UP_QUEUE: Final = f"{QUEUE}-warm-up"
KIND: Final = "noop"


@dataclass(slots=True, kw_only=True)
class Stack:
    """A running store and server, and a directory for histories."""

    driver: Driver
    directory: Path
    address: str
    server: "subprocess.Popen[bytes]"
    extras: Extras = field(default_factory=Extras)
    tokens: Mapping[str, Path] = field(default_factory=dict[str, Path])
    ca: Path | None = None
    cluster: Cluster | None = None
    database: str | None = None
    maria: MariaServer | None = None
    kafka: KafkaCluster | None = None
    receiver: Receiver | None = None
    programs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def connect(self) -> Client:
        """Return a client that may do everything."""
        return Client(options=Options.from_env(self.environment(CONTROL)))

    def environment(self, role: str) -> dict[str, str]:
        """Return how a program in one of the roles of GRANTS reaches the server, and where its telemetry goes."""
        env = {"PROTOJOBS_ADDRESS": self.address}
        if role in self.tokens:
            env["PROTOJOBS_TOKEN_FILE"] = str(self.tokens[role])
        if self.ca is not None:
            env["PROTOJOBS_CA"] = str(self.ca)
        if self.receiver is not None:
            env |= self.extras.telemetry_env(self.receiver.endpoint, role)
        return env

    def launch(self, module: str, name: str, **config: Any) -> None:
        """Start one of our programs; its history is `name`.jsonl."""
        told = {"name": name, "history": str(self.directory / f"{name}.jsonl"), **config}
        if module == "worker":
            told["trace_parent"] = self.extras.trace_parent
        command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(told)]
        self.programs[name] = spawn(command, self.directory / f"{name}.log", self.environment(module))

    def launch_relay(self, dsn: str) -> None:
        """Start a relay of the outbox in a database."""
        env = {**self.environment("producer"), "PROTOJOBS_OUTBOX_DSN": dsn}
        self.programs["relay"] = spawn([BIN / "protojobs", "outbox", "relay"], self.directory / "relay.log", env)

    def end(self, name: str, *, within: float = 60.0) -> None:
        """Ask a program to end, or wait for a producer or flood that ends by itself. Raises RuntimeError if it failed."""
        program = self.programs[name]
        if not name.startswith(("producer", "flood")):
            program.send_signal(signal.SIGTERM)
        code = program.wait(within)
        del self.programs[name]
        if code:
            raise RuntimeError(f"{name} ended with {code}:\n{(self.directory / f'{name}.log').read_text()[-3000:]}")

    def end_all(self, kind: str, *, within: float) -> None:
        """End every program whose name begins so."""
        for name in [name for name in self.programs if name.startswith(kind)]:
            self.end(name, within=within)

    def stats(self, client: Client, queue: str = QUEUE) -> QueueStats | None:
        """Return the numbers of a queue."""
        return next((numbers for numbers in client.stats().queues if numbers.queue == queue), None)

    def make_outbox_database(self) -> str:
        """Return the DSN of an empty database of the driver's kind; with the memory driver it is a SQLite file."""
        if self.cluster is not None:
            return self.cluster.dsn(self.cluster.create_database()).replace("postgresql+asyncpg://", "postgresql://")
        if self.maria is not None:
            return self.maria.dsn(self.maria.create_database()).replace("mysql+asyncmy://", "mysql://")
        return f"sqlite:///{self.directory / 'outbox.db'}"

    def usage(self) -> dict[str, float]:
        """Return the CPU seconds of server, store and relay so far; an embedded store is part of its server."""
        used = {"server": cpu_s_of(self.server.pid)}
        if self.cluster is not None:
            used["store"] = cpu_s_of(postmaster_of(self.cluster))
        if self.maria is not None:
            used["store"] = cpu_s_of(int((self.maria.home / "mariadb.pid").read_text()))
        if self.kafka is not None:
            used["kafka"] = sum(cpu_s_of(broker.pid) for broker in self.kafka.brokers)
        if "relay" in self.programs:
            used["relay"] = cpu_s_of(self.programs["relay"].pid)
        return used

    def spans(self) -> dict[str, int]:
        """Return how many spans have come from whom so far; the server sends its last ones when it ends."""
        return {} if self.receiver is None else dict(Counter(self.receiver.services.values()))

    def server_rss_mb(self) -> float:
        """Return the resident memory of the server, of all its processes together."""
        server = psutil.Process(self.server.pid)
        return round(sum(each.memory_info().rss for each in (server, *server.children())) / 1e6, 1)

    def forget_peak(self) -> None:
        """Let the server's peak begin anew."""
        for pid in self._server_pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def server_peak_mb(self) -> float:
        """Return the largest resident memory of the server since its peak was forgotten, of all its processes together."""
        told = [Path(f"/proc/{pid}/status").read_text() for pid in self._server_pids()]
        return round(sum(int(status.partition("VmHWM:")[2].split()[0]) for status in told) * 1024 / 1e6, 1)

    def _server_pids(self) -> list[int]:
        server = psutil.Process(self.server.pid)
        return [server.pid, *(each.pid for each in server.children())]

    def wal_bytes(self) -> int | None:
        """Return how much PostgreSQL has written ahead since it was made."""
        if self.cluster is None:
            return None
        return int(self.cluster.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"))

    def durability(self) -> dict[str, str]:
        """Return the settings that decide whether a commit outlives a power cut."""
        if self.cluster is not None:
            return durability_of(self.cluster)
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
        return {"python": platform.python_version(), **found, "commit": commit()}


def durability_of(cluster: Cluster) -> dict[str, str]:
    """Return the settings of a PostgreSQL that decide whether a commit outlives a power cut."""
    names = ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"]
    return {name: cluster.execute(f"show {name}").strip() for name in names}


def postmaster_of(cluster: Cluster) -> int:
    """Return the process whose children are the whole of a PostgreSQL."""
    return int((cluster.log.parent / "data" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def running_stack(
    driver: Driver, extras: Extras | None = None, settings: Mapping[str, str] | None = None
) -> Generator[Stack, None, None]:
    """Start store and server; end them, and every program that still runs, at the end. settings: variables of the server."""
    wanted = extras or Extras()
    with ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="protojobs-bench-")))
        cluster = exits.enter_context(running_cluster()) if driver in ("postgres", "kafka") else None
        database = cluster.create_database() if cluster is not None else None
        maria = exits.enter_context(running_server()) if driver == "mariadb" else None
        kafka = exits.enter_context(running_brokers()) if driver == "kafka" else None
        receiver = exits.enter_context(receiving()) if wanted.telemetry else None
        port = _free_port()
        env = {"PROTOJOBS_PORT": str(port), "PROTOJOBS_ADMIN_PORT": "0", **(settings or {})}
        env |= _store(driver, directory, cluster, database, maria)
        env["PROTOJOBS_PROCESSES"] = str(wanted.processes)
        if wanted.store_latency and (store := cluster or maria) is not None:
            far = exits.enter_context(_far(store.port, wanted.store_latency, directory))
            env = {name: value.replace(f"127.0.0.1:{store.port}/", f"127.0.0.1:{far}/") for name, value in env.items()}
        if kafka is not None:
            env |= {"PROTOJOBS_KAFKA__BROKERS": kafka.servers, "PROTOJOBS_KAFKA__SIDE": "postgres"}
            env["PROTOJOBS_KAFKA__REPLICATION"] = "1"
        tokens: dict[str, Path] = {}
        if wanted.auth:
            tokens = make_tokens(directory, env)
            env["PROTOJOBS_AUTH__MODE"] = "required"
        ca: Path | None = None
        if wanted.tls:
            files = make_certificates(directory)
            ca = files.ca
            env |= {"PROTOJOBS_TLS__CERT": str(files.cert), "PROTOJOBS_TLS__KEY": str(files.key)}
        if receiver is not None:
            env |= wanted.telemetry_env(receiver.endpoint, "server")
        log = directory / "server.log"
        server = spawn([BIN / "protojobs", "serve", "--migrate"], log, env)
        exits.callback(end, server)
        stack = Stack(
            driver=driver, directory=directory, address=f"127.0.0.1:{port}", server=server, extras=wanted, tokens=tokens, ca=ca,
            cluster=cluster, database=database, maria=maria, kafka=kafka, receiver=receiver,
        )  # fmt: skip
        exits.callback(_end_programs, stack)
        with _channel(stack) as channel:
            until("the server serves", lambda: _serves(channel, server, log), within=60)
        yield stack


@contextmanager
def _far(port: int, milliseconds: float, directory: Path) -> Generator[int, None, None]:
    """Put a port so far away; gives the one to dial instead."""
    told = directory / "distance.log"
    network = spawn([sys.executable, "-m", "benchmarks.distance", str(port), str(milliseconds)], told, {})
    try:
        until("the network is there", lambda: told.read_text().endswith("\n"), within=30)
        yield int(told.read_text().splitlines()[0])
    finally:
        end(network)


def _store(
    driver: Driver, directory: Path, cluster: Cluster | None, database: str | None, maria: MariaServer | None
) -> dict[str, str]:
    if cluster is not None and database is not None:
        dsn = cluster.dsn(database).replace("postgresql+asyncpg://", "postgresql://")
        return {"PROTOJOBS_DRIVER": driver, "PROTOJOBS_POSTGRES__DSN": dsn}
    if maria is not None:
        dsn = maria.dsn(maria.create_database()).replace("mysql+asyncmy://", "mysql://")
        return {"PROTOJOBS_DRIVER": "mysql", "PROTOJOBS_MYSQL__DSN": dsn}
    path = {"PROTOJOBS_SQLITE__PATH": str(directory / "jobs.db")} if driver == "sqlite" else {}
    return {"PROTOJOBS_DRIVER": driver, **path}


def _end_programs(stack: Stack) -> None:
    for program in stack.programs.values():
        end(program)


def _channel(stack: Stack) -> grpc.Channel:
    # By default gRPC tries again ever less often, up to every two minutes.
    options = [("grpc.max_reconnect_backoff_ms", 200)]
    if stack.ca is None:
        return grpc.insecure_channel(stack.address, options=options)
    return grpc.secure_channel(stack.address, grpc.ssl_channel_credentials(stack.ca.read_bytes()), options=options)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
