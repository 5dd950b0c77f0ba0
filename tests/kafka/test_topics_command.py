"""`protojobs kafka topics` on a real broker, and what a server says at its start of topics that can lose jobs."""

import asyncio
import json
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from protojobs_client import AsyncClient
from protojobs_service.compose import start_server, upgrade_schema
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.complaints import Complaints
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.survey import UnsafeTopics
from protojobs_service.drivers.kafka.topics import Place
from protojobs_service.settings import Settings, load

from tests.brokers.cluster import KafkaCluster
from tests.certificates import Authority
from tests.unit.cli.conftest import run

pytestmark = pytest.mark.timeout(180)

_SECONDS = 30.0
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "kafka-topics.md"
_OWN: dict[str, Any] = {"port": 0, "admin_port": 0, "shutdown": {"grace": 1}}


class Installation:
    """Settings in the environment, and a side store in which there is a queue `mail`."""

    def __init__(self, cluster: KafkaCluster, prefix: str, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.cluster, self.prefix, self._monkeypatch = cluster, prefix.rstrip("."), monkeypatch
        self.topics = [f"{self.prefix}.mail.{band}" for band in (3, 6, 9)]
        self.set(SQLITE__PATH=str(path / "jobs.db"))
        self.set(KAFKA__BROKERS=cluster.servers, KAFKA__PREFIX=self.prefix, KAFKA__REPLICATION="1", KAFKA__PARTITIONS="2")
        asyncio.run(_leave_queue(load(driver="sqlite", **_OWN)))

    def set(self, **values: str) -> None:
        """Put settings into the environment."""
        for name, value in values.items():
            self._monkeypatch.setenv(f"PROTOJOBS_{name}", value)

    def alter(self, topic: str, **values: str) -> None:
        """Set settings of a topic, whose dots are written as `__`."""
        entries = [
            ConfigEntry(name.replace("__", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in values.items()
        ]
        admin = self.cluster.admin()
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(_SECONDS)

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return len(self.cluster.admin().list_topics(topic, timeout=_SECONDS).topics[topic].partitions)

    async def serve(self) -> None:
        """Start a server and stop it again."""
        async with start_server(load(driver="kafka", **_OWN)):
            pass


async def _leave_queue(settings: Settings) -> None:
    await upgrade_schema(settings)
    async with start_server(settings) as server, AsyncClient(server.address) as client:
        await client.dispatch("welcome", queue="mail")


@pytest.fixture
def warned_of() -> Iterator[list[tuple[str, str]]]:
    """Hold what is warned of, by topic; the commands of a test set the logs of the process to their own needs."""
    heard: list[tuple[str, str]] = []

    class Hear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append((vars(record)["topic"], vars(record)["what"]))

    handler, logger = Hear(), logging.getLogger("protojobs_service.drivers.kafka.survey")
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield heard
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


@pytest.fixture
def installation(kafka_broker: KafkaCluster, kafka_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Installation:
    return Installation(kafka_broker, kafka_prefix, monkeypatch, tmp_path)


def test_topics_that_a_queue_lacks_are_planned_and_made_once(installation: Installation) -> None:
    planned = json.loads(run("kafka", "topics", "plan", "--json").stdout)
    unchanged = run("kafka", "topics", "plan")
    made = run("kafka", "topics", "apply")
    again = run("kafka", "topics", "apply")
    checked = run("kafka", "topics", "check")

    assert [each["topic"] for each in planned] == installation.topics
    assert {(each["found"], each["wanted"], each["remedy"], each["loses"]) for each in planned} == {("none", "2", "create", False)}
    assert all(topic in unchanged.stdout for topic in installation.topics)
    assert made.exit_code == 0
    assert [installation.partitions(topic) for topic in installation.topics] == [2, 2, 2]
    assert (again.exit_code, again.stdout.strip()) == (0, "nothing to do")
    assert (checked.exit_code, checked.stdout.strip()) == (0, "topics are as they should be")


def test_what_is_otherwise_is_told_line_by_line_and_mended(installation: Installation) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    first = installation.topics[0]
    installation.alter(first, retention__ms="60000", unclean__leader__election__enable="true", max__message__bytes="1000")
    installation.set(KAFKA__PARTITIONS="3")

    checked = run("kafka", "topics", "check")
    mended = run("kafka", "topics", "apply")
    after = run("kafka", "topics", "check", "--json")

    assert checked.exit_code == 1
    assert checked.stdout.splitlines() == [
        f"{first}: max.message.bytes is 1000, not 4194304",
        f"{first}: partitions is 2, not 3",
        f"{first}: retention.ms is 60000, not -1; jobs can be lost",
        f"{first}: unclean.leader.election.enable is true, not false; jobs can be lost",
        *(f"{topic}: partitions is 2, not 3" for topic in installation.topics[1:]),
    ]
    assert mended.exit_code == 0
    assert (after.exit_code, json.loads(after.stdout)) == (0, [])
    assert [installation.partitions(topic) for topic in installation.topics] == [3, 3, 3]


def test_every_command_of_the_page_does_something(installation: Installation) -> None:
    blocks = [part.partition("```")[0] for part in _PAGE.read_text().split("```sh\n")[1:]]
    commands = [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]

    assert [run(*command).exit_code for command in commands] == [0, 0, 0]


def test_partitions_are_never_taken_away(installation: Installation) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    installation.set(KAFKA__PARTITIONS="1")

    assert run("kafka", "topics", "apply").exit_code == 0
    assert installation.partitions(installation.topics[0]) == 2


def test_what_only_people_can_mend_is_left_to_them(installation: Installation) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    installation.set(KAFKA__REPLICATION="2")

    result = run("kafka", "topics", "apply", "--json")

    assert result.exit_code == 1
    assert {(each["what"], each["found"], each["wanted"], each["remedy"]) for each in json.loads(result.stdout)} == {
        ("brokers", "1", "2", "by hand"),
        ("replication", "1", "2", "by hand"),
    }


def test_topics_of_queues_that_the_side_store_keeps_for_itself_are_not_missed(installation: Installation) -> None:
    asyncio.run(_limit_depth(load(driver="sqlite", **_OWN)))

    assert run("kafka", "topics", "check").exit_code == 0


@pytest.mark.parametrize(
    ("setting", "value"), [("unclean.leader.election.enable", "true"), ("retention.ms", "60000"), ("retention.bytes", "1000000")]
)
def test_a_server_refuses_topics_that_can_lose_jobs(installation: Installation, setting: str, value: str) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    installation.alter(installation.topics[1], **{setting.replace(".", "__"): value})

    with pytest.raises(UnsafeTopics) as caught:
        asyncio.run(installation.serve())

    assert f"{installation.topics[1]}: {setting} is {value}" in caught.value.message
    assert "kafka.unsafe_topics" in caught.value.message


def test_a_server_refuses_topics_with_fewer_copies_than_are_set(installation: Installation) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    asyncio.run(installation.serve())
    installation.set(KAFKA__REPLICATION="3")

    with pytest.raises(UnsafeTopics, match=r"replication is 1, not 3; jobs can be lost \(2 more findings\)"):
        asyncio.run(installation.serve())


def test_a_server_that_is_told_to_serves_unsafe_topics_and_warns(
    installation: Installation, warned_of: list[tuple[str, str]]
) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    installation.alter(installation.topics[1], retention__ms="60000")
    installation.set(KAFKA__UNSAFE_TOPICS="true")

    asyncio.run(installation.serve())

    assert warned_of == [(installation.topics[1], "retention.ms")]


def test_a_server_serves_topics_with_too_few_partitions_and_warns(
    installation: Installation, warned_of: list[tuple[str, str]]
) -> None:
    assert run("kafka", "topics", "apply").exit_code == 0
    installation.set(KAFKA__PARTITIONS="3")

    asyncio.run(installation.serve())

    assert warned_of == [(topic, "partitions") for topic in installation.topics]


def test_no_brokers_are_a_matter_of_settings() -> None:
    result = run("kafka", "topics", "check")

    assert result.exit_code == 2
    assert "kafka.brokers" in result.stderr


def test_a_wrong_password_is_told_at_once_and_not_shown(
    installation: Installation, secure_kafka: KafkaCluster, capfd: pytest.CaptureFixture[str]
) -> None:
    _come_over_tls(installation, secure_kafka, password="something else")

    checked = run("kafka", "topics", "check")
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(installation.serve())

    assert checked.exit_code == 3
    assert "Kafka refuses the credentials of this service" in checked.stderr
    assert caught.value.message == "Kafka refuses the credentials of this service"
    assert "something else" not in f"{checked.output} {capfd.readouterr()}"


def test_a_certificate_that_nobody_trusts_is_told_at_once(
    installation: Installation, secure_kafka: KafkaCluster, tmp_path: Path
) -> None:
    _come_over_tls(installation, secure_kafka)
    stranger = tmp_path / "ca.crt"
    stranger.write_bytes(Authority("another authority").pem)
    installation.set(KAFKA__CA=str(stranger))

    checked = run("kafka", "topics", "check")
    with pytest.raises(StoreUnavailable, match="no TLS with Kafka"):
        asyncio.run(installation.serve())

    assert checked.exit_code == 3
    assert "no TLS with Kafka" in checked.stderr


def test_a_dispatch_says_that_the_credentials_are_refused(secure_kafka: KafkaCluster) -> None:
    config = secure_kafka.secure(password="something else")
    complaints = Complaints()
    options = Options(brokers=config.pop("bootstrap.servers"), security=config, delivery_timeout_s=2)

    async def append() -> None:
        appender = Appender(complaints.told(options), complaints.explain)
        appender.open()
        try:
            await appender.append([Outgoing(Place("any.queue.9", 0), b"", 0)])
        finally:
            await appender.close()

    with pytest.raises(StoreUnavailable, match="Kafka refuses the credentials of this service"):
        asyncio.run(append())


def _come_over_tls(installation: Installation, cluster: KafkaCluster, password: str | None = None) -> None:
    config = cluster.secure(password)
    installation.set(
        KAFKA__BROKERS=config["bootstrap.servers"],
        KAFKA__SECURITY="sasl_ssl",
        KAFKA__SASL_MECHANISM="PLAIN",
        KAFKA__USERNAME=config["sasl.username"],
        KAFKA__PASSWORD=config["sasl.password"],
        KAFKA__CA=config["ssl.ca.location"],
    )


async def _limit_depth(settings: Settings) -> None:
    async with start_server(settings) as server, AsyncClient(server.address) as client:
        await client.update_queue("mail", max_depth=10)
