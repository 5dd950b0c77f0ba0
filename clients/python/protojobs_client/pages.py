"""Lists that the server gives out page by page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

ItemT = TypeVar("ItemT")


class AsyncPages(Generic[ItemT]):
    """Iterates over the items of all pages; each page is read when it is reached.

    May be iterated again, which reads again. A page may be empty although more follow.
    """

    def __init__(self, read: Callable[[str], Awaitable[tuple[tuple[ItemT, ...], str]]]) -> None:
        """`read` returns the page of a token, and the token of the next page or ""."""
        self._read = read

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[tuple[ItemT, ...]]:
        """Iterate over the pages."""
        token = ""
        while True:
            page, token = await self._read(token)
            yield page
            if not token:
                return

    async def all(self) -> list[ItemT]:
        """Read every page."""
        return [item async for item in self]


class Pages(Generic[ItemT]):
    """The same for callers without an event loop."""

    def __init__(
        self,
        pages: AsyncPages[ItemT],
        run: Callable[[Coroutine[Any, Any, tuple[ItemT, ...] | None]], tuple[ItemT, ...] | None],
    ) -> None:
        self._pages = pages
        self._run = run

    def __iter__(self) -> Iterator[ItemT]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[tuple[ItemT, ...]]:
        """Iterate over the pages."""
        pages = self._pages.pages()

        async def following() -> tuple[ItemT, ...] | None:
            return await anext(pages, None)

        while (page := self._run(following())) is not None:
            yield page

    def all(self) -> list[ItemT]:
        """Read every page."""
        return list(self)
