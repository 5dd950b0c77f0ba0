"""The load that Proto Jobs and its peers get, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OURS: Final = "proto-jobs"

Figures = dict[str, float]
"""By name: `enqueue`, `drain`, `both` and `single` in jobs/s, each with its CPU of PostgreSQL in us a job as `..._store_us`;
`idle_p50_ms` and `idle_p99_ms`; `repeated`, runs of jobs that had run before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much.

    jobs: of `drain`; seconds: of the other scenarios; batch, outstanding: jobs of a call that stores many, and such calls at once;
    callers: calls at once that store one job.
    """

    jobs: int = 200_000
    seconds: float = 20.0
    batch: int = 500
    outstanding: int = 6
    callers: int = 16

    def share(self, fraction: float) -> int:
        """Return how many jobs a part of them is, one batch at least."""
        return max(self.batch, round(self.jobs * fraction))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a scenario. wrong: what was not as promised."""

    figures: Figures
    wrong: Sequence[str] = ()
