"""What the filter language can say about jobs: terms that must all hold, each over something that stores have an index for.

`filter_text` reads and writes the text. The SQL drivers ask a filter for what narrows their statements (`states`, `labels`, ...);
the memory driver asks of each job whether the filter `holds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import reduce
from typing import TypeVar, assert_never

from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State

T = TypeVar("T")

_TICK = timedelta(microseconds=1)


class Relation(Enum):
    """How a term compares; the value is how it is written."""

    ONE_OF = "in"
    NONE_OF = "not in"
    BEFORE = "<"
    UP_TO = "<="
    AFTER = ">"
    FROM = ">="


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTerm:
    """The queue or the kind is one of these names, or (NONE_OF) none of them."""

    field: str
    """`queue` or `kind`."""
    relation: Relation
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTerm:
    """The state is one of these, or (NONE_OF) none of them."""

    relation: Relation
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTerm:
    """The job has this label, with one of these values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedTerm:
    """The job was stored BEFORE, UP_TO, AFTER or FROM this aware time, by the store's clock."""

    relation: Relation
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentTerm:
    """The job was made by one of these jobs."""

    parents: tuple[JobId, ...]


Term = NameTerm | StateTerm | LabelTerm | CreatedTerm | ParentTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of a job a filter looks at."""

    queue: str
    kind: str
    state: State
    labels: Mapping[str, str]
    created_at: datetime
    parent: JobId | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Terms that must all hold. None of them: every job."""

    terms: tuple[Term, ...]

    def holds(self, job: Facts) -> bool:
        """Tell whether every term holds for a job."""
        return all(_holds(term, job) for term in self.terms)

    def admits(self, queue: str, kind: str) -> bool:
        """Tell whether jobs of a queue and kind may match."""
        asked = {"queue": queue, "kind": kind}
        return all(_is_among(asked[term.field], term.names, term.relation) for term in self.terms if isinstance(term, NameTerm))

    @property
    def names_lanes(self) -> bool:
        """Tell whether it asks for queues or kinds at all."""
        return any(isinstance(term, NameTerm) for term in self.terms)

    @property
    def states(self) -> frozenset[State] | None:
        """Return the states of matching jobs; None: any."""
        terms = [term for term in self.terms if isinstance(term, StateTerm)]
        if not terms:
            return None
        return frozenset(state for state in State if all(_is_among(state, term.states, term.relation) for term in terms))

    @property
    def labels(self) -> tuple[LabelTerm, ...]:
        """Return the labels that matching jobs have."""
        return tuple(term for term in self.terms if isinstance(term, LabelTerm))

    @property
    def parents(self) -> frozenset[JobId] | None:
        """Return the jobs that made the matching ones; None: any, or none."""
        wanted = [frozenset(term.parents) for term in self.terms if isinstance(term, ParentTerm)]
        return reduce(frozenset[JobId].intersection, wanted) if wanted else None

    @property
    def created_from(self) -> datetime | None:
        """Return the first time at which a matching job may have been stored."""
        first = {Relation.FROM: timedelta(), Relation.AFTER: _TICK}
        return max(self._times(first), default=None)

    @property
    def created_to(self) -> datetime | None:
        """Return the time before which matching jobs were stored."""
        last = {Relation.BEFORE: timedelta(), Relation.UP_TO: _TICK}
        return min(self._times(last), default=None)

    def _times(self, shifts: Mapping[Relation, timedelta]) -> list[datetime]:
        return [t.at + shifts[t.relation] for t in self.terms if isinstance(t, CreatedTerm) and t.relation in shifts]


EVERY_JOB = Filter(())


def _holds(term: Term, job: Facts) -> bool:
    match term:
        case NameTerm():
            return _is_among(job.queue if term.field == "queue" else job.kind, term.names, term.relation)
        case StateTerm():
            return _is_among(job.state, term.states, term.relation)
        case LabelTerm():
            return job.labels.get(term.key) in term.values
        case CreatedTerm():
            return _is_on_side(job.created_at, term)
        case ParentTerm():
            return job.parent in term.parents
        case _:
            assert_never(term)


def _is_among(value: T, values: tuple[T, ...], relation: Relation) -> bool:
    return (value in values) is (relation is Relation.ONE_OF)


def _is_on_side(at: datetime, term: CreatedTerm) -> bool:
    match term.relation:
        case Relation.BEFORE:
            return at < term.at
        case Relation.UP_TO:
            return at <= term.at
        case Relation.AFTER:
            return at > term.at
        case Relation.FROM:
            return at >= term.at
        case Relation.ONE_OF | Relation.NONE_OF:
            raise AssertionError("times have sides only")
        case _:
            assert_never(term.relation)
