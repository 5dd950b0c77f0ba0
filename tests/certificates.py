"""Certificates for tests: an authority, what it signs, and files that a server or client reads and a rotation replaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM."""

    cert: bytes
    key: bytes


class Authority:
    """A certificate authority of a test; two of one name do not trust each other."""

    def __init__(self, name: str = "test authority") -> None:
        """Make a key and a root that signs itself."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = _builder(self._subject, self._key.public_key(), _now() - _DAY, _now() + _DAY).issuer_name(self._subject)
        builder = builder.add_extension(constraint, critical=True).add_extension(usage, critical=True)
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def server(self, *names: str, expired: bool = False) -> Pair:
        """Sign a certificate of a server; by default for 127.0.0.1 and localhost."""
        return self._sign("server", [_server_name(name) for name in names or ("127.0.0.1", "localhost")], expired=expired)

    def client(self, identity: str = "spiffe://test/worker", *, expired: bool = False) -> Pair:
        """Sign a certificate of a client, which its URI names."""
        return self._sign("client", [x509.UniformResourceIdentifier(identity)], expired=expired)

    def _sign(self, name: str, names: Sequence[x509.GeneralName], *, expired: bool) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        begin, end = (_now() - 2 * _DAY, _now() - _DAY) if expired else (_now() - _DAY, _now() + _DAY)
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            _builder(_named(name), key.public_key(), begin, end)
            .issuer_name(self._subject)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(both, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(cert=_pem(certificate), key=key_pem(key))


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one listener or client, in a directory of their own."""

    home: Path

    @property
    def cert(self) -> Path:
        """Return the file of the certificate."""
        return self.home / "tls.crt"

    @property
    def key(self) -> Path:
        """Return the file of the key."""
        return self.home / "tls.key"

    @property
    def ca(self) -> Path:
        """Return the file of the roots."""
        return self.home / "ca.crt"

    def write(self, pair: Pair | None = None, *roots: Authority) -> "Files":
        """Replace the files of what is given, each as a whole."""
        self.home.mkdir(exist_ok=True)
        if pair is not None:
            replace(self.cert, pair.cert)
            replace(self.key, pair.key)
        if roots:
            replace(self.ca, b"".join(root.pem for root in roots))
        return self


def replace(file: Path, content: bytes) -> None:
    """Replace a file as a whole: nobody reads half of it."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_bytes(content)
    beside.replace(file)


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """Return a private key as PEM, encrypted where there is a password."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def _builder(subject: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _now() -> datetime:
    return datetime.now(UTC)
