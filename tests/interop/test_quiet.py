"""What the programs of all languages do when they are measured: they say nothing of single jobs."""

from uuid import uuid4

import pytest
from protojobs_client import JobRequest

from tests.interop import specs
from tests.interop.bench import Bench
from tests.interop.conftest import STORES, StartWorker
from tests.interop.languages import Language

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("store", STORES[:1], indirect=True),
]

_JOBS = 200


@pytest.fixture
def queue() -> str:
    """A queue of the test's own."""
    return f"q-{uuid4().hex[:12]}"


def counts(bench: Bench, queue: str) -> tuple[int, int]:
    """Return how many jobs of a queue wait, and how many have completed."""
    numbers = bench.client.stats(queue).queues[0]
    return numbers.pending, numbers.completed


def test_a_quiet_worker_ends_by_itself_and_tells_of_no_job(
    bench: Bench, start_worker: StartWorker, language: Language, queue: str
) -> None:
    bench.client.dispatch_many([JobRequest("noop").on_queue(queue)] * _JOBS)

    worker = start_worker(language, queue, "--n", str(_JOBS), "--slots", "20", "--quiet")

    assert worker.ended() == 0
    assert [each["event"] for each in worker.events()] == ["ready", "draining", "stopped"]
    assert worker.event("stopped")["processed"] == _JOBS
    assert counts(bench, queue) == (0, _JOBS)


@pytest.mark.parametrize("mode", ["batch", "stream"])
def test_a_quiet_dispatch_tells_of_all_jobs_in_one_line(bench: Bench, language: Language, queue: str, mode: str) -> None:
    code, said = bench.command(language, "dispatch", "--queue", queue, "--n", str(_JOBS), "--mode", mode, "--quiet").wait()

    assert (code, [(each["event"], each.get("jobs")) for each in said]) == (0, [("dispatched_all", _JOBS)])
    assert said[0]["seconds"] > 0
    assert counts(bench, queue) == (_JOBS, 0)


def test_a_quiet_dispatch_tells_why_a_job_was_refused(bench: Bench, language: Language, queue: str) -> None:
    spec: specs.Spec = {"kind": "echo", "priority": 10}

    refused = bench.dispatch(language, queue, f"refused-{queue}", spec, "--n", "5", "--mode", "stream", "--quiet")

    assert refused.error()["reason"] == "INVALID_FIELD"
    assert [each["event"] for each in refused.wait()[1]] == ["error"]
    assert list(bench.client.list(queues=[queue])) == []
