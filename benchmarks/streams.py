"""What workers that wait cost a server: `python -m benchmarks.streams --driver postgres --streams 0 100 1000`.

Each is a Lease stream with a session and a connection of its own, as a worker process has, and says nothing but heartbeats. After
`--seconds` of that: memory of the server, CPU of server and store meanwhile, and what the server has open to PostgreSQL.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final, get_args

import grpc.aio
from protojobs.v1 import worker_service_pb2 as wire
from protojobs.v1 import worker_service_pb2_grpc

from benchmarks.drivers import Driver
from benchmarks.extras import Extras
from benchmarks.stack import QUEUE, Stack, running_stack

# Each session is a row: more at once than a server has connections to its store are refused for the moment, which no worker minds.
_OPENED_AT_ONCE: Final = 8
_DATABASE: Final = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"

Call = grpc.aio.StreamStreamCall[wire.LeaseRequest, wire.LeaseResponse]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each number of streams on a stack of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", allow_abbrev=False)
    parser.add_argument("--driver", choices=get_args(Driver), default="postgres")
    parser.add_argument("--streams", nargs="+", type=int, default=[0, 100, 1000], metavar="N")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="of the server")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long they only wait")
    chosen = parser.parse_args(arguments)
    for streams in chosen.streams:
        with running_stack(chosen.driver, Extras(processes=chosen.processes)) as stack:
            print(json.dumps(asyncio.run(_measure(stack, streams, chosen.seconds))), flush=True)
    return 0


async def _measure(stack: Stack, streams: int, seconds: float) -> dict[str, Any]:
    async with AsyncExitStack() as channels, asyncio.TaskGroup() as tasks:
        free = asyncio.Semaphore(_OPENED_AT_ONCE)

        async def open_one(number: int) -> asyncio.Task[None]:
            async with free:
                # Channels of one process to one address share their connection otherwise.
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = await channels.enter_async_context(grpc.aio.insecure_channel(stack.address, options=options))
                return tasks.create_task(await _stream(channel, number))

        opened = [await each for each in [tasks.create_task(open_one(number)) for number in range(streams)]]
        before = stack.usage()
        await asyncio.sleep(seconds)
        used = {who: round((cpu_s - before[who]) / seconds, 4) for who, cpu_s in stack.usage().items()}
        said = {"streams": streams, "server_rss_mb": stack.server_rss_mb(), "cores": used}
        if stack.cluster is not None:
            said["connections_to_database"] = int(stack.cluster.execute(_DATABASE))
        for task in opened:
            task.cancel()
    return {**said, "processes": stack.extras.processes, "driver": stack.driver}


async def _stream(channel: grpc.aio.Channel, number: int) -> Coroutine[Any, Any, None]:
    """Open a session; return what keeps it alive until it is cancelled."""
    stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(channel)
    call: Call = stub.Lease()
    hello = wire.Hello(
        session_id=number.to_bytes(16, "big"),
        worker=f"waits-{number}",
        queues=[wire.QueueSubscription(name=QUEUE)],
        window=wire.Window(max_in_flight=10),
        slots=10,
        stream_no=1,
    )
    await call.write(wire.LeaseRequest(seq=1, hello=hello))
    welcome = await call.read()
    assert isinstance(welcome, wire.LeaseResponse)
    return _live(call, welcome.seq, welcome.welcome.heartbeat_interval.ToTimedelta().total_seconds())


async def _live(call: Call, received: int, every: float) -> None:
    async def read() -> None:
        nonlocal received
        while isinstance(frame := await call.read(), wire.LeaseResponse):
            received = frame.seq
        raise RuntimeError(f"a stream has ended with {await call.code()}")

    async def beat() -> None:
        for seq in count(2):
            await asyncio.sleep(every)
            await call.write(wire.LeaseRequest(seq=seq, received_seq=received, ping=wire.Ping()))

    async with asyncio.TaskGroup() as ways:
        ways.create_task(read())
        ways.create_task(beat())


if __name__ == "__main__":
    sys.exit(main())
