"""The side store of the SQL driver: each call one cold transaction."""

from collections.abc import Collection, Mapping

from protojobs_service.domain.side_note import check_names, check_note, check_prefix
from protojobs_service.drivers.sql.cold import side_notes
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.side_store import SideStore


class SqlSideStore(SideStore):
    """See the port."""

    def __init__(self, store: Store, cold: Cold) -> None:
        """Keep notes in `store`."""
        self._store, self._cold = store, cold

    async def read(self, names: Collection[str]) -> Mapping[str, bytes]:
        check_names(names)
        if not names:
            return {}
        return await self._store.run(lambda c: side_notes.read_notes(c, self._cold, names), write=False)

    async def read_all(self, prefix: str) -> Mapping[str, bytes]:
        check_prefix(prefix)
        return await self._store.run(lambda c: side_notes.list_notes(c, self._cold, prefix), write=False)

    async def write(self, name: str, value: bytes, expected: bytes | None) -> bool:
        check_note(name, value)
        return await self._store.run(lambda c: side_notes.write_note(c, self._cold, name, value, expected))

    async def forget(self, names: Collection[str]) -> None:
        check_names(names)
        if names:
            await self._store.run(lambda c: side_notes.forget_notes(c, self._cold, names))
