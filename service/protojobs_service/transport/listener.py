"""Binds a gRPC server to an address, encrypted where there is a certificate."""

import grpc
import grpc.aio

from protojobs_service.certificates import Certificate, Certificates
from protojobs_service.settings import Listener


def bind(server: grpc.aio.Server, listener: Listener) -> int:
    """Add the listener's port to a server and return it. Raises InvalidSettings for its files, OSError for a taken address."""
    host = listener.host.strip("[]")
    address = f"[{host}]:{listener.port}" if ":" in host else f"{host}:{listener.port}"
    # Its files are judged first: a wrong one is no matter of the address.
    credentials = _credentials(listener) if listener.tls.enabled else None
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error


def _credentials(listener: Listener) -> grpc.ServerCredentials:
    """Return credentials that each handshake takes from the files as they are then; TLS 1.2 or 1.3, which gRPC itself decides."""
    configurations = _Configurations(Certificates(listener))
    required = listener.tls.client_auth == "required"
    changed = configurations.changed
    return grpc.dynamic_ssl_server_credentials(configurations.first, changed, required)  # type: ignore[arg-type] # None is allowed


class _Configurations:
    """The files as gRPC takes them."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._given = certificates.current()
        self.first = _configuration(self._given)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to use from now on, None for no change. gRPC calls it at each handshake."""
        current = self._certificates.current()
        if current is self._given:
            return None
        self._given = current
        return _configuration(current)


def _configuration(certificate: Certificate) -> grpc.ServerCertificateConfiguration:
    pair = (certificate.key, certificate.chain)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=certificate.client_ca)
