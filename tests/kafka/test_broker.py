"""The brokers of the tests are real ones: they keep records, elect leaders, ask for passwords, and end with their tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers.cluster import KafkaCluster
from tests.brokers.jars import find_jars, find_java
from tests.certificates import Authority
from tests.conftest import NOT_ON_THIS_MACHINE
from tests.kafka.records import produce, read
from tests.private_server import ServerUnavailable

# Each broker is a JVM that starts within the test.
pytestmark = pytest.mark.timeout(180)

_HOLDS_A_BROKER = """
from tests.brokers.cluster import running_brokers

with running_brokers() as cluster:
    [broker] = cluster.brokers
    print(broker.home.parent, broker.pid, flush=True)
    input()
"""


@pytest.fixture
def kafka_is_here() -> None:
    """Skip the test where this machine cannot run Kafka."""
    try:
        find_java()
        find_jars()
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}Kafka: {error}")


def test_topics_are_made_by_nobody_by_accident(kafka_broker: KafkaCluster, kafka_prefix: str) -> None:
    known = kafka_broker.admin().list_topics(f"{kafka_prefix}jobs", timeout=30).topics

    error = known[f"{kafka_prefix}jobs"].error
    assert error is not None
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_topics_are_dropped_by_their_prefix(kafka_broker: KafkaCluster, kafka_prefix: str) -> None:
    kafka_broker.create_topic(f"{kafka_prefix}a.jobs", partitions=3)
    kafka_broker.create_topic(f"{kafka_prefix}b.jobs")

    kafka_broker.drop_topics(f"{kafka_prefix}a.")

    assert [name for name in kafka_broker.admin().list_topics(timeout=30).topics if name.startswith(kafka_prefix)] == [
        f"{kafka_prefix}b.jobs"
    ]


def test_a_record_of_six_mebibytes_is_kept(kafka_broker: KafkaCluster, kafka_prefix: str) -> None:
    kafka_broker.create_topic(f"{kafka_prefix}jobs")
    large = os.urandom(6 * 1024**2)
    config = {"bootstrap.servers": kafka_broker.servers}

    offset = produce({**config, "message.max.bytes": 8 * 1024**2}, f"{kafka_prefix}jobs", large)

    assert read(config, f"{kafka_prefix}jobs", offset) == large


@pytest.mark.kill
def test_a_record_survives_a_broker_that_is_killed_and_started_again(own_kafka: KafkaCluster) -> None:
    [broker] = own_kafka.brokers
    config = {"bootstrap.servers": own_kafka.servers}
    own_kafka.create_topic("jobs")
    first = produce(config, "jobs", b"before the kill")

    broker.kill()
    with pytest.raises(KafkaException):
        own_kafka.admin().list_topics(timeout=0.5)
    broker.start()

    assert read(config, "jobs", first) == b"before the kill"
    assert produce(config, "jobs", b"after it") == first + 1


@pytest.mark.kill
def test_a_frozen_broker_answers_nothing_until_it_goes_on(own_kafka: KafkaCluster) -> None:
    [broker] = own_kafka.brokers
    admin = own_kafka.admin()
    admin.list_topics(timeout=30)

    broker.suspend()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.5)
    broker.resume()

    assert broker.node in admin.list_topics(timeout=30).brokers


@pytest.mark.kill
def test_three_brokers_elect_a_new_leader_when_theirs_is_killed(three_kafkas: KafkaCluster) -> None:
    config = {"bootstrap.servers": three_kafkas.servers}
    three_kafkas.create_topic("jobs")
    first = produce(config, "jobs", b"from all")
    leader = three_kafkas.leader("jobs")
    assert leader is not None

    leader.kill()

    assert produce(config, "jobs", b"from two") == first + 1
    assert three_kafkas.leader("jobs") in [each for each in three_kafkas.brokers if each is not leader]
    assert [read(config, "jobs", offset) for offset in (first, first + 1)] == [b"from all", b"from two"]


def test_the_right_password_is_let_in(secure_kafka: KafkaCluster) -> None:
    secure_kafka.create_topic("right.jobs")

    offset = produce(secure_kafka.secure(), "right.jobs", b"over TLS")

    assert read(secure_kafka.secure(), "right.jobs", offset) == b"over TLS"


def test_a_wrong_password_is_refused(secure_kafka: KafkaCluster) -> None:
    assert _refused(secure_kafka.secure(password="something else")) == KafkaError._AUTHENTICATION


def test_a_broker_whose_certificate_nobody_trusts_is_refused(secure_kafka: KafkaCluster, tmp_path: Path) -> None:
    stranger = tmp_path / "ca.crt"
    stranger.write_bytes(Authority("another authority").pem)

    assert _refused({**secure_kafka.secure(), "ssl.ca.location": str(stranger)}) == KafkaError._SSL


@pytest.mark.kafka
@pytest.mark.kill
def test_brokers_and_their_directory_go_when_the_tests_are_killed(kafka_is_here: None) -> None:
    program = [sys.executable, "-u", "-c", _HOLDS_A_BROKER]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        home, pid = tests.stdout.readline().split()
        broker = psutil.Process(int(pid))

        tests.send_signal(signal.SIGKILL)

        _until(lambda: _is_gone(broker))
        _until(lambda: not Path(home).exists())


def _refused(config: dict[str, Any]) -> int:
    """Return the first reason why a client does not get in, beside that there is no other broker."""
    heard: list[int] = []

    def hear(error: KafkaError) -> None:
        heard.append(error.code())

    admin = AdminClient({**config, "log_level": 0, "error_cb": hear})

    def reasons() -> list[int]:
        admin.poll(0.1)
        return [code for code in heard if code != KafkaError._ALL_BROKERS_DOWN]

    _until(reasons)
    return reasons()[0]


def _is_gone(process: psutil.Process) -> bool:
    try:
        # Its parent has ended, and who adopts it may not ask for its end.
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _until(probe: Callable[[], object]) -> None:
    """Ask again and again until the answer is true. Raises AssertionError after 30 s."""
    end = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
