"""What the side store remembers of the topics: how far they are moved, what of them is not wanted, whose they are."""

import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Literal

from protojobs_service.drivers.kafka.topics import Place
from protojobs_service.port.side_store import SideStore

_log = logging.getLogger(__name__)

Kind = Literal["moved", "barrier", "cleared"]
"""moved: offset before which every record is moved. barrier: one before which records are dropped. cleared: jobs dropped so far."""

_OWNER = "kafka:installation"
_TRIES = 20


class Ledger:
    """Numbers by partition. Each grows, whoever writes it: two replicas that both believe to own a partition do no harm.

    They fall where a partition was cut: what they say would be of other records then.
    """

    def __init__(self, notes: SideStore) -> None:
        """Use the notes of the side store."""
        self._notes = notes

    async def read(self, kind: Kind, places: Collection[Place]) -> dict[Place, int]:
        """Return the numbers of these partitions, 0 where there is none. Raises StoreUnavailable."""
        names = {_name(kind, place): place for place in places}
        found = await self._notes.read(names)
        return {place: _number(found.get(name)) for name, place in names.items()}

    async def raise_to(self, kind: Kind, numbers: Mapping[Place, int], *, where: Callable[[Place], bool] = lambda _: True) -> None:
        """Store numbers that are greater than those stored, of partitions where `where` holds by then. Raises StoreUnavailable."""
        for place, number in numbers.items():
            await self._change(kind, place, partial(_greater, number, partial(where, place)))

    async def lower(self, kind: Kind, numbers: Mapping[Place, int]) -> None:
        """Store numbers that are less than those stored. Raises StoreUnavailable."""
        for place, number in numbers.items():
            await self._change(kind, place, partial(min, number))

    async def add(self, kind: Kind, place: Place, number: int) -> None:
        """Add to a number. Raises StoreUnavailable; whether it was added is not known then."""
        await self._change(kind, place, lambda old: old + number)

    async def begin(self, ids: Mapping[str, str]) -> None:
        """Drop the numbers of topics that were deleted where others have their names now. ids: of topics, by name.

        Kept, they would say of the new records that these were moved or cleared. Raises StoreUnavailable.
        """
        names = {f"kafka:topic:{topic}": topic for topic in ids}
        noted = await self._notes.read(names)
        for name, topic in names.items():
            if (old := noted.get(name)) == (new := ids[topic].encode()):
                continue
            if old is not None:
                _log.error("a topic was deleted and made again; it is read from its beginning", extra={"topic": topic})
                await self._forget(topic)
            await self._notes.write(name, new, old)

    async def _forget(self, topic: str) -> None:
        kinds: tuple[Kind, ...] = ("moved", "barrier", "cleared")
        for kind in kinds:
            await self._notes.forget(list(await self._notes.read_all(f"kafka:{kind}:{topic}:")))

    async def owner(self) -> str | None:
        """Return whose topics this side store belongs to. Raises StoreUnavailable."""
        found = (await self._notes.read([_OWNER])).get(_OWNER)
        return None if found is None else found.decode()

    async def own(self, cluster: str, prefix: str) -> str:
        """Return the owner; made for this cluster and prefix where there is none. Raises StoreUnavailable."""
        name = f"{secrets.token_hex(16)} {cluster} {prefix}"
        if await self._notes.write(_OWNER, name.encode(), None):
            return name
        return await self.owner() or name

    async def disown(self) -> None:
        """Forget whose topics this side store belongs to. Raises StoreUnavailable."""
        await self._notes.forget([_OWNER])

    async def _change(self, kind: Kind, place: Place, change: Callable[[int], int]) -> None:
        name = _name(kind, place)
        for _ in range(_TRIES):
            old = (await self._notes.read([name])).get(name)
            new = change(_number(old))
            # A word of its own, without which two who add the same number would pass for one who repeats himself.
            word = f"{new} {secrets.token_hex(4)}".encode()
            if (old is not None and new == _number(old)) or await self._notes.write(name, word, old):
                return
        _log.warning("others write the same note all the time", extra={"note": name})


def _greater(number: int, holds: Callable[[], bool], old: int) -> int:
    return max(number, old) if holds() else old


def _number(value: bytes | None) -> int:
    return 0 if value is None else int(value.split()[0])


def _name(kind: Kind, place: Place) -> str:
    return f"kafka:{kind}:{place.topic}:{place.partition}"
