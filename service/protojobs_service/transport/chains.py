"""Follow-ups inside a JobSpec: their bounds as a whole. What each of them may be is read in `specs`."""

from collections.abc import Iterator

from protojobs.v1 import job_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport.convert import parse_spec

FOLLOW_UPS = ("on_complete", "on_failed")


def check_chain(spec: job_pb2.JobSpec, max_bytes: int) -> None:
    """Refuse follow-ups that are too many, too deep or too large in all, or that have ids. Raises InvalidField with their path."""
    jobs = 0
    stack = [("", spec, 0)]
    while stack:
        path, parent, depth = stack.pop()
        for place, template in follow_ups(path, parent):
            jobs += 1
            if depth == bounds.MAX_CHAIN_DEPTH:
                raise InvalidField(place, f"at most {bounds.MAX_CHAIN_DEPTH} jobs after each other")
            if jobs > bounds.MAX_CHAIN_JOBS:
                raise InvalidField(place, f"at most {bounds.MAX_CHAIN_JOBS} follow-ups in all")
            if template.id:
                raise InvalidField(f"{place}.id", "must be unset: it is made of the id of the job that it follows")
            stack.append((f"{place}.", template, depth + 1))
    size = sum(template.ByteSize() for _, template in follow_ups("", spec))
    if size > max_bytes:
        raise InvalidField("on_complete" if spec.on_complete else "on_failed", f"all follow-ups: at most {max_bytes} bytes")


def follow_ups(path: str, spec: job_pb2.JobSpec) -> Iterator[tuple[str, job_pb2.JobSpec]]:
    """Yield the templates in a spec with the path of each. Raises InvalidField where one field has too many."""
    for field in FOLLOW_UPS:
        templates = getattr(spec, field)
        if len(templates) > bounds.MAX_FOLLOW_UPS:
            raise InvalidField(f"{path}{field}", f"at most {bounds.MAX_FOLLOW_UPS} jobs")
        yield from ((f"{path}{field}[{place}]", template) for place, template in enumerate(templates))


def brief(envelope: bytes) -> bytes:
    """Return what the short view shows of an envelope."""
    spec = parse_spec(envelope)
    strip(spec)
    return spec.SerializeToString()


def strip(spec: job_pb2.JobSpec) -> None:
    """Take payload and headers out of a spec and all its follow-ups, for the short view."""
    spec.ClearField("payload")
    spec.ClearField("headers")
    for field in FOLLOW_UPS:
        for template in getattr(spec, field):
            strip(template)
