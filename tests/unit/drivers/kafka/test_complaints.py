"""Why clients get nowhere is remembered until Kafka answers."""

import logging

import pytest
from confluent_kafka import KafkaError
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.drivers.kafka.complaints import Complaints

SILENT = StoreUnavailable("Kafka does not answer")
DENIED = KafkaError(KafkaError._AUTHENTICATION, "user me with hunter2 at secret-host")


def test_credentials_that_are_refused_explain_why_there_is_no_answer() -> None:
    complaints = Complaints()
    complaints.hear(DENIED)

    error = complaints.explain(SILENT)

    assert isinstance(error, StoreUnavailable)
    assert error.message == "Kafka refuses the credentials of this service"


def test_what_librdkafka_says_is_neither_kept_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    with caplog.at_level(logging.DEBUG):
        complaints.hear(DENIED)
        complaints.hear(DENIED)

    [record] = caplog.records
    assert "hunter2" not in f"{vars(record)} {complaints.explain(SILENT).message}"
    assert "secret-host" not in f"{vars(record)} {complaints.explain(SILENT).message}"


def test_what_time_may_end_explains_nothing() -> None:
    complaints = Complaints()
    complaints.hear(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    assert complaints.explain(SILENT) is SILENT


def test_errors_of_another_kind_stay_what_they_are() -> None:
    complaints, full = Complaints(), Overloaded("too much")
    complaints.hear(DENIED)

    assert complaints.explain(full) is full


def test_an_answer_ends_the_complaint() -> None:
    complaints = Complaints()
    complaints.hear(DENIED)
    complaints.forget()

    assert complaints.explain(SILENT) is SILENT
