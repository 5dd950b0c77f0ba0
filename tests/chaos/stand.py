"""The test stand: servers, workers and producers of one test on one store, their common history, and its judgement."""

import json
import socket
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import orjson
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from protojobs_client import AsyncClient, Options

from tests.chaos.processes import Program
from tests.chaos.producer import Producer
from tests.chaos.stores import Store
from tests.chaos.waiting import until
from tests.chaos.witness import dump
from tests.checker import Recorder, Report, judge, read_history

BIN: Final = Path(sys.executable).parent

# Short spans, so that what takes half a minute in production takes seconds here. The TTL is the least that a server takes.
SETTINGS: Final = {
    "PROTOJOBS_SESSION__TTL": "2",
    "PROTOJOBS_SESSION__RECONNECT_GRACE": "0.5",
    "PROTOJOBS_SHUTDOWN__GRACE": "10",
    "PROTOJOBS_LOG__FORMAT": "json",
    "PROTOJOBS_LOG__LEVEL": "info",
    "PROTOJOBS_ADMIN_PORT": "0",
}
TTL: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Server:
    """One `protojobs serve` on a port that it keeps over restarts."""

    program: Program
    address: str

    @property
    def name(self) -> str:
        """Return its name in the history."""
        return self.program.name

    async def kill_and_start(self) -> None:
        """Kill it, start it again, and wait until it serves."""
        self.program.kill()
        await self.start()

    async def start(self) -> None:
        """Start it and wait until it serves."""
        self.program.start()
        await self.ready()

    async def ready(self, within: float = 90.0) -> None:
        """Wait until its health is SERVING."""
        # By default gRPC tries again ever less often, up to every two minutes.
        async with grpc.aio.insecure_channel(self.address, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            await until(f"{self.program.name} serves", lambda: self._serves(channel), within)

    async def _serves(self, channel: grpc.aio.Channel) -> bool:
        if not self.program.running:
            raise AssertionError(f"{self.program.name} ended:\n{self.program.log.read_text(errors='replace')[-3000:]}")
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            answer = await check(HealthCheckRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING


class Stand:
    """Everything one test starts. `close` ends it all."""

    def __init__(
        self, directory: Path, store: Store, *, serve: Sequence[str | Path] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """`serve`: the command of a server; `env` goes to every server."""
        self.directory = directory
        self.store = store
        self.gates = directory / "gates"
        self.gates.mkdir()
        self.nemesis = self._recorder("nemesis")
        self.servers: list[Server] = []
        self.producers: list[Producer] = []
        self._serve: list[str | Path] = list(serve or [BIN / "protojobs", "serve", "--migrate"])
        self._env = dict(env or {})
        self._programs: dict[str, Program] = {}
        self._read: dict[Path, int] = defaultdict(int)
        self._seen: dict[str, list[dict[str, Any]]] = defaultdict(list)

    @property
    def address(self) -> str:
        """Return the addresses of all servers."""
        return ",".join(server.address for server in self.servers)

    async def add_server(self, *, env: Mapping[str, str] | None = None, **settings: str) -> Server:
        """Start one more server; settings are PROTOJOBS_* without the prefix, `env` is anything else in its environment."""
        name = f"server-{len(self.servers) + 1}"
        port = _free_port()
        own = {f"PROTOJOBS_{key}": value for key, value in settings.items()}
        place = {"PROTOJOBS_PORT": str(port), "PROTOJOBS_SERVER_ID": name}
        whole = {**SETTINGS, **self.store.env(), **place, **self._env, **own, **(env or {})}
        server = Server(program=self._program(name, self._serve, whole), address=f"127.0.0.1:{port}")
        self.servers.append(server)
        await server.start()
        return server

    async def add_worker(
        self, name: str, *, raw: bool = False, queues: Sequence[str] = ("main",), listed: bool = True, **config: Any
    ) -> Program:
        """Start a worker and wait until a server lists it, unless it may die before. Raw ones are stubborn; see `raw_worker`."""
        module = "tests.chaos.raw_worker" if raw else "tests.chaos.worker_program"
        told: dict[str, Any] = {
            "name": name,
            "address": self.address,
            "queues": list(queues),
            "history": str(self._history(name)),
            "gates": str(self.gates),
            "ttl": TTL,
            **config,
        }
        program = self._program(name, [sys.executable, "-m", module, json.dumps(told)], {})
        program.start()
        if listed:
            await self.listed(name)
        return program

    async def listed(self, name: str) -> None:
        """Wait until a server lists a worker."""

        async def is_listed() -> bool:
            return name in [worker.worker async for worker in client.workers()]

        client = AsyncClient(options=Options(address=self.address))
        try:
            await until(f"worker {name} is listed", is_listed, within=30)
        finally:
            await client.close()

    def producer(self, name: str = "producer", *, strict: bool = True, call_timeout: float = 30.0) -> Producer:
        """Make a producer that knows all servers started so far."""
        producer = Producer(self.address, self._recorder(name), strict=strict, call_timeout=call_timeout)
        self.producers.append(producer)
        return producer

    def open_gate(self, name: str) -> None:
        """Let every job go on that this gate holds."""
        (self.gates / name).touch()

    def expect(self, *, log: str) -> None:
        """Allow a text in the logs of this run."""
        self.nemesis.write("expect", log=log)

    def seen(self, op: str, *, proc: str | None = None, job: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far of one op, of a process, of a job."""
        self._catch_up()
        events = self._seen[op]
        return [event for event in events if proc in {None, event["proc"]} and job in {None, event.get("job")}]

    def noted(self, proc: str, what: str) -> int:
        """Return how often a raw worker has noted something of its stream."""
        return sum(event["what"] == what for event in self.seen("noted", proc=proc))

    async def started(self, count: int, proc: str | None = None, within: float = 15.0) -> list[dict[str, Any]]:
        """Wait until so many handlers have begun; return their events."""
        await until(
            f"{count} handlers begin in {proc or 'any worker'}", lambda: len(self.seen("start", proc=proc)) >= count, within
        )
        return self.seen("start", proc=proc)

    async def judge(self, *, queues: Sequence[str] = ("main",), quiet: Sequence[str] = ("main",), recount: bool = True) -> Report:
        """Wait until nothing changes in the quiet queues, dump the store, read the logs, and judge the whole history."""
        client = AsyncClient(options=Options(address=self.address))
        try:
            await dump(client, self.store if recount else None, self._recorder("store"), queues, quiet=quiet)
        finally:
            await client.close()
        self._read_logs()
        report = judge(read_history(self.directory.glob("*.jsonl")))
        print(report)
        return report

    async def close(self) -> None:
        """End every program and client."""
        for producer in self.producers:
            await producer.close()
        for program in self._programs.values():
            program.put_away()

    def _recorder(self, name: str) -> Recorder:
        return Recorder(self._history(name), name)

    def _history(self, name: str) -> Path:
        return self.directory / f"{name}.jsonl"

    def _program(self, name: str, command: Sequence[str | Path], env: Mapping[str, str]) -> Program:
        assert name not in self._programs, name
        log = self.directory / f"{name}.log"
        program = self._programs[name] = Program(name, command, env=env, log=log, nemesis=self.nemesis)
        return program

    def _catch_up(self) -> None:
        for path in self.directory.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                for line in file:
                    if line.endswith(b"\n"):
                        self._read[path] += len(line)
                        event = orjson.loads(line)
                        self._seen[event["op"]].append(event)

    def _read_logs(self) -> None:
        """Put into the history what no server and no worker should ever log."""
        recorder = self._recorder("logs")
        for name, program in self._programs.items():
            for line in program.log.read_text(errors="replace").splitlines() if program.log.exists() else ():
                if (message := _complaint(line)) is not None:
                    recorder.write("log", "error", proc=name, message=message)


def _complaint(line: str) -> str | None:
    """Return the message of a log line at ERROR or worse, or of a sign that something went unnoticed."""
    if line.startswith("{"):
        record: dict[str, Any] = json.loads(line)
        return line[:2000] if str(record.get("level")).lower() in {"error", "critical", "fatal"} else None
    signs = ("Traceback (most recent call last)", "never retrieved", "was never awaited", "Fatal Python error")
    return line if any(sign in line for sign in signs) else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
