"""What the Dockerfile builds works: as its user, on a root that nobody may write, without a shell, away from the checkout.

docs/operations/images.md says how to add handlers to it, which is done here.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.release.container import Builder, Image, stop
from tests.release.dockerfile import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = (ROOT / "docs" / "operations" / "images.md").read_text()
HANDLERS = """
import iniconfig
from protojobs_worker import JobContext, Worker

worker = Worker(queues=["greetings"])


@worker.handler("greet")
async def greet(ctx: JobContext) -> dict[str, str]:
    return {"greeting": f"Hello {ctx.data['name']}, from {iniconfig.__name__}"}
"""
ANYWHERE = {"PROTOJOBS_INSECURE": "true", "PROTOJOBS_PORT": "0", "PROTOJOBS_ADMIN_PORT": "0"}


@pytest.fixture(scope="session")
def my_image(builder: Builder, worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Build the image of the page, with handlers and a package that they import."""
    context = tmp_path_factory.mktemp("mine")
    [dockerfile] = re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL)
    (context / "Dockerfile").write_text(dockerfile)
    (context / "handlers.py").write_text(HANDLERS)
    [package] = re.findall(r"^iniconfig==(?:.*\\\n)*.*\n", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (context / "requirements.txt").write_text(package)
    [base] = re.findall(r"FROM (\S+)", dockerfile)
    return Builder(
        dockerfile=context / "Dockerfile", context=context, place=builder.place / "mine", images={base: worker_image}
    ).build("0")


def test_a_job_is_dispatched_and_run_in_containers(server_image: Image, my_image: Image, state: Path) -> None:
    with server_image.running(["serve", "--migrate"], state=state, env=ANYWHERE) as server:
        to_server = {"PROTOJOBS_ADDRESS": started(server)["address"]}
        dispatch = ["dispatch", "greet", "--queue", "greetings", "--data", '{"name": "Ann"}', "--wait", "--json"]
        with my_image.running(state=state, env=to_server) as worker:
            dispatched = server_image.run(dispatch, state=state, env=to_server)
            health = server_image.run(["health"], state=state, env=to_server)
            worker_ended = stop(worker)
        server_ended = stop(server)

    assert dispatched[0] == 0, dispatched[1]
    assert "Hello Ann, from iniconfig" in dispatched[1]
    assert health[0] == 0, health[1]
    assert worker_ended[0] == 0, worker_ended[1]
    assert server_ended[0] == 0, server_ended[1]
    assert {path.name for path in state.iterdir()} >= {"protojobs.db"}


def test_an_image_that_is_told_nothing_serves_nobody_without_encryption(server_image: Image, state: Path) -> None:
    code, said = server_image.run(["serve"], state=state)

    assert code == 2
    assert "--insecure" in said


@pytest.mark.parametrize("image", ["server", "worker"])
def test_a_program_in_an_image_is_its_user_and_may_write_nothing_that_is_installed(
    builder: Builder, image: str, state: Path
) -> None:
    program = """
import json, os, sys
places = ["/", "/opt/protojobs", "/usr/local", "/app", "/etc"]
writable = [place for place in places if os.access(place, os.W_OK)]
print(json.dumps([os.getpid(), os.getuid(), os.getgid(), os.getgroups(), writable, os.access("/bin/sh", os.X_OK), sys.prefix]))
"""
    code, said = builder.build(image).run(["-c", program], state=state, entrypoint="python")

    assert code == 0, said
    assert json.loads(said) == [1, 65532, 65532, [], [], False, "/opt/protojobs"]


@pytest.mark.parametrize("image", ["server", "worker"])
def test_an_image_has_the_locked_versions_and_nothing_that_only_developers_need(builder: Builder, image: str, state: Path) -> None:
    program = """
import importlib.metadata, re
print(*(re.sub("[-_.]+", "-", each.name).lower() + "==" + each.version for each in importlib.metadata.distributions()))
"""
    _, said = builder.build(image).run(["-c", program], state=state, entrypoint="python")
    locked = set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))

    installed = set(said.split())

    ours = {each for each in installed if each.startswith("proto-jobs-")}
    assert len(ours) == {"server": 4, "worker": 3}[image]
    assert installed - ours <= locked
    assert not {each.partition("==")[0] for each in installed} & {"pytest", "mypy", "uv", "pip", "grpcio-tools"}


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
