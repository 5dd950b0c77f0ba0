"""How much to take and how long to wait: pure arithmetic, random numbers injected."""

from collections.abc import Callable

from protojobs_worker.options import MAX_WINDOW

# Work that is asked for ahead covers the way to the server, the store's commit and the answer: some 5 ms on a quiet machine,
# 200 ms on one that is busy to its limit. What is ahead delays an urgent job by as much, so it is grown by need only.
_LEAST_AHEAD_SECONDS = 0.02
_MOST_AHEAD_SECONDS = 0.25
_GROWTH = 2.0
_DECAY = 0.8
# Handlers that take longer get nothing ahead beyond what their rate needs.
_SLOW_SECONDS = 0.25


class Prefetch:
    """Jobs to ask for beyond those that can run at once: what 0.02 to 0.25 s of work need.

    As little as keeps the slots busy: what waits here cannot be overtaken by an urgent job, nor run by another worker. Slow
    handlers get none; fast ones get thousands.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._floor = min(concurrency, 10)
        self._ahead = _LEAST_AHEAD_SECONDS
        self.jobs = self._floor

    def observe(self, *, ended: int, running: int, seconds: float, starved: bool) -> int:
        """Learn from the last `seconds`: handlers ended, handlers running now, slots stood idle over a backlog. Returns `jobs`."""
        if starved:
            self._ahead = min(self._ahead * _GROWTH, _MOST_AHEAD_SECONDS)
        else:
            self._ahead = max(self._ahead * _DECAY, _LEAST_AHEAD_SECONDS)
        if ended:
            ahead = int(ended / seconds * self._ahead)
            # Little's law: running / rate is the mean time of a handler.
            slow = running / (ended / seconds) > _SLOW_SECONDS
            target = ahead if slow else max(ahead, self._floor)
            self.jobs = target if target > self.jobs else (target + self.jobs) // 2
        elif running >= self._concurrency:
            self.jobs //= 2
        elif not running:
            self.jobs = self._floor
        self.jobs = min(self.jobs, MAX_WINDOW - self._concurrency)
        return self.jobs


class Dryness:
    """How long slots stood idle because nothing was there to begin."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._seconds = 0.0

    def ran_dry(self, now: float) -> None:
        """Note that a slot is idle and nothing waits for it."""
        if self._since is None:
            self._since = now

    def refilled(self, now: float) -> None:
        """Note that there is something to begin."""
        if self._since is not None:
            self._seconds += now - self._since
            self._since = None

    def take(self, now: float) -> float:
        """Return the seconds since this was asked last."""
        if self._since is not None:
            self._seconds += now - self._since
            self._since = now
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Reconnect:
    """Waits before a stream is opened again: 0-1 s after a lost one, then full jitter 0.2-10 s, for ever."""

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._tries = 0

    def welcomed(self) -> None:
        """Begin anew: a stream stands."""
        self._tries = 0

    def wait(self) -> float:
        """Return the next wait in seconds."""
        self._tries += 1
        if self._tries == 1:
            return self._uniform(0.0, 1.0)
        return self._uniform(0.2, min(10.0, 2.0 ** (self._tries - 1)))


def settle_again_after(tries: int, uniform: Callable[[float, float], float]) -> float:
    """Return the wait before an outcome goes out again that the server could not store: 0.1-5 s, full jitter."""
    return uniform(0.05, min(5.0, 0.1 * 2.0 ** min(tries, 6)))
