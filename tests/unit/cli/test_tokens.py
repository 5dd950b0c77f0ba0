"""`protojobs tokens` and `protojobs audit`: what people type, and what they may and may not read."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import Client

from tests.unit.cli.conftest import Cli, run


def create(cli: Cli, name: str, *more: str) -> Any:
    """Make a token and return what is printed of it."""
    return cli.json("tokens", "create", name, "--grant", "worker:mail.*", "-g", "observer", "--ttl", "90d", *more)


def test_a_made_token_is_shown_once(cli: Cli) -> None:
    made = create(cli, "shown")

    listed = {each["token_id"]: each for each in cli.json("tokens", "list")}
    assert made["token"].startswith(f"pj_{made['token_id']}_")
    assert made["grants"] == ["worker:mail.*", "observer"]
    assert (listed[made["token_id"]]["name"], listed[made["token_id"]]["created_by"]) == ("shown", "anonymous")
    assert made["token"][-64:] not in json.dumps(list(listed.values()))
    assert made["token"][-64:] not in cli.run("audit", "list").stdout


def test_people_read_the_token_too(cli: Cli) -> None:
    shown = cli.run("tokens", "create", "people", "--grant", "admin", "--ttl", "12h").stdout

    assert "people" in shown
    assert "pj_" in shown
    table = cli.run("tokens", "list").stdout
    assert "people" in table
    assert "pj_" not in table


def test_a_token_in_a_file_is_for_its_owner_alone_and_not_printed(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "token"
    before = os.umask(0)
    try:
        made = create(cli, "kept", "--output", str(file))
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith(f"pj_{made['token_id']}_")
    assert file.read_text().endswith("\n")
    assert made["file"] == str(file)
    assert file.read_text().strip() not in json.dumps(made)


def test_a_file_that_exists_is_left_alone_and_no_token_is_made(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("mine")

    result = cli.run("tokens", "create", "unkept", "--grant", "admin", "--ttl", "1h", "--output", str(file), code=2)

    assert "File exists" in result.output
    assert file.read_text() == "mine"
    assert "unkept" not in cli.run("tokens", "list").stdout


def test_a_refused_token_leaves_no_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "token"

    cli.run("tokens", "create", "no such name", "--grant", "admin", "--ttl", "1h", "--output", str(file), code=1)

    assert not file.exists()


def test_a_revoked_token_is_listed_as_that(cli: Cli) -> None:
    token_id = create(cli, "ended")["token_id"]

    said = cli.run("tokens", "revoke", token_id).stdout
    again = cli.json("tokens", "revoke", token_id)

    assert said == f"{token_id}: revoked\n"
    [listed] = [each for each in cli.json("tokens", "list") if each["token_id"] == token_id]
    assert listed["revoked_at"] == again["revoked_at"] is not None
    cli.run("tokens", "revoke", "f" * 16, code=4)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("--grant", "king", "--ttl", "1h"), "no scope", 2),
        (("--grant", "admin", "--ttl", "soon"), "no span of time", 2),
        (("--grant", "admin", "--ttl", "1s"), "ttl", 1),
        (("--grant", "worker:[a]", "--ttl", "1h"), "grants[0].queues", 1),
        (("--ttl", "1h"), "--grant", 2),
    ],
)
def test_what_makes_no_token_is_said(cli: Cli, arguments: tuple[str, ...], said: str, code: int) -> None:
    assert said in cli.run("tokens", "create", "bad", *arguments, code=code).output


def test_the_first_token_is_written_to_the_store_itself_and_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    first = ("tokens", "create", "admin", "--grant", "admin", "--ttl", "30d", "--store", "--json")

    early = run(*first)
    assert (early.exit_code, "migrate" in early.output) == (3, True)
    assert run("migrate", "upgrade").exit_code == 0
    made = [run(*first) for _ in range(3)]

    assert [each.exit_code for each in made] == [0, 0, 3]
    assert "QUOTA_EXCEEDED" in made[2].output
    assert json.loads(made[0].stdout)["token"].startswith("pj_")
    invalid = run("tokens", "create", "a b", "--grant", "admin", "--ttl", "30d", "--store")
    assert (invalid.exit_code, "name" in invalid.output) == (1, True)
    memory = run(*first, "--driver", "memory")
    assert (memory.exit_code, "memory" in memory.output) == (2, True)


def test_the_audit_log_is_read_by_who_what_and_when(cli: Cli) -> None:
    cli.run("queues", "pause", "audited")
    cli.run("queues", "resume", "audited")

    [newest, *rest] = cli.json("audit", "list", "--limit", "2")
    table = cli.run("audit", "list", "--rpc", "QueueService/PauseQueue").stdout

    assert (newest["rpc"], newest["target"], newest["outcome"]) == ("protojobs.v1.QueueService/ResumeQueue", "audited", "OK")
    assert (newest["principal"], newest["via"]) == ("anonymous", "grpc")
    assert len(rest) == 1
    assert "PauseQueue" in table
    assert "ResumeQueue" not in table
    assert cli.json("audit", "list", "--since", "2100-01-01") == []
    assert cli.json("audit", "list", "--principal", "token:0000000000000000") == []
    assert cli.run("audit", "list", "--until", "2000-01-01").stdout.strip() == "nothing yet"
    assert "--since" in cli.run("audit", "list", "--since", "yesterday", code=2).output


def test_both_clients_administrate(cli: Cli) -> None:
    with Client(cli.address) as client:
        caller = client.admin.caller()

        assert (caller.principal, caller.expires_at, len(caller.grants)) == ("anonymous", None, 5)
