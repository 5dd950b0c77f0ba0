"""TLS and tokens, in every language, against a server that asks for both."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from protojobs_client import Client, Grant, JobState, MadeToken, Options, Scope

from tests.certificates import Authority, Files, replace
from tests.chaos.processes import ROOT
from tests.interop import specs
from tests.interop.conftest import sqlite_settings
from tests.interop.languages import Language, environment
from tests.interop.programs import Command, Program
from tests.interop.servers import BIN, Server
from tests.interop.waiting import PATIENCE, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secure:
    """A server with a certificate that asks everybody for a token, and an administrator of it."""

    server: Server
    files: Files
    directory: Path
    client: Client

    def token(self, name: str | None = None) -> MadeToken:
        """Make a token of a producer and worker. Sessions belong to its name."""
        grants = [Grant(Scope.PRODUCER), Grant(Scope.WORKER)]
        return self.client.admin.create_token(name or f"interop-{uuid4().hex[:8]}", grants, timedelta(hours=1))

    def dispatch(self, language: Language, queue: str, env: dict[str, str], name: str, spec: specs.Spec) -> Command:
        """Start a command that dispatches a job with these credentials."""
        place = specs.write(self.directory, name, spec)
        return Command(language, "dispatch", "--addr", self.server.address, "--queue", queue, "--spec", place, env=env)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Run such a server for all tests of this module."""
    directory = tmp_path_factory.mktemp("secure")
    authority = Authority()
    files = Files(directory / "tls").write(authority.server(), authority)
    store = sqlite_settings(directory / "jobs.db")
    settings = {
        **store,
        "PROTOJOBS_TLS__CERT": str(files.cert),
        "PROTOJOBS_TLS__KEY": str(files.key),
        "PROTOJOBS_AUTH__MODE": "required",
    }
    admin = directory / "admin.token"
    subprocess.run(
        [BIN / "protojobs", "tokens", "create", "admin", "--grant", "admin", "--ttl", "1h", "--store", "--output", admin],
        cwd=ROOT,
        env={**environment(), **store},
        check=True,
        capture_output=True,
        timeout=60,
    )
    server = Server(directory / "server.log", settings).start()
    client = Client(options=Options(address=server.address, ca=files.ca, token_file=admin))
    try:
        server.ready(grpc.ssl_channel_credentials(authority.pem))
        yield Secure(server=server, files=files, directory=directory, client=client)
    finally:
        client.close()
        server.kill()


@pytest.fixture
def queue() -> str:
    """A queue of the test's own."""
    return f"q-{uuid4().hex[:12]}"


@pytest.mark.requirement("CONNECT-1")
def test_a_token_file_that_is_replaced_is_read_again_under_a_live_lease(
    secure: Secure, language: Language, queue: str, tmp_path: Path
) -> None:
    first, second, file = secure.token(queue), secure.token(queue), tmp_path / "token"
    file.write_text(first.secret)
    env = {"PROTOJOBS_CA": str(secure.files.ca), "PROTOJOBS_TOKEN_FILE": str(file)}
    arguments = ("work", "--addr", secure.server.address, "--queue", queue, "--n", "0")
    worker = Program(language, *arguments, log=tmp_path / "worker.log", env=env)
    try:
        worker.ready()
        long = secure.client.dispatch("sleep", {"seconds": 4}, queue=queue).job_id
        worker.event("started", job_id=long)

        replace(file, second.secret.encode())
        secure.client.admin.revoke_token(first.token.token_id)

        later = secure.dispatch(language, queue, env, "noop", {"kind": "noop"}).line("dispatched")["job_id"]
        worker.event("settled", within=2 * PATIENCE, job_id=later, code="OK")
        worker.event("settled", within=2 * PATIENCE, job_id=long, code="OK")
        until("the first token is not used any more", lambda: secure.client.get(long).state is JobState.COMPLETED)
        assert secure.client.get(long).attempt == 1
    finally:
        worker.put_away()


@pytest.mark.requirement("CALL-2", "CONNECT-1")
@pytest.mark.parametrize("kind", ["none", "revoked"])
def test_credentials_that_are_not_valid_are_an_error_with_its_reason(
    secure: Secure, language: Language, queue: str, kind: str
) -> None:
    env = {"PROTOJOBS_CA": str(secure.files.ca)}
    if kind == "revoked":
        made = secure.token()
        secure.client.admin.revoke_token(made.token.token_id)
        env["PROTOJOBS_TOKEN"] = made.secret

    error = secure.dispatch(language, queue, env, "noop", {"kind": "noop"}).error()

    assert (error["code"], error["reason"]) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


@pytest.mark.requirement("CALL-2", "CONNECT-1")
def test_a_token_that_does_not_allow_it_is_an_error_with_its_reason(secure: Secure, language: Language, queue: str) -> None:
    made = secure.client.admin.create_token(f"observer-{uuid4().hex[:8]}", [Grant(Scope.OBSERVER)], timedelta(hours=1))
    env = {"PROTOJOBS_CA": str(secure.files.ca), "PROTOJOBS_TOKEN": made.secret}

    error = secure.dispatch(language, queue, env, "noop", {"kind": "noop"}).error()

    assert (error["code"], error["reason"]) == ("PERMISSION_DENIED", "PERMISSION_DENIED")


@pytest.mark.requirement("CONNECT-1")
@pytest.mark.parametrize("kind", ["foreign authority", "plaintext", "another name"])
def test_a_server_that_is_not_the_one_to_trust_is_an_error_and_no_hang(
    secure: Secure, language: Language, queue: str, tmp_path: Path, kind: str
) -> None:
    env = {"PROTOJOBS_TOKEN": secure.token().secret, "PROTOJOBS_CALL_TIMEOUT": "3"}
    if kind == "foreign authority":
        env["PROTOJOBS_CA"] = str(Files(tmp_path / "foreign").write(None, Authority("foreign")).ca)
    elif kind == "another name":
        env |= {"PROTOJOBS_CA": str(secure.files.ca), "PROTOJOBS_SERVER_NAME": "jobs.example"}

    error = secure.dispatch(language, queue, env, "noop", {"kind": "noop"}).error()

    assert error["code"] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
