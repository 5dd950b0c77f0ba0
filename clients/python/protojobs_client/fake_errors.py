"""How a fake client refuses a field, as a server does."""

import re

import grpc

from protojobs_client.errors import FieldViolation, InvalidArgumentError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def refuse(field: str, why: str) -> InvalidArgumentError:
    """Return the error that names a field of the request."""
    return InvalidArgumentError(
        f"{field}: {why}",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_FIELD",
        violations=(FieldViolation(field=field, description=why),),
    )


def is_name(text: str) -> bool:
    """Tell whether a queue or kind may be called so."""
    return _NAME.match(text) is not None


def check_name(field: str, text: str) -> str:
    """Return the name of a queue. Raises InvalidArgumentError."""
    if not is_name(text):
        raise refuse(field, "must be 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


def is_id(text: str) -> bool:
    """Tell whether it is the id of a job."""
    return _ID.match(text) is not None


def check_id(field: str, text: str) -> str:
    """Return the id of a job. Raises InvalidArgumentError."""
    if not is_id(text):
        raise refuse(field, "must be a UUIDv7 in canonical form")
    return text
