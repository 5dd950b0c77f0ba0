"""What librdkafka has against properties is said before anything is reached."""

from pathlib import Path

import pytest
from protojobs_service.drivers.kafka.options import Options, Value
from protojobs_service.kafka_options import options_of
from protojobs_service.settings import InvalidSettings, load


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ({"no.such.property": "1"}, "no.such.property"),
        ({"batch.size": "large"}, "batch.size"),
        ({"acks": "7000"}, "acks"),
        ({"security.protocol": "telepathy"}, "security.protocol"),
    ],
)
def test_a_property_that_librdkafka_does_not_take_is_a_setting_that_is_wrong(client: dict[str, str], says: str) -> None:
    settings = load(driver="kafka", kafka={"brokers": "127.0.0.1:1", "client": client})

    with pytest.raises(InvalidSettings, match=says):
        options_of(settings)


def test_a_certificate_that_is_not_there_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    security: dict[str, Value] = {"security.protocol": "SSL", "ssl.ca.location": str(tmp_path / "ca.pem")}

    complaint = Options(brokers="127.0.0.1:1", security=security).find_complaint()

    assert complaint is not None
    assert "ssl.ca.location" in complaint


def test_properties_that_it_takes_are_no_complaint() -> None:
    overrides: dict[str, Value] = {"linger.ms": "5", "queued.min.messages": "10"}

    assert Options(brokers="127.0.0.1:1", overrides=overrides).find_complaint() is None


@pytest.mark.parametrize(("timeout", "heartbeat"), [(1.5, 500), (10.0, 1000), (60.0, 1000)])
def test_a_member_learns_within_a_second_that_another_was_missed(timeout: float, heartbeat: int) -> None:
    assert Options(brokers="b:9092", session_timeout_s=timeout).consumer()["heartbeat.interval.ms"] == heartbeat
