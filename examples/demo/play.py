"""The demo's acts, each a short step over one `Cast`: what is dispatched, what happens to it, what is kept for the summary."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

from protojobs_client import Client, JobErrorInfo, JobInfo, JobState

from examples.demo.stage import Stage, draw_pictures, end, fill_database
from examples.jobs import BuildReport, ChargeCard, CountWord, DataCleanup, ProcessImage, SendEmail

EMAILS, PICTURES, ROWS, WORDS = 20, 4, 4000, 5000
PATIENCE = timedelta(seconds=60)


@dataclass(slots=True, kw_only=True)
class Cast:
    """Everybody in the play, and what is remembered of them."""

    stage: Stage
    client: Client
    jobs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    words_per_second: float = 0.0
    notes: dict[str, str] = field(default_factory=dict[str, str])


def until(what: str, ready: Callable[[], bool]) -> None:
    """Wait until `ready`; gives up with a sentence that names what did not happen."""
    give_up = time.monotonic() + PATIENCE.total_seconds()
    while not ready():
        if time.monotonic() > give_up:
            raise TimeoutError(f"{what} did not happen within {PATIENCE.total_seconds():.0f} s")
        time.sleep(0.05)


def wait_for_server(cast: Cast) -> None:
    """Wait until the server says on its admin port that it is ready."""

    def ready() -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{cast.stage.admin_port}/readyz", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
        return False

    until("start of the server", ready)


def dispatch_real_work(cast: Cast) -> None:
    """Dispatch mails, pictures, a clean-up, a delayed mail and a payment that will fail."""
    home, smtp = cast.stage.home, ["127.0.0.1", cast.stage.smtp_port]
    mail = {"smtp": smtp, "subject": "Your order", "body": "It is on its way."}
    mails = [SendEmail({**mail, "to": f"customer{n}@example.com"}).request() for n in range(EMAILS)]
    cast.jobs["SendEmail"] = [answer.job_id for answer in cast.client.dispatch_many(mails)]
    thumbnails = home / "thumbnails"
    thumbnails.mkdir()
    cast.jobs["ProcessImage"] = [
        cast.client.dispatch(ProcessImage, {"source": str(path), "target": str(thumbnails), "widths": [800, 400, 200, 100]}).job_id
        for path in draw_pictures(home / "pictures", PICTURES)
    ]
    database = fill_database(home / "visits.db", ROWS)
    cast.jobs["DataCleanup"] = [cast.client.dispatch(DataCleanup, {"database": str(database), "older_than_days": 90}).job_id]
    late = {**mail, "to": "later@example.com", "subject": "In two seconds"}
    cast.jobs["SendEmail, 2 s later"] = [cast.client.dispatch_later(SendEmail, late, 2).job_id]
    gateway = home / "gateway"
    gateway.write_text("down")
    cast.jobs["ChargeCard"] = [cast.client.dispatch(ChargeCard, {"gateway": str(gateway), "amount": 4200}).job_id]


def kill_a_worker(cast: Cast) -> None:
    """Kill the worker that writes a report; another one goes on at the checkpoint."""
    target = cast.stage.home / "report.txt"
    job_id = cast.client.dispatch(BuildReport, {"pages": 10, "seconds_per_page": 0.3, "target": str(target)}).job_id
    cast.jobs["BuildReport"] = [job_id]
    until("first pages of the report", lambda: target.exists() and target.read_text().count("\n") >= 2)
    victim = cast.client.get(job_id).worker
    process = cast.stage.workers.pop(victim)
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    cast.stage.start_worker("worker-3")
    cast.client.wait(job_id, PATIENCE)
    job = cast.client.get(job_id)
    pages = target.read_text().splitlines()
    by = {attempt: sum(line.endswith(f"attempt {attempt}") for line in pages) for attempt in range(1, job.attempt + 1)}
    cast.notes["killed"] = (
        f"{victim} was killed (SIGKILL) while writing; {job.worker} finished it as attempt {job.attempt}, crashes = {job.crashes} "
        f"(pages per attempt: {by})"
    )


def fail_and_retry_by_hand(cast: Cast) -> None:
    """Find the payment in the failed list, mend the gateway, retry it, and see it through."""
    [job_id] = cast.jobs["ChargeCard"]
    until("failure of the payment", lambda: cast.client.get(job_id).state is JobState.FAILED)
    failed = next(job for job in cast.client.failed_jobs("payments") if job.id == job_id)
    error = failed.last_error or JobErrorInfo(type="?", message="?")
    (cast.stage.home / "gateway").write_text("up")
    cast.client.retry(job_id)
    receipt = cast.client.wait(job_id, PATIENCE)
    attempts = [attempt.outcome.value for attempt in cast.client.attempts(job_id)]
    cast.notes["retried"] = (
        f"failed {failed.failures} times ({error.type}: {error.message}), was in the failed list, "
        f"retried by hand -> {receipt}; attempts: {', '.join(attempts)}"
    )


def wait_for_the_rest(cast: Cast) -> None:
    """Wait until everything that was dispatched has completed."""
    for job_ids in cast.jobs.values():
        for job_id in job_ids:
            cast.client.wait(job_id, PATIENCE)


def measure_throughput(cast: Cast) -> None:
    """Dispatch and run many tiny jobs at once."""
    requests = [CountWord({"text": f"job number {number} says hello"}).request() for number in range(WORDS)]
    started = time.monotonic()
    cast.client.dispatch_many(requests)

    def all_done() -> bool:
        return next((queue.completed for queue in cast.client.stats("words").queues), 0) >= WORDS

    until("completion of the tiny jobs", all_done)
    cast.words_per_second = WORDS / (time.monotonic() - started)


def look_at(cast: Cast, job_ids: Sequence[str]) -> list[JobInfo]:
    """Return the jobs as they are now."""
    return [cast.client.get(job_id) for job_id in job_ids]


def check_the_work(cast: Cast) -> None:
    """Look at what the jobs were for: the mails, the thumbnails, the rows."""
    home: Path = cast.stage.home
    mails, thumbnails = len(list(cast.stage.inbox.iterdir())), len(list((home / "thumbnails").iterdir()))
    [cleanup] = cast.jobs["DataCleanup"]
    result = cast.client.wait(cleanup, PATIENCE)
    cast.notes["done"] = f"{mails} mails arrived, {thumbnails} thumbnails written, {result['deleted']} of {ROWS} rows cleaned up"
    if mails != EMAILS + 1 or thumbnails != PICTURES * 4:
        raise AssertionError(cast.notes["done"])
