"""How loud the lines of librdkafka are."""

import logging

import pytest
from protojobs_service.drivers.kafka.client_log import client_log


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("FAIL [p#producer-3] [thrd:b:1/1]: b:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", "WARNING"),
        ("FAIL [p#producer-3] [thrd:b:1/1]: b:1/1: SASL authentication error: Authentication failed", "ERROR"),
        ("FAIL [p#producer-3] [thrd:b:1/1]: b:1/1: SSL handshake failed: certificate verify failed", "ERROR"),
        ("MSGSET [p#consumer-1] [thrd:b:1/1]: a message of nobody", "ERROR"),
    ],
)
def test_a_broker_that_is_away_is_a_warning_and_what_no_new_try_mends_an_error(
    line: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    client_log.log(logging.ERROR, line)

    assert [record.levelname for record in caplog.records] == [level]
