"""How much to take and how long to wait: pure arithmetic, random numbers injected."""

from collections.abc import Callable

from protojobs_worker.options import MAX_WINDOW

# Work that is asked for ahead: covers the way to the server, the store's commit and the answer.
_AHEAD_SECONDS = 0.25


class Prefetch:
    """Jobs to ask for beyond those that can run at once: what a quarter of a second of work needs.

    Slow handlers get none, so that no job waits here while another worker has room; fast ones get thousands.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._floor = min(concurrency, 10)
        self.jobs = self._floor

    def observe(self, *, ended: int, running: int, seconds: float) -> int:
        """Learn from the last `seconds`: handlers ended, handlers running now. Returns `jobs`."""
        if ended:
            ahead = int(ended / seconds * _AHEAD_SECONDS)
            # Little's law: running / rate is the mean time of a handler.
            slow = running / (ended / seconds) > _AHEAD_SECONDS
            target = ahead if slow else max(ahead, self._floor)
            self.jobs = target if target > self.jobs else (target + self.jobs) // 2
        elif running >= self._concurrency:
            self.jobs //= 2
        elif not running:
            self.jobs = self._floor
        self.jobs = min(self.jobs, MAX_WINDOW - self._concurrency)
        return self.jobs


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
