"""compose.yaml offers the Kafka that is tested."""

import re
from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[2]


def test_the_kafka_of_the_compose_file_is_the_one_that_is_tested() -> None:
    pom = (_ROOT / "tests" / "brokers" / "pom.xml").read_text()
    services = yaml.safe_load((_ROOT / "compose.yaml").read_text())["services"]

    [tested] = re.findall(r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.*?)</version>", pom)

    assert services["kafka"]["image"] == f"apache/kafka:{tested}"
