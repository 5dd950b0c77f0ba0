"""What the trigger of a ScaledObject says, read and checked: every value is a text, as people have written it in YAML."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protojobs_service.application import COUNTED, Share
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.lifecycle import State

_KEYS: Final = ("queues", "kinds", "targetPerReplica", "include", "activationBacklog")
_OF_KEDA: Final = frozenset({"scalerAddress", "enableTLS", "unsafeSsl", "caCert", "tlsClientCert", "tlsClientKey", "tlsCertFile"})
_FROM_ENVIRONMENT: Final = "FromEnv"  # KEDA puts the variable's value in place of its name and leaves the key as it is
_STATES: Final = {state.name.lower(): state for state in (State.PENDING, State.RUNNING, State.SCHEDULED)}
_MOST_NAMES: Final = 100
_MOST_BACKLOG: Final = 1_000_000_000
_LEAST_TARGET, _MOST_TARGET = 0.001, 1_000_000.0
"""Kubernetes counts in thousandths."""
_DEFAULT_TARGET: Final = 10.0
"""The concurrency of a worker that sets none."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which jobs count, how many one replica is to have, and above how many waiting ones the first replica starts."""

    share: Share
    target: float
    backlog: int


def parse_trigger(metadata: Mapping[str, str]) -> Trigger:
    """Return what a trigger says. Raises InvalidField for a key that it does not know, or a value that cannot be."""
    said: dict[str, str] = {}
    for key, value in metadata.items():
        if key in _OF_KEDA:
            continue
        name = key.removesuffix(_FROM_ENVIRONMENT)
        if name not in _KEYS:
            raise _wrong(key[:64], f"is not known; there are {', '.join(_KEYS)}")
        if name in said:
            raise _wrong(name, f"is there twice, also as {name}{_FROM_ENVIRONMENT}")
        said[name] = value.strip()
    queues = _patterns("queues", said.get("queues", ""))
    if not queues:
        raise _wrong("queues", "is required: names of queues, apart by commas")
    share = Share(queues, _patterns("kinds", said.get("kinds", "")), _parse_states(said.get("include", "")))
    return Trigger(share, _parse_target(said.get("targetPerReplica", "")), _parse_backlog(said.get("activationBacklog", "")))


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for each in text.split(",") if (word := each.strip())))


def _patterns(key: str, text: str) -> tuple[str, ...]:
    found = _words(text)
    if len(found) > _MOST_NAMES:
        raise _wrong(key, f"at most {_MOST_NAMES}")
    for pattern in found:
        if not bounds.GRANT_QUEUES.match(pattern):
            raise _wrong(key, "each must be 1 to 128 of A-Z a-z 0-9 . _ - * ?, apart by commas")
    return found


def _parse_states(text: str) -> frozenset[State]:
    found = _words(text)
    for word in found:
        if word not in _STATES:
            raise _wrong("include", f"must be of {', '.join(_STATES)}, apart by commas")
    return frozenset(_STATES[word] for word in found) or COUNTED


def _parse_target(text: str) -> float:
    if not text:
        return _DEFAULT_TARGET
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?", text) or not _LEAST_TARGET <= float(text) <= _MOST_TARGET:
        raise _wrong("targetPerReplica", f"must be a number from {_LEAST_TARGET} to {_MOST_TARGET:.0f}")
    return float(text)


def _parse_backlog(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > _MOST_BACKLOG:
        raise _wrong("activationBacklog", f"must be a whole number from 0 to {_MOST_BACKLOG}")
    return int(text)


def _wrong(key: str, why: str) -> InvalidField:
    return InvalidField(f"scalerMetadata.{key}", why)
