"""compose.yaml is valid, and what it says to a server and to a worker is what they take."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from protojobs_service.settings import Settings
from protojobs_worker import WorkerOptions

from tests.brokers.cluster import KafkaCluster
from tests.conftest import NOT_GIVEN_HERE
from tests.postgres import Cluster
from tests.release.dockerfile import ROOT, read_stages

BIN = Path(sys.executable).parent
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
PROFILES = ("postgres", "kafka")


def test_it_is_a_compose_file() -> None:
    command: list[str | Path] = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_a_store_a_server_a_worker_and_a_collector(profile: str) -> None:
    members = {name for name, service in SERVICES.items() if profile in service["profiles"]}

    targets = [OURS[name]["build"]["target"] for name in members & OURS.keys()]

    assert sorted(targets) == ["server", "worker"]
    assert {"collector", profile} <= members
    for name in members:
        assert set(SERVICES[name].get("depends_on", ())) <= members


def test_its_images_are_those_of_the_dockerfile_and_may_write_nothing_but_their_state() -> None:
    stages = read_stages(ROOT / "Dockerfile")

    for service in OURS.values():
        assert service["build"]["target"] in stages
        assert service["image"].startswith(f"ghcr.io/proto-jobs/{service['build']['target']}:")
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert all(re.search(r":/var/lib/protojobs$|:ro$", volume) for volume in service.get("volumes", ()))


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_there_is_time_to_stop() -> None:
    settings, worker = Settings(), WorkerOptions(queues={"q": 1})
    least = {"server": settings.shutdown.delay + settings.shutdown.grace, "worker": worker.grace + worker.stop_grace}

    for service in OURS.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > least[service["build"]["target"]]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_server_and_worker_pass_a_job_on_postgres(postgres_cluster: Cluster, hosts: Path) -> None:
    database = postgres_cluster.create_database()
    said = SERVICES["server"]["environment"]
    here = f"postgres:{postgres_cluster.password}@postgres:{postgres_cluster.port}/{database}"
    dsn = said["PROTOJOBS_POSTGRES__DSN"].replace("protojobs:protojobs@postgres:5432/protojobs", here)

    pass_a_job("server", {**said, "PROTOJOBS_POSTGRES__DSN": dsn}, hosts)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_server_and_worker_pass_a_job_on_kafka(kafka_broker: KafkaCluster, kafka_prefix: str, hosts: Path) -> None:
    said = SERVICES["server-kafka"]["environment"]
    port = kafka_broker.servers.rpartition(":")[2]
    brokers = said["PROTOJOBS_KAFKA__BROKERS"].replace("19092", port)
    # The broker is shared by tests; nothing else tells its servers apart.
    prefix = kafka_prefix.replace(".", "-")

    pass_a_job("server-kafka", {**said, "PROTOJOBS_KAFKA__BROKERS": brokers, "PROTOJOBS_KAFKA__PREFIX": prefix}, hosts)


def pass_a_job(name: str, said: Mapping[str, str], hosts: Path) -> None:
    """Run a server as the file says, ask for its health in the file's words, and let the file's worker run a job."""
    environment = {**image_environment("server"), **said, "PROTOJOBS_PORT": "0", "PROTOJOBS_ADMIN_PORT": "0"}
    del environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
    directory = hosts.parent
    program, *words = SERVICES[name]["healthcheck"]["test"][1:]
    assert program == "protojobs"
    with running([BIN / "protojobs", *SERVICES[name]["command"]], environment, directory, hosts) as server:
        port = started(server)["address"].rpartition(":")[2]
        to_server = {"PROTOJOBS_ADDRESS": f"127.0.0.1:{port}"}
        worker = [str(word).replace("50051", port).replace("9000", "0") for word in SERVICES["worker"]["command"]]
        with running([BIN / "python", "-m", "protojobs_worker", *worker], {}, ROOT / "examples", hosts):
            dispatch = ["dispatch", "greet", "--queue", "greetings", "--data", '{"name": "Ann"}', "--wait"]
            dispatched = finish([BIN / "protojobs", *dispatch], to_server, directory)
        healthy = finish([BIN / "protojobs", *words], to_server, directory)

    assert dispatched[0] == 0, dispatched[1]
    assert "Hello Ann" in dispatched[1]
    assert healthy[0] == 0, healthy[1]


def image_environment(target: str) -> dict[str, str]:
    """Return the variables of an image that its programs read."""
    words = " ".join(read_stages(ROOT / "Dockerfile")[target].all("ENV")).split()
    found = dict(word.split("=", 1) for word in words)
    # The side store: in the directory in which the program runs.
    return {**found, "PROTOJOBS_SQLITE__PATH": "protojobs.db"}


@contextmanager
def running(command: list[str | Path], env: Mapping[str, str], directory: Path, hosts: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program for which the names in a file of hosts hold; it is gone when the context ends."""
    named: list[str | Path] = [
        "unshare",
        "--mount",
        "/bin/sh",
        "-euc",
        'mount --bind "$1" /etc/hosts; shift; exec "$@"',
        "named",
        hosts,
    ]
    with subprocess.Popen(
        [*named, *command],
        cwd=directory,
        env=clean(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """Make a file of hosts in which the services are this machine."""
    if os.geteuid() != 0:
        pytest.skip(f"{NOT_GIVEN_HERE}names of its own: needs root")
    file = tmp_path / "hosts"
    file.write_text(f"127.0.0.1 localhost {' '.join(SERVICES)}\n")
    return file


def finish(command: list[str | Path], env: Mapping[str, str], directory: Path) -> tuple[int, str]:
    """Run a program to its end; return the exit code and the output."""
    done = subprocess.run(command, cwd=directory, env=clean(env), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return our environment, with these variables as the only ones that configure a program."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PROTOJOBS_", "OTEL_"))}
    return {**ours, **env}


def started(server: subprocess.Popen[str]) -> dict[str, str]:
    """Wait until a server says that it has started; return what it says."""
    assert server.stdout is not None
    lines: list[str] = []
    for line in server.stdout:
        lines.append(line)
        event: dict[str, str] = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "server started":
            return event
    raise AssertionError("".join(lines))
