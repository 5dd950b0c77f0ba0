"""What people and programs type, and what they read."""

import json
import threading
from pathlib import Path
from uuid import UUID

import pytest
from protojobs_client import Client

from tests.unit.cli.conftest import Cli, run


def test_a_dispatched_job_is_shown_with_all_that_was_said(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text('{"to": "ann"}')

    job_id = cli.dispatch(
        "--queue", "urgent", "--data", f"@{data}", "--delay", "1h", "--priority", "9", "--label", "tenant=acme",
        "--retries", "7", "--run-timeout", "2m", "--header", "trace=1", "--concurrency-key", "ann", "--fairness-key", "acme",
    )  # fmt: skip
    job = cli.json("jobs", "get", job_id, "--full")["job"]

    assert UUID(job_id).version == 7
    assert (job["queue"], job["kind"], job["state"], job["priority"]) == ("urgent", "email", "scheduled", 9)
    assert (job["payload"], job["labels"], job["headers"]) == ('{"to": "ann"}', {"tenant": "acme"}, {"trace": "1"})
    assert (job["retry"]["max_retries"], job["run_timeout"]) == (7, 120.0)
    assert (job["concurrency_key"], job["fairness_key"]) == ("ann", "acme")


def test_data_comes_from_standard_input_and_need_not_be_json(cli: Cli) -> None:
    result = cli.run("dispatch", "email", "--data", "@-", "--content-type", "image/png", "--json", given=b"\x89PNG")

    job = cli.json("jobs", "get", json.loads(result.stdout)["job_id"], "--full")["job"]

    assert (job["content_type"], job["payload"]) == ("image/png", {"base64": "iVBORw=="})


def test_the_same_id_is_stored_once(cli: Cli) -> None:
    job_id = cli.dispatch()

    again = cli.json("dispatch", "email", "--id", job_id)

    assert again == {"job_id": job_id, "outcome": "existing"}


def test_jobs_are_listed_by_filter(cli: Cli) -> None:
    wanted = cli.dispatch("--queue", "listed", "--label", "a=1")
    cli.dispatch("--queue", "listed", "--label", "a=2")
    cli.dispatch("--queue", "other")

    found = cli.json("jobs", "list", "--queue", "listed", "--label", "a=1", "--state", "pending", "--kind", "email")
    table = cli.run("jobs", "list", "--queue", "listed", "--limit", "1").stdout

    assert [job["id"] for job in found] == [wanted]
    assert len(table.splitlines()) == 2
    assert "listed" in table


def test_no_jobs_is_an_answer(cli: Cli) -> None:
    assert cli.run("jobs", "list", "--queue", "nobody").stdout.strip() == "no jobs"
    assert cli.json("jobs", "list", "--queue", "nobody") == []


def test_a_job_is_cancelled_retried_and_deleted(cli: Cli) -> None:
    job_id = cli.dispatch()

    assert cli.json("jobs", "cancel", job_id) == [{"job_id": job_id, "state": "cancelled"}]
    assert cli.json("jobs", "retry", job_id, "--data", "[1]") == [{"job_id": job_id, "state": "pending"}]
    shown = cli.run("jobs", "get", job_id, "--full").stdout
    assert cli.json("jobs", "delete", job_id) == [{"job_id": job_id, "state": "deleted"}]

    assert "[1]" in shown
    assert "cancelled" in shown
    cli.run("jobs", "get", job_id, code=4)


def test_what_was_done_before_a_refusal_is_told(cli: Cli) -> None:
    first, gone = cli.dispatch(), cli.dispatch()
    cli.run("jobs", "delete", gone)

    result = cli.run("jobs", "cancel", first, gone, code=4)

    assert first in result.stdout
    assert "no such job" in result.stderr


def test_queues_are_paused_resumed_cleared_and_removed(cli: Cli) -> None:
    cli.dispatch("--queue", "q1")
    cli.run("queues", "pause", "q1")
    paused = {queue["name"]: queue["paused"] for queue in cli.json("queues", "list")}
    cli.run("queues", "resume", "q1")
    refused = cli.run("queues", "delete", "q1", "--yes", code=1)

    counted = cli.json("queues", "clear", "q1", "--dry-run")
    cleared = cli.json("queues", "clear", "q1", "--yes")
    removed = cli.json("queues", "delete", "q1", "--yes")

    assert paused["q1"] is True
    assert "has jobs" in refused.stderr
    assert (counted["deleted"], cleared["deleted"]) == (1, 1)
    assert removed == {"queue": "q1", "done": "removed"}


def test_clearing_asks_first(cli: Cli) -> None:
    cli.dispatch("--queue", "q2")

    result = cli.run("queues", "clear", "q2", given="n\n", code=1)

    assert "Delete jobs of q2?" in result.stderr
    assert cli.json("queues", "clear", "q2", "--dry-run")["deleted"] == 1


def test_stats_show_what_waits_and_why(cli: Cli) -> None:
    cli.dispatch("--queue", "busy")
    cli.run("queues", "pause", "busy")

    table = cli.run("stats", "--queue", "busy").stdout
    [numbers] = cli.json("stats", "--queue", "busy")["queues"]

    assert "\N{FULL BLOCK}" in table
    assert "busy is paused" in table
    assert "no worker for email" in table
    assert (numbers["queue"], numbers["pending"], numbers["paused"]) == ("busy", 1, True)


def test_stats_are_watched(cli: Cli) -> None:
    cli.dispatch("--queue", "watched")

    watched = ("stats", "--watch", "--interval", "1s", "--count", "2", "--queue", "watched")
    pictures, lines = cli.run(*watched).stdout, cli.run(*watched, "--json").stdout

    assert pictures.count("no worker for email") == 2
    assert pictures.endswith("\n")
    assert [json.loads(line)["queues"][0]["queue"] for line in lines.splitlines()] == ["watched"] * 2


def test_events_are_tailed_by_name_and_queue(cli: Cli) -> None:
    assert "events all" in cli.run("queues", "events", "tailed", "all").stdout
    over = threading.Event()

    def happen() -> None:
        with Client(cli.address) as client:
            while not over.is_set():
                for queue in ("tailed", "elsewhere"):
                    client.cancel(client.dispatch("email", queue=queue).job_id)

    thread = threading.Thread(target=happen)
    thread.start()
    try:
        tailed = cli.run("jobs", "tail", "-q", "tailed", "-e", "cancelled", "-n", "3", "--json").stdout
        table = cli.run("jobs", "tail", "-q", "tailed", "-n", "1").stdout
        first, second, _ = (json.loads(line) for line in tailed.splitlines())
        behind = cli.run("jobs", "tail", "-q", "tailed", "-n", "1", "--json", "--cursor", first["cursor"]).stdout
    finally:
        over.set()
        thread.join()

    events = [json.loads(line) for line in tailed.splitlines()]
    assert [(event["name"], event["queue"], event["kind"], event["final"]) for event in events] == [
        ("job.cancelled", "tailed", "email", True)
    ] * 3
    assert "job.cancelled" in table
    assert json.loads(behind)["id"] == second["id"]


def test_workers_are_listed_and_an_unknown_one_is_not_drained(cli: Cli) -> None:
    assert cli.run("workers", "list").stdout.strip() == "no workers"
    assert cli.json("workers", "list") == []
    cli.run("workers", "drain", "12345", code=4)


def test_health_tells_what_the_server_is(cli: Cli) -> None:
    found = cli.json("health")

    assert (found["status"], found["server"]["driver"]) == ("serving", "memory")
    assert "serving" in cli.run("health").stdout


def test_a_wait_that_is_over_first_has_an_exit_code_of_its_own(cli: Cli) -> None:
    result = cli.run("dispatch", "email", "--wait", "--timeout", "10ms", code=5)

    assert "pending" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["jobs", "tail", "--event", "job.odd"], 2, "job.processed"),
        (["jobs", "tail", "--event", "processing", "--queue", "nobody-listens"], 1, "events = ALL"),
        (["dispatch", "a/b"], 1, "spec.kind"),
        (["dispatch", "email", "--priority", "10"], 1, "spec.priority"),
        (["dispatch", "email", "--data", "{"], 2, "JSON"),
        (["dispatch", "email", "--data", "@/nowhere"], 2, "nowhere"),
        (["dispatch", "email", "--delay", "soon"], 2, "--delay: 'soon'"),
        (["dispatch", "email", "--run-timeout", "soon"], 2, "--run-timeout: 'soon'"),
        (["dispatch", "email", "--retries", "-1"], 2, "--retries"),
        (["dispatch", "email", "--unique-key", "k", "--unique-scope", "window"], 2, "--unique-window: goes with"),
        (["jobs", "bulk", "move", "--all"], 2, "--to: goes with move"),
        (["jobs", "bulk", "retry", "--all", "--to", "q"], 2, "--to: goes with move"),
        (["jobs", "bulk", "set_priority", "--all"], 2, "--priority: goes with set_priority"),
        (["jobs", "tail", "--cursor", "x"], 2, "--cursor: is not"),
        (["dispatch", "email", "--delay", "1s", "--at", "2040-01-01"], 2, "exclude"),
        (["dispatch", "email", "--at", "tomorrow"], 2, "2030-01-31T08:00:00Z"),
        (["dispatch", "email", "--label", "x"], 2, "key=value"),
        (["queues", "sharing", "q", "--aging", "5m", "--strict"], 2, "exclude"),
        (["queues", "sharing", "q", "--aging", "100ms"], 1, "queue.aging_interval"),
        (["queues", "sharing", "q", "--weight", "a=0"], 2, "1 to 1000"),
        (["queues", "sharing", "q", "--weight", "a=nan"], 2, "whole number"),
        (["jobs", "get", "x"], 1, "job_id"),
        (["jobs", "list", "--state", "odd"], 2, "odd"),
        (["jobs", "get", "018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a6b"], 4, "no such job"),
        (["stats", "--queue", "nobody"], 4, "no such queue"),
    ],
)
def test_a_mistake_is_one_clear_line_and_an_exit_code(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    result = cli.run(*arguments, code=code)

    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_an_error_is_json_for_programs(cli: Cli) -> None:
    result = cli.run("jobs", "get", "018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a6b", "--json", code=4)

    assert json.loads(result.stderr) == {"error": {"message": "no such job", "reason": "JOB_NOT_FOUND"}}


def test_nobody_who_answers_is_exit_code_3() -> None:
    result = run("health", "--address", "127.0.0.1:1")

    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stderr


def test_the_address_comes_from_the_environment_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_ADDRESS", cli.address)

    assert run("health").exit_code == 0


def test_text_of_others_cannot_steer_the_terminal(cli: Cli) -> None:
    job_id = cli.dispatch("--label", "note=\x1b[31mred")

    shown = cli.run("jobs", "get", job_id).stdout

    assert "\x1b" not in shown
    assert "[31mred" in shown
