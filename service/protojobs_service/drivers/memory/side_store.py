"""Side notes of the reference driver."""

from collections.abc import Collection, Mapping

from protojobs_service.domain.side_note import MAX_READ, check_names, check_note, check_prefix


class MemorySideStore:
    """`port.SideStore`: no method awaits anything, so each is one transaction."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    async def read(self, names: Collection[str]) -> Mapping[str, bytes]:
        check_names(names)
        return {name: self._notes[name] for name in names if name in self._notes}

    async def read_all(self, prefix: str) -> Mapping[str, bytes]:
        check_prefix(prefix)
        found = sorted(name for name in self._notes if name.startswith(prefix))[:MAX_READ]
        return {name: self._notes[name] for name in found}

    async def write(self, name: str, value: bytes, expected: bytes | None) -> bool:
        check_note(name, value)
        stored = self._notes.get(name)
        if stored == expected:
            self._notes[name] = value
        return stored in (value, expected)

    async def forget(self, names: Collection[str]) -> None:
        check_names(names)
        for name in names:
            self._notes.pop(name, None)
