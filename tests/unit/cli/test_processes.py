"""Settings of several processes, and what they tell each other."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest
from protojobs_service.cli.process import Line, Told
from protojobs_service.settings import load

from tests.private_server import free_port
from tests.unit.cli.conftest import run


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--processes", "2"], {}, "processes: driver sqlite belongs to one process"),
        (["--processes", "2", "--driver", "memory"], {}, "processes: driver memory belongs to one process"),
        (["--processes", "2", "--driver", "kafka"], {}, "processes: kafka.side sqlite belongs to one process"),
        (["--driver", "postgres"], {"PROCESSES": "2", "ADMIN_PORT": "65535"}, "the last one would be 65536"),
        (["--driver", "mysql"], {"PROCESSES": "3", "PORT": "8082"}, "processes: port is one of their admin ports, 8080 to 8082"),
        (["--driver", "postgres"], {"PROCESSES": "2", "SCALER_PORT": "8081"}, "processes: scaler_port is one of their admin ports"),
        (
            ["--driver", "postgres"],
            {"PROCESSES": "10", "SERVER_ID": "x" * 126},
            "processes: server_id has no room for their numbers: at most 125",
        ),
        (
            ["--driver", "kafka"],
            {"PROCESSES": "2", "KAFKA__SIDE": "postgres", "KAFKA__INSTANCE": "x" * 199},
            "processes: kafka.instance has no room for their numbers: at most 198",
        ),
        (["--driver", "postgres"], {"PROCESSES": "0"}, "processes"),
        (["--driver", "postgres"], {"PROCESSES": "65"}, "processes"),
    ],
)
def test_processes_that_cannot_be_are_refused_by_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    for name, value in env.items():
        monkeypatch.setenv(f"PROTOJOBS_{name}", value)

    refused = run("serve", *arguments)

    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not (tmp_path / "jobs.db").exists()


def test_a_port_that_another_server_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        # It would let others in, and is there already.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("PROTOJOBS_POSTGRES__DSN", "postgresql://me@127.0.0.1/jobs")

        refused = run("serve", "--driver", "postgres", "--processes", "2", "--address", f"127.0.0.1:{port}")

    assert refused.exit_code == 3
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr


def test_whoever_goes_on_after_a_server_hears_of_signals_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setenv("PROTOJOBS_POSTGRES__DSN", "postgresql://me@127.0.0.1/jobs")
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = run("serve", "--driver", "postgres", "--processes", "2", "--address", f"127.0.0.1:{other.getsockname()[1]}")

    assert refused.exit_code == 3
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_an_admin_port_that_somebody_has_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = f"127.0.0.1:{other.getsockname()[1]}"

        refused = run("serve", "--driver", "memory", "--address", "127.0.0.1:0", "--admin-address", place)

    assert refused.exit_code == 3
    assert f"cannot listen on {place}" in refused.stderr


def test_each_process_has_a_name_and_an_admin_port_of_its_own_and_all_else_as_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"DRIVER": "kafka", "PROCESSES": "3", "SERVER_ID": "one", "ADMIN_PORT": "9000", "KAFKA__SIDE": "postgres"}
    for name, value in {**env, "KAFKA__INSTANCE": "mine", "GRPC__KEEPALIVE_TIME": "77"}.items():
        monkeypatch.setenv(f"PROTOJOBS_{name}", value)

    second = load(**load().of_process(2, port=50052, scaler_port=6000))

    assert (second.processes, second.server_id, second.admin_port, second.kafka.instance) == (1, "one-2", 9001, "mine-2")
    assert (second.port, second.scaler_port, second.grpc.reuse_port) == (50052, 6000, True)
    assert (second.store_name, second.grpc.keepalive_time) == ("postgres", 77)


def test_an_admin_port_that_is_picked_is_picked_by_each_process() -> None:
    whole = load(driver="postgres", processes=2, admin_port=0)

    assert whole.of_process(2, port=1, scaler_port=None)["admin_port"] == 0


def test_what_a_process_is_told_comes_back_as_it_was() -> None:
    told = Told(number=2, line=7, migrate=True, config="/etc/protojobs.yaml", overrides={"port": free_port()})

    assert Told.load(told.dump()) == told


@pytest.mark.asyncio
async def test_each_end_of_a_line_hears_what_the_other_says_until_it_says_no_more() -> None:
    ours, theirs = [await Line.over(end) for end in socket.socketpair()]

    ours.say(True)
    ours.say(False)
    ours.say_no_more()
    ours.say(True)
    assert [ready async for ready in theirs.heard()] == [True, False]

    theirs.say(True)
    theirs.close()
    assert [ready async for ready in ours.heard()] == [True]
    ours.close()


@pytest.mark.asyncio
async def test_a_line_whose_other_end_has_gone_ends() -> None:
    ours, theirs = socket.socketpair()
    line = await Line.over(ours)

    theirs.close()

    assert [ready async for ready in line.heard()] == []
    line.say(True)
    await asyncio.sleep(0)
    line.close()
