"""Where the server is and how patiently to talk to it: one value, read from the environment once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

DEFAULT_ADDRESS = "127.0.0.1:50051"

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a client or worker connection. Raises ValueError for what cannot work.

    Without TLS only to loopback addresses, unless `insecure` says so; anywhere else TLS is used, with the
    system's roots unless `ca` names others.
    """

    address: str = DEFAULT_ADDRESS  # host:port, several host:port separated by commas, or a gRPC target
    token: str | None = field(default=None, repr=False)  # sent as `authorization: Bearer`
    token_file: Path | None = None  # instead of token; read again when it changes
    ca: Path | None = None  # PEM of the roots to trust; switches TLS on
    cert: Path | None = None  # PEM of the client's certificate chain; with key
    key: Path | None = None  # PEM of the client's private key; with cert
    server_name: str | None = None  # name to expect in the server's certificate instead of the host
    tls: bool = False  # TLS to this machine, too; elsewhere it is used anyway
    insecure: bool = False  # no TLS, wherever the server is

    dispatch_deadline: timedelta = timedelta(seconds=5)  # of one try of a dispatch or settle
    read_deadline: timedelta = timedelta(seconds=10)  # of one try of anything else
    call_timeout: timedelta = timedelta(seconds=30)  # of a call with its retries
    max_message_bytes: int = 4 * 1024 * 1024  # largest message to send: what the server reads
    max_receive_bytes: int = 16 * 1024 * 1024  # largest message to take
    streaming: bool = True  # single dispatches share one DispatchStream
    baggage: tuple[str, ...] = ()  # OpenTelemetry baggage keys that may travel with jobs
    create_spans: bool = True  # where a batch is traced, each of its jobs gets a span; else they share that of the batch

    def __post_init__(self) -> None:
        if not self.address.strip():
            raise ValueError("address is empty")
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file exclude each other")
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if self.insecure and (self.ca or self.cert or self.tls):
            raise ValueError("insecure and ca, cert or tls exclude each other")
        for name in ("dispatch_deadline", "read_deadline", "call_timeout"):
            if getattr(self, name) <= timedelta(0):
                raise ValueError(f"{name} must be more than 0 s")
        if min(self.max_message_bytes, self.max_receive_bytes) < 64 * 1024:
            raise ValueError("max_message_bytes and max_receive_bytes must be at least 64 KiB")

    @staticmethod
    def from_env(
        environ: Mapping[str, str] = os.environ,  # noqa: TID251 - read here and nowhere else
    ) -> "Options":
        """Read PROTOJOBS_ADDRESS, _TOKEN, _TOKEN_FILE, _CA, _CERT, _KEY, _SERVER_NAME, _INSECURE, _CALL_TIMEOUT.

        The timeout is in seconds. Empty and absent variables leave the default.
        """
        given = {
            name: value
            for name in ("address", "token", "token_file", "ca", "cert", "key", "server_name")
            if (value := environ.get(f"PROTOJOBS_{name.upper()}"))
        }
        call_timeout = environ.get("PROTOJOBS_CALL_TIMEOUT")
        return Options(
            address=given.get("address", DEFAULT_ADDRESS),
            token=given.get("token"),
            token_file=_path(given.get("token_file")),
            ca=_path(given.get("ca")),
            cert=_path(given.get("cert")),
            key=_path(given.get("key")),
            server_name=given.get("server_name"),
            insecure=_flag("PROTOJOBS_INSECURE", environ.get("PROTOJOBS_INSECURE", "")),
            call_timeout=timedelta(seconds=float(call_timeout or 30)),
        )

    def at(self, address: str) -> "Options":
        """Return these options with another address."""
        return replace(self, address=address)

    def over(self, **given: Any) -> "Options":
        """Return these options with each value that is not None instead of theirs. Raises ValueError.

        A token file takes the place of a token.
        """
        values = {name: value for name, value in given.items() if value is not None}
        if "token_file" in values:
            values.setdefault("token", None)
        return replace(self, **values)

    @property
    def uses_tls(self) -> bool:
        """The connection is encrypted and the server's certificate checked."""
        if self.insecure:
            return False
        return self.tls or self.ca is not None or self.cert is not None or not self.is_loopback

    @property
    def is_loopback(self) -> bool:
        """Every address is this machine."""
        if self.address.startswith(("unix:", "unix-abstract:")):
            return True
        return all(_is_loopback(_host(part)) for part in _parts(self.address))

    @property
    def endpoint(self) -> tuple[str, int | None]:
        """Host and port of the server; empty and None where the address names several, or none that is a host."""
        parts = _parts(self.address)
        if len(parts) != 1 or self.address.startswith(("unix:", "unix-abstract:", "vsock:", "xds:")):
            return "", None
        host = _host(parts[0])
        port = parts[0].removeprefix(f"[{host}]").removeprefix(host).removeprefix(":")
        return host, int(port) if port.isdecimal() else None

    @property
    def target(self) -> str:
        """The address as a gRPC target: `dns:///` for names, `ipv4:` or `ipv6:` for literal addresses."""
        if _has_scheme(self.address):
            return self.address
        parts = _parts(self.address)
        if len(parts) == 1:
            return f"dns:///{parts[0]}"
        versions = {_version(_host(part)) for part in parts}
        if versions == {4}:
            return "ipv4:" + ",".join(parts)
        if versions == {6}:
            return "ipv6:" + ",".join(parts)
        raise ValueError(f"several addresses must be all IPv4 or all IPv6: {self.address}")


_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


def _has_scheme(address: str) -> bool:
    return address.startswith(_SCHEMES)


def _parts(address: str) -> list[str]:
    """Return the host:port parts of an address, its scheme and authority removed."""
    for scheme in _SCHEMES:
        if address.startswith(scheme):
            address = address.removeprefix(scheme).removeprefix("//").rpartition("/")[2]
            break
    return [part.strip() for part in address.split(",") if part.strip()]


def _host(part: str) -> str:
    if part.startswith("["):
        return part[1:].partition("]")[0]
    return part.rpartition(":")[0] or part


def _version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


def _flag(name: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(f"{name} must be true or false, not {value!r}")
