"""Where the login leads: back to the page that was asked for, and never to another site's."""

import re
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request

LOGIN: Final = "/login"
FIRST_PAGE: Final = "/"
_LONGEST = 2000
"""Characters. A filter in the address may be long; a longer one leads to the first page."""
# After `//` and `/\` browsers read the name of another host; what is not visible ASCII stands in no address.
_OF_OURS = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def login_path(request: Request, base: str) -> str:
    """Return the path of the login that leads back to the page of this request."""
    path = quote(request.scope["path"].removeprefix(base) or FIRST_PAGE)
    query = request.scope["query_string"].decode("latin-1")
    asked = read_back(f"{path}?{query}" if query else path)
    return LOGIN if asked == FIRST_PAGE else f"{LOGIN}?{urlencode({'back': asked})}"


def read_back(given: str) -> str:
    """Return the path of a page of ours that an address or a form names; the first page's for anything else."""
    return given if len(given) <= _LONGEST and _OF_OURS.fullmatch(given) else FIRST_PAGE
