"""Envelopes of stored jobs, read again for another store."""

from datetime import UTC, datetime, timedelta

import pytest
from protojobs.v1 import job_pb2
from protojobs_service.domain.bounds import Limits
from protojobs_service.domain.errors import PayloadTooLarge
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.redraft import Redrafts

from tests.contract.acts import new_id


def test_times_that_have_passed_do_not_matter_and_the_envelope_stays_as_it_was() -> None:
    job_id, old = new_id(), datetime.now(UTC) - timedelta(days=30)
    spec = job_pb2.JobSpec(
        id=format_id(job_id),
        queue="q",
        kind="k",
        payload=b"p",
        unique=job_pb2.Unique(key="u", scope=job_pb2.UNIQUE_SCOPE_UNTIL_DONE),
    )
    spec.run_time.FromDatetime(old)
    spec.expire_time.FromDatetime(old + timedelta(days=1))
    envelope = spec.SerializeToString()

    job, _ = Redrafts(Limits()).redraft(envelope, job_id)

    assert (job.id, job.queue, job.kind, job.envelope) == (job_id, "q", "k", envelope)
    assert (job.run_at, job.delay, job.expire_at) == (None, None, None)
    assert job.unique is not None


def test_another_id_is_in_the_envelope_too() -> None:
    envelope = job_pb2.JobSpec(id=format_id(new_id()), queue="q", kind="k", payload=b"p").SerializeToString()
    other = new_id()

    job, _ = Redrafts(Limits()).redraft(envelope, other)

    read = job_pb2.JobSpec.FromString(job.envelope)
    assert job.id == other
    assert (read.id, read.queue, read.payload) == (format_id(other), "q", b"p")


def test_a_payload_that_is_too_large_for_the_other_store_is_refused() -> None:
    job_id = new_id()
    envelope = job_pb2.JobSpec(id=format_id(job_id), queue="q", kind="k", payload=b"p" * 2000).SerializeToString()

    with pytest.raises(PayloadTooLarge):
        Redrafts(Limits(max_payload_bytes=1000)).redraft(envelope, job_id)
