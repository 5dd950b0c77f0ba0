"""docs/how-to/events.md is what works."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import AsyncClient, Client, EventLevel, JobEvent, JobState, Options, RetryPolicy
from protojobs_worker import JobContext, Worker

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "events.md").read_text()


@pytest.fixture
def program() -> dict[str, Any]:
    """Run the programs of the page."""
    names: dict[str, Any] = {}
    for block in PAGE.split("```python\n")[1:]:
        exec(compile(block.partition("```")[0], "events.md", "exec"), names)  # noqa: S102 # it is our own page
    return names


@pytest.fixture
def worker(cli: Cli) -> Iterator[None]:
    """Serve the queues of the page on a thread: mails fail, pictures are resized."""
    worker = Worker(cli.address, queues=["mail", "pictures"], name="page")

    @worker.handler("send")
    async def send(_: JobContext) -> None:
        raise ValueError("no such address")

    @worker.handler("resize")
    async def resize(_: JobContext) -> None:
        """Do nothing."""

    thread = threading.Thread(target=lambda: asyncio.run(worker.serve()))
    thread.start()
    yield
    worker.stop(now=True)
    thread.join(30)


@pytest.mark.usefixtures("worker")
def test_the_programs_of_the_page_hear_of_their_jobs(cli: Cli, program: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[tuple[JobEvent, bytes]] = []

    def store(event: JobEvent, cursor: bytes) -> bool:
        kept.append((event, cursor))
        return len(kept) % 2 == 1

    with Client(cli.address) as client:
        with client.watch_jobs() as events:
            begin = events.cursor
        dispatched: list[str] = []

        class UntilPrinted(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                dispatched.append(client.dispatch("send", {}, queue="mail", retry=RetryPolicy(max_retries=0)).job_id)
                while "no such address" not in capsys.readouterr().out:
                    super().wait(timeout or 0.01)
                return True

        program["print_failures"](client, UntilPrinted())
        dispatched += [client.dispatch("resize", {}, queue="pictures").job_id for _ in range(3)]
        program["follow"](client, lambda: begin, store)
        program["follow"](client, lambda: kept[-1][1], store)
        program["tell_everything"](client)
        assert client.queue("mail").events is EventLevel.ALL

    assert [event.id for event, _ in kept][:1] == dispatched[:1]
    assert sorted(event.id for event, _ in kept) == sorted(dispatched)
    assert [event.after for event, _ in kept] == [JobState.FAILED, *[JobState.COMPLETED] * 3]


@pytest.mark.usefixtures("worker")
def test_the_asynchronous_programs_of_the_page_do_too(cli: Cli, program: dict[str, Any]) -> None:
    async def main() -> list[float]:
        async with AsyncClient(options=Options(address=cli.address)) as client, asyncio.timeout(20):
            await program["react"](client)
            counting = asyncio.ensure_future(program["count"](client, 2))
            while not counting.done():
                await client.wait((await client.dispatch("resize", {}, queue="pictures")).job_id)
            took: list[float] = counting.result()
            return took

    took = asyncio.run(main())

    assert len(took) == 2
    assert min(took) >= 0


def test_the_commands_of_the_page_work(cli: Cli) -> None:
    with Client(cli.address) as client:
        client.update_queue("mail", strict_leases=False)
    commands = [line.split()[1:] for line in PAGE.partition("```sh\n")[2].partition("```")[0].splitlines()]
    [tail] = [command for command in commands if "tail" in command]
    for command in commands:
        if command is not tail:
            cli.run(*command)

    cli.run(*tail, "--help")
