"""Where the server is, from the environment and from code."""

from datetime import timedelta
from pathlib import Path

import pytest
from protojobs_client import Options


def test_an_empty_environment_means_the_local_server_without_tls() -> None:
    options = Options.from_env({})

    assert options == Options()
    assert (options.address, options.uses_tls) == ("127.0.0.1:50051", False)


def test_every_variable_is_read() -> None:
    options = Options.from_env(
        {
            "PROTOJOBS_ADDRESS": "jobs.example.com:443",
            "PROTOJOBS_TOKEN_FILE": "/run/token",
            "PROTOJOBS_CA": "/run/ca.pem",
            "PROTOJOBS_CERT": "/run/cert.pem",
            "PROTOJOBS_KEY": "/run/key.pem",
            "PROTOJOBS_SERVER_NAME": "jobs",
            "PROTOJOBS_INSECURE": "false",
            "PROTOJOBS_CALL_TIMEOUT": "2.5",
        }
    )

    assert options == Options(
        address="jobs.example.com:443",
        token_file=Path("/run/token"),
        ca=Path("/run/ca.pem"),
        cert=Path("/run/cert.pem"),
        key=Path("/run/key.pem"),
        server_name="jobs",
        call_timeout=timedelta(seconds=2.5),
    )


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON"])
def test_insecure_is_read_as_people_write_it(value: str) -> None:
    assert Options.from_env({"PROTOJOBS_INSECURE": value}).insecure


def test_a_flag_that_is_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="PROTOJOBS_INSECURE"):
        Options.from_env({"PROTOJOBS_INSECURE": "maybe"})


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        ("jobs.example.com:50051", "dns:///jobs.example.com:50051"),
        ("10.0.0.1:50051", "dns:///10.0.0.1:50051"),
        ("10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("unix:/run/jobs.sock", "unix:/run/jobs.sock"),
        ("dns:///jobs:1", "dns:///jobs:1"),
    ],
)
def test_an_address_becomes_a_target(address: str, target: str) -> None:
    assert Options(address=address).target == target


def test_several_names_are_refused() -> None:
    with pytest.raises(ValueError, match="all IPv4 or all IPv6"):
        _ = Options(address="a:1,b:2").target


@pytest.mark.parametrize(
    "address",
    ["localhost:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "127.0.0.1:1,127.0.0.2:2", "unix:/run/s", "dns:///localhost:1"],
)
def test_loopback_needs_no_tls(address: str) -> None:
    assert not Options(address=address).uses_tls


@pytest.mark.parametrize(
    "address",
    [
        "jobs:1",
        "10.0.0.1:1",
        "127.0.0.1:1,10.0.0.1:1",
        "[2001:db8::1]:1",
        "dns:///jobs:1",
        "ipv4:10.0.0.1:1",
        "127.0.0.1.example.com:1",
    ],
)
def test_anything_else_uses_tls_unless_told_otherwise(address: str) -> None:
    assert Options(address=address).uses_tls
    assert not Options(address=address, insecure=True).uses_tls


def test_a_ca_switches_tls_on_for_loopback_too() -> None:
    assert Options(ca=Path("ca.pem")).uses_tls


@pytest.mark.parametrize(
    "settings",
    [
        {"address": " "},
        {"token": "a", "token_file": Path("b")},
        {"cert": Path("a")},
        {"insecure": True, "ca": Path("a")},
        {"call_timeout": timedelta(0)},
        {"max_message_bytes": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Options(**settings)  # type: ignore[arg-type]


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Options(token="secret"))
