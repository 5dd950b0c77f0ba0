"""`protojobs smoke`: what passes, what it leaves behind, and how it fails."""

import threading

import pytest
from protojobs_client import Client
from typer.testing import Result

from tests.private_server import free_port
from tests.unit.cli.conftest import Cli, run


def test_a_job_goes_all_the_way_and_nothing_is_left(cli: Cli) -> None:
    said = cli.run("smoke").stdout

    assert said.startswith("protojobs-smoke: job 01")
    assert "dispatched, leased and completed in" in said
    assert len(said.splitlines()) == 1
    assert "left behind" not in said
    assert cli.json("jobs", "list", "--queue", "protojobs-smoke") == []
    assert "protojobs-smoke" not in [each["name"] for each in cli.json("queues", "list")]


def test_programs_read_what_passed(cli: Cli) -> None:
    passed = cli.json("smoke", "--queue", "own")

    assert (passed["queue"], passed["left"]) == ("own", [])
    assert passed["took"] > 0
    cli.run("jobs", "get", passed["job_id"], code=4)


def test_a_queue_that_was_there_stays_with_what_is_in_it(cli: Cli) -> None:
    other = cli.dispatch("--queue", "busy")

    passed = cli.json("smoke", "--queue", "busy")

    assert passed["left"] == []
    assert [job["id"] for job in cli.json("jobs", "list", "--queue", "busy", "--state", "pending")] == [other]


def test_a_job_that_is_not_leased_in_time_is_told_and_taken_back(cli: Cli) -> None:
    cli.run("queues", "pause", "stopped")

    failed = cli.run("smoke", "--queue", "stopped", "--timeout", "300ms", code=5)

    assert "was not completed within 300 ms" in failed.stderr
    assert cli.json("jobs", "list", "--queue", "stopped") == []


def test_a_worker_that_is_sent_away_ends_it(cli: Cli) -> None:
    cli.run("queues", "pause", "drained")
    ended: list[Result] = []
    running = threading.Thread(target=lambda: ended.append(run("smoke", "--queue", "drained", "--address", cli.address)))
    running.start()
    with Client(cli.address) as client:
        while not (found := client.workers("drained").all()):
            assert running.is_alive()
        client.drain_worker(found[0].session, deadline=5)
        running.join(30)

        assert [each.exit_code for each in ended] == [1]
        assert "the worker had to leave before the job was completed: drained" in ended[0].stderr
        assert client.list(queues=["drained"]).all() == []


def test_nobody_answers_is_told_within_the_timeout() -> None:
    failed = run("smoke", "--address", f"127.0.0.1:{free_port()}", "--timeout", "300ms")

    assert failed.exit_code == 3
    assert "no answer from 127.0.0.1" in failed.stderr


@pytest.mark.parametrize("timeout", ["0s", "soon"])
def test_a_timeout_that_is_none_is_refused_by_name(timeout: str) -> None:
    failed = run("smoke", "--timeout", timeout)

    assert failed.exit_code == 2
    assert "--timeout" in failed.stderr


def test_a_queue_that_cannot_be_is_refused(cli: Cli) -> None:
    failed = cli.run("smoke", "--queue", "not a name", code=1)

    assert "queue" in failed.stderr
