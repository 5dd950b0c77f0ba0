"""What this replica knows of queues: their settings as of the last poll."""

from collections.abc import Callable, Collection, Mapping

from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.domain.retry import DEFAULT_POLICY, Policy, PolicyChanges
from protojobs_service.port import Driver

_NOTHING = PolicyChanges()


class KnownQueues:
    """Caches every queue's settings; at most one poll old, and never older than this replica's own changes."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._queues: Mapping[str, QueueSettings] = {}
        self._policies: Mapping[str, Policy] = {}
        self._paused: frozenset[str] = frozenset()
        self._limits: Mapping[str, tuple[RateLimit | None, int]] = {}
        self._version = -1
        self._listeners: list[Callable[[Collection[str], Collection[str]], None]] = []
        self._limit_listeners: list[Callable[[Collection[str]], None]] = []
        self._payloads: Mapping[str, int] = {}
        self._payload_listeners: list[Callable[[Mapping[str, int]], None]] = []

    @property
    def version(self) -> int:
        """Return the version of the settings that are known."""
        return self._version

    @property
    def paused(self) -> frozenset[str]:
        """Return the queues from which nothing is leased."""
        return self._paused

    @property
    def limited(self) -> Collection[str]:
        """Return the queues whose leases are counted: by a rate, or by how many jobs run at once."""
        return self._limits.keys()

    @property
    def all(self) -> Mapping[str, QueueSettings]:
        """Return every queue that was ever used or set up, by name."""
        return self._queues

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Return the policies of those queues that set any part of one."""
        return self._policies

    def settings(self, queue: str) -> QueueSettings:
        """Return the settings of a queue; the defaults where nobody has used it."""
        found = self._queues.get(queue)
        return QueueSettings(name=queue) if found is None else found

    def policy(self, queue: str, changes: PolicyChanges | None) -> Policy | None:
        """Return what a job of `queue` that sets `changes` is bound by; None where everything is default."""
        base = self._policies.get(queue)
        if changes is None:
            return base
        policy = changes.over(base or DEFAULT_POLICY)
        return None if policy == DEFAULT_POLICY else policy

    def on_pause(self, listener: Callable[[Collection[str], Collection[str]], None]) -> None:
        """Call `listener` with the newly paused and the newly resumed queues of every later poll."""
        self._listeners.append(listener)

    def on_limits(self, listener: Callable[[Collection[str]], None]) -> None:
        """Call `listener` with the queues whose limits every later poll finds changed."""
        self._limit_listeners.append(listener)

    def on_payloads(self, listener: Callable[[Mapping[str, int]], None]) -> None:
        """Call `listener` with max_payload_bytes of queues that set it, now and whenever a later poll finds it changed."""
        self._payload_listeners.append(listener)
        listener(self._payloads)

    async def refresh(self) -> None:
        """Read the settings if they have changed. Raises StoreUnavailable."""
        book = await self._driver.queues.settings(self._version)
        if book is None or book.version < self._version:
            return
        self._version = book.version
        self._queues = dict(book.queues)
        self._policies = {name: queue.policy for name, queue in book.queues.items() if queue.retry != _NOTHING}
        before, self._paused = self._paused, frozenset(name for name, queue in book.queues.items() if queue.paused)
        if before != self._paused:
            for listener in self._listeners:
                listener(self._paused - before, before - self._paused)
        self._learn_limits()
        self._learn_payloads()

    def _learn_limits(self) -> None:
        limits = {name: (queue.rate_limit, queue.max_in_flight) for name, queue in self._queues.items() if queue.limits_leases}
        changed = {name for name, _ in limits.items() ^ self._limits.items()}
        self._limits = limits
        if changed:
            for listener in self._limit_listeners:
                listener(changed)

    def _learn_payloads(self) -> None:
        payloads = {name: queue.max_payload_bytes for name, queue in self._queues.items() if queue.max_payload_bytes}
        if payloads == self._payloads:
            return
        self._payloads = payloads
        for listener in self._payload_listeners:
            listener(payloads)
