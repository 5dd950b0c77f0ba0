"""How often this replica does what it does by itself, and how long it waits for workers."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Spans in seconds; the defaults are those of the contract.

    idle_poll: claims while there is room and nobody announced a job. sweep: receipts, watchdogs, deadlines, timeouts.
    poll: cancel and drain requests, settings, waited-for jobs. compare: memory against the store's running jobs.
    doubt: between two comparisons after a claim's answer was lost.
    receipt + one second per `receipt_bytes` outstanding: how long a Deliver frame may stay without a receipt.
    suspect: how long a suspect waits in front of a stream for the end of another one before it goes back.
    timeout_grace: added to a run timeout before the server ends the attempt itself.
    throttle: how soon a worker is told again that the same limit leaves it idle.
    watch_heartbeat: how long a stream of events stays silent.
    tokens: how soon a revoked token is refused; token_uses: how soon its use is seen.
    stream_age, spread by `stream_age_spread`: when a stream is told to move on. drain: how long it then has.
    """

    idle_poll: float = 0.25
    sweep: float = 0.25
    poll: float = 0.25
    compare: float = 10.0
    doubt: float = 2.0
    renew: float = 1.0
    receipt: float = 5.0
    receipt_bytes: int = 256 * 1024
    suspect: float = 1.0
    timeout_grace: float = 10.0
    turnover: float = 0.05
    throttle: float = 5.0
    stream_age: float = 1800.0
    stream_age_spread: float = 0.2
    drain: timedelta = timedelta(seconds=10)
    max_heartbeat: float = 10.0
    promote: float = 0.1
    unhold: float = 1.0
    tick: float = 0.25
    expire: float = 1.0
    rescue: float = 0.5
    beat: float = 1.0
    prune: float = 60.0
    reconcile: float = 300.0
    maintain: float = 3600.0
    pause_acknowledgement: float = 1.0
    watch_heartbeat: float = 10.0
    tokens: float = 1.0
    token_uses: float = 10.0
