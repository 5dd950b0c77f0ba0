"""A server of several processes behind one port: one of them is killed, all drain, and none outlives the server."""

import asyncio
import os
import signal
from collections import Counter

import grpc
import psutil
import pytest
from protojobs.v1 import server_service_pb2, server_service_pb2_grpc

from tests.chaos.conftest import POSTGRES
from tests.chaos.producer import Producer
from tests.chaos.stand import Server, Stand
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

BOTH = {"server-1-1", "server-1-2"}


@pytest.mark.asyncio
@pytest.mark.timeout(240)
@pytest.mark.parametrize("store", [POSTGRES], indirect=True)
async def test_a_killed_process_is_started_again_all_drain_and_nothing_is_lost(stand: Stand) -> None:
    stand.expect(log="process of the server ended, and starts again")
    server = await stand.add_server(PROCESSES="2")
    await until("both processes answer on the one port", lambda: _answer(server, BOTH))
    for number in range(1, 5):
        # Longer than the whole server may be away: an SDK gives its outcomes up after 80 % of it without an answer.
        await stand.add_worker(f"worker-{number}", concurrency=8, ttl=60.0)
    # Not strict: of a call that a killed process has not answered, nobody knows what became of it.
    producers = [stand.producer(f"producer-{number}", strict=False) for number in (1, 2)]
    over = asyncio.Event()

    async def load(producer: Producer) -> None:
        while not over.is_set():
            await producer.dispatch(20)
            await producer.dispatch(1, delay=0.2)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(load(producer))
        await _jobs_flow(stand)
        victim = _processes(server)[-1]
        _kill(stand, victim)
        await until("a new process is there", lambda: len(_alive(server, but=victim)) == 2)
        await until("both answer again", lambda: _answer(server, BOTH), within=45)
        await _jobs_flow(stand)

        pids = _processes(server)
        server.program.terminate()
        assert await server.program.ended() == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert Counter(_stopped(server)) == {1: 1, 2: 1}
        await server.start()
        await _jobs_flow(stand)
        over.set()

    await until("everything is final", lambda: producers[0].is_quiet(["main"]), within=30)
    report = await stand.judge()
    assert report.ok, str(report)

    pids = _processes(server)
    server.program.kill()
    await until("no process outlives the one that started it", lambda: not any(map(psutil.pid_exists, pids)), within=30)


def _processes(server: Server) -> list[int]:
    """Return the process ids of the processes that serve, the oldest first."""
    children = psutil.Process(server.program.pid).children()
    return [child.pid for child in sorted(children, key=psutil.Process.create_time)]


def _alive(server: Server, *, but: int) -> list[int]:
    return [pid for pid in _processes(server) if pid != but]


def _kill(stand: Stand, pid: int) -> None:
    stand.nemesis.write("fault", "begin", action="kill", target=f"process {pid}")
    os.kill(pid, signal.SIGKILL)


def _stopped(server: Server) -> list[int]:
    """Return the numbers of the processes whose logs say that they came to their end."""
    lines = [line for line in server.program.log.read_text().splitlines() if '"server stopped"' in line]
    return [number for line in lines for number in (1, 2) if f'"process_no":{number}' in line]


async def _answer(server: Server, names: set[str]) -> bool:
    """Tell whether these, and nobody else, answer on the port: the kernel gives each connection to one of them by chance."""
    answered = {await _name(server) for _ in range(20)}
    return answered == names


async def _name(server: Server) -> str:
    # A channel of its own: by default those of one process share their connections.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub: server_service_pb2_grpc.ServerServiceAsyncStub = server_service_pb2_grpc.ServerServiceStub(channel)
        try:
            return (await stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), timeout=5)).server_id
        except grpc.aio.AioRpcError:
            return ""


async def _jobs_flow(stand: Stand) -> None:
    seen = len(stand.seen("end"))
    await until("jobs flow", lambda: len(stand.seen("end")) > seen + 100, within=45)
