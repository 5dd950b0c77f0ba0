"""What administrators ask for: tokens and the audit log."""

import functools
import secrets
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from protojobs.v1 import admin_service_pb2

from protojobs_client.access import (
    AuditEvent,
    CallerInfo,
    Grant,
    MadeToken,
    TokenInfo,
    audit_event,
    caller_info,
    to_grant,
    token_info,
)
from protojobs_client.connection import Connection
from protojobs_client.convert import to_duration, to_timestamp
from protojobs_client.errors import DeadlineExceededError, TokenExistsError, UnavailableError
from protojobs_client.loop_thread import LoopThread
from protojobs_client.models import Seconds
from protojobs_client.pages import AsyncPages, Pages
from protojobs_client.request import span

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

_MOST_TRIES = 3


class AsyncAdmin:
    """The part of the client for administrators; `caller` is for everybody."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def caller(self) -> CallerInfo:
        """Return who the credentials of this client belong to, and what they allow."""
        answer = await self._connection.call(self._connection.admin.GetCaller, admin_service_pb2.GetCallerRequest())
        return caller_info(answer)

    async def create_token(self, name: str, grants: Iterable[Grant], ttl: Seconds, *, token_id: str | None = None) -> MadeToken:
        """Make a token that lives for `ttl` (1 min to 366 days); its secret is told here and never again.

        At most two tokens of one name live, so that one can replace the other. A token whose secret was lost with the
        answer is revoked, and another one made; with a `token_id` (16 hexadecimal digits) TokenExistsError is raised
        then. Raises QuotaExceededError for a third one of the name.
        """
        request = admin_service_pb2.CreateTokenRequest(
            name=name, grants=[to_grant(each) for each in grants], ttl=to_duration(span(ttl)), token_id=token_id or ""
        )
        for rest in reversed(range(_MOST_TRIES)):
            request.token_id = token_id or secrets.token_hex(8)
            try:
                answer = await self._connection.call(self._connection.admin.CreateToken, request)
            except TokenExistsError:
                if token_id is not None or not rest:
                    raise
                await self.revoke_token(request.token_id)
            except (UnavailableError, DeadlineExceededError) as error:
                error.add_note(f"token {request.token_id}, if it was made, is of no use; revoke it")
                raise
            else:
                return MadeToken(token=token_info(answer.token), secret=answer.secret)
        raise AssertionError("the last try returns or raises")

    def tokens(self, *, page_size: int = 100) -> AsyncPages[TokenInfo]:
        """Return the tokens by id; ended ones too, until they are forgotten after 30 days."""

        async def read(token: str) -> tuple[tuple[TokenInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.admin.ListTokens, admin_service_pb2.ListTokensRequest(page_size=page_size, page_token=token)
            )
            return tuple(token_info(each) for each in answer.tokens), answer.next_page_token

        return AsyncPages(read)

    async def revoke_token(self, token_id: str) -> TokenInfo:
        """End a token and the console sessions opened with it, everywhere within 5 s. Raises TokenNotFoundError."""
        answer = await self._connection.call(
            self._connection.admin.RevokeToken, admin_service_pb2.RevokeTokenRequest(token_id=token_id)
        )
        return token_info(answer.token)

    def audit(
        self,
        *,
        principal: str = "",
        rpc: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 100,
    ) -> AsyncPages[AuditEvent]:
        """Return what was done and refused, newest first; only of a principal or RPC, from `since` and before `until`."""

        async def read(token: str) -> tuple[tuple[AuditEvent, ...], str]:
            request = admin_service_pb2.ListAuditEventsRequest(
                page_size=page_size,
                page_token=token,
                principal=principal,
                rpc=rpc,
                start_time=to_timestamp(since),
                end_time=to_timestamp(until),
            )
            answer = await self._connection.call(self._connection.admin.ListAuditEvents, request)
            return tuple(audit_event(each) for each in answer.events), answer.next_page_token

        return AsyncPages(read)


class Admin:
    """The same for callers without an event loop."""

    def __init__(self, admin: AsyncAdmin, thread: LoopThread) -> None:
        self._admin = admin
        self._thread = thread

    @staticmethod
    def _blocking(
        method: Callable[Concatenate[AsyncAdmin, P], Coroutine[Any, Any, ResultT]],
    ) -> "Callable[Concatenate[Admin, P], ResultT]":
        """Make the method that waits for one of `AsyncAdmin`."""

        def call(self: "Admin", /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
            return self._thread.run(method(self._admin, *args, **kwargs))

        functools.update_wrapper(call, method)
        return call

    @staticmethod
    def _paged(
        method: Callable[Concatenate[AsyncAdmin, P], AsyncPages[ResultT]],
    ) -> "Callable[Concatenate[Admin, P], Pages[ResultT]]":
        """Make the method that lists what one of `AsyncAdmin` lists."""

        def call(self: "Admin", /, *args: P.args, **kwargs: P.kwargs) -> Pages[ResultT]:
            return Pages(method(self._admin, *args, **kwargs), self._thread.run)

        functools.update_wrapper(call, method)
        return call

    caller = _blocking(AsyncAdmin.caller)
    create_token = _blocking(AsyncAdmin.create_token)
    tokens = _paged(AsyncAdmin.tokens)
    revoke_token = _blocking(AsyncAdmin.revoke_token)
    audit = _paged(AsyncAdmin.audit)
