"""What a broker of the tests is told: small, quick to notice who died, nothing created by accident."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAX_MESSAGE_BYTES: Final = 8 * 1024**2
_SMALL: Final = {
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.replica.fetchers": "1",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(4 * 1024**2),
    "log.segment.bytes": str(64 * 1024**2),
    "log.index.size.max.bytes": str(1024**2),
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.num.partitions": "1",
}
_QUICK: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "broker.heartbeat.interval.ms": "200",
    # The default of 9 s is what a restart after a kill would wait for.
    "broker.session.timeout.ms": "3000",
}
_STRICT: Final = {
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(_MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(_MAX_MESSAGE_BYTES),
    "num.partitions": "4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one broker on loopback; `secure` is 0 where there is no such listener."""

    plain: int
    controller: int
    secure: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who the secure listener lets in, and the PEM file of its key and certificate."""

    user: str
    password: str
    keystore: Path


def server_properties(node: int, nodes: Mapping[int, Ports], data: Path, *, login: Login | None, options: Mapping[str, str]) -> str:
    """Return the text of server.properties of one of the `nodes`; `options` override the rest."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "log.dirs": str(data),
        "controller.quorum.bootstrap.servers": ",".join(f"127.0.0.1:{ports.controller}" for ports in nodes.values()),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        **_listeners(nodes[node], login),
        **_replication(len(nodes)),
        **_SMALL,
        **_QUICK,
        **_STRICT,
        **options,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def controllers(nodes: Mapping[int, Ports], directories: Sequence[str]) -> str:
    """Return the first quorum as `kafka.tools.StorageTool` takes it: `id@host:port:directory`."""
    return ",".join(
        f"{node}@127.0.0.1:{ports.controller}:{directory}"
        for (node, ports), directory in zip(nodes.items(), directories, strict=True)
    )


def new_uuid() -> str:
    """Return an id as Kafka writes them: 16 bytes in URL-safe base64, and no `-` first, which would pass for an option."""
    while (text := base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _listeners(ports: Ports, login: Login | None) -> dict[str, str]:
    plain = f"PLAINTEXT://127.0.0.1:{ports.plain}"
    controller = f"CONTROLLER://127.0.0.1:{ports.controller}"
    protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    if login is None:
        return {
            "listeners": f"{plain},{controller}",
            "advertised.listeners": f"{plain},{controller}",
            "listener.security.protocol.map": protocols,
        }
    secure = f"SECURE://127.0.0.1:{ports.secure}"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": f"{plain},{secure},{controller}",
        "advertised.listeners": f"{plain},{secure},{controller}",
        "listener.security.protocol.map": f"{protocols},SECURE:SASL_SSL",
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(login.keystore),
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": f'{module} required user_{login.user}="{login.password}";',
    }


def _replication(count: int) -> dict[str, str]:
    """Keep everything on all brokers, and accept writes while one of three is away."""
    copies, enough = str(count), str(max(1, count - 1))
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": enough,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": enough,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": enough,
    }
