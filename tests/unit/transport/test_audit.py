"""What the audit log hears of a call: every RPC has its place, refusals come through, and nobody lies about the way they came."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message_factory import GetMessageClass
from protojobs.v1 import (
    admin_service_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)
from protojobs_service.application import NewAuditRecord
from protojobs_service.domain.access import ANONYMOUS, Grant, Principal, Scope
from protojobs_service.domain.errors import PermissionDenied, QueueNotFound, Unauthenticated
from protojobs_service.transport.audit import AuditTrail, item_refused
from protojobs_service.transport.audit_rows import ROWS, UNAUDITED
from protojobs_service.transport.call import Call, Rpc
from protojobs_service.transport.caller import calling
from protojobs_service.transport.local import LocalContext

PACKAGES: tuple[Any, ...] = (
    admin_service_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"{service.full_name}/{method.name}": method
    for package in PACKAGES
    for service in package.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
PAUSE, GET, DISPATCH = (f"protojobs.v1.{rpc}" for rpc in ("QueueService/PauseQueue", "JobService/GetJob", "JobService/Dispatch"))
OPERATOR = Principal(id="token:0a", name="ops", grants=(Grant(Scope.OPERATOR, "mail.*"),))
PRODUCER = Principal(id="token:0b", name="app", grants=(Grant(Scope.PRODUCER),))


def test_every_rpc_that_changes_something_has_a_row_or_is_named_as_daily_work() -> None:
    changing = {name for name, each in METHODS.items() if each.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS}

    assert changing == ROWS.keys() | UNAUDITED
    assert not ROWS.keys() & UNAUDITED


@pytest.mark.parametrize("rpc", ROWS)
def test_every_row_reads_an_empty_request_answered_or_not(rpc: str) -> None:
    method = METHODS[rpc]
    request, response = GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)()

    assert not method.client_streaming
    assert not method.server_streaming
    for answer in (None, response):
        assert isinstance(ROWS[rpc].target(request, answer), str)
        assert all(isinstance(text, str) for each in ROWS[rpc].details(request, answer).items() for text in each)


@dataclass(slots=True)
class FakeAudit:
    """Notes what it is told, and how."""

    recorded: list[NewAuditRecord] = field(default_factory=list[NewAuditRecord])
    noted: list[NewAuditRecord] = field(default_factory=list[NewAuditRecord])
    refusals: list[NewAuditRecord] = field(default_factory=list[NewAuditRecord])

    async def record(self, record: NewAuditRecord) -> None:
        self.recorded.append(record)

    def note(self, record: NewAuditRecord) -> None:
        self.noted.append(record)

    def refused(self, record: NewAuditRecord) -> None:
        self.refusals.append(record)


class FakeQueues:
    """Knows no queue."""

    all: ClassVar[dict[str, Any]] = {}


class NetworkContext:
    """A call's context as gRPC has it, as far as it is asked."""

    def invocation_metadata(self) -> Any:
        return (("x-protojobs-via", "console"),)

    def peer(self) -> str:
        return "ipv6:%5B::1%5D:50"


def call_of(rpc: str, request: bytes = b"", principal: Principal | None = None, context: Any = None) -> Call:
    """Return a call on its way in."""
    made = Rpc(
        path=f"/{rpc}",
        request=GetMessageClass(METHODS[rpc].input_type),
        streams_in=METHODS[rpc].client_streaming,
        streams_out=METHODS[rpc].server_streaming,
        takes_bytes=False,
        waits=0.0,
        essential=False,
        ends_work=False,
        cut_at_drain=False,
    )
    return Call(made, request, cast("Any", context or NetworkContext()), principal=principal)


def answering(call: Call, principal: Principal | None, outcome: Exception | bytes = b"") -> Callable[[Call], Awaitable[Any]]:
    """Return the rest of the way: it finds out who calls, and ends as told."""

    async def proceed(_: Call) -> Any:
        call.principal = principal
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return proceed


async def follow(rpc: str, principal: Principal | None, outcome: Exception | bytes = b"", **call: Any) -> FakeAudit:
    """Send a call through the trail."""
    audit = FakeAudit()
    trail = AuditTrail(cast("Any", audit), cast("Any", FakeQueues()))
    made = call_of(rpc, **call)
    try:
        await trail(made, answering(made, principal, outcome))
    except Exception as error:
        if error is not outcome:
            raise
    return audit


REQUEST = queue_service_pb2.PauseQueueRequest(queue="mail.a").SerializeToString()


@pytest.mark.asyncio
async def test_an_operators_action_is_recorded_before_it_is_answered() -> None:
    audit = await follow(PAUSE, OPERATOR, request=REQUEST)

    assert audit.recorded == [
        NewAuditRecord(principal="token:0a", via="grpc", rpc=PAUSE, target="mail.a", outcome="OK", peer="ipv6:[::1]:50")
    ]
    assert (audit.noted, audit.refusals) == ([], [])


@pytest.mark.asyncio
async def test_a_producers_daily_work_is_not_recorded() -> None:
    cancel = job_service_pb2.CancelRequest(job_id="j").SerializeToString()
    rpc = "protojobs.v1.JobService/Cancel"

    assert (await follow(rpc, PRODUCER, request=cancel)).recorded == []
    assert (await follow(rpc, PRODUCER, QueueNotFound(), request=cancel)).noted == []


@pytest.mark.asyncio
async def test_a_failure_is_noted_with_its_reason_and_keeps_nobody_waiting() -> None:
    audit = await follow(PAUSE, OPERATOR, QueueNotFound(), request=REQUEST)

    assert [(each.outcome, each.target) for each in audit.noted] == [("QUEUE_NOT_FOUND", "mail.a")]
    assert [each.outcome for each in (await follow(PAUSE, OPERATOR, RuntimeError("x"), request=REQUEST)).noted] == ["INTERNAL"]


@pytest.mark.asyncio
async def test_an_action_whose_caller_went_away_is_noted_as_that() -> None:
    audit, entered = FakeAudit(), asyncio.Event()
    call = call_of(PAUSE, REQUEST, principal=OPERATOR)

    async def hang(_: Call) -> Any:
        entered.set()
        await asyncio.Event().wait()

    acting = asyncio.ensure_future(AuditTrail(cast("Any", audit), cast("Any", FakeQueues()))(call, hang))
    await entered.wait()
    acting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acting

    assert [(each.outcome, each.target) for each in audit.noted] == [("CANCELLED", "mail.a")]


@pytest.mark.asyncio
async def test_refused_calls_of_every_rpc_are_noted() -> None:
    denied = PermissionDenied("needs operator on mail.a")

    for rpc in METHODS:
        audit = await follow(rpc, PRODUCER, denied)
        assert [(each.principal, each.rpc, each.outcome) for each in audit.refusals] == [("token:0b", rpc, "PERMISSION_DENIED")]
        assert dict(audit.refusals[0].details) == {"why": "needs operator on mail.a"}
        assert (audit.recorded, audit.noted) == ([], [])
    assert (await follow(PAUSE, PRODUCER, denied, request=REQUEST)).refusals[0].target == "mail.a"


@pytest.mark.asyncio
async def test_who_proves_nobody_is_nobody_in_the_log() -> None:
    audit = await follow(GET, None, Unauthenticated())

    assert [(each.principal, each.outcome, dict(each.details)) for each in audit.refusals] == [("", "UNAUTHENTICATED", {})]


@pytest.mark.asyncio
async def test_a_large_or_malformed_refused_request_is_not_looked_into() -> None:
    large = queue_service_pb2.PauseQueueRequest(queue="q" * 100_000).SerializeToString()

    for request in (large, b"\xff"):
        audit = await follow(PAUSE, PRODUCER, PermissionDenied("no"), request=request)
        assert [each.target for each in audit.refusals] == [""]


@pytest.mark.asyncio
async def test_only_calls_from_within_say_by_what_they_come() -> None:
    def within(via: str) -> LocalContext:
        return LocalContext((("x-protojobs-via", via),), "ipv4:10.0.0.7:1")

    answers = {via: await follow(PAUSE, OPERATOR, request=REQUEST, context=within(via)) for via in ("console", "http", "odd")}

    assert {via: audit.recorded[0].via for via, audit in answers.items()} == {"console": "console", "http": "http", "odd": "http"}
    assert answers["console"].recorded[0].peer == "ipv4:10.0.0.7:1"
    assert (await follow(PAUSE, OPERATOR, request=REQUEST)).recorded[0].via == "grpc"


@pytest.mark.asyncio
async def test_an_item_that_is_refused_while_the_call_goes_on_is_noted() -> None:
    audit = FakeAudit()
    call = call_of(DISPATCH)

    async def proceed(_: Call) -> bytes:
        with calling(PRODUCER):
            item_refused(PermissionDenied("needs producer on mail.a"), "mail.a")
        return b"answer"

    answer = await AuditTrail(cast("Any", audit), cast("Any", FakeQueues()))(call, proceed)

    assert answer == b"answer"
    assert [(each.principal, each.rpc, each.target, each.outcome) for each in audit.refusals] == [
        ("token:0b", DISPATCH, "mail.a", "PERMISSION_DENIED")
    ]
    item_refused(PermissionDenied("outside of any call"), "mail.a")
    assert len(audit.refusals) == 1


@pytest.mark.asyncio
async def test_where_nobody_is_asked_for_credentials_everybody_is_anonymous_in_the_log() -> None:
    audit = await follow(PAUSE, ANONYMOUS, request=REQUEST)

    assert [each.principal for each in audit.recorded] == ["anonymous"]
