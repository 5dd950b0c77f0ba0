"""docs/how-to/tls.md is what works: its commands make certificates, serve, connect and rotate."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from protojobs_client.statuses import _HANDSHAKES

from tests.certificates import Authority
from tests.conftest import NOT_ON_THIS_MACHINE
from tests.private_server import free_port

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "tls.md").read_text()


def _block(section: str) -> str:
    """Return the commands of a section."""
    return PAGE.partition(f"\n## {section}\n")[2].partition("```sh\n")[2].partition("```")[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory with the certificates of the page."""
    for tool in ("openssl", "bash", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{NOT_ON_THIS_MACHINE}{tool}")
    _bash(_block("Make certificates"), tmp_path)
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROTOJOBS_")}
    return {**own, "PATH": f"{Path(sys.executable).parent}:{own['PATH']}", "PROTOJOBS_SQLITE__PATH": str(home / "jobs.db")}


def _bash(commands: str, home: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=home, env=_environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def _serving(home: Path, commands: str) -> Iterator[None]:
    """Run the page's server until the context ends."""
    *settings, serve = commands.strip().splitlines()
    script = "\n".join([*settings, f"exec {serve}"])
    server = subprocess.Popen(["bash", "-c", script], cwd=home, env=_environment(home), stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        said = next((line for line in server.stderr if "server started" in line), None)
        assert said is not None, "the server did not start"
        yield
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_the_commands_of_the_page_serve_connect_and_rotate(home: Path) -> None:
    ports = {"50051": str(free_port()), "8080": str(free_port())}

    def at_free_ports(commands: str) -> str:
        for port, free in ports.items():
            commands = commands.replace(f":{port}", f":{free}")
        return commands

    with _serving(home, at_free_ports(_block("Serve"))):
        connected = _bash(at_free_ports(_block("Connect")), home)
        (home / "next-ca.crt").write_bytes(Authority("next").pem)
        _bash(_block("Rotate"), home)
        again = _bash(at_free_ports(_block("Connect")), home)

    for shown in (connected, again):
        assert "serving" in shown
        assert '"status":"ok"' in shown
    assert (home / "ca.crt").read_text().count("BEGIN CERTIFICATE") == 2


def test_every_message_of_a_handshake_is_explained() -> None:
    told = {meaning.partition(": ")[2] for _, meaning in _HANDSHAKES if meaning.startswith("the TLS handshake failed: ")}
    table = PAGE.partition("## When it does not work")[2]

    assert len(told) == 5
    assert not [message for message in told if f"| {message} |" not in table]
