"""Forms that pages send."""

import hmac
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from protojobs_service.admin.refusal import HttpRefusal, forbidden

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 2000
_TOKEN_FIELD, _TOKEN_HEADER = "csrf", "x-csrf-token"


def parse_form(request: Request, body: bytes) -> ImmutableMultiDict[str, str]:
    """Return the fields of a URL-encoded form in UTF-8. Raises HttpRefusal."""
    if not body:
        return ImmutableMultiDict[str, str]()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HttpRefusal(415, f"a form comes as {_FORM}")
    try:
        text = body.decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HttpRefusal(400, "the body is no form") from None
    return ImmutableMultiDict(fields)


def check_token(request: Request, form: ImmutableMultiDict[str, str], expected: str) -> None:
    """Refuse a form that none of our pages gave to this visitor. Raises HttpRefusal."""
    given = request.headers.get(_TOKEN_HEADER) or form.get(_TOKEN_FIELD) or ""
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise forbidden("this form is out of date: go back, load the page again, and repeat")
