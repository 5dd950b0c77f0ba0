"""What every client of a producer does, whatever the store."""

from base64 import b64decode, b64encode
from uuid import UUID, uuid4

import pytest
from protojobs_client import JobState, Unique, UniqueScope

from tests.interop import specs
from tests.interop.bench import Bench, queue_of
from tests.interop.conftest import STORES, StartWorker
from tests.interop.languages import Language
from tests.interop.programs import Command, Program

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

on_sqlite = pytest.mark.parametrize("store", STORES[:1], indirect=True)


@pytest.fixture
def queue() -> str:
    """A queue of the test's own."""
    return f"q-{uuid4().hex[:12]}"


@on_sqlite
@pytest.mark.requirement("CALL-1")
@pytest.mark.parametrize("mode", ["single", "batch", "stream"])
def test_jobs_are_dispatched_one_by_one_in_batches_and_by_stream(bench: Bench, language: Language, queue: str, mode: str) -> None:
    told = bench.command(language, "dispatch", "--queue", queue, "--n", "25", "--mode", mode).lines("dispatched")

    ids = {each["job_id"] for each in told}
    assert [each["outcome"] for each in told] == ["CREATED"] * 25
    assert {job.id for job in bench.client.list(queues=[queue])} == ids
    assert {UUID(job_id).version for job_id in ids} == {7}  # the client has chosen them


@pytest.mark.requirement("PRODUCER-1")
def test_a_unique_key_twice_is_one_job(bench: Bench, language: Language, queue: str) -> None:
    spec = {
        "kind": "echo",
        "unique": {"key": f"žluť {queue}", "scope": "UNIQUE_SCOPE_UNTIL_DONE", "onConflict": "UNIQUE_CONFLICT_RETURN_EXISTING"},
    }

    told = bench.dispatch(language, queue, f"unique-{queue}", spec, "--n", "2").lines("dispatched")

    assert [each["outcome"] for each in told] == ["CREATED", "EXISTING"]
    assert told[0]["job_id"] == told[1]["job_id"]


@on_sqlite
@pytest.mark.requirement("CALL-2")
def test_a_unique_key_that_is_taken_is_an_error_with_its_reason(bench: Bench, language: Language, queue: str) -> None:
    bench.client.dispatch("echo", queue=queue, unique=Unique("taken", scope=UniqueScope.UNTIL_DONE))
    spec = {"kind": "echo", "unique": {"key": "taken", "scope": "UNIQUE_SCOPE_UNTIL_DONE"}}

    error = bench.dispatch(language, queue, "taken", spec).error()

    assert (error["code"], error["reason"]) == ("ALREADY_EXISTS", "DUPLICATE_JOB")


@on_sqlite
@pytest.mark.requirement("CALL-2")
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("spec.kind", {"kind": "no spaces"}),
        ("spec.priority", {"priority": 10}),
        ("spec.run_timeout", {"runTimeout": "0.5s"}),
        ("spec.retry.multiplier", {"retry": {"multiplier": 0.5}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_is_wrong_is_named_alike_by_all(
    bench: Bench, language: Language, queue: str, field: str, change: specs.Spec
) -> None:
    error = bench.dispatch(language, queue, f"wrong-{field}", {"kind": "echo", **change}).error()

    assert (error["code"], error["reason"], error["fields"]) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])


@on_sqlite
@pytest.mark.requirement("CALL-2")
def test_a_job_that_does_not_exist_is_an_error_with_its_reason(bench: Bench, language: Language) -> None:
    error = bench.command(language, "get", "--job-id", "01990000-0000-7000-8000-000000000001").error()

    assert (error["code"], error["reason"]) == ("NOT_FOUND", "JOB_NOT_FOUND")


@pytest.mark.requirement("CALL-2")
def test_wrong_usage_ends_with_two(language: Language) -> None:
    code, _ = Command(language, "dispatch", "--no-such-option").wait()

    assert code == 2


@on_sqlite
@pytest.mark.requirement("PRODUCER-1")
def test_everything_that_a_spec_asks_for_is_stored(bench: Bench, language: Language, queue: str) -> None:
    spec = {
        "kind": "echo",
        "payload": b64encode(b"\0").decode(),
        "contentType": "text/plain",
        "priority": 2,
        "delay": "3600s",
        "labels": {"customer": "42", "region": "eu"},
        "runTimeout": "45s",
        "retry": {"maxRetries": 0, "initialBackoff": "0.250s", "multiplier": 3.5, "maxBackoff": "60s", "jitter": "JITTER_NONE"},
        "fairnessKey": "tenant",
        "concurrencyKey": "account",
    }

    told = bench.dispatch(language, queue, "everything", spec).line("dispatched")

    job = bench.job(told["job_id"])
    assert job.retry.initial_backoff is not None
    assert job.run_timeout is not None
    assert (job.state, job.payload, job.content_type, job.priority) == (JobState.SCHEDULED, b"\0", "text/plain", 2)
    assert (job.labels, job.fairness_key, job.concurrency_key) == ({"customer": "42", "region": "eu"}, "tenant", "account")
    assert job.run_timeout.total_seconds() == 45
    assert (job.retry.max_retries, job.retry.initial_backoff.total_seconds(), job.retry.multiplier) == (0, 0.25, 3.5)


@on_sqlite
@pytest.mark.requirement("PRODUCER-1")
def test_a_job_is_scheduled_for_later(bench: Bench, language: Language, queue: str) -> None:
    command = bench.command(language, "schedule", "--queue", queue, "--in", "3600", "--kind", "noop")

    assert command.wait()[0] == 0, command.complaint
    assert [(job.kind, job.state) for job in bench.client.list(queues=[queue])] == [("noop", JobState.SCHEDULED)]


@on_sqlite
@pytest.mark.requirement("PRODUCER-1")
def test_waiting_jobs_are_counted_cancelled_and_retried(bench: Bench, language: Language, queue: str) -> None:
    ids = [bench.client.dispatch("noop", queue=queue).job_id for _ in range(3)]
    bench.client.dispatch_later("noop", None, 3600, queue=queue)

    cancelled = bench.command(language, "cancel", "--job-id", ids[0]).line("job")
    numbers = bench.command(language, "stats", "--queue", queue).line("stats")
    retried = bench.command(language, "retry", "--job-id", ids[0]).line("job")

    assert cancelled["state"] == "CANCELLED"
    assert (numbers["queue"], numbers["pending"], numbers["scheduled"], numbers["cancelled"]) == (queue, 2, 1, 1)
    assert retried["state"] == "PENDING"


@on_sqlite
@pytest.mark.requirement("PRODUCER-1", "RUN-1")
def test_failed_jobs_are_listed_with_their_errors(bench: Bench, start_worker: StartWorker, language: Language, queue: str) -> None:
    ids = [bench.client.dispatch("nonretryable", queue=queue).job_id for _ in range(2)]
    worker = start_worker(language, queue, "--n", "2")
    assert worker.ended() == 0

    failed = bench.command(language, "failed", "--queue", queue, "--n", "10").lines("job")

    assert sorted(each["job_id"] for each in failed) == sorted(ids)
    assert {each["state"] for each in failed} == {"FAILED"}
    assert all(each["error"]["type"] and each["error"]["message"] for each in failed)


@on_sqlite
@pytest.mark.requirement("PRODUCER-1")
def test_events_are_watched_as_they_come(bench: Bench, language: Language, queue: str) -> None:
    waiting = bench.client.dispatch_later("noop", None, 3600, queue=queue).job_id
    arguments = ("watch", "--addr", bench.address, "--queue", queue, "--n", "1")
    watcher = Program(language, *arguments, log=bench.directory / f"{queue}.log")
    try:
        watcher.event("watching")
        bench.client.cancel(waiting)

        assert watcher.ended() == 0
    finally:
        watcher.put_away()
    told = watcher.events("job_event")
    assert [(each["type"], each["job_id"]) for each in told] == [("cancelled", waiting)]


@on_sqlite
@pytest.mark.requirement("RUN-1")
def test_the_result_is_read_with_the_wait(bench: Bench, language: Language) -> None:
    bench.worker(language)
    spec = {"kind": "typed", "payload": specs.json_payload({"n": 41})}

    finished = bench.dispatch(language, queue_of(language), "typed", spec, "--wait", "30").line("finished")

    assert (finished["state"], b64decode(finished["result"])) == ("COMPLETED", b"42")
