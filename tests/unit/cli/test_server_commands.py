"""Commands that need no server: settings, schema, and what `serve` refuses."""

import json
import resource
from pathlib import Path

import pytest

from tests.unit.cli.conftest import run


def test_every_command_explains_itself() -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert "Exit codes" in result.stdout
    names = (
        "dev",
        "serve",
        "migrate",
        "upkeep",
        "dispatch",
        "jobs",
        "queues",
        "stats",
        "workers",
        "outbox",
        "health",
        "smoke",
        "config",
    )
    for name in names:
        assert name in result.stdout
        assert run(name, "--help").exit_code == 0


def test_the_version_is_told() -> None:
    assert run("--version").stdout.strip().startswith("0.")


def test_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "protojobs.yaml"
    config.write_text("driver: postgres\nlimits:\n  max_payload_bytes: 2048\n")
    monkeypatch.setenv("PROTOJOBS_POSTGRES__DSN", "postgresql://me:hunter2@db/jobs")
    monkeypatch.setenv("PROTOJOBS_PORT", "1234")

    shown = json.loads(run("config", "show", "--config", str(config), "--json").stdout)
    table = run("config", "show", "--config", str(config)).stdout

    assert {name: (each["value"], each["source"]) for name, each in shown.items() if each["source"] != "default"} == {
        "driver": ("postgres", "file"),
        "limits.max_payload_bytes": (2048, "file"),
        "postgres.dsn": ("**********", "environment"),
        "port": (1234, "environment"),
    }
    assert all(each["meaning"] for each in shown.values())
    assert "hunter2" not in table


def test_properties_of_kafka_that_hold_secrets_are_not_shown(tmp_path: Path) -> None:
    secret = (
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "ssl.key.pem",
        "SSL.Key.PEM",
    )
    config = tmp_path / "protojobs.yaml"
    config.write_text(json.dumps({"kafka": {"client": {**dict.fromkeys(secret, "hunter2"), "client.rack": "a"}}}))

    shown = json.loads(run("config", "show", "--config", str(config), "--json").stdout)
    table = run("config", "show", "--config", str(config)).stdout

    assert shown["kafka.client"]["value"] == {**dict.fromkeys(secret, "**********"), "client.rack": "a"}
    assert "hunter2" not in table


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits:\n  max_payload_bytes: 1\n", "limits.max_payload_bytes"),
        ("colour: red\n", "colour"),
        ("limits:\n  colour: red\n", "limits.colour"),
        ("driver: mongo\n", "driver"),
        ("postgres:\n  schema_name: 'a; drop'\n", "postgres.schema_name"),
        ("a: [", "parsing"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "protojobs.yaml"
    config.write_text(text)

    result = run("config", "show", "--config", str(config))

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_settings_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    result = run("serve", "--config", str(tmp_path / "none.yaml"))

    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_a_schema_is_made_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    before = run("migrate", "check")
    none = run("migrate", "current")
    made = json.loads(run("migrate", "upgrade", "--json").stdout)
    again = run("migrate", "upgrade")
    after = run("migrate", "check", "--json")

    assert (before.exit_code, before.stdout.strip()) == (1, "schema is missing")
    assert none.stdout.strip() == "no schema"
    assert again.exit_code == 0
    assert json.loads(run("migrate", "current", "--json").stdout) == made
    assert (after.exit_code, json.loads(after.stdout)) == (0, {"schema": "current"})


def test_memory_has_no_schema() -> None:
    result = run("migrate", "upgrade", "--driver", "memory")

    assert result.exit_code == 2
    assert "memory has no schema" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--driver", "memory", "--address", "0.0.0.0:0"], 2, "--insecure"),
        (["--driver", "memory", "--address", "127.0.0.1:0", "--admin-address", "0.0.0.0:0"], 2, "--insecure"),
        (["--driver", "postgres"], 2, "postgres.dsn"),
        (["--address", "nowhere"], 2, "HOST:PORT"),
        (["--driver", "odd"], 2, "odd"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    result = run("serve", *arguments)

    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.parametrize(
    ("driver", "variable", "dsn", "said"),
    [
        ("postgres", "PROTOJOBS_POSTGRES__DSN", "postgresql://me:hunter2@db.example/jobs?sslmode=prefer", "postgres.dsn: sslmode"),
        ("mysql", "PROTOJOBS_MYSQL__DSN", "mysql://me:hunter2@db.example/jobs?ssl_mode=disabled", "mysql.dsn: ssl_mode"),
        ("memory", "PROTOJOBS_OUTBOX_DSN", "postgresql://me:hunter2@db.example/app?sslmode=allow", "outbox_dsn: sslmode"),
        ("memory", "PROTOJOBS_OUTBOX_DSN", "postgresql://me:hunter2@db.example/app?sslrootcert=none", "outbox_dsn: sslrootcert"),
    ],
)
def test_a_database_that_would_not_be_verified_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, driver: str, variable: str, dsn: str, said: str
) -> None:
    monkeypatch.setenv(variable, dsn)

    refused = run("serve", "--driver", driver, "--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0")

    assert refused.exit_code == 2
    assert said in refused.stderr
    assert "hunter2" not in refused.output


def test_a_server_leaves_no_core_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: limits.append((kind, limit)))

    run("serve", "--driver", "memory", "--address", "0.0.0.0:0")

    assert limits == [(resource.RLIMIT_CORE, (0, 0))]


def test_a_dsn_that_is_none_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_POSTGRES__DSN", "hunter2@db/jobs")

    refused = run("serve", "--driver", "postgres")

    assert refused.exit_code == 2
    assert "postgres.dsn: is not postgresql://" in refused.stderr
    assert "hunter2" not in refused.output


def test_a_database_without_a_schema_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    result = run("serve", "--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0")

    assert result.exit_code == 3
    assert "migrate upgrade" in result.stderr
