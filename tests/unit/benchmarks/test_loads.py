"""What the programs of the benchmarks make of their configuration."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest
from protojobs_client import JobIds

from benchmarks.payloads import CALL_BYTES, WINDOW_BYTES, fitting
from benchmarks.requests import body, requests
from benchmarks.run import Load
from benchmarks.streamer import queues_of_streams
from benchmarks.worker import fails

DRAWN = 20_000


def queues_drawn(**config: Any) -> Counter[str | None]:
    """Count the queues of many jobs."""
    return Counter(request.options.queue for request in islice(requests({"queue": "bench", **config}), DRAWN))


def test_jobs_are_spread_evenly_over_queues() -> None:
    drawn = queues_drawn(spread=["bench.", 10])

    assert set(drawn) == {f"bench.{number}" for number in range(10)}
    assert max(drawn.values()) < 1.3 * min(drawn.values())


def test_with_skew_the_first_queue_gets_twice_as_much_as_the_second() -> None:
    drawn = queues_drawn(spread=["bench.", 10], skew=True)

    assert drawn["bench.0"] / drawn["bench.1"] == pytest.approx(2, rel=0.1)
    assert drawn["bench.0"] / drawn["bench.9"] == pytest.approx(10, rel=0.2)


def test_every_queue_is_read_by_one_stream_of_a_hundred() -> None:
    read = list(queues_of_streams({"queue": "bench", "streams": 3, "spread": ["bench.", 250]}))

    assert len(read) == 3
    assert max(map(len, read)) <= 100
    assert sorted(queue for queues in read for queue in queues) == sorted(f"bench.{number}" for number in range(250))


def test_without_a_spread_all_streams_read_one_queue() -> None:
    assert list(queues_of_streams({"queue": "bench", "streams": 2})) == [["bench"], ["bench"]]


def test_so_many_of_a_hundred_jobs_fail_and_a_job_fails_wherever_it_runs() -> None:
    ids = JobIds()
    jobs = [ids.new() for _ in range(DRAWN)]
    failing = [job for job in jobs if fails(job, 10)]

    assert len(failing) == pytest.approx(DRAWN / 10, rel=0.15)
    assert failing == [job for job in jobs if fails(job, 10)]
    assert not any(fails(job, 0) for job in jobs)
    assert all(fails(job, 100) for job in jobs)


def test_large_payloads_make_batches_and_windows_small() -> None:
    size = 1_048_576
    load = fitting(Load(), [200, size])

    assert load.batch * size <= CALL_BYTES
    assert load.window * size <= WINDOW_BYTES
    assert load.concurrency <= load.window


def test_small_payloads_leave_the_load_as_it_is() -> None:
    assert fitting(Load(), [200]) == Load()


def test_a_payload_is_the_same_in_every_process() -> None:
    assert body(1024) == body(1024)
    assert len(body(1024)) == 1024
    assert body(0) == b""
