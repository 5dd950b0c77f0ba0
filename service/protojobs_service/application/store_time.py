"""The store's time as this replica knows it, and whether the store answers."""

from datetime import UTC, datetime, timedelta

from protojobs_service.application.clock import Clock
from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.port import Driver

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID_WINDOW_LIFETIME = 1.0


class StoreTime:
    """Follows the store's clock between two pings by the monotonic clock; for bounds and information, never for leases."""

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._at: datetime | None = None
        self._read_at = 0.0
        self._ok = False
        self._window = (b"", b"")
        self._window_until = float("-inf")

    @property
    def ok(self) -> bool:
        """Tell whether the store answered the last time it was asked."""
        return self._ok

    async def refresh(self) -> None:
        """Ask the store for its time. Raises StoreUnavailable."""
        asked_at = self._clock.monotonic()
        try:
            at = await self._driver.ping()
        except StoreUnavailable:
            self._ok = False
            raise
        answered_at = self._clock.monotonic()
        self._at, self._read_at, self._ok = at, (asked_at + answered_at) / 2, True
        self._window_until = float("-inf")

    def now(self) -> datetime:
        """Return the store's time, as far as it is known."""
        if self._at is None:
            raise StoreUnavailable
        return self._at + timedelta(seconds=self._clock.monotonic() - self._read_at)

    def id_prefix(self) -> bytes:
        """Return the time part of a UUIDv7 that is made now."""
        return _floor(self.now())

    def id_window(self) -> tuple[bytes, bytes]:
        """Return the bounds of acceptable UUIDv7 ids: compared as bytes, ids of the window lie between them."""
        now = self._clock.monotonic()
        if now >= self._window_until:
            store_now = self.now()
            self._window = (_floor(store_now - ID_WINDOW), _floor(store_now + ID_AHEAD))
            self._window_until = now + _ID_WINDOW_LIFETIME
        return self._window


def _floor(at: datetime) -> bytes:
    return ((at - _EPOCH) // timedelta(milliseconds=1)).to_bytes(6, "big")
