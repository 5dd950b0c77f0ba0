"""Brokers that belong together, on ports and directories of their own, and the guard that ends them with us."""

import secrets
import shutil
import socket
import subprocess
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient, NewTopic

from tests.brokers.broker import Broker, PortTaken
from tests.brokers.jars import find_jars, find_java
from tests.brokers.properties import Login, Ports, controllers, new_uuid, server_properties
from tests.certificates import Authority
from tests.private_server import Account, ServerUnavailable, make_home, stop

_PORT_TRIES: Final = 5
_ADMIN_SECONDS: Final = 30.0
# Below the ports that the system gives to outgoing connections: while a broker is down, no client's attempt to reach it may
# end up on its port, from where it would keep the broker out.
_PORTS: Final = range(20_000, 32_000)
_USER: Final = "protojobs"

# $1 is the directory. Killed processes may still have written into it, hence the loop.
_GUARD: Final = """
dir=$1
trap '' HUP INT TERM
cat >/dev/null
for file in "$dir"/*/pid; do
  [ -e "$file" ] && pid=$(cat "$file") && grep -qF -- "$dir" "/proc/$pid/cmdline" 2>/dev/null && kill -KILL "$pid"
done
cd / && until rm -rf "$dir"; do sleep 0.1; done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCluster:
    """Running brokers. The password is that of the secure listener, where there is one; the other listener asks for none."""

    brokers: tuple[Broker, ...]
    password: str = field(repr=False)
    ca: Path

    @property
    def servers(self) -> str:
        """Return the addresses of all brokers, as `bootstrap.servers` takes them."""
        return ",".join(broker.address for broker in self.brokers)

    def secure(self, password: str | None = None) -> dict[str, Any]:
        """Return the configuration of a client that comes over TLS with a password, by default the right one."""
        return {
            "bootstrap.servers": ",".join(f"127.0.0.1:{broker.ports.secure}" for broker in self.brokers),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": _USER,
            "sasl.password": self.password if password is None else password,
            "ssl.ca.location": str(self.ca),
        }

    def admin(self) -> AdminClient:
        """Return a client that makes and drops topics; it says nothing on stderr while brokers are away."""
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0, "reconnect.backoff.max.ms": 200})

    def create_topic(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Create a topic with a copy on each broker. Raises KafkaException."""
        topic = NewTopic(name, partitions, len(self.brokers), config=dict(config or {}))
        # A name of its own: without the client there is nobody who would end the futures.
        admin = self.admin()
        _wait(admin.create_topics([topic], operation_timeout=_ADMIN_SECONDS))

    def drop_topics(self, prefix: str) -> None:
        """Drop every topic whose name begins with `prefix`. Raises KafkaException."""
        admin = self.admin()
        names = [name for name in admin.list_topics(timeout=_ADMIN_SECONDS).topics if name.startswith(prefix)]
        if names:
            _wait(admin.delete_topics(names, operation_timeout=_ADMIN_SECONDS))

    def leader(self, topic: str, partition: int = 0) -> Broker | None:
        """Return the broker that leads a partition, None while there is none. Raises KafkaException."""
        leader = self.admin().list_topics(topic, timeout=_ADMIN_SECONDS).topics[topic].partitions[partition].leader
        return next((broker for broker in self.brokers if broker.node == leader), None)

    def log_tail(self) -> str:
        """Return the last that each broker said."""
        return "\n".join(f"broker {broker.node}: {broker.log_tail()}" for broker in self.brokers)


@contextmanager
def running_brokers(count: int = 1, *, secure: bool = False, options: Mapping[str, str] | None = None) -> Generator[KafkaCluster]:
    """Start fresh brokers, each also a controller, and remove them, with their directories, at the end.

    Topics have a copy on each; of three, two must be there to write. `secure` adds a listener for TLS and a password.
    `options` are lines of server.properties beside the defaults. Raises ServerUnavailable.
    """
    java, jars = find_java(), find_jars()
    for _ in range(_PORT_TRIES):
        home = make_home("protojobs-kafka-", in_memory=True)
        guard = _guard(home)
        try:
            cluster = _prepare(home, java, jars, count, secure=secure, options=options or {})
            for broker in cluster.brokers:
                broker.launch()
            for broker in cluster.brokers:
                broker.wait_until_ready()
        except PortTaken:
            stop(guard)
            continue
        except BaseException:
            stop(guard)
            raise
        try:
            yield cluster
        finally:
            for broker in cluster.brokers:
                if broker.is_running():
                    broker.kill()
            stop(guard)
            shutil.rmtree(home, ignore_errors=True)
        return
    raise ServerUnavailable(f"Kafka found no free ports in {_PORT_TRIES} tries")


def _guard(home: Path) -> subprocess.Popen[bytes]:
    """Start what ends all brokers, and removes the directory, with its standard input: however this process ends."""
    return Account(uid=None, gid=None).popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(home)],
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _prepare(home: Path, java: str, jars: Path, count: int, *, secure: bool, options: Mapping[str, str]) -> KafkaCluster:
    """Give each broker its settings and a formatted directory."""
    nodes = {node: Ports(plain=_free_port(), controller=_free_port(), secure=_free_port()) for node in range(1, count + 1)}
    authority, password, ca, keystore = Authority(), secrets.token_hex(16), home / "ca.crt", home / "keystore.pem"
    pair = authority.server()
    ca.write_bytes(authority.pem)
    keystore.write_bytes(pair.key + pair.cert)
    login = Login(user=_USER, password=password, keystore=keystore) if secure else None
    brokers = tuple(
        Broker(node=node, ports=ports, home=home / f"broker-{node}", java=java, jars=jars) for node, ports in nodes.items()
    )
    cluster, quorum = new_uuid(), controllers(nodes, [new_uuid() for _ in nodes])
    for broker in brokers:
        broker.home.mkdir()
        broker.properties.write_text(server_properties(broker.node, nodes, broker.data, login=login, options=options))
        broker.format(cluster, quorum)
    return KafkaCluster(brokers=brokers, password=password, ca=ca)


def _free_port() -> int:
    while True:
        # Not from `random`, which pytest-randomly seeds alike in all processes.
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _wait(futures: Mapping[str, "Future[None]"]) -> None:
    for future in futures.values():
        future.result(_ADMIN_SECONDS)
