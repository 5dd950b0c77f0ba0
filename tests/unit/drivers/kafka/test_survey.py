"""What a server makes of findings at its start."""

import logging

import pytest
from protojobs_service.drivers.kafka.layout import Finding, Remedy
from protojobs_service.drivers.kafka.survey import UnsafeTopics, refuse_losses


def finding(topic: str = "p.mail.9", *, loses: bool = False) -> Finding:
    return Finding(topic=topic, what="retention.ms", found="1", wanted="-1", remedy=Remedy.SET, loses=loses)


def test_the_first_topic_that_loses_jobs_is_named_and_the_others_are_counted() -> None:
    found = [finding("p.a.9"), finding("p.b.9", loses=True), finding("p.c.9", loses=True)]

    with pytest.raises(UnsafeTopics) as caught:
        refuse_losses(found, unsafe=False)

    assert caught.value.message.startswith("p.b.9: retention.ms is 1, not -1; jobs can be lost (1 more findings); see")


def test_who_allows_it_is_warned_of_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse_losses([finding(loses=True), finding("p.a.9")], unsafe=True)

    assert [vars(record)["topic"] for record in caplog.records] == ["p.mail.9", "p.a.9"]


def test_a_thousand_findings_are_no_thousand_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse_losses([finding()] * 1000, unsafe=False)

    assert len(caplog.records) == 21
    assert vars(caplog.records[-1])["findings"] == 980
