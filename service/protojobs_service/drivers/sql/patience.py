"""How long a statement of a cold operation may take: as long as its caller waits, in few sizes."""

from protojobs_service.port.deadline import seconds_left

STATEMENT_SECONDS = 30.0
"""The most, and what a connection begins with."""
_SIZES = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, STATEMENT_SECONDS)
"""Few, so that a connection of the pool seldom needs to be told another one: that is a round trip."""


def statement_seconds() -> float:
    """Return what a statement may take now, never less than its caller waits, unless that is more than the most."""
    left = seconds_left()
    if left is None:
        return STATEMENT_SECONDS
    return next((size for size in _SIZES if size >= left), STATEMENT_SECONDS)
