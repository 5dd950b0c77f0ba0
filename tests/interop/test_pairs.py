"""Every language dispatches to every language, on every store."""

import hashlib
from base64 import b64decode

import pytest

from tests.interop import specs
from tests.interop.bench import Bench, Pair
from tests.interop.languages import Language

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


@pytest.fixture
def pair(bench: Bench, dispatcher: Language, worker: Language) -> Pair:
    """The pair's jobs, dispatched already."""
    return bench.pair(dispatcher, worker)


@pytest.mark.requirement("LEASE-1", "RUN-1")
def test_bytes_headers_priority_and_time_arrive_as_they_were_sent_and_the_result_comes_back(pair: Pair) -> None:
    job = pair.job("rich")

    started = pair.worker.event("started", job_id=job)
    pair.settled(job)
    stored = pair.get(job)

    assert (started["kind"], started["attempt"]) == ("echo", 1)
    assert started["payload_len"] == len(specs.BYTES)
    assert started["payload_sha256"] == hashlib.sha256(specs.BYTES).hexdigest()
    assert {key: started["headers"].get(key) for key in specs.HEADERS} == specs.HEADERS
    assert started["priority"] == specs.PRIORITY
    assert started["run_time_us"] == round(specs.RUN_TIME.timestamp() * 1_000_000)
    assert stored["state"] == "COMPLETED"
    assert b64decode(stored["result"]) == specs.BYTES
    assert b64decode(stored["payload"]) == specs.BYTES


@pytest.mark.requirement("TRACE-1")
def test_the_trace_context_arrives(pair: Pair) -> None:
    started = pair.worker.event("started", job_id=pair.job("rich"))

    assert started["traceparent"] == specs.TRACE


@pytest.mark.requirement("LEASE-1")
def test_a_payload_of_one_mebibyte_arrives_as_it_was_sent(pair: Pair) -> None:
    job = pair.job("one_mib")

    started = pair.worker.event("started", job_id=job)
    pair.settled(job)

    assert started["payload_len"] == specs.MIB
    assert started["payload_sha256"] == hashlib.sha256(specs.LARGE).hexdigest()


@pytest.mark.requirement("RUN-1")
def test_a_job_fails_twice_and_succeeds_and_its_dispatcher_reads_the_error(pair: Pair) -> None:
    job = pair.job("fail_twice")

    finished = pair.finished("fail_twice")
    outcomes = [each["outcome"] for each in pair.worker.count(3, "ended", job_id=job)]

    assert (finished["state"], finished["attempt"]) == ("COMPLETED", 3)
    assert b64decode(finished["result"]) == b"3"
    assert finished["error"] == {"type": "NoLuck", "message": "no luck, attempt 2: žluť"}
    assert outcomes == ["fail", "fail", "complete"]


@pytest.mark.requirement("LEASE-6")
def test_a_job_is_cancelled_while_it_runs(pair: Pair) -> None:
    job = pair.long()
    pair.worker.event("started", job_id=job)

    pair.cancel(job)

    ended = pair.worker.event("ended", job_id=job)
    pair.settled(job)
    assert ended["outcome"] == "cancelled"
    assert pair.get(job)["state"] == "CANCELLED"
