"""Asks the server for what costs it nothing, each 10 ms: `python -m benchmarks.pinger JSON`. SIGTERM ends it."""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import grpc
import orjson
from protojobs.v1 import server_service_pb2
from protojobs_client import Options
from protojobs_client.connection import Connection

from benchmarks.extras import telemetry
from tests.checker import Recorder

INTERVAL_S: Final = 0.01
WARM_UP: Final = 20
TIMEOUT_S: Final = 30.0
MOST_WAITING: Final = 10


async def main(config: dict[str, Any]) -> None:
    """Ping until told to end, whatever became of the pings before, then write how long each took."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    connection, took, waiting = Connection(Options.from_env()), list[float](), 0

    async def ping() -> None:
        nonlocal waiting
        began, waiting = monotonic(), waiting + 1
        with suppress(grpc.aio.AioRpcError):  # it has taken as long as it has
            await connection.server.GetServerInfo(server_service_pb2.GetServerInfoRequest(), timeout=TIMEOUT_S)
        waiting -= 1
        took.append(monotonic() - began)

    with Recorder(Path(config["history"]), config["name"]) as recorder, telemetry():
        for _ in range(WARM_UP):
            await ping()
        took.clear()
        recorder.write("noted", what="pinging", queue=config["queue"])
        async with asyncio.TaskGroup() as group:
            due = monotonic()
            while not over.is_set():
                if waiting < MOST_WAITING:  # more would be a load of its own
                    group.create_task(ping())
                due += INTERVAL_S
                await asyncio.sleep(max(0.0, due - monotonic()))
        await connection.close()
        recorder.write("noted", what="pings", queue=config["queue"], took=took)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))
