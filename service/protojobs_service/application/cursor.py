"""Cursors: a place in the log of events, sealed for one log, so that those of another store or changed ones are refused."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.event import JobEvent
from protojobs_service.port import LogPage

_VERSION = 1
_SEAL = 8
_MOST = 16 * 1024
"""Bytes of a cursor; a slot takes 3 to 15."""
_HIGHEST = (1 << 63) - 1


class Cursor(NamedTuple):
    """Flushes that were read whole, by slot; and how many events of the next one, where that was begun."""

    position: Mapping[int, int]
    taken: Mapping[int, int]


class Shown(NamedTuple):
    """An event, and the cursor behind it."""

    event: JobEvent
    cursor: bytes


def show(page: LogPage, at: Cursor, log: str) -> tuple[list[Shown], Cursor]:
    """Return the events of a page that was read at `at`, without those that were taken before, and where to go on."""
    position, taken = dict(at.position), dict(at.taken)
    shown: list[Shown] = []
    for flush in page.flushes:
        skip = taken.pop(flush.slot, 0)
        for place, event in flush.events:
            if place < skip:
                continue
            if place + 1 < flush.size:
                behind = Cursor(position, taken | {flush.slot: place + 1})
            else:
                behind = Cursor(position | {flush.slot: flush.seq}, taken)
            shown.append(Shown(event, encode(behind, log)))
        position[flush.slot] = flush.seq
    return shown, Cursor(position, taken)


def encode(cursor: Cursor, log: str) -> bytes:
    """Return a cursor of the log of this name."""
    position, taken = cursor
    slots = sorted(position.keys() | taken.keys())
    body = bytes([_VERSION]) + b"".join([_place(slot, position.get(slot, 0), taken.get(slot, 0)) for slot in slots])
    return body + _seal(body, log)


def decode(data: bytes, log: str) -> Cursor:
    """Return the place that `encode` wrote. Raises InvalidField (cursor) for one of another log, or that was changed."""
    body, seal = data[:-_SEAL], data[-_SEAL:]
    if len(data) > _MOST or not body or seal != _seal(body, log):
        raise InvalidField("cursor", "is none of this store")
    numbers = _numbers(body[1:])
    if body[0] != _VERSION or len(numbers) % 3 or max(numbers, default=0) > _HIGHEST:
        raise InvalidField("cursor", "is none of this version")
    slots, seqs, taken = numbers[::3], numbers[1::3], numbers[2::3]
    return Cursor(dict(zip(slots, seqs, strict=True)), {slot: n for slot, n in zip(slots, taken, strict=True) if n})


def _seal(body: bytes, log: str) -> bytes:
    return blake2b(body, key=log.encode()[:64], digest_size=_SEAL).digest()


@lru_cache(maxsize=4096)
def _place(slot: int, seq: int, taken: int) -> bytes:
    """Return three numbers as protobuf's varints. Cached: from one event to the next only one slot changes."""
    body = bytearray()
    for number in (slot, seq, taken):
        rest = number
        while rest > 0x7F:
            body.append(rest & 0x7F | 0x80)
            rest >>= 7
        body.append(rest)
    return bytes(body)


def _numbers(body: bytes) -> Sequence[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers
