"""Servers as real processes, on a store and a port that they keep over restarts."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tests.chaos.processes import LEASH, ROOT
from tests.interop.languages import environment
from tests.interop.waiting import until
from tests.private_server import free_port

BIN: Final = Path(sys.executable).parent

# Short spans, so that what takes half a minute in production takes seconds here; not so short that a busy machine loses leases.
_SETTINGS: Final = {
    "PROTOJOBS_SESSION__TTL": "5",
    "PROTOJOBS_SESSION__RECONNECT_GRACE": "3",
    "PROTOJOBS_SHUTDOWN__GRACE": "5",
    "PROTOJOBS_SHUTDOWN__DELAY": "0",
    "PROTOJOBS_LOG__FORMAT": "json",
    "PROTOJOBS_ADMIN_PORT": "0",
}
_SERVES_SECONDS: Final = 60.0


class Server:
    """One `protojobs serve`."""

    def __init__(self, log: Path, store: Mapping[str, str], settings: Mapping[str, str] | None = None) -> None:
        """`store` and `settings` are PROTOJOBS_* variables. Nothing runs before `start`."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._log = log
        self._env = {**environment(), **_SETTINGS, **store, "PROTOJOBS_PORT": str(self.port), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Start it. Call this on the main thread only: it ends with the thread that has started it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-SEc", LEASH, str(BIN / "protojobs"), "serve", "--migrate"],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def ready(self, credentials: grpc.ChannelCredentials | None = None) -> "Server":
        """Wait until its health is SERVING."""
        options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
        channel = (
            grpc.insecure_channel(self.address, options)
            if credentials is None
            else grpc.secure_channel(self.address, credentials, options)
        )
        with channel:
            until(f"the server at {self.address} serves", lambda: self._serves(channel), within=_SERVES_SECONDS)
        return self

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self._signal(signal.SIGKILL)

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(what)
            self._process.wait(_SERVES_SECONDS)

    def _serves(self, channel: grpc.Channel) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended:\n{self._log.read_text(errors='replace')[-3000:]}")
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            answer: HealthCheckResponse = check(HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING
