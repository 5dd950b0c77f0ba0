"""Unique keys on the wire."""

import unicodedata
from datetime import timedelta

from protojobs.v1 import job_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.transport.convert import parse_span

_SCOPES = {scope.value: scope for scope in UniqueScope}
_CONFLICTS = {0: OnConflict.REJECT, **{conflict.value: conflict for conflict in OnConflict}}


def parse_unique(unique: job_pb2.Unique, *, delayed: bool) -> Unique:
    """Return the unique key of a spec. delayed: it has a delay, without which DEBOUNCE means nothing. Raises InvalidField."""
    _check_key(unique.key)
    if unique.scope not in _SCOPES:
        raise InvalidField("unique.scope", "must be UNTIL_START, UNTIL_DONE or WINDOW")
    if unique.on_conflict not in _CONFLICTS:
        raise InvalidField("unique.on_conflict", "is no known value")
    found = Unique(
        key=unique.key,
        scope=_SCOPES[unique.scope],
        window=_window(unique),
        on_conflict=_CONFLICTS[unique.on_conflict],
    )
    if found.on_conflict is OnConflict.DEBOUNCE and not delayed:
        raise InvalidField("unique.on_conflict", "DEBOUNCE needs a delay of more than 0 s")
    return found


def read_unique(unique: job_pb2.Unique) -> Unique:
    """Return the unique key of a spec that was checked before."""
    window = unique.window.ToTimedelta() if unique.HasField("window") else None
    return Unique(key=unique.key, scope=_SCOPES[unique.scope], window=window, on_conflict=_CONFLICTS[unique.on_conflict])


def _check_key(key: str) -> None:
    if not 1 <= len(key.encode()) <= bounds.MAX_UNIQUE_KEY_BYTES:
        raise InvalidField("unique.key", f"must be 1 to {bounds.MAX_UNIQUE_KEY_BYTES} bytes")
    if any(unicodedata.category(each) == "Cc" for each in key):
        raise InvalidField("unique.key", "must not hold control characters")


def _window(unique: job_pb2.Unique) -> timedelta | None:
    if unique.scope != UniqueScope.WINDOW.value:
        if unique.HasField("window"):
            raise InvalidField("unique.window", "only with scope WINDOW")
        return None
    if not unique.HasField("window"):
        raise InvalidField("unique.window", "must be set with scope WINDOW")
    return parse_span("unique.window", unique.window, bounds.MIN_UNIQUE_WINDOW, bounds.MAX_UNIQUE_WINDOW)
