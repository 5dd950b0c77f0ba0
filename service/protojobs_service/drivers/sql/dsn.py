"""How a database is connected to: over TLS, its certificate and name verified, unless it is on this machine.

One rule for pools, hot connections, migrations, outboxes and tables of others. A DSN says otherwise by the parameters of its own
kind: `sslmode`, `sslrootcert`, `sslcert`, `sslkey` on PostgreSQL (libpq, 34.1.2), `ssl_mode`, `ssl_ca`, `ssl_cert`, `ssl_key`,
`ssl_check_hostname` on MariaDB. The libraries would take less: asyncpg falls back to plain text, asyncmy begins with it.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from protojobs_service.domain.errors import InvalidField


class _Mode(IntEnum):
    """What a connection promises, in rising order."""

    DISABLE = 0
    PREFER = 1
    REQUIRE = 2
    VERIFY_CA = 3
    VERIFY_FULL = 4


@dataclass(frozen=True, slots=True)
class _Names:
    """How one kind of database calls its parameters."""

    mode: str
    ca: str
    cert: str
    key: str
    modes: Mapping[str, _Mode]


_POSTGRESQL = _Names(
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    {
        "disable": _Mode.DISABLE,
        "allow": _Mode.PREFER,
        "prefer": _Mode.PREFER,
        "require": _Mode.REQUIRE,
        "verify-ca": _Mode.VERIFY_CA,
        "verify-full": _Mode.VERIFY_FULL,
    },
)
_MYSQL = _Names(
    "ssl_mode",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    {
        "disabled": _Mode.DISABLE,
        "required": _Mode.REQUIRE,
        "verify_ca": _Mode.VERIFY_CA,
        "verify_identity": _Mode.VERIFY_FULL,
    },
)
_CHECK_HOSTNAME = "ssl_check_hostname"
_SYSTEM = "system"  # roots, as libpq calls them


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: a URL without parameters of TLS, and the arguments of the connection that stand for them."""

    url: URL
    tls: Mapping[str, Any]


def check(dsn: str | URL, *, insecure: bool) -> None:
    """Raise InvalidField for a DSN that would not verify a database beyond this machine, unless `insecure`, or cannot work."""
    try:
        url = make_url(dsn)
    except (ArgumentError, ValueError):  # they quote it
        raise InvalidField("dsn", "cannot be read") from None
    if (names := _names(url)) is None:
        return
    endpoint(url)
    mode = _mode(url, names)
    # Whom the public authorities sign is not yet the one that is meant.
    enough = _Mode.VERIFY_CA if _ca(url, names) else _Mode.VERIFY_FULL
    if mode is not None and mode < enough and not insecure and not _is_local(url):
        raise InvalidField(names.mode, "does not verify who answers beyond this machine: only with the setting store.insecure")


def endpoint(dsn: str | URL) -> Endpoint:
    """Return how to connect. Raises InvalidField, which names the parameter and nothing else of the DSN."""
    url = make_url(dsn)
    names = _names(url)
    if names is None:
        return Endpoint(url, {})
    mode = _mode(url, names)
    ours = {names.mode, names.ca, names.cert, names.key, _CHECK_HOSTNAME}
    if odd := next((name for name in url.query if name.startswith("ssl") and name not in ours), None):
        raise InvalidField(odd, "is not supported")
    plain = url.difference_update_query(ours)
    match mode:
        case None:
            return Endpoint(plain, {})
        case _Mode.DISABLE:
            return Endpoint(plain, {"ssl": False})
        case _Mode.PREFER:
            return Endpoint(plain, {"ssl": "prefer"})
        case _:
            return Endpoint(plain, {"ssl": _context(url, names, mode)})


def _names(url: URL) -> _Names | None:
    match url.get_backend_name():
        case "postgresql" | "postgres":
            return _POSTGRESQL
        case "mysql" | "mariadb":
            return _MYSQL
        case _:
            return None


def _mode(url: URL, names: _Names) -> _Mode | None:
    """Return what the DSN asks for, or the default; None leaves a database of this machine to the library."""
    asked = _one(url, names.mode)
    if asked is not None:
        try:
            return names.modes[asked.lower()]
        except KeyError:
            raise InvalidField(names.mode, f"is none of {', '.join(names.modes)}") from None
    if _one(url, _CHECK_HOSTNAME) in {"false", "0"}:
        return _Mode.VERIFY_CA
    if _is_local(url) and _one(url, names.ca) is None and _one(url, names.cert) is None:
        return None
    return _Mode.VERIFY_FULL


def _context(url: URL, names: _Names, mode: _Mode) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=_ca(url, names))
    except (ssl.SSLError, OSError):
        raise InvalidField(names.ca, "is not a readable PEM file of certificates") from None
    context.check_hostname = mode is _Mode.VERIFY_FULL
    if mode is _Mode.REQUIRE:
        context.verify_mode = ssl.CERT_NONE
    cert, key = _one(url, names.cert), _one(url, names.key)
    if cert is not None:
        try:
            # Without a password of ours OpenSSL would ask whoever sits at the terminal for one.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError, ValueError):
            raise InvalidField(names.cert, f"is not a readable PEM certificate that fits {names.key}") from None
    return context


def _ca(url: URL, names: _Names) -> str | None:
    given = _one(url, names.ca)
    return None if given == _SYSTEM else given


def _is_local(url: URL) -> bool:
    """Tell whether nobody else can be on the way. A DSN without a host may mean one that the environment names."""
    hosts = [host for host in (url.host, *map(_without_port, _all(url, "host"))) if host]
    if not hosts:
        return _names(url) is _MYSQL
    return all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    """Return a host of a list of several, which may bring its port."""
    return host.rpartition(":")[0] if host.count(":") == 1 or (host.startswith("[") and not host.endswith("]")) else host


def _one(url: URL, name: str) -> str | None:
    values = _all(url, name)
    return values[-1] if values else None


def _all(url: URL, name: str) -> Sequence[str]:
    found = url.query.get(name, ())
    return (found,) if isinstance(found, str) else found
