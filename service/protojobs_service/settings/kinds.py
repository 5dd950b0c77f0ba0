"""What values of settings are made of: names, words, paths, and sections of them."""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode


class InvalidSettings(Exception):
    """Some value is unknown or out of bounds; the message names each, on a line of its own."""


def _check_identifier(value: str) -> str:
    if not value.isascii() or not (value == "" or value.replace("_", "a").isalnum()) or value[:1].isdigit():
        raise ValueError("must be letters, digits and underscores, and not begin with a digit")
    return value


Identifier = Annotated[str, Field(max_length=32), AfterValidator(_check_identifier)]


def _split(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def _check_base_path(value: str) -> str:
    path = value.rstrip("/") or "/"
    if not re.fullmatch(r"/|(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", path):
        raise ValueError("must be / or segments of letters, digits, - _ and . such as /jobs")
    return path


BasePath = Annotated[str, Field(max_length=128), AfterValidator(_check_base_path)]
"""Without a slash at its end, unless it is the root."""

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several in one variable stand apart by white space."""

Dsns = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Several in one variable stand apart by white space."""


class Section(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_loopback(host: str) -> bool:
    """Tell whether a host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
