"""The public face: registration, hooks, middleware, signals' doors, health, command line and inline runs."""

import asyncio
import json
import logging
import time
from pathlib import Path

import grpc
import protojobs_worker
import pytest
import typer
from protojobs_client.channel import open_channel
from protojobs_client.job import Job
from protojobs_client.options import Options
from protojobs_worker import (
    ExitReason,
    JobContext,
    JobProcessed,
    JobProcessing,
    Middleware,
    Retry,
    Worker,
    WorkerStarting,
    WorkerStopped,
)
from protojobs_worker import __main__ as command
from protojobs_worker.options import WorkerOptions
from protojobs_worker.outcomes import COMPLETED, Completed, Failed, Outcome
from protojobs_worker.testing import run_inline, run_inline_async

from tests.unit.worker.conftest import serving
from tests.unit.worker.fake_server import FakeServer, leased


class Greet(Job):
    queue = "greetings"
    heard: list[str] = []  # noqa: RUF012 - what the class heard, over all its instances

    def handle(self, ctx: JobContext) -> str:
        ctx.progress(0.5, "half")
        ctx.save_checkpoint(b"half")
        if self.data is None:
            raise LookupError("nobody there")
        return f"Hello {self.data['name']}"

    async def failed(self, ctx: JobContext, error: BaseException) -> None:
        self.heard.append(str(error))


demo = Worker("127.0.0.1:1", queues=["default"])


def make_demo() -> Worker:
    return demo


def test_all_names_are_there() -> None:
    assert sorted(protojobs_worker.__all__) == list(protojobs_worker.__all__)
    assert all(hasattr(protojobs_worker, name) for name in protojobs_worker.__all__)


@pytest.mark.parametrize(
    "wrong",
    [
        {"queues": {}},
        {"queues": {"a": 0}},
        {"queues": {"a": 1}, "concurrency": 0},
        {"queues": {"a": 1}, "window": 100_001},
        {"queues": {"a": 1}, "session_ttl": 1.0},
        {"queues": {"a": 1}, "order": "random"},
        {"queues": {"a": 1}, "processes": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        WorkerOptions(**wrong)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(("concurrency", "limit", "expected"), [(1, None, 1), (4, None, 2), (100, None, 3), (2, 9, 9)])
def test_stuck_slots_default_to_three_or_half_of_the_concurrency(concurrency: int, limit: int | None, expected: int) -> None:
    assert WorkerOptions(queues={"a": 1}, concurrency=concurrency, stuck_limit=limit).stuck_slots == expected


def test_a_kind_has_one_handler() -> None:
    worker = Worker(Options(address="127.0.0.1:1"))
    worker.handler("a")(lambda: None)

    with pytest.raises(ValueError, match="has a handler already"):
        worker.handler("a")(lambda: None)


def test_an_inline_handler_runs_in_no_pool() -> None:
    with pytest.raises(ValueError, match="inline"):
        Worker("127.0.0.1:1").handler("a", inline=True, pool="thread")(lambda: None)


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="no event"):
        Worker("127.0.0.1:1").on("job.exploded", print)  # type: ignore[call-overload]  # what is tested


@pytest.mark.asyncio
async def test_hooks_and_middleware_surround_every_handler(server: FakeServer) -> None:
    told: list[str] = []

    class Loud(Middleware):
        def before(self, context: JobContext) -> None:
            told.append(f"before {context.kind}")

        def after(self, context: JobContext, outcome: Outcome, seconds: float) -> None:
            told.append(f"after {type(outcome).__name__} {seconds >= 0}")

    class Broken(Middleware):
        def before(self, context: JobContext) -> None:
            raise RuntimeError("broken middleware")

    worker = Worker(server.address, middleware=[Loud(), Broken()])
    worker.handler("noop", inline=True)(lambda: told.append("handler"))

    @worker.on("worker.starting")
    def starting(event: WorkerStarting) -> None:
        told.append(f"starting {','.join(event.queues)}")

    @worker.on("job.processing")
    def processing(event: JobProcessing) -> None:
        told.append("processing")

    @worker.on("job.processed")
    async def processed(event: JobProcessed) -> None:
        assert event.outcome == COMPLETED
        assert event.seconds >= 0

    @worker.on("worker.stopped")
    def stopped(event: WorkerStopped) -> None:
        told.append(f"stopped {event.processed} {event.rate > 0} {event.reason}")

    async with serving(worker) as task:
        stream = (await server.stream()).welcome()
        stream.deliver(leased(1))
        await stream.outcome(1)
        stream.answer(1)
        worker.stop()
        await task

    assert told == [
        "starting default",
        "before noop",
        "processing",
        "handler",
        "after Completed True",
        "stopped 1 True signal",
    ]


@pytest.mark.asyncio
async def test_health_tells_how_the_worker_is(server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "healthy"
    worker = Worker(server.address, health_port=0, health_file=file)
    worker.handler("noop", inline=True)(lambda: None)

    async with serving(worker):
        (await server.stream()).welcome()
        status, body = await get(worker.health_port, "/healthz")
        missing, _ = await get(worker.health_port, "/elsewhere")
        existed = file.exists()

    assert (status, missing) == (200, 404)
    assert json.loads(body)["ok"] is True
    assert (existed, file.exists()) == (True, False)


async def get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.asyncio
async def test_a_cancelled_serve_gives_running_jobs_back(server: FakeServer) -> None:
    worker = Worker(server.address)

    @worker.handler("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(worker.serve())
    stream = (await server.stream()).welcome()
    stream.deliver(leased(1, "wait"))
    await stream.expect("ping")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    name, _ = await stream.outcome(1)

    assert name == "release"


@pytest.fixture
def slow_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the session's thread take a while before its session runs."""

    def open_slowly(options: Options) -> grpc.aio.Channel:
        time.sleep(0.3)
        return open_channel(options)

    monkeypatch.setattr("protojobs_worker.service_thread.open_channel", open_slowly)


@pytest.mark.asyncio
@pytest.mark.parametrize("owns_process", [False, True])
async def test_a_serve_that_is_cancelled_before_its_session_runs_ends(
    server: FakeServer, slow_opening: None, monkeypatch: pytest.MonkeyPatch, owns_process: bool
) -> None:
    exits: list[int] = []
    monkeypatch.setattr("os._exit", exits.append)
    worker = Worker(server.address, stop_grace=0.5)
    worker._owns_process = owns_process

    task = asyncio.get_running_loop().create_task(worker.serve())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert exits == []


@pytest.mark.asyncio
async def test_a_stop_before_the_session_runs_is_not_lost(server: FakeServer, slow_opening: None) -> None:
    worker = Worker(server.address)

    async with serving(worker) as task:
        await asyncio.sleep(0.05)
        worker.stop()
        async with asyncio.timeout(5):
            reason = await task

    assert reason is ExitReason.SIGNAL


def test_a_worker_of_process_handlers_only_takes_as_many_jobs_as_it_has_processes() -> None:
    worker = Worker("127.0.0.1:1", concurrency=8, processes=2)
    worker.handler("a", pool="process")(make_demo)
    alone = worker.concurrency
    worker.handler("b")(make_demo)

    assert (alone, worker.concurrency) == (2, 8)


def test_exit_codes_are_the_documented_ones() -> None:
    assert {reason.label: reason.code for reason in ExitReason if reason.code} == {"stuck": 75, "killed": 130, "refused": 78}


# ---- command line ------------------------------------------------------------------------------------------


def test_the_command_line_overrides_the_workers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Worker] = []

    def run(worker: Worker) -> ExitReason:
        ran.append(worker)
        return ExitReason.EMPTY

    monkeypatch.setattr(Worker, "run", run)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    with pytest.raises(typer.Exit) as exit_info:
        command.main(
            "tests.unit.worker.test_worker:make_demo",
            queue=["critical=5", "default"],
            strict=True,
            address="127.0.0.1:2",
            token_file=Path("token"),
            ca=Path("ca.pem"),
            server_name="jobs.test",
            concurrency=3,
            max_memory=100,
        )

    options = ran[0].options
    assert exit_info.value.exit_code == 0
    assert (dict(options.queues), options.order, options.concurrency) == ({"critical": 5, "default": 1}, "strict", 3)
    assert options.max_memory == 100 * 1024 * 1024
    connection = ran[0].connection
    assert (connection.address, connection.server_name) == ("127.0.0.1:2", "jobs.test")
    assert (connection.token_file, connection.ca, connection.uses_tls) == (Path("token"), Path("ca.pem"), True)


def test_a_connection_that_cannot_work_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    with pytest.raises(typer.BadParameter, match="cert and key belong together"):
        command.main("tests.unit.worker.test_worker:make_demo", cert=Path("cert.pem"))


@pytest.mark.parametrize("target", ["no_colon", "no.such.module:worker", "tests.unit.worker.test_worker:json"])
def test_a_target_that_is_no_worker_is_wrong_usage(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    with pytest.raises(typer.BadParameter):
        command.main(target)


# ---- inline ------------------------------------------------------------------------------------------------


def test_a_job_runs_inline_through_the_same_pipeline() -> None:
    result = run_inline(Greet, {"name": "Ann"})

    assert result.outcome == Completed(b'"Hello Ann"')
    assert result.value == "Hello Ann"
    assert (result.progress, result.checkpoint, result.final) == (((0.5, "half"),), b"half", False)


@pytest.mark.parametrize(("failures", "heard"), [(2, []), (3, ["nobody there"])])
def test_failed_runs_inline_after_the_last_try_only(failures: int, heard: list[str]) -> None:
    Greet.heard.clear()

    result = run_inline(Greet, None, failures=failures)

    assert isinstance(result.outcome, Failed)
    assert result.final is bool(heard)
    assert Greet.heard == heard


@pytest.mark.asyncio
async def test_async_handlers_run_inline_inside_a_loop() -> None:
    async def handler(ctx: JobContext) -> None:
        await asyncio.sleep(0)
        raise Retry(after=1)

    result = await run_inline_async(handler, None, attempt=2)

    assert isinstance(result.outcome, Failed)
    assert result.outcome.retry_after is not None
