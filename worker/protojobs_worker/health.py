"""Tells an orchestrator whether the worker is well: a file that is touched, and GET /healthz."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the worker is."""

    stream: bool  # a stream stands, or was lost only a short while ago
    loop: bool  # the event loop of async handlers turns
    phase: str
    running: int
    waiting: int
    unsettled: int
    stuck: int

    @property
    def ok(self) -> bool:
        """Nothing is wrong that a restart could mend."""
        return self.stream and self.loop


class HealthFile:
    """A file that exists and is touched while the worker is healthy."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, health: Health) -> None:
        """Touch the file, or remove it."""
        try:
            if health.ok:
                self._path.touch()
            else:
                self._path.unlink(missing_ok=True)
        except OSError:
            logger.exception("health file cannot be written")

    def remove(self) -> None:
        """Remove the file: the worker is gone."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class HealthServer:
    """Answers GET /healthz with 200 or 503 and the state as JSON; one request per connection."""

    def __init__(self, look: Callable[[], Health]) -> None:
        self._look = look
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on all interfaces; with port 0 on any free port of loopback. Raises OSError."""
        host = None if port else "127.0.0.1"
        self._server = await asyncio.start_server(self._answer, host, port, limit=8 * 1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(request))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _response(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            status, body = "405 Method Not Allowed", b""
        elif path not in {b"/healthz", b"/livez", b"/readyz"}:
            status, body = "404 Not Found", b""
        else:
            health = self._look()
            status = "200 OK" if health.ok else "503 Service Unavailable"
            body = json.dumps({"ok": health.ok, **asdict(health)}).encode() + b"\n"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return head.encode() + (b"" if method == b"HEAD" else body)
