"""Jobs as bytes of a record: up to 256 jobs of one queue that were accepted together.

Layout, numbers big-endian: magic `PJ`, version, count (2), accepted in microseconds (8), length and name of the queue; then for
each job its head (id, priority, flags, and the lengths of what follows), kind, policy, envelope.
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from protojobs_service.domain.bounds import (
    MAX_BACKOFF,
    MAX_MULTIPLIER,
    MAX_PRIORITY,
    MAX_RETENTION,
    MAX_RETRIES,
    MAX_RUN_TIMEOUT,
    MIN_MULTIPLIER,
    MIN_PRIORITY,
    MIN_RUN_TIMEOUT,
    NAME,
)
from protojobs_service.domain.job import NewJob, make_tuple
from protojobs_service.domain.retry import Policy

MAX_JOBS = 256
FULL_BYTES = 64 * 1024
"""A record takes no more jobs once it is as large; a larger job is a record of its own."""

_HEAD = struct.Struct(">2sBHQB")
_JOB = struct.Struct(">16sBBBHQI")
_MAGIC, _VERSION = b"PJ", 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_ZERO = timedelta()
_FOLLOW_UPS, _NO_FOLLOW_UPS = 1, 2
_FOLLOW_UPS_OF = {_FOLLOW_UPS: True, _NO_FOLLOW_UPS: False}
_NO_DELAY_TO_UNIQUE = (None,) * 6
"""delay, run_at, expire_at, labels, parent and unique of NewJob: who has one goes through no topic."""
_NO_KEYS = (None, None)
"""Its fairness_key and concurrency_key."""
_FRAME = _HEAD.size + _JOB.size + 128 + 128


class InvalidRecord(Exception):
    """A record that this version did not write, or that was cut."""


class Packed(NamedTuple):
    """The bytes of a record, how many jobs are in it, and its time in milliseconds: not before that of any id in it."""

    value: bytes
    jobs: int
    time_ms: int


def frame_bytes(job: NewJob) -> int:
    """Return no less than a job takes in a record of its own."""
    return _FRAME + len(job.envelope) + (0 if job.policy is None else 512)


def pack(queue: str, jobs: Sequence[NewJob], accepted_at: datetime) -> Iterator[Packed]:
    """Make records of the jobs, in order."""
    part: list[bytes] = []
    count = size = newest = 0
    for job in jobs:
        packed = _pack_job(job)
        if count and (count == MAX_JOBS or size + len(packed) > FULL_BYTES):
            yield _finish(queue, part, count, newest, accepted_at)
            part, count, size, newest = [], 0, 0, 0
        part.append(packed)
        count, size, newest = count + 1, size + len(packed), max(newest, int.from_bytes(job.id[:6]))
    if count:
        yield _finish(queue, part, count, newest, accepted_at)


def count_of(value: bytes) -> int:
    """Return how many jobs a record says it has; 1 for one of somebody else."""
    return struct.unpack_from(">H", value, 3)[0] if value[:2] == _MAGIC and len(value) >= _HEAD.size else 1


def unpack(value: bytes) -> list[NewJob]:
    """Return the jobs of a record. Raises InvalidRecord, of which nothing can be used then."""
    try:
        return list(_unpack(value))
    except (struct.error, ValueError, OverflowError, LookupError, TypeError, RecursionError) as error:
        raise InvalidRecord("not a record of jobs") from error


def _finish(queue: str, part: Sequence[bytes], count: int, newest_ms: int, accepted_at: datetime) -> Packed:
    name = queue.encode()
    accepted = (accepted_at - _EPOCH) // _US
    head = _HEAD.pack(_MAGIC, _VERSION, count, accepted, len(name))
    # A broker refuses times too far ahead; an id may be up to an hour ahead of the server.
    return Packed(b"".join((head, name, *part)), count, min(newest_ms, accepted // 1000))


def _pack_job(job: NewJob) -> bytes:
    kind = job.kind.encode()
    policy = b"" if job.policy is None else job.policy.dump().encode()
    flags = 0 if job.follow_ups is None else _FOLLOW_UPS if job.follow_ups else _NO_FOLLOW_UPS
    kept = 0 if job.result_retention is None else job.result_retention // _US + 1
    head = _JOB.pack(job.id, job.priority, flags, len(kind), len(policy), kept, len(job.envelope))
    return b"".join((head, kind, policy, job.envelope))


def _unpack(value: bytes) -> Iterator[NewJob]:
    magic, version, count, accepted, name = _HEAD.unpack_from(value)
    if magic != _MAGIC or version != _VERSION or not 1 <= count <= MAX_JOBS:
        raise InvalidRecord("another layout")
    at = _HEAD.size
    queue = _name(value, at, name)
    at += name
    accepted_at = _EPOCH + timedelta(microseconds=accepted)
    last, kind = b"", ""
    for _ in range(count):
        job_id, priority, flags, kind_size, policy_size, kept, size = _JOB.unpack_from(value, at)
        at += _JOB.size
        policy_at = at + kind_size
        envelope_at = policy_at + policy_size
        end = envelope_at + size
        if end > len(value) or not MIN_PRIORITY <= priority <= MAX_PRIORITY:
            raise InvalidRecord("cut, or out of bounds")
        if (raw := value[at:policy_at]) != last or not raw:  # mostly runs of one kind
            last, kind = raw, _name(value, at, kind_size)
        policy = _policy(value[policy_at:envelope_at]) if policy_size else None
        about = (policy, *_NO_DELAY_TO_UNIQUE, _FOLLOW_UPS_OF.get(flags), *_NO_KEYS, _retention(kept), accepted_at)
        yield make_tuple(NewJob, (job_id, queue, kind, priority, value[envelope_at:end], *about))
        at = end
    if at != len(value):
        raise InvalidRecord("more than it says")


def _name(value: bytes, at: int, size: int) -> str:
    text = value[at : at + size].decode()
    if NAME.match(text) is None:
        raise InvalidRecord("not a name")
    return text


def _policy(value: bytes) -> Policy:
    """Return a policy that a job may have: what follows from another one would come to light when its job fails."""
    policy = Policy.load(value.decode())
    longest = policy.max_retry_duration
    if (
        type(policy.max_retries) is not int
        or not 0 <= policy.max_retries <= MAX_RETRIES
        or not _ZERO <= policy.initial_backoff <= MAX_BACKOFF
        or not MIN_MULTIPLIER <= policy.multiplier <= MAX_MULTIPLIER
        or not _ZERO <= policy.max_backoff <= MAX_BACKOFF
        or not (longest is None or longest >= _ZERO)
        or not MIN_RUN_TIMEOUT <= policy.run_timeout <= MAX_RUN_TIMEOUT
    ):
        raise InvalidRecord("a policy out of bounds")
    return policy


def _retention(kept: int) -> timedelta | None:
    span = timedelta(microseconds=kept - 1) if kept else None
    if span is not None and span > MAX_RETENTION:
        raise InvalidRecord("a retention out of bounds")
    return span
