"""Peers that prove themselves by a certificate: names in it to principals."""

from collections.abc import Sequence
from dataclasses import dataclass

from protojobs_service.domain.access import Grant, Principal, matches


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRule:
    """Certificates that name such a URI, or else such a host, belong to a principal. `*` in it crosses `/` and `.` too.

    name: what people read; empty: the name in the certificate.
    """

    uri: str | None = None
    host: str | None = None
    name: str = ""
    grants: tuple[Grant, ...]


class Peers:
    """Knows whose certificates are let in. The first rule that fits decides."""

    def __init__(self, rules: Sequence[PeerRule]) -> None:
        self._rules = rules

    def find(self, uris: Sequence[str], hosts: Sequence[str]) -> Principal | None:
        """Return whose certificate names these; None where no rule fits.

        Only where it has no URI do its host names count, as SPIFFE has it; the common name never does.
        """
        for rule in self._rules:
            pattern, names = (rule.uri, uris) if rule.uri is not None else (rule.host, () if uris else hosts)
            for name in names:
                if pattern is not None and matches(pattern, name):
                    return Principal(id=f"mtls:{name}", name=rule.name or name, grants=rule.grants)
        return None
