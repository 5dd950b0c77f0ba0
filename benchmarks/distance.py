"""A network between a server and its store: `python -m benchmarks.distance PORT MILLISECONDS` prints the port to dial instead.

Whatever is sent, either way, arrives half of the milliseconds later, in its order: a round trip takes them whole, and bandwidth has
no bound. It runs until SIGTERM, and listens on this machine only.
"""

import asyncio
import signal
import sys
from collections import deque

HOST = "127.0.0.1"


class _Way(asyncio.Protocol):
    """One way of a connection: what comes in here goes out at the other end, `delay` s later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._late: deque[tuple[float, bytes | None]] = deque()
        self._out: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the end that is read."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def leads_to(self, out: asyncio.Transport) -> None:
        """Send on what has come in, and what will."""
        self._out = out
        if self._late:
            self._loop.call_at(self._late[0][0], self._arrive)

    def data_received(self, data: bytes) -> None:
        """Let it arrive later."""
        self._send(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's name
        """Let the end arrive later, too."""
        self._send(None)

    def _send(self, data: bytes | None) -> None:
        due = self._loop.time() + self._delay
        self._late.append((due, data))
        if len(self._late) == 1 and self._out is not None:
            self._loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        assert self._out is not None
        # One timer for all: two of the same moment might change their order.
        while self._late and self._late[0][0] <= self._loop.time():
            _, data = self._late.popleft()
            if data is None:
                self._out.close()
            else:
                self._out.write(data)
        if self._late:
            self._loop.call_at(self._late[0][0], self._arrive)


async def _listen(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def accept() -> asyncio.Protocol:
        towards = _Way(delay)
        tasks.create_task(_connect(towards, port, delay))
        return towards

    async with asyncio.TaskGroup() as tasks:
        server = await loop.create_server(accept, HOST, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        server.close()


async def _connect(towards: _Way, port: int, delay: float) -> None:
    try:
        out, back = await asyncio.get_running_loop().create_connection(lambda: _Way(delay), HOST, port)
    except OSError:
        # The store is gone, as who dials it without us would see.
        assert towards.transport is not None
        towards.transport.abort()
        return
    assert towards.transport is not None
    back.leads_to(towards.transport)
    towards.leads_to(out)


if __name__ == "__main__":
    asyncio.run(_listen(int(sys.argv[1]), float(sys.argv[2]) / 2000))
