"""Stored envelopes read again, for a store that has never seen them."""

from protojobs.v1 import job_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.job import Draft, JobId
from protojobs_service.transport.convert import parse_spec
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.specs import Specs


class Redrafts:
    """Reads envelopes of jobs that were accepted once."""

    def __init__(self, limits: bounds.Limits) -> None:
        """Hold them to the bounds of the store that gets them."""
        self._specs = Specs(limits)

    def redraft(self, envelope: bytes, job_id: JobId) -> Draft:
        """Return the job of an envelope under an id, which the envelope names then; its times, which may have passed, are left out.

        Raises JobsError where it is not within the bounds.
        """
        spec = parse_spec(envelope)
        name = format_id(job_id)
        own = envelope if spec.id == name else envelope + job_pb2.JobSpec(id=name).SerializeToString()
        spec.id = name
        if start := spec.WhichOneof("start"):
            spec.ClearField(start)
        spec.ClearField("expire_time")
        draft = self._specs.draft(spec.SerializeToString())
        return draft._replace(job=draft.job._replace(envelope=own))
