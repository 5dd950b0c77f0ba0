"""What a server on Kafka tells of itself on its admin port."""

from pathlib import Path

import pytest
from protojobs_client import AsyncClient
from protojobs_service.compose import make_driver, start_server, upgrade_schema

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.observability.live import read_metrics
from tests.wire.peer import connected, settings_for

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


async def test_what_waits_in_topics_and_what_was_moved_is_told(
    kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path
) -> None:
    prefix = kafka_prefix.rstrip(".")
    settings = settings_for(
        driver="kafka",
        sqlite={"path": tmp_path / "jobs.db"},
        kafka={"brokers": kafka_broker.servers, "prefix": prefix, "replication": 1, "partitions": 2, "bands": 1, "lookahead": 1},
    )
    await upgrade_schema(settings)
    driver = make_driver(settings)
    async with start_server(settings, driver=driver) as server, connected(server) as peer, AsyncClient(server.address) as client:

        async def has_moved_some() -> bool:
            await client.dispatch("welcome", queue="mail")
            return driver.numbers().counts["jobs_moved"] > 0

        await until("jobs go through the topic", has_moved_some, 60)
        for _ in range(10):
            await client.dispatch("welcome", queue="mail")
        text = await read_metrics(peer)

    said = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("protojobs_driver_")
    }
    assert said['protojobs_driver_level{what="partitions"}'] == 2
    assert said['protojobs_driver_level{what="jobs_in_topics"}'] >= 9
    assert said['protojobs_driver_events_total{what="jobs_moved"}'] >= 1
    assert said['protojobs_driver_events_total{what="records_lost"}'] == 0
    assert said['protojobs_driver_events_total{what="records_parked"}'] == 0
    assert 'protojobs_driver_events_total{what="jobs_met_twice"}' in said
