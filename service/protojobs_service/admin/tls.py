"""TLS of the admin port, with the certificate that the files hold at each handshake."""

import ssl

from protojobs_service.certificates import Certificates


def live_context(certificates: Certificates) -> ssl.SSLContext:
    """Return a context whose every handshake uses the current files.

    The certificate and the roots are exchanged as one: loading new files into a context would keep the roots that were withdrawn.
    """
    context = certificates.current().context

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = certificates.current().context

    context.sni_callback = choose
    return context
