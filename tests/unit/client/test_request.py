"""Job classes, requests and their fluent options."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_client import Fairness, Job, JobOptions, JobRequest, OnConflict, RetryPolicy, Unique, UniqueScope
from protojobs_client.dispatching import to_request

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class SendEmail(Job):
    """A job that sets everything."""

    queue = "emails"
    max_retries = 3
    retry_delay = 60
    timeout = 120
    priority = 7
    labels = {"team": "mail"}  # noqa: RUF012 - how people write it


class Plain(Job):
    """A job that sets nothing."""


class SendInvoice(SendEmail):
    """A job that inherits."""

    kind = "invoice"
    timeout = 5


def test_a_class_fills_the_options_of_its_request() -> None:
    request = SendEmail({"to": "ann"}).request()

    assert request == JobRequest(
        "SendEmail",
        {"to": "ann"},
        JobOptions(
            queue="emails",
            priority=7,
            run_timeout=timedelta(seconds=120),
            retry=RetryPolicy(max_retries=3, initial_backoff=timedelta(seconds=60)),
            labels={"team": "mail"},
        ),
    )


def test_a_class_without_settings_leaves_everything_to_the_queue() -> None:
    assert Plain().request() == JobRequest("Plain", None, JobOptions())


def test_a_subclass_overrides_and_inherits_settings() -> None:
    request = SendInvoice().request()

    assert request.kind == "invoice"
    assert request.options.run_timeout == timedelta(seconds=5)
    assert request.options.queue == "emails"


def test_timeout_and_priority_are_settings_on_the_class_and_options_on_an_instance() -> None:
    job = SendEmail({"to": "ann"})

    request = job.request().timeout(5)

    assert (SendEmail.timeout, SendEmail.priority, Plain.timeout) == (120, 7, None)
    assert request.options.run_timeout == timedelta(seconds=5)
    assert getattr(job, "timeout")(5) == request  # noqa: B009 - type checkers see the setting
    assert getattr(job, "priority")(2).options.priority == 2  # noqa: B009 - as above


def test_fluent_options_read_as_people_write_them() -> None:
    request = SendEmail("data").on_queue("urgent").retries(5).retry_after(60).timeout(120).delay(30).priority(9)
    request = request.concurrency_key("acme").fairness_key("ann")

    assert request.options == JobOptions(
        queue="urgent",
        retry=RetryPolicy(max_retries=5, initial_backoff=timedelta(seconds=60)),
        run_timeout=timedelta(seconds=120),
        delay=timedelta(seconds=30),
        priority=9,
        labels={"team": "mail"},
        fairness_key="ann",
        concurrency_key="acme",
    )


def test_a_fluent_option_leaves_the_request_it_came_from() -> None:
    first = JobRequest("kind")

    second = first.on_queue("urgent").label("a", "1").header("b", "2").expires_at(NOON).with_id("id")

    assert first == JobRequest("kind")
    assert second.options == JobOptions(queue="urgent", labels={"a": "1"}, headers={"b": "2"}, expire_at=NOON, job_id="id")


def test_labels_add_up_and_retry_merges_by_field() -> None:
    request = SendEmail().label("user", "7").with_options(retry=RetryPolicy(multiplier=3.0))

    assert request.options.labels == {"team": "mail", "user": "7"}
    assert request.options.retry == RetryPolicy(max_retries=3, initial_backoff=timedelta(seconds=60), multiplier=3.0)


def test_a_later_start_replaces_an_earlier_one() -> None:
    assert JobRequest("kind").delay(5).at(NOON).options == JobOptions(run_at=NOON)
    assert JobRequest("kind").at(NOON).delay(5).options == JobOptions(delay=timedelta(seconds=5))


def test_delay_and_run_at_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude"):
        JobRequest("kind").with_options(delay=1, run_at=NOON)


@pytest.mark.parametrize("option", ["run_at", "expire_at"])
def test_naive_times_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="aware"):
        JobOptions(**{option: datetime(2030, 1, 1)})  # type: ignore[arg-type] # noqa: DTZ001 - the point


@given(st.floats(min_value=0, max_value=1e9))
def test_seconds_and_timedeltas_mean_the_same(seconds: float) -> None:
    assert JobRequest("kind").delay(seconds) == JobRequest("kind").delay(timedelta(seconds=seconds))


def test_every_way_to_name_a_job_makes_the_same_request() -> None:
    expected = SendEmail("data").on_queue("urgent")

    assert to_request(SendEmail, "data", {"queue": "urgent"}) == expected
    assert to_request(SendEmail("data"), None, {"queue": "urgent"}) == expected
    assert to_request(expected, None, {}) == expected
    assert to_request("kind", "data", {"queue": "urgent"}) == JobRequest("kind", "data").on_queue("urgent")


def test_data_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="data already"):
        to_request(SendEmail("data"), "other", {})


def test_hooks_have_defaults_for_producers() -> None:
    job = Plain()

    with pytest.raises(NotImplementedError, match=r"Plain has no handle\(\)"):
        job.handle(None)
    assert job.failed(None, ValueError()) is None
    assert job.should_retry(ValueError())


def test_no_repr_shows_the_data() -> None:
    assert "secret" not in repr(SendEmail("secret")) + repr(SendEmail("secret").request())


def test_a_unique_key_is_an_option_and_the_last_one_counts() -> None:
    by_option = Plain().request().with_options(unique=Unique("a", scope=UniqueScope.WINDOW, window=5))
    fluent = Plain().unique("b", scope=UniqueScope.UNTIL_START, on_conflict=OnConflict.REPLACE)

    assert by_option.options.unique == Unique("a", scope=UniqueScope.WINDOW, window=5)
    assert fluent.options.unique == Unique("b", scope=UniqueScope.UNTIL_START, on_conflict=OnConflict.REPLACE)
    assert by_option.unique("c").options.unique == Unique("c")
    assert fluent.on_queue("q").options.unique == fluent.options.unique


@pytest.mark.parametrize(
    ("key", "scope", "window"),
    [("", UniqueScope.UNTIL_DONE, None), ("k", UniqueScope.WINDOW, None), ("k", UniqueScope.UNTIL_DONE, 5)],
)
def test_a_unique_key_that_means_nothing_is_refused_at_once(key: str, scope: UniqueScope, window: float | None) -> None:
    with pytest.raises(ValueError, match=r"unique key|window"):
        Unique(key, scope=scope, window=window)


def test_follow_ups_add_up_from_the_fluent_form_and_the_options() -> None:
    request = to_request(SendEmail("ann").on_complete(Plain()), None, {"on_complete": ["tidy"], "on_failed": [Plain().delay(5)]})

    assert [each.kind for each in request.options.on_complete] == ["Plain", "tidy"]
    assert request.options.on_failed == (Plain().delay(5),)


def test_a_follow_up_with_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="job_id"):
        JobRequest("first").on_complete(JobRequest("next").with_id("01990000-0000-7000-8000-000000000000"))


@pytest.mark.parametrize("weight", [0, -1, 1001, 1.5, float("nan"), float("inf")])
def test_a_weight_that_no_server_takes_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        Fairness(weights={"a": weight})
