"""Job ids between their 16 bytes and their text, one by one and by the thousand."""

from collections.abc import Sequence

from uuid_utils import UUID

from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.job import JobId

_ID_BYTES = 36
_DASHES = frozenset({8, 13, 18, 23})
_DIGIT_PLACES = [place for place in range(_ID_BYTES) if place not in _DASHES]


def parse_id(text: str, field: str = "id") -> JobId:
    """Return the bytes of a UUIDv7 in canonical form. Raises InvalidField."""
    # The length excludes braces and other forms that UUID takes; capitals are left to exclude.
    if len(text) == 36 and text[14] == "7" and text[19] in "89ab" and (text.islower() or text == text.lower()):
        try:
            return JobId(UUID(text).bytes)
        except ValueError:
            pass
    raise InvalidField(field, "must be a UUIDv7 in canonical form")


def format_id(value: bytes) -> str:
    """Return the canonical text of an id."""
    return str(UUID(bytes=value))


def id_texts(ids: Sequence[bytes]) -> list[bytes]:
    """Return the canonical texts of ids, all digits of one place at a time."""
    digits = b"".join(ids).hex().encode()
    texts = bytearray(b"-") * (_ID_BYTES * len(ids))
    for digit, place in enumerate(_DIGIT_PLACES):
        texts[place::_ID_BYTES] = digits[digit::32]
    whole = bytes(texts)
    return [whole[start : start + _ID_BYTES] for start in range(0, len(whole), _ID_BYTES)]


def ids_of(texts: Sequence[str]) -> list[JobId] | None:
    """Return the ids of canonical texts, all at once; None where any of them is not one."""
    whole, count = "".join(texts), len(texts)
    dashes = "-" * count
    if (
        set(map(len, texts)) - {_ID_BYTES}
        or any(whole[place::_ID_BYTES] != dashes for place in _DASHES)
        or whole[14::_ID_BYTES] != "7" * count
        or set(whole[19::_ID_BYTES]) - set("89ab")
        or whole != whole.lower()
    ):
        return None
    try:
        data = bytes.fromhex(whole.replace("-", ""))
    except ValueError:
        return None
    if len(data) != 16 * count:  # fromhex skips white space
        return None
    return [JobId(data[start : start + 16]) for start in range(0, len(data), 16)]
