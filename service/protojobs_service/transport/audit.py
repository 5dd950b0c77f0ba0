"""Around every call: what operators and administrators did, and what anybody was refused, goes into the audit log."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import grpc.aio
from google.protobuf.message import DecodeError, Message

from protojobs_service.application import Audit, KnownQueues, NewAuditRecord
from protojobs_service.domain.access import Principal, Scope
from protojobs_service.domain.errors import JobsError, PermissionDenied, Unauthenticated
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.transport.audit_rows import ROWS, Details, Row, changed_settings
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.caller import caller
from protojobs_service.transport.local import LocalContext
from protojobs_service.transport.views import to_queue

VIA_KEY: Final = "x-protojobs-via"
"""Metadata of calls from within the process: what they come by. Nobody who calls over the network is believed."""

_VIAS = frozenset({"http", "console", "cli"})
_GOVERNING = frozenset({Scope.OPERATOR, Scope.ADMIN})
_MOST_PARSED = 64 * 1024
_OK: Final = "OK"


@dataclass(slots=True)
class _Trail:
    """A call that is under way, and the log that it may have to be written to."""

    audit: Audit
    call: Call

    def record(self, principal: str, target: str, outcome: str, details: Details) -> NewAuditRecord:
        """Return a record of this call."""
        return NewAuditRecord(
            principal=principal,
            via=_via(self.call),
            rpc=self.call.rpc.path[1:],
            target=target,
            outcome=outcome,
            peer=unquote(self.call.context.peer() or ""),
            details=details,
        )


_trail: ContextVar[_Trail | None] = ContextVar("audit_trail", default=None)


def item_refused(error: JobsError, target: str) -> None:
    """Note that one item of a call was refused for want of permission, while the call goes on. Sampled; never waits."""
    trail = _trail.get()
    if trail is not None:
        trail.audit.refused(trail.record(caller().id, target, error.reason, {"why": error.message}))


@dataclass(slots=True)
class AuditTrail:
    """Notes calls of the table's RPCs by operators and administrators, and refused calls of any RPC.

    Stands inside what turns errors into statuses, and outside what finds out who calls and what they may do. An answer waits until
    the store has the record, for 2 s at most; refusals and failures wait for nothing. A rehearsal (validate_only) is no action.
    """

    audit: Audit
    known_queues: KnownQueues

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call, and note how it ended."""
        row = ROWS.get(call.rpc.path[1:])
        trail = _Trail(self.audit, call)
        token = _trail.set(trail)
        try:
            if row is None:
                return await proceed(call)
            return await self._followed(row, trail, proceed)
        except (Unauthenticated, PermissionDenied) as error:
            _refused(row, trail, error)
            raise
        finally:
            _trail.reset(token)

    async def _followed(self, row: Row, trail: _Trail, proceed: Proceed) -> Any:
        queues = self.known_queues.all
        try:
            response = await proceed(trail.call)
        except (Unauthenticated, PermissionDenied):
            raise
        except JobsError as error:
            _failed(row, trail, error.reason)
            raise
        except grpc.aio.AbortError:
            _failed(row, trail, "ABORTED")
            raise
        except asyncio.CancelledError:
            _failed(row, trail, "CANCELLED")
            raise
        except Exception:
            _failed(row, trail, "INTERNAL")
            raise
        request = _action(trail.call)
        if request is not None:
            target, details = row.target(request, response), row.details(request, response)
            if row.changes_queue:
                before = to_queue(queues.get(target) or QueueSettings(name=target))
                details = {**details, **changed_settings(before, response.queue)}
            await self.audit.record(trail.record(_who(trail.call).id, target, _OK, details))
        return response


def _failed(row: Row, trail: _Trail, outcome: str) -> None:
    request = _action(trail.call)
    if request is not None:
        target, details = row.target(request, None), row.details(request, None)
        trail.audit.note(trail.record(_who(trail.call).id, target, outcome, details))


def _refused(row: Row | None, trail: _Trail, error: JobsError) -> None:
    call = trail.call
    nobody = call.principal is None and isinstance(error, Unauthenticated)
    # Who is refused may send what is large again and again: it is not parsed.
    request = _parse(call) if row is not None and len(call.request) <= _MOST_PARSED else None
    target = "" if row is None or request is None else row.target(request, None)
    details = {"why": error.message} if isinstance(error, PermissionDenied) else {}
    trail.audit.refused(trail.record("" if nobody else _who(call).id, target, error.reason, details))


def _action(call: Call) -> Message | None:
    """Return the request of a call that an operator or an administrator made to change something, None for other calls."""
    if _GOVERNING.isdisjoint(_who(call).scopes):
        return None
    request = _parse(call)
    return None if getattr(request, "validate_only", False) else request


def _who(call: Call) -> Principal:
    return call.principal or caller()


def _via(call: Call) -> str:
    context: Any = call.context
    if not isinstance(context, LocalContext):
        return "grpc"
    named = (str(value) for key, value in context.invocation_metadata() if key == VIA_KEY and value in _VIAS)
    return next(named, "http")


def _parse(call: Call) -> Message | None:
    """Return the request, None for bytes that are none."""
    try:
        return call.rpc.request.FromString(call.request)
    except DecodeError:
        return None
