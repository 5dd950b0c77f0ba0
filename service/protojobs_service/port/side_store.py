"""Small facts that a driver built over another one keeps in that one's database. All methods raise StoreUnavailable."""

from collections.abc import Collection, Mapping
from typing import Protocol


class SideStore(Protocol):
    """Notes under names, which nothing else of the store reads. Each method is one transaction.

    Names: 1 to 255 of `A-Z a-z 0-9 . _ : / -`, compared and ordered byte by byte. Values: up to 64 KiB. What is out of these bounds
    raises InvalidField.
    """

    async def read(self, names: Collection[str]) -> Mapping[str, bytes]:
        """Return the notes of these names, in one snapshot; names without one are left out."""
        ...

    async def read_all(self, prefix: str) -> Mapping[str, bytes]:
        """Return the notes whose names begin with `prefix`, any where it is empty: at most the first 10 000, by name."""
        ...

    async def write(self, name: str, value: bytes, expected: bytes | None) -> bool:
        """Store a note if `expected` is what is stored (None: nothing is); tell whether `value` is stored now.

        Safe to repeat: where `value` is stored already the answer is True, whatever `expected` says. Of several writers that expect
        the same one at most succeeds, unless they write the same.
        """
        ...

    async def forget(self, names: Collection[str]) -> None:
        """Drop the notes of these names. Repeating it changes nothing."""
        ...
