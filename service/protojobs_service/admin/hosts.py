"""Which requests a browser sends for pages of our own, and not for others'.

A page of another site can make a browser send requests here, and where a name of its own is pointed at our address (DNS
rebinding) it can even read the answers. The first is known by Origin and Sec-Fetch-Site, the second by Host.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection

from protojobs_service.admin.refusal import HttpRefusal, forbidden
from protojobs_service.settings import is_loopback

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})


class Hosts:
    """Names by which we are reached: localhost, any address (nobody can point an address elsewhere), and `names`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names) | {"localhost"}

    def check(self, connection: HTTPConnection) -> None:
        """Refuse a request for a name that is not ours. Raises HttpRefusal."""
        hosts = connection.headers.getlist("host")
        name = _split(hosts[0]).hostname if len(hosts) == 1 else None
        if not name or not (name.rstrip(".") in self._names or _is_address(name)):
            raise HttpRefusal(421, "this host name is not one of console.allowed_hosts")


def check_origin(connection: HTTPConnection, *, from_page: bool) -> None:
    """Refuse what a page of another site makes a browser send. Raises HttpRefusal.

    Programs send neither header. from_page: only browsers should send this, and every one of them says of which page.
    """
    headers = connection.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if from_page and site is None and origin is None:
        raise forbidden("the request says of no page that sent it")
    if site is not None and site not in _OWN_SITES:
        raise forbidden("requests of other sites' pages are refused")
    if origin is not None and not _is_own(origin, headers.get("host", ""), loopback=is_local(connection)):
        raise forbidden("requests of other origins are refused")


def is_local(connection: HTTPConnection) -> bool:
    """Tell whether the browser reached us without TLS at a name of its own machine, where a cookie cannot ask for TLS."""
    return connection.scope["scheme"] == "http" and is_loopback(_split(connection.headers.get("host", "")).hostname or "")


def _is_own(origin: str, host: str, *, loopback: bool) -> bool:
    """Compare hosts. The scheme is not ours to know behind a proxy that ends TLS, but beyond loopback it is TLS."""
    scheme, separator, place = origin.partition("://")
    return bool(separator) and place.lower() == host.lower() and scheme == ("http" if loopback else "https")


def _split(host: str) -> SplitResult:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
