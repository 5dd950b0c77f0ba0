"""Commands of docs/operations/kubernetes.md that end in a pod: they are run where the pod's server would be."""

import re
import shlex
from pathlib import Path

import pytest
from protojobs_service.cli import app
from typer.testing import CliRunner

from tests.certificates import Authority
from tests.operations.pages import ROOT, bash
from tests.private_server import free_port

PAGE = (ROOT / "docs" / "operations" / "kubernetes.md").read_text()
NOTES = (ROOT / "deploy" / "helm" / "protojobs" / "templates" / "NOTES.txt").read_text()
SERVER_NAME = "jobs-protojobs.shop.svc"
# What a cluster does: `exec` runs in the pod, `port-forward` lets a port of this machine be the server's, secrets are kept.
KUBECTL = """#!/bin/bash
set -euo pipefail
case "$*" in
    "--namespace shop exec deploy/jobs-protojobs -- "*) exec "${@:6}" ;;
    "--namespace shop port-forward service/jobs-protojobs 50051:50051") ;;
    "--namespace shop create secret generic "*" --from-file=token="*) cp "${7#--from-file=token=}" "secret-$6" ;;
    *) echo "no such cluster: $*" >&2; exit 1 ;;
esac
"""


def test_commands_in_pods_are_commands_of_the_server() -> None:
    inside = re.findall(r"exec deploy/\S+(?: \}\})? -- protojobs ([^|\n`]*)", PAGE + NOTES.replace("{{ $full }}", "jobs"))

    assert len(inside) == 2
    for command in inside:
        done = CliRunner().invoke(app, [*shlex.split(command), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert done.exit_code == 0, done.output
        assert set(re.findall(r"--[a-z-]+", command)) <= set(re.findall(r"--[a-z][a-z-]+", done.output))


@pytest.mark.alone  # eight programs one after the other, each of which takes seconds beside others
@pytest.mark.timeout(120)
def test_tokens_are_made_by_the_page(postgres_dsn: str, tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.server(SERVER_NAME)
    for name, content in {"ca.crt": authority.pem, "tls.crt": pair.cert, "tls.key": pair.key}.items():
        (tmp_path / name).write_bytes(content)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "kubectl").write_text(KUBECTL)
    (programs / "kubectl").chmod(0o755)
    port = free_port()
    env = {
        "PROTOJOBS_DRIVER": "postgres",
        "PROTOJOBS_POSTGRES__DSN": postgres_dsn.replace("+asyncpg", ""),
        "PROTOJOBS_TLS__CERT": str(tmp_path / "tls.crt"),
        "PROTOJOBS_TLS__KEY": str(tmp_path / "tls.key"),
        "PROTOJOBS_AUTH__MODE": "required",
        "PROTOJOBS_PORT": str(port),
        "PROTOJOBS_ADMIN_PORT": "0",
        "PROTOJOBS_SHUTDOWN__GRACE": "1",
        "PROTOJOBS_ADDRESS": f"127.0.0.1:{port}",
    }
    first, others = PAGE.partition("### Tokens")[2].partition("\n## ")[0].split("```sh\n")[1:]
    page = first.partition("```")[0] + others.partition("```")[0]
    as_the_test_pod = "PROTOJOBS_TOKEN_FILE=secret-jobs-smoke-token protojobs smoke\n"

    said = bash(
        f"protojobs migrate upgrade\nprotojobs serve &\nserver=$!\n{page}{as_the_test_pod}kill $server\nwait $server\n",
        tmp_path,
        env,
        path=programs,
    )

    assert (tmp_path / "secret-jobs-worker-token").read_text() == (tmp_path / "workers.token").read_text()
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert "smoke" in said
