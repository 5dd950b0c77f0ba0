"""Settings of who may connect, and how: TLS, tokens, identities."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from protojobs_service.domain.access import EVERY_QUEUE, Grant, Scope
from protojobs_service.domain.bounds import GRANT_QUEUES
from protojobs_service.settings.kinds import Section, is_loopback


class TlsSettings(Section):
    """The encryption of one listener: on as soon as there is a certificate. TLS 1.2 and 1.3; changed files are read again."""

    cert: Path | None = Field(
        default=None, description="PEM file of the certificate chain, with key; admin_tls and scaler_tls without it: as tls."
    )
    key: Path | None = Field(default=None, description="PEM file of its private key, not encrypted; with cert.")
    client_ca: Path | None = Field(default=None, description="PEM file of the roots of client certificates; with client_auth.")
    # gRPC's reloadable credentials cannot ask for a certificate and go on without one.
    client_auth: Literal["none", "required"] = Field(
        default="none", description="required: a connection must show a certificate that client_ca has signed."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if (self.client_ca is None) != (self.client_auth == "none"):
            raise ValueError("client_ca and client_auth=required belong together")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("client_ca needs cert and key")
        return self

    @property
    def enabled(self) -> bool:
        """Tell whether the listener is encrypted."""
        return self.cert is not None


def _check_glob(value: str) -> str:
    if not GRANT_QUEUES.match(value):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 . _ - * ?")
    return value


QueueGlob = Annotated[str, AfterValidator(_check_glob)]
"""A queue's name in which `*` stands for any characters and `?` for one."""


class GrantSettings(Section):
    """A scope on some queues."""

    scope: Scope = Field(description="producer, worker, observer, operator or admin.")
    queues: QueueGlob = Field(default=EVERY_QUEUE, description="Glob of queue names.")

    @property
    def grant(self) -> Grant:
        """Return it."""
        return Grant(self.scope, self.queues)


class ClaimGrantSettings(GrantSettings):
    """A grant of all tokens in which a claim has such a value."""

    claim: str = Field(min_length=1, max_length=128, description="A claim whose value is a text or a list of texts.")
    value: str = Field(min_length=1, max_length=512, description="Glob of its value.")


class OidcSettings(Section):
    """One identity provider whose tokens are taken."""

    issuer: str = Field(min_length=1, max_length=512, description="Exactly what its tokens have as iss.")
    audience: str = Field(min_length=1, max_length=512, description="What its tokens must have among their aud.")
    jwks_url: str | None = Field(default=None, description="Where its keys are: https, or http on loopback.")
    jwks_file: Path | None = Field(default=None, description="File of its keys, instead of jwks_url.")
    ca_file: Path | None = Field(default=None, description="PEM file of the roots of jwks_url; unset: the system's.")
    token_file: Path | None = Field(default=None, description="File of the bearer token that jwks_url is read with.")
    timeout: float = Field(default=5.0, ge=0.1, le=9, description="Seconds to wait for an answer of jwks_url.")
    algorithms: tuple[Literal["RS256", "ES256", "EdDSA"], ...] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1, description="Signatures that are taken."
    )
    grants: tuple[ClaimGrantSettings, ...] = Field(default=(), max_length=1000, description="What its tokens allow.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs one of jwks_url and jwks_file")
        if self.jwks_url is not None:
            parts = urlsplit(self.jwks_url)
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
                raise ValueError("jwks_url must be https, or http on loopback: whoever can change the answer can make tokens")
        return self


class MtlsSettings(Section):
    """Certificates that let their owners in."""

    uri: str | None = Field(default=None, min_length=1, max_length=512, description="Glob of a URI in the certificate (SPIFFE ID).")
    host: str | None = Field(
        default=None, min_length=1, max_length=512, description="Glob of a DNS name in it, of certificates without a URI."
    )
    name: str = Field(default="", max_length=128, description="What people read; empty: the name in the certificate.")
    grants: tuple[GrantSettings, ...] = Field(default=(), max_length=100, description="What they allow.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.uri is None) == (self.host is None):
            raise ValueError("needs one of uri and host")
        return self


class AuthSettings(Section):
    """Who may call."""

    mode: Literal["auto", "none", "required"] = Field(
        default="auto",
        description="required: every call brings credentials; none: everybody may do everything; auto: none on loopback or with "
        "insecure, else required.",
    )
    oidc: tuple[OidcSettings, ...] = Field(
        default=(), max_length=100, description="Identity providers, Kubernetes too: a list (JSON in the environment)."
    )
    mtls: tuple[MtlsSettings, ...] = Field(
        default=(), max_length=1000, description="Client certificates: a list; the first entry that fits decides."
    )
