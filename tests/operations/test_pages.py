"""Commands and names of the pages that no test of their own has."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.operations.pages import ROOT, bash, blocks
from tests.private_server import free_port

DOCS = ROOT / "docs" / "operations"
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text()
OURS = [DOCS / f"{name}.md" for name in ("README", "install", "sizing", "upgrade", "backup", "moving", "capacity", "proxies")]

pytestmark = pytest.mark.timeout(120)


def environment(home: Path) -> dict[str, str]:
    """Return settings of a store and free ports in a directory."""
    port, admin = free_port(), free_port()
    return {
        "PROTOJOBS_SQLITE__PATH": str(home / "jobs.db"),
        "PROTOJOBS_PORT": str(port),
        "PROTOJOBS_ADMIN_PORT": str(admin),
        "PROTOJOBS_ADDRESS": f"127.0.0.1:{port}",
        "PROTOJOBS_SHUTDOWN__GRACE": "1",
    }


def test_a_server_is_installed_by_the_page(tmp_path: Path) -> None:
    said = bash("".join(blocks("install.md", "A server")), tmp_path, environment(tmp_path))

    assert "schema is current" in said
    assert "serving" in said
    assert "try" in said


def test_a_schema_is_upgraded_by_the_page(tmp_path: Path) -> None:
    env = environment(tmp_path)
    bash("protojobs migrate upgrade", tmp_path, env)

    said = bash("".join((DOCS / "upgrade.md").read_text().split("```sh\n")[1].partition("```")[:1]), tmp_path, env)
    again = bash(blocks("upgrade.md", "When a migration fails or dies")[0], tmp_path, env)

    assert [line.partition(" ")[0] for line in said.splitlines()[:2]] == ["schema", "schema"]
    assert again == f"schema is at {said.splitlines()[-1]}\n"


def test_a_queue_moves_by_the_page(tmp_path: Path) -> None:
    for name in ("old", "new"):
        store = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / f"{name}.db")}, "port": free_port(), "admin_port": 0}
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**store, "shutdown": {"grace": 1}}))
    old = yaml.safe_load((tmp_path / "old.yaml").read_text())
    env = {"PROTOJOBS_ADDRESS": f"127.0.0.1:{old['port']}"}
    prepare, move = blocks("moving.md", "Step by step")
    pause, *moves = move.splitlines(keepends=True)

    bash(prepare, tmp_path, env)
    serve = "protojobs serve --migrate --config old.yaml &\nuntil protojobs health; do sleep 0.2; done\n"
    bash(f"{serve}protojobs dispatch send --queue mail\n{pause}kill %1\nwait %1\n", tmp_path, env)
    said = bash("".join(moves), tmp_path, env)

    assert re.search(r"jobs +PENDING=1", said), said


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.stem)
def test_settings_that_the_pages_name_exist(page: Path) -> None:
    sections = "sqlite|postgres|mysql|kafka|store|auth|limits|session|grpc|console|log|audit|shutdown|tls"
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", page.read_text()))

    assert {name for name in named if f"| `{name}` |" not in SETTINGS} == set()


def test_every_alert_is_on_the_page_of_capacity_or_tells_of_more_than_that() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    named = set(re.findall(r"`(Protojobs\w+)`", (DOCS / "capacity.md").read_text()))

    assert named <= alerts
    assert alerts - named == {"ProtojobsNoServer", "ProtojobsFailureRatio", "ProtojobsAuditLoss", "ProtojobsRecordsLost"}


def test_capacity_is_looked_at_by_the_page(tmp_path: Path) -> None:
    [look] = blocks("capacity.md", "Look at it")
    serve = "protojobs serve --migrate &\nuntil protojobs health; do sleep 0.2; done\nprotojobs dispatch send --queue mail\n"

    said = bash(f"{serve}{look}kill %1\nwait %1\n", tmp_path, environment(tmp_path))

    assert said.count("mail") >= 2
