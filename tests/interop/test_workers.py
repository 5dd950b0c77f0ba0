"""What a worker of every language does with its jobs, with signals, and with a server that leaves."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from protojobs_client import AttemptOutcome, Jitter, JobState, RetryPolicy

from tests.interop.bench import Bench, queue_of
from tests.interop.conftest import STORES, StartWorker, sqlite_settings
from tests.interop.languages import Language, present
from tests.interop.waiting import PATIENCE, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

on_sqlite = pytest.mark.parametrize("store", STORES[:1], indirect=True)

# A signal may come while the frame that says what has begun is still in the worker's buffers.
_LOST = {AttemptOutcome.CRASHED, AttemptOutcome.RELEASED}
_AT_ONCE = RetryPolicy(max_retries=5, initial_backoff=timedelta(0), jitter=Jitter.NONE)


@pytest.fixture
def queue() -> str:
    """A queue of the test's own."""
    return f"q-{uuid4().hex[:12]}"


def other(language: Language) -> Language:
    """Return the language after this one, which finishes what this one leaves."""
    languages = present()
    return languages[(languages.index(language) + 1) % len(languages)]


def dispatch(bench: Bench, queue: str, kind: str, data: object = None, *, retry: RetryPolicy = _AT_ONCE) -> str:
    """Store a job; return its id."""
    return bench.client.dispatch(kind, data, queue=queue, retry=retry).job_id


# ---- ends ------------------------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.requirement("RUN-1")
def test_every_outcome_means_to_the_server_what_it_means_in_python(bench: Bench, language: Language) -> None:
    bench.worker(language)
    queue = queue_of(language)
    expected = {
        "noop": (JobState.COMPLETED, 1, 0),
        "fail_twice": (JobState.COMPLETED, 3, 2),
        "nonretryable": (JobState.FAILED, 1, 1),
        "discard": (JobState.FAILED, 1, 1),
        "cancel": (JobState.CANCELLED, 1, 0),
        "snooze_once": (JobState.COMPLETED, 2, 0),
        "progress": (JobState.COMPLETED, 1, 0),
    }
    ids = {kind: dispatch(bench, queue, kind) for kind in expected}

    ends = {kind: bench.becomes(ids[kind], state) for kind, (state, _, _) in expected.items()}

    assert {kind: (job.state, job.attempt, job.failures) for kind, job in ends.items()} == expected


@on_sqlite
@pytest.mark.requirement("RUN-1")
def test_a_job_that_follows_is_stored_with_the_completion(bench: Bench, language: Language) -> None:
    worker, queue = bench.worker(language), queue_of(language)
    parent = dispatch(bench, queue, "chain")
    bench.becomes(parent, JobState.COMPLETED)

    children = list(bench.client.list(parent=parent))

    assert [(job.kind, job.queue) for job in children] == [("noop", queue)]
    assert worker.event("ended", job_id=children[0].id)["outcome"] == "complete"


@on_sqlite
@pytest.mark.requirement("RUN-3")
def test_the_next_attempt_gets_the_checkpoint_of_the_last_one(bench: Bench, language: Language) -> None:
    worker = bench.worker(language)
    job_id = dispatch(bench, queue_of(language), "checkpoint")

    job = bench.becomes(job_id, JobState.COMPLETED)

    assert (job.result, job.failures) == (b"half", 1)
    assert [each["checkpoint"] for each in worker.events("started", job_id=job_id)] == [None, "aGFsZg=="]


@on_sqlite
@pytest.mark.requirement("RUN-4")
def test_a_payload_of_another_type_fails_at_once_and_says_why(bench: Bench, language: Language) -> None:
    bench.worker(language)
    job_id = dispatch(bench, queue_of(language), "typed", {"n": "secret words"})

    job = bench.becomes(job_id, JobState.FAILED)

    assert job.last_error is not None
    assert (job.attempt, job.failures) == (1, 1)
    assert job.last_error.message
    assert "secret words" not in job.last_error.message


@on_sqlite
@pytest.mark.requirement("RUN-5")
def test_a_kind_without_a_handler_is_left_for_others(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    worker = start_worker(language, queue, "--kinds", "noop")
    unknown, known = dispatch(bench, queue, "echo", {}), dispatch(bench, queue, "noop")
    bench.becomes(known, JobState.COMPLETED)

    assert bench.job(unknown).state is JobState.PENDING
    assert worker.events("started", job_id=unknown) == []
    start_worker(language, queue)
    assert bench.becomes(unknown, JobState.COMPLETED).failures == 0


@on_sqlite
@pytest.mark.requirement("RUN-6")
def test_whatever_a_handler_throws_is_a_failure(bench: Bench, language: Language) -> None:
    worker, queue = bench.worker(language), queue_of(language)
    job_id = dispatch(bench, queue, "odd", retry=RetryPolicy(max_retries=0))

    job = bench.becomes(job_id, JobState.FAILED)

    assert job.last_error is not None
    assert (job.failures, job.crashes) == (1, 0)
    assert job.last_error.type
    later = dispatch(bench, queue, "noop")
    assert worker.event("ended", job_id=later)["outcome"] == "complete"  # the worker lives


@on_sqlite
@pytest.mark.requirement("RUN-6")
def test_a_result_that_is_too_large_is_dropped_and_the_completion_holds(bench: Bench, language: Language) -> None:
    bench.worker(language)
    job_id = dispatch(bench, queue_of(language), "big")

    job = bench.becomes(job_id, JobState.COMPLETED)

    assert (job.attempt, job.result or b"", job.reason) == (1, b"", "RESULT_DROPPED")


@on_sqlite
@pytest.mark.requirement("RUN-2")
def test_a_handler_that_never_returns_ends_at_its_run_timeout(bench: Bench, language: Language) -> None:
    worker, no_retry = bench.worker(language), RetryPolicy(max_retries=0)
    job_id = bench.client.dispatch("sleep", {"seconds": 120}, queue=queue_of(language), run_timeout=1, retry=no_retry).job_id

    job = bench.becomes(job_id, JobState.FAILED)

    assert job.last_error is not None
    assert job.last_error.type == "TIMEOUT"
    assert worker.event("ended", job_id=job_id)["outcome"] == "fail"


# ---- faults ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("LEASE-2")
def test_another_language_finishes_what_a_killed_worker_had_begun(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    first = start_worker(language, queue)
    job_id = dispatch(bench, queue, "sleep", {"seconds": 3})
    first.event("started", job_id=job_id)
    first.kill()

    second = start_worker(other(language), queue)

    assert second.event("started", job_id=job_id)["attempt"] == 2
    *lost, done = _attempts(bench, job_id, 2)
    job = bench.job(job_id)
    assert done is AttemptOutcome.COMPLETED
    assert set(lost) <= _LOST
    assert (job.state, job.failures, job.crashes) == (JobState.COMPLETED, 0, lost.count(AttemptOutcome.CRASHED))


@pytest.mark.requirement("LEASE-3", "LEASE-5")
def test_the_late_outcome_of_a_frozen_worker_is_refused(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    frozen = start_worker(language, queue)
    job_id = dispatch(bench, queue, "sleep", {"seconds": 3})
    frozen.event("started", job_id=job_id)
    frozen.freeze()
    second = start_worker(other(language), queue)
    second.event("settled", job_id=job_id, attempt=2, code="OK")
    second.kill()

    frozen.thaw()

    # It lives, comes back and goes on with other jobs; what it says of the first one counts for nothing.
    later = dispatch(bench, queue, "noop")
    frozen.event("settled", job_id=later, code="OK")
    assert frozen.events("settled", job_id=job_id, code="OK") == []
    *lost, done = _attempts(bench, job_id, 2)
    assert done is AttemptOutcome.COMPLETED
    assert set(lost) <= _LOST


@pytest.mark.requirement("CONNECT-2", "LEASE-4", "LEASE-5")
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_no_job_is_lost_and_none_fails_where_the_server_is_started_anew(language: Language, tmp_path: Path, end: str) -> None:
    # Leases outlive the time that a server takes to start on a busy machine.
    bench = Bench(tmp_path, {**sqlite_settings(tmp_path / "jobs.db"), "PROTOJOBS_SESSION__TTL": "20"})
    try:
        bench.server.ready()
        worker = bench.start_worker(language, "main", "--slots", "5")
        try:
            worker.ready()
            ids = [dispatch(bench, "main", "sleep", {"seconds": 0.3}) for _ in range(25)]
            worker.count(5, "settled")

            bench.server.kill() if end == "kill" else bench.server.stop()
            bench.server.start().ready()

            jobs = [bench.becomes(job_id, JobState.COMPLETED) for job_id in ids]
            if language.streams:
                worker.count(2, "ready")
        finally:
            worker.put_away()
    finally:
        bench.close()
    assert {(job.failures, job.crashes) for job in jobs} == {(0, 0)}
    again = {(each["job_id"], each["attempt"]) for each in worker.events("started")}
    assert len(again) == len(worker.events("started"))  # no attempt began twice


# ---- leaving ---------------------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.requirement("LEASE-7")
def test_a_worker_that_is_asked_to_end_finishes_what_it_has_begun_and_gives_back_the_rest(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    worker = start_worker(language, queue, "--slots", "1")
    ids = {dispatch(bench, queue, "sleep", {"seconds": 2}) for _ in range(4)}
    worker.event("started")

    worker.terminate()

    assert worker.ended(within=2 * PATIENCE) == 0
    begun = {each["job_id"] for each in worker.events("started")}
    assert worker.events("draining")
    assert worker.events("stopped")
    jobs = {job_id: bench.job(job_id) for job_id in ids}
    assert {job_id: (job.state, job.failures, job.crashes) for job_id, job in jobs.items()} == {
        job_id: (JobState.COMPLETED if job_id in begun else JobState.PENDING, 0, 0) for job_id in ids
    }
    assert begun < ids


@on_sqlite
@pytest.mark.requirement("LEASE-7")
def test_what_is_not_finished_within_the_grace_goes_back_without_a_mark(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    worker = start_worker(language, queue, "--grace", "1")
    job_id = dispatch(bench, queue, "sleep", {"seconds": 120})
    worker.event("started", job_id=job_id)

    worker.terminate()

    worker.ended(within=2 * PATIENCE)
    job = bench.becomes(job_id, JobState.PENDING)
    assert (job.failures, job.crashes) == (0, 0)


@on_sqlite
@pytest.mark.requirement("LEASE-7")
def test_a_second_signal_ends_a_worker_now(bench: Bench, start_worker: StartWorker, language: Language, queue: str) -> None:
    worker = start_worker(language, queue, "--grace", "100")
    job_id = dispatch(bench, queue, "sleep", {"seconds": 120})
    worker.event("started", job_id=job_id)

    worker.terminate()
    worker.event("draining")
    worker.terminate()

    worker.ended()
    assert bench.becomes(job_id, JobState.PENDING).failures == 0


@on_sqlite
@pytest.mark.requirement("LEASE-7")
def test_an_operator_drains_a_worker(bench: Bench, start_worker: StartWorker, language: Language, queue: str) -> None:
    worker = start_worker(language, queue)
    job_id = dispatch(bench, queue, "sleep", {"seconds": 1})
    worker.event("started", job_id=job_id)
    session = until("the worker is listed", lambda: [each.session for each in bench.client.workers() if queue in each.queues])[0]

    bench.client.drain_worker(session)

    assert worker.ended(within=2 * PATIENCE) == 0
    assert bench.becomes(job_id, JobState.COMPLETED).attempt == 1


@on_sqlite
@pytest.mark.requirement("FLAG-1")
def test_a_worker_ends_after_so_many_jobs(bench: Bench, start_worker: StartWorker, language: Language, queue: str) -> None:
    ids = [dispatch(bench, queue, "noop") for _ in range(3)]

    worker = start_worker(language, queue, "--n", "3")

    assert worker.ended() == 0
    assert {bench.job(job_id).state for job_id in ids} == {JobState.COMPLETED}


@on_sqlite
@pytest.mark.requirement("FLAG-1")
def test_the_health_file_is_there_while_a_worker_works(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str, tmp_path: Path
) -> None:
    health = tmp_path / "healthy"
    worker = start_worker(language, queue, "--health-file", str(health))

    until("the health file is there", health.exists)
    worker.terminate()

    assert worker.ended(within=2 * PATIENCE) == 0


def _attempts(bench: Bench, job_id: str, count: int) -> list[AttemptOutcome]:
    def ended() -> list[AttemptOutcome]:
        found = [attempt.outcome for attempt in bench.client.attempts(job_id)]
        return found if len(found) >= count and AttemptOutcome.RUNNING not in found else []

    return until(f"{count} attempts of {job_id} have ended", ended)
