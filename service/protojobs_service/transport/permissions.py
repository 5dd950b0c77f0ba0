"""The one table of what each RPC needs: a scope, and where the queue is found that it must be held on.

`Authorize` lets a call in whose principal holds one of the scopes on any queue at all. Servicers then judge each queue with
`access()`, which knows the row of the RPC under way, so no scope is named anywhere else.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from protojobs_service.domain.access import ANONYMOUS, Principal, Scope
from protojobs_service.domain.errors import NotFound, PermissionDenied
from protojobs_service.transport.call import Call, Proceed

_ORDER = tuple(Scope)


class Finds(Enum):
    """Where the queue is found that a scope must be held on."""

    NONE = "concerns no queue"
    REQUEST = "the queue that the request names"
    ITEMS = "the queue of each item, and of all that follows it"
    SUBSCRIPTIONS = "every queue that the worker reads"
    SESSION = "the session, which only who opened it can name"
    STORED = "the queue of what is stored under the id or name"
    ROWS = "each row of the answer: others are left out"


@dataclass(frozen=True, slots=True)
class Row:
    """What an RPC needs. scopes: any of them; None: whoever has valid credentials.

    texts: which of them show payloads, headers, results and error texts besides; None: all.
    """

    scopes: frozenset[Scope] | None
    finds: Finds
    texts: frozenset[Scope] | None = None


def _row(finds: Finds, *scopes: Scope, texts: Collection[Scope] | None = None) -> Row:
    """Return a row; administrators may do everything."""
    shown = None if texts is None else frozenset({*texts, Scope.ADMIN})
    return Row(frozenset({*scopes, Scope.ADMIN}), finds, shown)


_P, _W, _OB, _OP = Scope.PRODUCER, Scope.WORKER, Scope.OBSERVER, Scope.OPERATOR
_ANYBODY = Row(None, Finds.NONE)
_ADMIN = _row(Finds.NONE)
_OPERATE_NAMED, _OPERATE_STORED = _row(Finds.REQUEST, _OP), _row(Finds.STORED, _OP)
_V1 = "/protojobs.v1."

DISPATCH: Final = f"{_V1}JobService/Dispatch"

TABLE: Final[Mapping[str, Row]] = {
    DISPATCH: _row(Finds.ITEMS, _P),
    f"{_V1}JobService/DispatchBatch": _row(Finds.ITEMS, _P),
    f"{_V1}JobService/DispatchStream": _row(Finds.ITEMS, _P),
    f"{_V1}JobService/GetJob": _row(Finds.STORED, _P, _OB, _OP, texts=(_P, _OP)),
    f"{_V1}JobService/ListJobs": _row(Finds.ROWS, _OB, _OP, texts=(_OP,)),
    f"{_V1}JobService/ListAttempts": _row(Finds.STORED, _P, _OB, _OP, texts=(_P, _OP)),
    f"{_V1}JobService/Cancel": _row(Finds.STORED, _P, _OP),
    f"{_V1}JobService/Retry": _OPERATE_STORED,
    f"{_V1}JobService/UpdateJob": _OPERATE_STORED,
    f"{_V1}JobService/BulkJobs": _row(Finds.ROWS, _OP),
    f"{_V1}JobService/DeleteJob": _OPERATE_STORED,
    f"{_V1}JobService/WaitJob": _row(Finds.STORED, _P, _OP),
    f"{_V1}JobService/WatchJobs": _row(Finds.ROWS, _OB, _OP, texts=(_OP,)),
    f"{_V1}QueueService/ListQueues": _row(Finds.ROWS, _OB, _OP),
    f"{_V1}QueueService/GetQueue": _row(Finds.REQUEST, _OB, _OP),
    f"{_V1}QueueService/UpdateQueue": _OPERATE_NAMED,
    f"{_V1}QueueService/DeleteQueue": _OPERATE_NAMED,
    f"{_V1}QueueService/PauseQueue": _OPERATE_NAMED,
    f"{_V1}QueueService/ResumeQueue": _OPERATE_NAMED,
    f"{_V1}QueueService/ClearQueue": _OPERATE_NAMED,
    f"{_V1}QueueService/Stats": _row(Finds.ROWS, _OB, _OP),
    f"{_V1}QueueService/WatchStats": _row(Finds.ROWS, _OB, _OP),
    f"{_V1}ScheduleService/Schedule": _row(Finds.ITEMS, _OP),
    f"{_V1}ScheduleService/GetSchedule": _row(Finds.STORED, _OB, _OP, texts=(_OP,)),
    f"{_V1}ScheduleService/ListSchedules": _row(Finds.ROWS, _OB, _OP, texts=(_OP,)),
    f"{_V1}ScheduleService/DeleteSchedule": _OPERATE_STORED,
    f"{_V1}ScheduleService/PauseSchedule": _OPERATE_STORED,
    f"{_V1}ScheduleService/ResumeSchedule": _OPERATE_STORED,
    f"{_V1}ScheduleService/TriggerSchedule": _OPERATE_STORED,
    f"{_V1}ScheduleService/PreviewSchedule": _row(Finds.STORED, _OB, _OP),
    f"{_V1}WorkerService/Lease": _row(Finds.SUBSCRIPTIONS, _W),
    f"{_V1}WorkerService/AcquireLeases": _row(Finds.SUBSCRIPTIONS, _W),
    f"{_V1}WorkerService/SettleLeases": _row(Finds.SESSION, _W),
    f"{_V1}WorkerService/ExtendLeases": _row(Finds.SESSION, _W),
    f"{_V1}WorkerService/ListWorkers": _row(Finds.ROWS, _OB, _OP),
    f"{_V1}WorkerService/DrainWorker": _row(Finds.STORED, _OP),
    f"{_V1}ServerService/GetServerInfo": _ANYBODY,
    f"{_V1}AdminService/GetCaller": _ANYBODY,
    f"{_V1}AdminService/CreateToken": _ADMIN,
    f"{_V1}AdminService/ListTokens": _ADMIN,
    f"{_V1}AdminService/RevokeToken": _ADMIN,
    f"{_V1}AdminService/ListAuditEvents": _ADMIN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ADMIN,
}
"""One row per RPC; what has none is refused. A test walks the descriptors."""

OPEN: Final = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""RPCs that need no credentials: balancers and probes have none, and are told one word."""


class Access:
    """What a principal may do by one RPC, queue by queue."""

    __slots__ = ("_scopes", "_texts", "everywhere", "principal", "shows_all")

    def __init__(self, principal: Principal, row: Row) -> None:
        self.principal = principal
        self._scopes = row.scopes or frozenset()
        self._texts = self._scopes if row.texts is None else row.texts
        self.everywhere = row.scopes is None or not principal.everywhere.isdisjoint(self._scopes)
        """Nothing needs to be judged: a scope of the row is held on every queue."""
        self.shows_all = row.scopes is None or not principal.everywhere.isdisjoint(self._texts)
        """Payloads and error texts of every queue may be shown."""

    def may(self, queue: str) -> bool:
        """Tell whether one of the scopes is held on a queue."""
        return self.everywhere or self.principal.may(self._scopes, queue)

    def shows(self, queue: str) -> bool:
        """Tell whether payloads, headers, results and error texts of a queue may be shown."""
        return self.shows_all or self.principal.may(self._texts, queue)

    def refusal(self, queue: str) -> PermissionDenied | None:
        """Return what refuses an item on a queue; None where it is allowed."""
        return None if self.may(queue) else _denied(self._scopes, queue)

    def check(self, *queues: str) -> None:
        """Raise PermissionDenied for the first queue on which no scope is held."""
        for queue in queues:
            if not self.may(queue):
                raise _denied(self._scopes, queue)

    def check_stored(self, queue: str, missing: Callable[[], NotFound]) -> None:
        """The same for what is stored on a queue: whoever holds nothing on it is told that it does not exist. Raises it."""
        if self.may(queue):
            return
        if self.principal.may(_ORDER, queue):
            raise _denied(self._scopes, queue)
        raise missing()

    def check_texts(self, queue: str | None = None) -> None:
        """Raise PermissionDenied where payloads are asked for that may not be shown. queue None: of any queue at all."""
        shown = self.shows(queue) if queue is not None else self.shows_all or not self.principal.scopes.isdisjoint(self._texts)
        if not shown:
            raise _denied(self._texts, queue)

    def among(self, queues: Iterable[str], *, with_texts: bool = False) -> list[str]:
        """Return the queues on which a scope is held; with_texts: one that shows payloads."""
        return self.principal.among(self._texts if with_texts else self._scopes, queues)


def _denied(scopes: Collection[Scope], queue: str | None) -> PermissionDenied:
    names = " or ".join(scope for scope in _ORDER if scope in scopes)
    where = "" if queue is None else f" on queue {queue}"
    return PermissionDenied(f"needs scope {names}{where}", metadata={} if queue is None else {"queue": queue})


_EVERYTHING = Access(ANONYMOUS, _ANYBODY)
_access: ContextVar[Access] = ContextVar("access", default=_EVERYTHING)


def access() -> Access:
    """Return what the caller may do by the RPC that this task serves."""
    return _access.get()


def access_by(path: str) -> Access:
    """Return what the caller may do by another RPC, whose row holds for a part of this one."""
    current = _access.get()
    return current if current is _EVERYTHING else Access(current.principal, TABLE[path])


@contextmanager
def accessing(found: Access) -> Generator[None]:
    """Judge by `found` as long as the context lasts; tasks begun within do so too."""
    token = _access.set(found)
    try:
        yield
    finally:
        _access.reset(token)


class Authorize:
    """Refuses calls whose principal holds none of the scopes of the RPC's row on any queue, before a byte is parsed."""

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call under what its principal may do. Raises PermissionDenied."""
        if call.rpc.path in OPEN or call.principal is None or call.principal is ANONYMOUS:
            return await proceed(call)
        row = TABLE.get(call.rpc.path)
        if row is None:
            raise PermissionDenied("nobody may call this")
        if row.scopes is not None and call.principal.scopes.isdisjoint(row.scopes):
            raise _denied(row.scopes, None)
        with accessing(Access(call.principal, row)):
            return await proceed(call)
