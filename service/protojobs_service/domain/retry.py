"""When a failed job runs again: pure functions of policy, counters and chance."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from random import Random
from typing import Any


class Jitter(Enum):
    """Randomisation of a backoff."""

    FULL = 1
    NONE = 2


MAX_CRASHES = 3
"""Crashes of one job that end it as FAILED / POISON (docs/concepts.md, counters)."""

MIN_BACKOFF = timedelta(seconds=1)
CRASH_BACKOFF = timedelta(seconds=10)
RETURN_BACKOFF = timedelta(seconds=1)
MAX_RETURN_BACKOFF = timedelta(seconds=60)
FREE_RETURNS = 2
"""Returns (release, missed receipt) that go back at once; the next ones wait."""
FREE_LOSSES = 2
"""Deliveries of a job that may be lost with their worker, unexplained, before it is under suspicion and goes out alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one job's attempts are bounded and retried; every field resolved (job, then queue, then default).

    max_retries: counted failures that are retried, so `max_retries + 1` failures end the job.
    """

    max_retries: int = 3
    initial_backoff: timedelta = timedelta(seconds=60)
    multiplier: float = 2.0
    max_backoff: timedelta = timedelta(hours=1)
    jitter: Jitter = Jitter.FULL
    max_retry_duration: timedelta | None = None
    run_timeout: timedelta = timedelta(seconds=300)

    def dump(self) -> str:
        """Return the compact text that drivers store; `load` reads it back."""
        return json.dumps(
            [
                self.max_retries,
                self.initial_backoff.total_seconds(),
                self.multiplier,
                self.max_backoff.total_seconds(),
                self.jitter.value,
                None if self.max_retry_duration is None else self.max_retry_duration.total_seconds(),
                self.run_timeout.total_seconds(),
            ],
            separators=(",", ":"),
        )

    @staticmethod
    def load(text: str | None) -> "Policy":
        """Return the policy that `dump` wrote; None means the defaults."""
        if text is None:
            return DEFAULT_POLICY
        values: list[Any] = json.loads(text)
        return Policy(
            max_retries=values[0],
            initial_backoff=timedelta(seconds=values[1]),
            multiplier=values[2],
            max_backoff=timedelta(seconds=values[3]),
            jitter=Jitter(values[4]),
            max_retry_duration=None if values[5] is None else timedelta(seconds=values[5]),
            run_timeout=timedelta(seconds=values[6]),
        )


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanges:
    """What a job or a queue sets of a policy; None leaves the field as it is below."""

    max_retries: int | None = None
    initial_backoff: timedelta | None = None
    multiplier: float | None = None
    max_backoff: timedelta | None = None
    jitter: Jitter | None = None
    max_retry_duration: timedelta | None = None
    run_timeout: timedelta | None = None

    def over(self, base: Policy) -> Policy:
        """Return `base` with every field that is set here replaced."""
        changes = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        return replace(base, **changes) if changes else base


def backoff(policy: Policy, failures: int, rng: Random) -> timedelta:
    """Return the wait before the retry that follows the `failures`-th counted failure (from 1).

    Exponential: initial x multiplier^(failures-1), capped by max_backoff. FULL jitter draws uniformly from
    MIN_BACKOFF (or the backoff, if shorter) to the backoff: a herd spreads, and no retry comes back at once.
    """
    ceiling = policy.max_backoff.total_seconds()
    wait = policy.initial_backoff.total_seconds()
    for _ in range(failures - 1):
        if wait >= ceiling or policy.multiplier == 1.0:
            break
        wait *= policy.multiplier
    wait = min(wait, ceiling)
    if policy.jitter is Jitter.FULL:
        wait = rng.uniform(min(wait, MIN_BACKOFF.total_seconds()), wait)
    return timedelta(seconds=wait)


def crash_backoff(crashes: int) -> timedelta | None:
    """Return the wait after the `crashes`-th crash; None means at once (10 s x 2^(crashes-2) from the second on)."""
    return None if crashes < 2 else CRASH_BACKOFF * (1 << (crashes - 2))


def return_backoff(returns: int) -> timedelta | None:
    """Return the wait after the `returns`-th return in a row; None means at once (1 s x 2^n up to 60 s from the third on)."""
    if returns <= FREE_RETURNS:
        return None
    return min(RETURN_BACKOFF * (1 << (returns - FREE_RETURNS - 1)), MAX_RETURN_BACKOFF)
