"""Side notes: small facts that a driver keeps of its own, and what may be one."""

import re
from collections.abc import Iterable

from protojobs_service.domain.errors import InvalidField

MAX_NAME_CHARACTERS = 255
MAX_VALUE_BYTES = 64 * 1024
MAX_READ = 10_000
"""Notes in one answer."""

_CHARACTERS = re.compile(r"[A-Za-z0-9._:/-]*\Z")


def check_names(names: Iterable[str]) -> None:
    """Refuse a name that no note can have. Raises InvalidField for `names`."""
    for name in names:
        _check_text("names", name)
        _check_not_empty("names", name)


def check_prefix(prefix: str) -> None:
    """Refuse a beginning that no name can have; the empty one is that of all. Raises InvalidField for `prefix`."""
    _check_text("prefix", prefix)


def check_note(name: str, value: bytes) -> None:
    """Refuse a note that is out of bounds. Raises InvalidField for `name` or `value`."""
    _check_text("name", name)
    _check_not_empty("name", name)
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidField("value", f"at most {MAX_VALUE_BYTES} bytes")


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_NAME_CHARACTERS:
        raise InvalidField(field, f"at most {MAX_NAME_CHARACTERS} characters")
    if not _CHARACTERS.match(text):
        raise InvalidField(field, "only A-Z, a-z, 0-9 and . _ : / - are allowed")


def _check_not_empty(field: str, text: str) -> None:
    if not text:
        raise InvalidField(field, "must not be empty")
