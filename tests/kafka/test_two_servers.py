"""Two servers on one PostgreSQL: what one of them held of the topics is run by the other, whatever became of the first."""

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.sql.migrate import upgrade

from tests.brokers.cluster import KafkaCluster
from tests.kafka.installation import Crew, Producer, opened, options_of, ready, until_shared
from tests.kafka.owner_program import postgres_side

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def owner(dsn: str, options: Options) -> Generator["subprocess.Popen[str]"]:
    """Run a second server's driver as a process."""
    program = [sys.executable, "-m", "tests.kafka.owner_program", dsn, options.brokers, options.prefix]
    with subprocess.Popen(program, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


@pytest.mark.kill
async def test_the_partitions_of_a_server_that_was_killed_run_elsewhere(
    kafka_broker: KafkaCluster, kafka_prefix: str, postgres_dsn: str
) -> None:
    await upgrade(postgres_dsn)
    options = options_of(kafka_broker, kafka_prefix)
    async with opened(postgres_side(postgres_dsn, "alive"), options) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        with owner(postgres_dsn, options) as other:
            await until_shared(kafka_broker, options, 1, 1)
            await producer.dispatch(500)
            await crew.run_all(driver, [first, *producer.acknowledged])
            await asyncio.gather(*(producer.dispatch(100) for _ in range(5)))
            other.kill()
            await producer.dispatch(500)

            await crew.run_all(driver, producer.acknowledged)
        await until_shared(kafka_broker, options, 2)


async def test_two_servers_hand_partitions_over_and_run_every_job_once(
    kafka_broker: KafkaCluster, kafka_prefix: str, postgres_dsn: str
) -> None:
    await upgrade(postgres_dsn)
    options = options_of(kafka_broker, kafka_prefix)
    async with opened(postgres_side(postgres_dsn, "one"), options) as one:
        crew, producer = Crew(), Producer(one)
        first = await ready(one)
        await producer.dispatch(500)
        async with opened(postgres_side(postgres_dsn, "two"), options) as two:
            await until_shared(kafka_broker, options, 1, 1)
            second = Producer(two)
            await asyncio.gather(producer.dispatch(500), second.dispatch(500))
            await crew.work(one)
            await crew.work(two)
            await second.dispatch(500)
        await until_shared(kafka_broker, options, 2)

        await crew.run_all(one, [first, *producer.acknowledged, *second.acknowledged])
