"""Jobs that fail for good, in the dead-letter topic of a real broker."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from protojobs.v1 import job_pb2
from protojobs_service.domain.job import JobId
from protojobs_service.drivers.kafka.driver import KafkaDriver
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options as StoreOptions

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.contract.acts import FAIL_FOR_GOOD, connect, new_job, settle_well, store_all, wish
from tests.contract.backends import FakeRoom, NamedFollowUps, fingerprint, unique_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "dead-letters.md").read_text()

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]


@asynccontextmanager
async def opened(cluster: KafkaCluster, prefix: str, path: Path, *, dead_letters: bool = True) -> AsyncGenerator[KafkaDriver]:
    """Open the driver over a SQLite file."""
    url = f"sqlite:///{path}/jobs.db"
    await upgrade(url)
    store = SqliteStore(StoreOptions(url=url))
    side = SqlDriver(store, fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica="test")
    options = Options(
        brokers=cluster.servers,
        prefix=prefix.rstrip("."),
        replication=1,
        partitions=1,
        session_timeout_s=6,
        delivery_timeout_s=2,
        dead_letters=dead_letters,
    )
    driver = KafkaDriver(side, options)
    await driver.open(FakeRoom(), NamedFollowUps())
    try:
        yield driver
    finally:
        await driver.close()


async def fail(driver: KafkaDriver, count: int) -> list[JobId]:
    """Have new jobs fail for good."""
    ids = await store_all(driver, [new_job() for _ in range(count)])
    worker = await connect(driver, "q", slots=100)
    failed: set[JobId] = set()

    async def have_failed() -> bool:
        for lease in await driver.jobs.claim([wish(worker, limit=100)]):
            await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
            failed.add(lease.id)
        return failed >= set(ids)

    await until(f"{count} jobs have failed", have_failed)
    return ids


def letters(cluster: KafkaCluster, prefix: str) -> list[Message]:
    """Return all that lies in the dead-letter topic."""
    topic = f"{prefix}dead-letter"
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": "reader", "log_level": 0})
    try:
        if topic not in consumer.list_topics(timeout=30).topics:
            return []
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
        consumer.assign([TopicPartition(topic, 0, low)])
        return consumer.consume(high - low, 30) if high > low else []
    finally:
        consumer.close()


def ids_of(messages: Sequence[Message]) -> list[JobId]:
    """Return whose letters these are."""
    return [JobId(UUID(headers_of(each)["protojobs-id"]).bytes) for each in messages]


def headers_of(message: Message) -> dict[str, str]:
    """Return the headers of a letter as text."""
    pairs: list[tuple[str, bytes]] = cast("list[tuple[str, bytes]]", message.headers() or [])
    return {name: value.decode() for name, value in pairs}


async def until_there(cluster: KafkaCluster, prefix: str, ids: Sequence[JobId]) -> list[Message]:
    """Wait until each of these jobs has its letter; return all letters."""

    def found() -> list[Message] | None:
        messages = letters(cluster, prefix)
        return messages if set(ids_of(messages)) >= set(ids) else None

    messages: list[Message] = await until(f"{len(ids)} jobs lie in the dead-letter topic", found, within=30, every=0.2)
    return messages


async def test_a_failed_job_lies_in_the_dead_letter_topic_with_its_error(
    kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path
) -> None:
    before = datetime.now(UTC)
    async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
        [job_id] = await fail(driver, 1)
        [letter] = await until_there(kafka_broker, kafka_prefix, [job_id])
        [job] = await driver.jobs.get([job_id])

    headers = headers_of(letter)
    assert job is not None
    assert letter.value() == job.envelope
    assert headers["protojobs-id"] == str(UUID(bytes=job_id))
    assert headers["protojobs-error-message"] == FAIL_FOR_GOOD.error.message
    failed_at = datetime.fromisoformat(headers["protojobs-failed-at"])
    assert before <= failed_at <= datetime.now(UTC)


async def test_dead_letters_are_kept_for_30_days(kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path) -> None:
    async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
        await until_there(kafka_broker, kafka_prefix, await fail(driver, 1))

    asked = ConfigResource(ResourceType.TOPIC, f"{kafka_prefix}dead-letter")
    admin = kafka_broker.admin()
    config = admin.describe_configs([asked])[asked].result(timeout=30)
    assert config["retention.ms"].value == str(30 * 24 * 3600 * 1000)


async def test_no_failed_job_is_left_out_or_appended_twice_when_servers_come_and_go(
    kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path
) -> None:
    failed: list[JobId] = []
    for _ in range(3):
        async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
            failed += await fail(driver, 20)
            await until_there(kafka_broker, kafka_prefix, failed[:-10])
    async with opened(kafka_broker, kafka_prefix, tmp_path):
        messages = await until_there(kafka_broker, kafka_prefix, failed)

    assert set(ids_of(messages)) == set(failed)
    # What was under way at a close is appended again by the next server.
    assert len(messages) <= 2 * len(failed)


async def test_jobs_that_fail_while_kafka_is_down_are_appended_when_it_is_back(own_kafka: KafkaCluster, tmp_path: Path) -> None:
    [broker] = own_kafka.brokers
    async with opened(own_kafka, "down.", tmp_path) as driver:
        ids = await store_all(driver, [new_job() for _ in range(5)])
        worker = await connect(driver, "q", slots=10)
        leases = await driver.jobs.claim([wish(worker, limit=10)])
        assert {lease.id for lease in leases} == set(ids)
        broker.kill()
        for lease in leases:
            await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
        broker.start()

        messages = await until_there(own_kafka, "down.", ids)

    assert set(ids_of(messages)) == set(ids)


async def test_nothing_is_appended_where_the_settings_say_so(kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path) -> None:
    async with opened(kafka_broker, kafka_prefix, tmp_path, dead_letters=False) as driver:
        before = await fail(driver, 3)
    async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
        later = await fail(driver, 1)
        messages = await until_there(kafka_broker, kafka_prefix, later)

    assert set(before).isdisjoint(ids_of(messages))


async def test_the_program_of_the_page_reads_failed_jobs(kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path) -> None:
    async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
        spec = job_pb2.JobSpec(queue="q", kind="export", payload=b"payload")
        job = new_job(kind="export")._replace(envelope=spec.SerializeToString())
        await driver.jobs.dispatch([job])
        worker = await connect(driver, "q")
        [lease] = await driver.jobs.claim([wish(worker)])
        await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
        await until_there(kafka_broker, kafka_prefix, [job.id])
    program: dict[str, Any] = {}
    exec(compile(PAGE.partition("```python\n")[2].partition("```")[0], "dead-letters.md", "exec"), program)  # noqa: S102 # our own

    line = next(program["failures"](kafka_broker.servers, f"{kafka_prefix}dead-letter"))

    assert line == f"{UUID(bytes=job.id)} export: {FAIL_FOR_GOOD.error.message}"


async def test_letters_that_a_topic_does_not_take_for_their_size_come_without_their_value_and_keep_none_back(
    kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path
) -> None:
    async with opened(kafka_broker, kafka_prefix, tmp_path) as driver:
        await until_there(kafka_broker, kafka_prefix, await fail(driver, 1))
        topic = ConfigResource(ResourceType.TOPIC, f"{kafka_prefix}dead-letter")
        topic.add_incremental_config(ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET))
        admin = kafka_broker.admin()
        admin.incremental_alter_configs([topic])[topic].result(timeout=30)
        jobs = [new_job(body=bytes(size)) for size in (10, 50_000, 10)]
        await store_all(driver, jobs)
        worker = await connect(driver, "q")
        for lease in await driver.jobs.claim([wish(worker, limit=3)]):
            await settle_well(driver, worker, lease, FAIL_FOR_GOOD)

        found = await until_there(kafka_broker, kafka_prefix, [job.id for job in jobs])

    left_out = {
        JobId(UUID(headers["protojobs-id"]).bytes) for each in found if "protojobs-left-out" in (headers := headers_of(each))
    }
    assert left_out == {jobs[1].id}
