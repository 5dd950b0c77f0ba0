"""How a DSN is read: what is verified by default, what is refused, and that no error repeats it."""

import ssl
from pathlib import Path

import pytest
from protojobs_service.domain.errors import InvalidField
from protojobs_service.drivers.sql.dsn import check, endpoint

from tests.certificates import Authority, Files

HERE = (
    "postgresql://ann:hunter2@127.0.0.1/jobs",
    "postgresql://ann:hunter2@[::1]:5432/jobs",
    "postgresql://ann:hunter2@localhost/jobs",
    "postgresql://ann:hunter2@/jobs?host=/run/postgresql",
    "postgresql://ann:hunter2@/jobs?host=127.0.0.1:5432&host=[::1]:5433",
    "mysql://ann:hunter2@127.0.0.1/jobs",
    "mysql://ann:hunter2@/jobs?unix_socket=/run/mysqld.sock",
)
ELSEWHERE = (
    "postgresql+asyncpg://ann:hunter2@db.example/jobs",
    "postgresql://ann:hunter2@10.0.0.1:5432/jobs",
    "postgresql://ann:hunter2@/jobs",  # the environment may name a host
    "postgresql://ann:hunter2@/jobs?host=localhost&host=db.example:5432",
    "mysql+asyncmy://ann:hunter2@db.example/jobs",
    "mariadb://ann:hunter2@192.168.0.1/jobs",
)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return a client's certificate and the roots."""
    authority = Authority()
    return Files(tmp_path / "tls").write(authority.client(), authority)


@pytest.mark.parametrize("dsn", HERE)
def test_a_database_of_this_machine_is_left_to_its_library(dsn: str) -> None:
    check(dsn, insecure=False)

    assert not endpoint(dsn).tls


@pytest.mark.parametrize("dsn", ELSEWHERE)
def test_a_database_elsewhere_is_verified_by_default(dsn: str) -> None:
    check(dsn, insecure=False)

    context = endpoint(dsn).tls["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("dsn", "parameter"),
    [
        *((f"postgresql://ann:hunter2@db/jobs?sslmode={mode}", "sslmode") for mode in ("disable", "allow", "prefer", "require")),
        ("postgresql://ann:hunter2@db/jobs?sslmode=verify-ca", "sslmode"),
        ("mysql://ann:hunter2@db/jobs?ssl_mode=disabled", "ssl_mode"),
        ("mysql://ann:hunter2@db/jobs?ssl_mode=required", "ssl_mode"),
        ("mysql://ann:hunter2@db/jobs?ssl_check_hostname=false", "ssl_mode"),
    ],
)
def test_less_than_that_is_refused_elsewhere_unless_a_setting_says_so(dsn: str, parameter: str) -> None:
    with pytest.raises(InvalidField, match=r"store\.insecure") as refused:
        check(dsn, insecure=False)

    assert refused.value.field == parameter
    assert "hunter2" not in str(refused.value)
    check(dsn, insecure=True)
    check(dsn.replace("@db/", "@localhost/"), insecure=False)


def test_the_setting_alone_changes_nothing() -> None:
    check("postgresql://db/jobs", insecure=True)

    assert endpoint("postgresql://db/jobs").tls["ssl"].verify_mode is ssl.CERT_REQUIRED


def test_a_private_authority_may_vouch_for_any_of_its_hosts(files: Files) -> None:
    dsn = f"postgresql://db/jobs?sslmode=verify-ca&sslrootcert={files.ca}"
    check(dsn, insecure=False)

    context = endpoint(dsn).tls["ssl"]
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)


def test_parameters_of_tls_do_not_reach_the_library(files: Files) -> None:
    tls = f"sslmode=verify-full&sslrootcert={files.ca}&sslcert={files.cert}&sslkey={files.key}"

    place = endpoint(f"postgresql://ann:hunter2@db:5432/jobs?{tls}&application_name=x")

    assert dict(place.url.query) == {"application_name": "x"}
    assert (place.url.host, place.url.port, place.url.password) == ("db", 5432, "hunter2")


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://ann:hunter2@db/jobs?sslmode=odd", "sslmode: is none of disable"),
        ("mysql://ann:hunter2@db/jobs?ssl_mode=preferred", "ssl_mode: is none of disabled"),
        ("postgresql://ann:hunter2@db/jobs?sslrootcert=/none.pem", "sslrootcert: is not a readable PEM"),
        ("mysql://ann:hunter2@db/jobs?ssl_ca=/none.pem", "ssl_ca: is not a readable PEM"),
        ("postgresql://ann:hunter2@db/jobs?sslcert=/none.pem", "sslcert: is not a readable PEM"),
        ("postgresql://ann:hunter2@db/jobs?sslcrl=/none.pem", "sslcrl: is not supported"),
        ("mysql://ann:hunter2@db/jobs?ssl_capath=/none", "ssl_capath: is not supported"),
        ("postgresql://ann:hunter2@db:port/jobs", "dsn: cannot be read"),
    ],
)
def test_what_cannot_work_is_named_and_the_rest_is_not_repeated(dsn: str, said: str) -> None:
    with pytest.raises(InvalidField, match=said) as refused:
        check(dsn, insecure=True)

    assert "hunter2" not in str(refused.value)


def test_a_file_is_no_matter_of_tls() -> None:
    check("sqlite:////tmp/jobs.db", insecure=False)

    assert not endpoint("sqlite:////tmp/jobs.db").tls
