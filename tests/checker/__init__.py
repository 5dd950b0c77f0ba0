"""Judges what clients, workers and the store say they did and saw: every promise of docs/guarantees.md as an invariant.

Producers, workers and whoever injects faults append JSON lines (`record`); after the run the store is dumped as one more witness;
`judge` sorts the lines by one monotonic clock, reads them once and names every invariant that does not hold. All processes must
have run on one host: then the order of lines is the order of events. `python -m tests.checker FILE...` judges kept histories.
"""

from tests.checker.history import Event, History, read_history
from tests.checker.judge import judge
from tests.checker.record import Recorder, digest
from tests.checker.report import Report, Violation

__all__ = ["Event", "History", "Recorder", "Report", "Violation", "digest", "judge", "read_history"]
