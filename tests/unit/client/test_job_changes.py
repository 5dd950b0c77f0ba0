"""What the client asks of UpdateJob."""

from datetime import UTC, datetime
from typing import Any

import pytest
from protojobs.v1 import job_pb2
from protojobs_client import JobChanges, Payload, RetryPolicy
from protojobs_client.job_changes import to_changed_spec

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "paths", "fields"),
    [
        ({"priority": 9, "queue": "q"}, ["priority", "queue"], {"priority": 9, "queue": "q"}),
        ({"labels": {}}, ["labels"], {}),
        ({"labels": {"a": "1"}}, ["labels"], {"labels": {"a": "1"}}),
        ({"retry": None}, ["retry"], {}),
        ({"retry": RetryPolicy(max_retries=2)}, ["retry"], {"retry": job_pb2.RetryPolicy(max_retries=2)}),
        ({"content_type": "text/plain"}, ["content_type"], {"content_type": "text/plain"}),
        ({"run_at": None}, ["run_time"], {}),
    ],
)
def test_what_is_named_is_in_the_mask(changes: JobChanges, paths: list[str], fields: dict[str, Any]) -> None:
    assert to_changed_spec(changes, None) == (job_pb2.JobSpec(**fields), paths)


def test_times_are_told_as_they_were_given() -> None:
    delayed, delay = to_changed_spec({"delay": 90}, None)
    timed, run_time = to_changed_spec({"run_at": NOON}, None)

    assert (delayed.delay.seconds, delay) == (90, ["delay"])
    assert (timed.run_time.ToDatetime(tzinfo=UTC), run_time) == (NOON, ["run_time"])


def test_a_payload_takes_its_content_type_along() -> None:
    spec, paths = to_changed_spec({"content_type": "ignored"}, Payload(b"x", "text/plain"))

    assert (spec.payload, spec.content_type, paths) == (b"x", "text/plain", ["payload", "content_type"])


@pytest.mark.parametrize("changes", [{}, {"delay": 1, "run_at": NOON}])
def test_nothing_and_two_starts_are_refused(changes: JobChanges) -> None:
    with pytest.raises(TypeError, match=r"nothing to change|exclude each other"):
        to_changed_spec(changes, None)
