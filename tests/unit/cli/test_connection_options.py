"""Where commands take TLS and tokens from, and what goes wrong with them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from protojobs_service.cli import app
from protojobs_service.compose import start_server
from protojobs_service.settings import load
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.interceptors import RequestId
from typer.main import get_command

from tests.certificates import Authority, Files
from tests.unit.cli.conftest import run

NAMES = {"token_file", "ca", "cert", "key", "server_name", "tls", "insecure"}


@pytest.fixture
def authority() -> Authority:
    """Return the authority that both sides trust."""
    return Authority()


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Files:
    """Return the files of a client."""
    return Files(tmp_path / "client").write(authority.client(), authority)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"PROTOJOBS_{name.upper()}", raising=False)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the tokens of calls as the server hears them."""
    found: list[str] = []
    original = RequestId.__call__

    async def listening(self: RequestId, call: Call, proceed: Proceed) -> Any:
        found.append(str(dict(call.context.invocation_metadata() or ()).get("authorization")))
        return await original(self, call, proceed)

    monkeypatch.setattr(RequestId, "__call__", listening)
    return found


@pytest.fixture
def address(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """Run a server that wants a client certificate."""
    own = Files(tmp_path / "server").write(authority.server("127.0.0.1", "jobs.test"), authority)
    tls = {"cert": own.cert, "key": own.key, "client_ca": own.ca, "client_auth": "required"}
    settings = load(driver="memory", port=0, admin_port=0, shutdown={"grace": 1}, tls=tls)
    ready, loop, told = threading.Event(), asyncio.new_event_loop(), [""]
    stop = asyncio.Event()

    async def serve() -> None:
        async with start_server(settings) as server:
            told[0] = server.address
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="server", daemon=True)
    thread.start()
    assert ready.wait(30)
    yield told[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


def _tls(files: Files) -> list[str]:
    return ["--ca", str(files.ca), "--cert", str(files.cert), "--key", str(files.key)]


def test_every_command_that_has_an_address_of_a_server_takes_the_same_options() -> None:
    speaking: dict[str, set[str]] = {}

    def walk(name: str, command: Any) -> None:
        for inner, each in getattr(command, "commands", {}).items():
            walk(f"{name} {inner}", each)
        names = {each.name for each in command.params}
        if any(each.envvar == "PROTOJOBS_ADDRESS" for each in command.params):
            speaking[name] = names

    walk("protojobs", get_command(app))

    assert len(speaking) > 30
    assert {"protojobs health", "protojobs dispatch", "protojobs jobs list", "protojobs outbox relay"} <= speaking.keys()
    assert {name for name, names in speaking.items() if not names >= NAMES} == set()


def test_options_on_the_command_line_make_a_connection(address: str, files: Files, tokens: list[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-a-file\n")

    result = run("health", "--address", address, *_tls(files), "--server-name", "jobs.test", "--token-file", str(token), "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["status"] == "serving"
    assert set(tokens) == {"Bearer from-a-file"}


def test_the_environment_does_the_same(address: str, files: Files, tokens: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"ADDRESS": address, "CA": str(files.ca), "CERT": str(files.cert), "KEY": str(files.key), "TOKEN": "from-a-variable"}
    for name, value in given.items():
        monkeypatch.setenv(f"PROTOJOBS_{name}", value)

    result = run("health")

    assert result.exit_code == 0, result.output
    assert set(tokens) == {"Bearer from-a-variable"}


def test_a_token_file_on_the_command_line_goes_before_a_token_of_the_environment(
    address: str, files: Files, tokens: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROTOJOBS_TOKEN", "from-a-variable")
    token = tmp_path / "token"
    token.write_text("from-a-file\n")

    run("health", "--address", address, *_tls(files), "--token-file", str(token))

    assert set(tokens) == {"Bearer from-a-file"}


def test_options_of_one_command_are_not_those_of_the_next(address: str, files: Files) -> None:
    run("health", "--address", address, *_tls(files))

    alone = run("health", "--address", address, "--cert", str(files.cert))

    assert alone.exit_code == 2
    assert "cert and key belong together" in alone.stderr


def test_tls_to_this_machine_is_checked_against_the_roots_of_the_system(
    address: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = ["--cert", str(files.cert), "--key", str(files.key)]

    refused = run("health", "--address", address, "--tls", *certificate)

    assert refused.exit_code == 3
    assert "the server's certificate is not to be trusted" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ca", "none.pem"], "none.pem: No such file"),
        (["--cert", "none.pem"], "cert and key belong together"),
        (["--insecure", "--tls"], "insecure and ca, cert or tls exclude each other"),
    ],
)
def test_what_cannot_make_a_connection_is_wrong_usage(arguments: list[str], said: str) -> None:
    result = run("stats", "--address", "127.0.0.1:1", *arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_token_is_no_option() -> None:
    assert run("health", "--token", "hunter2").exit_code == 2
