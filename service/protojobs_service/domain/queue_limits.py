"""What limits a queue, and the arithmetic of its bucket of tokens: integers, so that no rounding ever gives a lease too many."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from math import ceil
from typing import NamedTuple

_TOKEN = 1_000_000
_LONGEST_WAIT_US = 86_400_000_000


class Overflow(Enum):
    """What happens to a dispatch into a queue at its max_depth."""

    REJECT = 1
    RETRY = 2
    """Refused too, and the caller is told to try again."""
    DROP_OLDEST = 3
    """The oldest waiting job is deleted."""


class HoldCause(Enum):
    """Why jobs of a queue wait although a worker has room."""

    PAUSED = 1
    RATE = 2
    CONCURRENCY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Leases of a queue: `per_second` on average, of which `burst` may come at once."""

    per_second: float
    burst: int


class Bucket(NamedTuple):
    """Tokens of a queue as they were at one time of the store's clock. tokens: millionths; at: microseconds."""

    tokens: int
    at: int

    def lease(self, leases: int) -> "Bucket":
        """Return what is left after so many leases."""
        return self._replace(tokens=self.tokens - leases * _TOKEN)

    @property
    def leases(self) -> int:
        """Return how many leases it is good for."""
        return max(0, self.tokens // _TOKEN)


def bucket_at(now: int, rate: RateLimit, before: Bucket | None) -> Bucket:
    """Return the bucket at `now`: what has dripped in since `before`, at most `burst`; full where there was none.

    A clock that went back drips nothing. What is less than a millionth of a token is lost with each call.
    """
    full = rate.burst * _TOKEN
    if before is None:
        return Bucket(full, now)
    dripped = int(Fraction(rate.per_second) * max(0, now - before.at))  # millionths: microseconds times tokens a second
    return Bucket(min(full, before.tokens + dripped), now)


def wait_us(bucket: Bucket, rate: RateLimit) -> int:
    """Return for how many microseconds the bucket has no whole token, at most a day; 0 where it has one."""
    missing = _TOKEN - bucket.tokens
    return 0 if missing <= 0 else min(_LONGEST_WAIT_US, ceil(missing / Fraction(rate.per_second)))


class Hold(NamedTuple):
    """A limit that keeps jobs of a queue back. wait_us: how long at least, None where nobody knows.

    jobs: whether jobs are known to wait for it.
    """

    cause: HoldCause
    wait_us: int | None
    jobs: bool
