"""TLS in front of a PostgreSQL that was built without it: answers SSLRequest as a server does, and passes the rest on.

It runs on a thread of its own, ends with its context, and counts who came without TLS.
"""

import asyncio
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

from tests.certificates import Files

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL's protocol, 54.2.10


class Front:
    """Listens on a port of loopback for one certificate."""

    def __init__(self, files: Files, backend: int) -> None:
        self.port = 0
        self.plain = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.cert, files.key)
        self._backend = backend

    async def serve(self) -> asyncio.Server:
        """Begin to listen."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with AsyncExitStack() as stack:
            stack.callback(writer.close)
            with suppress(OSError, asyncio.IncompleteReadError):
                first = await reader.readexactly(len(_SSL_REQUEST))
                if first == _SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(self._context)
                    first = b""
                else:
                    self.plain += 1
                backend_reader, backend_writer = await asyncio.open_connection("127.0.0.1", self._backend)
                stack.callback(backend_writer.close)
                backend_writer.write(first)
                ways = [asyncio.create_task(_pump(reader, backend_writer)), asyncio.create_task(_pump(backend_reader, writer))]
                stack.callback(lambda: [way.cancel() for way in ways])
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)


@contextmanager
def tls_front(files: Files, backend: int) -> Iterator[Front]:
    """Serve a PostgreSQL on port `backend` over TLS."""
    front = Front(files, backend)
    ready, loop = threading.Event(), asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(front.serve())
        ready.set()
        loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, name="tls front", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
