"""A server, a worker and a client of the previous version work with those of this one, both ways, and so does the contract.

Before the first release the previous version is an earlier commit whose contract nothing was taken from and which makes what is
needed here; afterwards it is the tag of the last release. Its code runs with today's dependencies.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.release.dockerfile import ROOT
from tests.release.repository import git

PREVIOUS = "9ad6c641e55642ead5d43545978368c7c8c6cfe0"

BIN = Path(sys.executable).parent
MEMBERS = ("service", "worker", "clients/python", "proto/python")
HANDLERS = """
from protojobs_worker import JobContext, Worker

worker = Worker(queues=["greetings"])


@worker.handler("greet")
async def greet(ctx: JobContext) -> dict[str, str]:
    if ctx.attempt == 1:
        raise ValueError("not at once")
    return {"greeting": f"Hello {ctx.data['name']}, at attempt {ctx.attempt}"}
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out the code of the previous version."""
    directory = tmp_path_factory.mktemp("previous")
    archive = git("archive", "--format=tar", PREVIOUS, "--", "proto", *MEMBERS)
    subprocess.run(["tar", "--extract"], cwd=directory, input=archive, check=True)
    return directory


def test_nothing_was_taken_from_the_contract(previous: Path) -> None:
    command: list[str | Path] = [BIN / "buf", "breaking", "--against", previous / "proto"]

    checked = subprocess.run(command, cwd=ROOT / "proto", capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout) == (0, "")


def test_clients_and_workers_of_this_version_work_with_a_server_of_the_previous_one(previous: Path, tmp_path: Path) -> None:
    pass_a_job(server=previous, others=ROOT, directory=tmp_path)


def test_clients_and_workers_of_the_previous_version_work_with_a_server_of_this_one(previous: Path, tmp_path: Path) -> None:
    pass_a_job(server=ROOT, others=previous, directory=tmp_path)


def pass_a_job(*, server: Path, others: Path, directory: Path) -> None:
    """Let a job fail once and be done, with a server from one place, and a producer and a worker from another."""
    (directory / "handlers.py").write_text(HANDLERS)
    with running(
        server, ["protojobs_service", "serve", "--migrate"], {"PROTOJOBS_PORT": "0", "PROTOJOBS_ADMIN_PORT": "0"}, directory
    ) as serving:
        to_server = {"PROTOJOBS_ADDRESS": started(serving)["address"]}
        with running(others, ["protojobs_worker", "handlers:worker"], to_server, directory) as worker:
            command = ["protojobs_service", "dispatch", "greet", "--queue", "greetings", "--data", '{"name": "Ann"}', "--wait"]
            with running(others, command, to_server, directory) as producer:
                said, _ = producer.communicate()
            worker.terminate()
            worker_said, _ = worker.communicate()
        serving.terminate()
        serving.communicate()

    assert producer.returncode == 0, said + worker_said
    assert "Hello Ann, at attempt 2" in said
    assert worker.returncode == 0, worker_said
    assert serving.returncode == 0


@contextmanager
def running(version: Path, module: list[str], env: Mapping[str, str], directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a module of a version; it is gone when the context ends."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PROTOJOBS_", "OTEL_"))}
    path = os.pathsep.join(str(version / member) for member in MEMBERS)
    with subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=directory,
        env={**plain, **env, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def started(server: subprocess.Popen[str]) -> dict[str, str]:
    """Wait until a server says that it has started; return what it says."""
    assert server.stdout is not None
    lines: list[str] = []
    for line in server.stdout:
        lines.append(line)
        event: dict[str, str] = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "server started":
            return event
    raise AssertionError("".join(lines))
