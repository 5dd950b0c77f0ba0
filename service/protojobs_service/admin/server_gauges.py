"""The numbers of this server alone: its leases and workers, its timers, its connections, and what it has refused."""

from collections.abc import Callable, Mapping

from protojobs_service.application import Application
from protojobs_service.port import Pool
from protojobs_service.telemetry import Reading, Telemetry


class ServerGauges:
    """Reads what the use cases know anyway. load: calls and streams at this moment. refusals: by reason, since the start."""

    def __init__(
        self, application: Application, *, load: Callable[[], Mapping[str, float]], refusals: Callable[[], Mapping[str, int]]
    ) -> None:
        self._application = application
        self._load = load
        self._refusals = refusals

    def register(self, telemetry: Telemetry) -> None:
        """Have everything read when somebody looks."""
        observe, count, store_time = telemetry.observe, telemetry.count, self._application.store_time
        driver = self._application.driver
        observe("protojobs.lease.active", "Leases of the streams of this server.", self._leases, "{lease}")
        observe("protojobs.worker.slots", "Handlers that its workers run, and could run, at once.", self._slots, "{slot}")
        count("protojobs.lease.expired", "Leases that a server has ended, by why.", self._lost, "{lease}")
        count("protojobs.job.total", "Ends of attempts by queue, kind and outcome.", self._ended, "{job}")
        count("protojobs.upkeep.turns", "Turns of the timers.", self._turns, "{turn}")
        observe("protojobs.upkeep.age", "Time since the last good turn of a timer.", self._ages, "s")
        observe("protojobs.db.pool.size", "Connections that a pool may have.", lambda: self._pools("size"), "{connection}")
        observe("protojobs.db.pool.used", "Connections in use.", lambda: self._pools("used"), "{connection}")
        observe("protojobs.db.pool.waiting", "Operations without a connection.", lambda: self._pools("waiting"), "{operation}")
        observe("protojobs.driver.level", "What a driver has at this moment.", lambda: _said(driver.numbers().levels))
        count("protojobs.driver.events", "What a driver has met.", lambda: _said(driver.numbers().counts))
        observe("protojobs.store.up", "The store answered the last probe.", lambda: [(int(store_time.ok), {})])
        observe("protojobs.rpc.active", "Calls and streams at this moment.", self._active)
        count("protojobs.rpc.refused", "Calls and streams refused for load, by whose limit.", self._refused, "{call}")

    def _leases(self) -> Reading:
        return [(sum(len(session.flights) for session in self._application.leasing.sessions.values()), {})]

    def _slots(self) -> Reading:
        sessions = list(self._application.leasing.sessions.values())
        used = sum(min(session.slots, len(session.flights)) for session in sessions)
        return [(used, {"state": "used"}), (sum(session.slots for session in sessions), {"state": "total"})]

    def _lost(self) -> Reading:
        return [(count, {"cause": cause.value}) for cause, count in self._application.tally.lost.items()]

    def _ended(self) -> Reading:
        ended = self._application.tally.ended
        return [(n, {"queue": queue, "kind": kind, "outcome": outcome}) for (queue, kind, outcome), n in ended.items()]

    def _turns(self) -> Reading:
        for timer, turns in self._application.upkeep.turns.items():
            yield turns.good, {"timer": timer, "result": "ok"}
            yield turns.failed, {"timer": timer, "result": "failed"}

    def _ages(self) -> Reading:
        return [(age, {"timer": timer}) for timer, age in self._application.upkeep.ages().items()]

    def _pools(self, what: str) -> Reading:
        pools: Mapping[str, Pool] = self._application.driver.pools()
        return [(getattr(pool, what), {"pool": name}) for name, pool in pools.items()]

    def _active(self) -> Reading:
        return [(number, {"what": what}) for what, number in self._load().items()]

    def _refused(self) -> Reading:
        return [(count, {"reason": reason}) for reason, count in self._refusals().items()]


def _said(numbers: Mapping[str, float]) -> Reading:
    return [(number, {"what": what}) for what, number in numbers.items()]
