"""Who may do what: scopes on queues, held by a principal."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final, TypeAlias

TokenId: TypeAlias = str
"""16 lower-case hexadecimal digits: the public part of a token."""

EVERY_QUEUE: Final = "*"


def matches(pattern: str, text: str) -> bool:
    """Tell whether a text is what the pattern says: `*` stands for any characters, also none, `?` for one, all else for itself."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


class Scope(StrEnum):
    """What kind of work is allowed. None includes another, except that ADMIN includes all."""

    PRODUCER = "producer"  # dispatch, and see, cancel or wait for a job by its id
    WORKER = "worker"  # lease and settle
    OBSERVER = "observer"  # stats, lists, events; never payloads, results or error texts
    OPERATOR = "operator"  # what an observer sees with payloads, and every change of jobs, queues and schedules
    ADMIN = "admin"  # tokens and the audit log


@dataclass(frozen=True, slots=True)
class Grant:
    """A scope on the queues whose names match `queues`: a name in which `*` stands for any characters, and `?` for one."""

    scope: Scope
    queues: str = EVERY_QUEUE


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who calls. id: stable and unique, `token:ID`, `oidc:ISSUER#SUBJECT`, `mtls:URI` or `anonymous`; name: what people read.

    token_id: the token that proves it, where one does. expires_at: when the proof ends; streams end with it.
    """

    id: str
    name: str
    grants: tuple[Grant, ...] = field(default=())
    token_id: TokenId | None = None
    expires_at: datetime | None = None

    @property
    def is_session(self) -> bool:
        """Tell whether a console session proves it: a token of its own, which stands for the one that opened it."""
        return self.token_id is not None and self.id != f"token:{self.token_id}"

    @cached_property
    def everywhere(self) -> frozenset[Scope]:
        """Return the scopes held on every queue: with one of them nothing needs to be checked per item."""
        return frozenset(grant.scope for grant in self.grants if grant.queues == EVERY_QUEUE)

    @cached_property
    def scopes(self) -> frozenset[Scope]:
        """Return the scopes held on any queue."""
        return frozenset(grant.scope for grant in self.grants)

    def may(self, scopes: Collection[Scope], queue: str) -> bool:
        """Tell whether one of the scopes is held on this queue."""
        if not self.everywhere.isdisjoint(scopes):
            return True
        return any(grant.scope in scopes and matches(grant.queues, queue) for grant in self.grants)

    def among(self, scopes: Collection[Scope], queues: Iterable[str]) -> list[str]:
        """Return those of the queues on which one of the scopes is held."""
        return [queue for queue in queues if self.may(scopes, queue)]


ANONYMOUS: Final = Principal(id="anonymous", name="anonymous", grants=tuple(Grant(scope) for scope in Scope))
"""Whoever calls a server that asks nobody for credentials: everything is allowed."""
