"""Settings in, authentication out: which credentials a server takes."""

import json
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from protojobs_service.application import Authentication, OwnTokens, PeerRule, Peers
from protojobs_service.settings import InvalidSettings, OidcSettings, Settings

if TYPE_CHECKING:
    from protojobs_service.application.identity_tokens import Identities, Issuer


def authentication_of(settings: Settings, tokens: OwnTokens, *, keeps_tokens: bool) -> Authentication | None:
    """Return what decides who calls; None where nobody is asked.

    keeps_tokens: tokens can be there before the server is. Raises InvalidSettings where nobody could ever be let in, or where
    everybody could by mistake.
    """
    auth = settings.auth
    if not settings.asks_for_credentials:
        if not (settings.is_loopback or settings.insecure):
            raise InvalidSettings("auth.mode: none beyond loopback lets everybody do everything; it needs --insecure")
        return None
    if auth.mtls and settings.tls.client_auth != "required":
        raise InvalidSettings("auth.mtls: needs tls.client_auth=required; nobody is asked for a certificate else")
    if not (auth.oidc or auth.mtls or keeps_tokens):
        raise InvalidSettings(
            f"auth.mode: nobody could be let in: driver {settings.driver} keeps no tokens, and auth.oidc and auth.mtls are empty"
        )
    peers = [
        PeerRule(uri=each.uri, host=each.host, name=each.name, grants=tuple(grant.grant for grant in each.grants))
        for each in auth.mtls
    ]
    return Authentication(tokens, _identities(auth.oidc) if auth.oidc else None, Peers(peers) if peers else None)


def _identities(providers: Sequence[OidcSettings]) -> "Identities":
    try:
        from protojobs_service.application.identity_tokens import Identities
    except ImportError as error:
        raise InvalidSettings(f"auth.oidc: needs the extra: pip install proto-jobs-service[oidc] ({error})") from error
    names = [each.issuer for each in providers]
    if len(set(names)) < len(names):
        raise InvalidSettings("auth.oidc: an issuer is named twice")
    return Identities([_issuer(each) for each in providers])


def _issuer(provider: OidcSettings) -> "Issuer":
    from protojobs_service.application.identity_tokens import ClaimRule, Issuer

    rules = [ClaimRule(claim=each.claim, value=each.value, grant=each.grant) for each in provider.grants]
    return Issuer(
        name=provider.issuer, audience=provider.audience, algorithms=provider.algorithms, rules=rules, read=_reader(provider)
    )


def _reader(provider: OidcSettings) -> Callable[[], Any]:
    """Return what reads a provider's keys. Files are read each time: Kubernetes replaces its token and its roots."""
    if provider.jwks_file is not None:
        path = provider.jwks_file
        return lambda: json.loads(path.read_bytes())

    def read() -> Any:
        from jwt import PyJWKClient

        url = provider.jwks_url or ""
        headers = {"authorization": f"Bearer {provider.token_file.read_text().strip()}"} if provider.token_file else None
        context = ssl.create_default_context(cafile=provider.ca_file) if url.startswith("https") else None
        client = PyJWKClient(url, cache_jwk_set=False, headers=headers, timeout=provider.timeout, ssl_context=context)
        return client.fetch_data()

    return read
