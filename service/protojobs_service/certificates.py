"""The certificate of a listener, read again when its files change.

Whoever serves with it asks `current` at each handshake: that is a stat of each file. Files that cannot be used, such as a
certificate whose key has not been replaced yet, leave the last good ones in force.
"""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from protojobs_service.settings import InvalidSettings, Listener, TlsSettings

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the files held, proven to belong together. context: the same for servers on sockets."""

    chain: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class _Unusable(Exception):
    """The files are no certificate with its key; `part` is the setting that is wrong, and the message never quotes a file."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.part = part


class Certificates:
    """Follows the files of one listener. Safe from any thread: gRPC asks on threads of its own."""

    def __init__(self, listener: Listener) -> None:
        """Read the files. Raises InvalidSettings, which names the setting."""
        self._files = listener.tls
        self._name = listener.tls_setting
        self._lock = threading.Lock()
        self._stamp = _stamp(self._files)
        try:
            self._current = _read(self._files)
        except _Unusable as error:
            raise InvalidSettings(f"{self._name}.{error.part}: {error}") from None

    def current(self) -> Certificate:
        """Return what the files hold, or the last that could be used; says so once per change."""
        with self._lock:
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
            return self._current

    def _renew(self) -> None:
        try:
            self._current = _read(self._files)
        except _Unusable as error:
            setting = f"{self._name}.{error.part}"
            _log.error("changed certificate cannot be used; the last one stays", extra={"setting": setting, "why": str(error)})
        else:
            _log.info("certificate read again", extra={"setting": self._name})


def _read(files: TlsSettings) -> Certificate:
    """Read and check the files. Raises _Unusable."""
    assert files.cert is not None, "the listener has a certificate"
    assert files.key is not None, "settings ask for both"
    before = _stamp(files)
    chain = _bytes("cert", files.cert)
    key = _bytes("key", files.key)
    client_ca = None if files.client_ca is None else _bytes("client_ca", files.client_ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would skip the certificates of now.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        # Without a password of ours OpenSSL would ask whoever sits at the terminal for one.
        context.load_cert_chain(files.cert, files.key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _Unusable("cert", "is not a PEM certificate chain that fits the key, or the key is encrypted") from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise _Unusable("client_ca", "is not a PEM file of certificates") from error
        context.verify_mode = ssl.CERT_REQUIRED
    if _stamp(files) != before:
        raise _Unusable("cert", "changed while it was read")
    return Certificate(chain=chain, key=key, client_ca=client_ca, context=context)


def _bytes(part: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _Unusable(part, f"cannot be read: {error.strerror}") from error


def _stamp(files: TlsSettings) -> Stamp:
    return tuple(_stamp_of(file) for file in (files.cert, files.key, files.client_ca) if file is not None)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file, and with the link of a mounted secret; None while it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
