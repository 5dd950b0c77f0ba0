"""What the judge says: which invariant does not hold, for which job, and the lines that show it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.checker.history import Event, History

MAX_SHOWN = 10
MAX_LINES = 40

INVARIANTS = {
    "I1": "no acknowledged job and no acknowledged outcome is lost",
    "I2": "nothing runs that nobody dispatched, and with the payload it was dispatched with",
    "I3": "an attempt is leased to one session once, and attempts of a job rise",
    "I4": "no attempt is accepted after a later one was leased",
    "I5": "one accepted outcome per attempt, one final outcome per job between two retries",
    "I6": "failures and crashes stay in their bounds and count what happened",
    "I7": "nothing starts early",
    "I9": "a definite refusal has no effect",
    "I10": "what was cancelled neither starts nor completes",
    "I13": "Stats equals a recount",
    "I14": "no lease is taken from a worker that is alive and connected",
    "I15": "what is due drains, and no lease is stuck",
    "I17": "errors come from the catalogue, and none goes unnoticed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An invariant that does not hold."""

    invariant: str
    message: str
    job: str = ""

    def __str__(self) -> str:
        return f"{self.invariant} {self.job + ': ' if self.job else ''}{self.message}"


@dataclass(slots=True)
class Report:
    """The judgement on one history."""

    history: History
    violations: list[Violation] = field(default_factory=list[Violation])
    jobs: int = 0
    acknowledged: int = 0
    runs: int = 0
    completed: int = 0
    repeated_runs: int = 0
    """Runs of a job beyond the first that neither a counted failure, a snooze nor a Retry asked for."""
    overlaps: int = 0
    """Runs that began while another run of their job had not ended (dead workers never end theirs)."""

    @property
    def ok(self) -> bool:
        """Tell whether every invariant holds."""
        return not self.violations

    def broken(self) -> set[str]:
        """Return the invariants that do not hold."""
        return {violation.invariant for violation in self.violations}

    def add(self, invariant: str, message: str, job: str = "") -> None:
        """Note a violation."""
        self.violations.append(Violation(invariant=invariant, message=message, job=job))

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the run."""
        return {
            "events": len(self.history.events),
            "jobs": self.jobs,
            "acknowledged": self.acknowledged,
            "runs": self.runs,
            "completed": self.completed,
            "repeated_runs": self.repeated_runs,
            "overlaps": self.overlaps,
            "violations": len(self.violations),
        }

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value}" for name, value in self.summary().items())
        if self.ok:
            return f"every invariant holds: {numbers}"
        counts = Counter(violation.invariant for violation in self.violations)
        lines = [f"NOT every invariant holds: {numbers}"]
        lines += [f"  {name} x{count}: {INVARIANTS[name]}" for name, count in sorted(counts.items())]
        shown: Counter[str] = Counter()
        for violation in self.violations:
            shown[violation.invariant] += 1
            if shown[violation.invariant] > MAX_SHOWN:
                continue
            lines += ["", str(violation)]
            if violation.job and shown[violation.invariant] <= 2:
                lines += self._timeline(violation.job)
        return "\n".join(lines)

    def _timeline(self, job: str) -> list[str]:
        events = list(self.history.of_job(job))
        begin = self.history.events[0].t
        return [f"    {_show(event, begin)}" for event in events[:MAX_LINES]]


def _show(event: Event, begin: float) -> str:
    rest = {key: value for key, value in event.data.items() if key not in _HIDDEN and not isinstance(value, list)}
    rest |= {key: value[event.place] for key, value in event.data.items() if _is_column(value, event)}
    attempt = f" #{event.attempt}" if event.attempt else ""
    words = " ".join(f"{key}={value}" for key, value in rest.items())
    return f"{event.t - begin:9.3f} {event.proc:<12} {event.op} {event.phase}{attempt} {words}".rstrip()


def _is_column(value: Any, event: Event) -> bool:
    return value.__class__ is list and event.place < len(value)


_HIDDEN = frozenset({"t", "op", "phase", "proc", "job", "attempt"})
