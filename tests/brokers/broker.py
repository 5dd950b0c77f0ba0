"""One broker: a Java process on its own directory and ports, which may be stopped, killed, frozen and started again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers.jars import LOGGING
from tests.brokers.properties import Ports
from tests.private_server import Account, ServerUnavailable

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_LOG_TAIL: Final = 4000
_HEAP: Final = "256m"
_OURSELVES: Final = Account(uid=None, gid=None)
# The process writes its id before it becomes the broker: at no moment does one run that the guard knows nothing of.
_RUN: Final = 'echo $$ >"$0"; exec "$@"'
# Short lives on few cores: no second compiler, no threads of a collector; nothing outside the directory.
_JVM: Final = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true"]


class PortTaken(Exception):
    """Somebody else listens where the broker wanted to."""


@dataclass(slots=True, kw_only=True)
class Broker:
    """A broker of a cluster. Its address stays the same over restarts."""

    node: int
    ports: Ports
    home: Path
    java: str = field(repr=False)
    jars: Path = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def address(self) -> str:
        """Return where clients find it without a password."""
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def log(self) -> Path:
        """Return what it says, over all its lives."""
        return self.home / "server.log"

    @property
    def properties(self) -> Path:
        """Return its settings."""
        return self.home / "server.properties"

    @property
    def data(self) -> Path:
        """Return the directory of its records."""
        return self.home / "data"

    @property
    def pid(self) -> int:
        """Return the id of its process, which must run."""
        return self._running().pid

    def is_running(self) -> bool:
        """Tell whether its process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it on the data that it has and wait until it serves. Raises PortTaken, ServerUnavailable."""
        self.launch()
        self.wait_until_ready()

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it in order: it hands over what it leads. After 20 s it is killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def format(self, cluster: str, quorum: str) -> None:
        """Prepare its directory for the first start. Raises ServerUnavailable."""
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(self.properties)]
        code, output = _OURSELVES.run(self._java("64m", [*tool, "--initial-controllers", quorum]), cwd=self.home)
        if code:
            raise ServerUnavailable(f"its storage could not be formatted: {output.strip()[-_LOG_TAIL:]}")

    def launch(self) -> None:
        """Start its process, without waiting for it; of a cluster the first can only serve with others."""
        assert not self.is_running(), f"broker {self.node} runs"
        command = self._java(_HEAP, ["kafka.Kafka", str(self.properties)])
        with self.log.open("ab") as log:
            self._process = _OURSELVES.popen(
                ["/bin/sh", "-c", _RUN, str(self._pid_file), *command],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log.fileno(),
                stderr=log.fileno(),
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers and counts itself among the brokers. Raises PortTaken, ServerUnavailable."""
        end = time.monotonic() + _START_SECONDS
        while not self._listens():
            self._check_alive(end)
            time.sleep(0.05)
        # Asked through its own address: the others would know it from before.
        quietly = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
        admin = AdminClient({"bootstrap.servers": self.address, "socket.timeout.ms": 2000, **quietly})
        while not self._is_registered(admin):
            self._check_alive(end)
            time.sleep(0.05)

    def log_tail(self) -> str:
        """Return the last that it said."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL:] if self.log.exists() else ""

    @property
    def _pid_file(self) -> Path:
        return self.home / "pid"

    def _java(self, heap: str, arguments: Sequence[str]) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={LOGGING}"
        memory = [f"-Xms{heap}", f"-Xmx{heap}", f"-Djava.io.tmpdir={self.home}"]
        return [self.java, "-cp", f"{self.jars}/*", logging, *_JVM, *memory, *arguments]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"broker {self.node} was not started"
        assert self._process.poll() is None, f"broker {self.node} does not run: {self.log_tail()}"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process = self._running()
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports.plain), 0.2):
            return True
        return False

    def _is_registered(self, admin: AdminClient) -> bool:
        with suppress(KafkaException):
            return self.node in admin.list_topics(timeout=2).brokers
        return False

    def _check_alive(self, end: float) -> None:
        if not self.is_running():
            said = self.log_tail()
            if "Address already in use" in said:
                raise PortTaken
            raise ServerUnavailable(f"Kafka did not start: {said.strip()}")
        if time.monotonic() > end:
            raise ServerUnavailable(f"Kafka was not ready after {_START_SECONDS:.0f} s: {self.log_tail().strip()}")
