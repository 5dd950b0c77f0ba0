"""Who calls and what goes on under whose credentials, without a network."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from protojobs.v1 import job_service_pb2
from protojobs_service.application import Authentication, Proof
from protojobs_service.domain.access import ANONYMOUS, Grant, Principal, Scope
from protojobs_service.domain.errors import JobNotFound, PermissionDenied, Unauthenticated
from protojobs_service.transport.auth import Authenticate, OpenStreams
from protojobs_service.transport.call import Call, Rpc
from protojobs_service.transport.caller import caller, calling, of_caller
from protojobs_service.transport.permissions import DISPATCH, TABLE, Access, Authorize, access, access_by

from tests.unit.application.stand import FakeClock

pytestmark = pytest.mark.asyncio

WATCH = "/protojobs.v1.JobService/WatchJobs"
ALICE = Principal(id="token:1", name="alice", token_id="1", grants=(Grant(Scope.OBSERVER, "a-*"),))
BOB = Principal(id="token:2", name="bob", token_id="2", grants=(Grant(Scope.OBSERVER, "b-*"),))
SOON = datetime(2026, 1, 1, tzinfo=UTC)


class Tokens:
    """Knows alice and bob by their names; `ended` are those whose token has."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.looks: list[str] = []

    async def verify(self, text: str) -> Principal:
        for principal in (ALICE, BOB):
            if text == f"pj_{principal.name}" and principal.name not in self.ended:
                return principal
        raise Unauthenticated

    def still_valid(self, principal: Principal) -> bool:
        self.looks.append(principal.name)
        return principal.name not in self.ended


class Context:
    """A call's context without a call."""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self.metadata = metadata

    def invocation_metadata(self) -> Any:
        return self.metadata

    def auth_context(self) -> Any:
        return {}


def _call(name: str = "alice", path: str = WATCH, *, stream: bool = True, waits: float = 0.0) -> Call:
    rpc = Rpc(
        path=path,
        request=job_service_pb2.GetJobRequest,
        streams_in=False,
        streams_out=stream,
        takes_bytes=False,
        waits=waits,
        essential=False,
        ends_work=False,
        cut_at_drain=False,
    )
    return Call(rpc, b"", cast(Any, Context(("authorization", f"Bearer pj_{name}"))))


class Stand:
    """Authentication over those tokens, on a clock that the test owns."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.tokens = Tokens()
        self.now = SOON
        self.authentication = Authentication(self.tokens, now=lambda: self.now)
        self.streams = OpenStreams(self.clock)
        self.authenticate = Authenticate(self.authentication, self.streams)


async def _never(call: Call) -> Any:
    await asyncio.Event().wait()


async def test_a_call_runs_under_its_principal_and_what_it_begins_does_too() -> None:
    seen: list[Principal] = []

    async def look(call: Call) -> None:
        seen.append(caller())
        await asyncio.gather(asyncio.ensure_future(_note(seen)))

    call = _call(stream=False)
    await Stand().authenticate(call, look)

    assert seen == [ALICE, ALICE]
    assert (call.principal, caller()) == (ALICE, ANONYMOUS)


async def _note(seen: list[Principal]) -> None:
    seen.append(caller())


async def test_all_streams_of_ended_credentials_end_at_the_next_look_and_no_other_does() -> None:
    stand = Stand()
    calls = {name: [_call(name), _call(name), _call(name, stream=False, waits=60.0)] for name in ("alice", "bob")}
    running = {name: [asyncio.ensure_future(stand.authenticate(each, _never)) for each in some] for name, some in calls.items()}
    looking = asyncio.ensure_future(stand.streams.run(stand.authentication.still_valid))
    await stand.clock.settle()

    await stand.clock.advance(10)
    assert not any(each.done() for some in running.values() for each in some)
    stand.tokens.ended.add("alice")
    await stand.clock.advance(2)

    for each in running["alice"]:
        with pytest.raises(Unauthenticated):
            await each
    assert not any(each.done() for each in running["bob"])
    for each in (*running["bob"], looking):
        each.cancel()


async def test_a_stream_that_takes_its_time_to_end_is_looked_at_again() -> None:
    stand, gone = Stand(), asyncio.Event()

    async def linger(call: Call) -> None:
        try:
            await _never(call)
        finally:
            await gone.wait()

    slow = asyncio.ensure_future(stand.authenticate(_call(), linger))
    looking = asyncio.ensure_future(stand.streams.run(stand.authentication.still_valid))
    await stand.clock.settle()
    stand.tokens.ended.add("alice")

    await stand.clock.advance(10)
    assert not looking.done()
    gone.set()
    with pytest.raises(Unauthenticated):
        await slow
    looking.cancel()


async def test_one_look_asks_once_for_each_caller_however_many_streams_are_open() -> None:
    stand = Stand()
    running = [asyncio.ensure_future(stand.authenticate(_call(name), _never)) for name in ("alice", "bob") for _ in range(50)]
    await stand.clock.settle()

    stand.streams.look(stand.authentication.still_valid)

    assert sorted(stand.tokens.looks) == ["alice", "bob"]
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    stand.streams.look(stand.authentication.still_valid)
    assert len(stand.tokens.looks) == 2


async def test_a_timeout_of_the_handlers_own_is_not_the_end_of_credentials() -> None:
    async def fail(call: Call) -> Any:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Stand().authenticate(_call(), fail)


async def test_a_principal_without_a_token_of_ours_lasts_until_its_time() -> None:
    stand = Stand()
    certificate = Principal(id="mtls:x", name="x")
    identity = Principal(id="oidc:x", name="x", expires_at=SOON + timedelta(seconds=1))

    assert stand.authentication.still_valid(certificate)
    assert stand.authentication.still_valid(identity)
    stand.now += timedelta(seconds=1)
    assert stand.authentication.still_valid(certificate)
    assert not stand.authentication.still_valid(identity)
    assert stand.tokens.looks == []


@pytest.mark.parametrize("bearer", ["", "x", "a.b.c", "pj_mallory"])
async def test_what_nobody_can_verify_is_refused(bearer: str) -> None:
    with pytest.raises(Unauthenticated):
        await Stand().authentication.principal(Proof(bearer))


async def test_a_token_that_is_too_long_is_refused_unread() -> None:
    # Over gRPC the bound on metadata comes first, between 8 and 16 KiB by chance; over HTTP this one is what holds.
    with pytest.raises(Unauthenticated, match="too long"):
        await Stand().authentication.principal(Proof("pj_alice" + "x" * 8192))


async def test_where_nobody_is_asked_everybody_may_everything() -> None:
    seen: list[tuple[Principal, bool, bool]] = []

    async def look(call: Call) -> None:
        seen.append((caller(), access().everywhere, access_by(DISPATCH).everywhere))

    call = _call()
    await Authenticate(None, OpenStreams(FakeClock()))(call, lambda inner: Authorize()(inner, look))

    assert seen == [(ANONYMOUS, True, True)]
    assert call.principal is ANONYMOUS


async def test_what_may_be_done_is_judged_by_the_row_of_the_rpc_or_of_another() -> None:
    both = Principal(id="x", name="x", grants=(Grant(Scope.OBSERVER, "a-*"), Grant(Scope.PRODUCER)))
    seen: list[tuple[bool, bool, bool]] = []

    async def look(call: Call) -> None:
        seen.append((access().everywhere, access().may("b-1"), access_by(DISPATCH).everywhere))

    call = _call()
    call.principal = both
    await Authorize()(call, look)

    assert seen == [(False, False, True)]


async def test_what_is_stored_is_hidden_from_who_holds_nothing_on_its_queue() -> None:
    judge = Access(ALICE, TABLE["/protojobs.v1.JobService/Cancel"])

    with pytest.raises(PermissionDenied, match="needs scope producer or operator or admin on queue a-1"):
        judge.check_stored("a-1", JobNotFound)
    with pytest.raises(JobNotFound):
        judge.check_stored("b-1", JobNotFound)
    Access(ANONYMOUS, TABLE[DISPATCH]).check_stored("b-1", JobNotFound)


async def test_a_session_is_known_by_its_secret_and_its_principal() -> None:
    secret = bytes(range(16))
    twin = Principal(id="token:9", name="alice", token_id="9")
    names: list[Principal] = [ALICE, BOB, Principal(id="oidc:x", name="alice"), Principal(id="mtls:x", name="alice")]
    known: list[bytes] = []
    for principal in names:
        with calling(principal):
            known.append(of_caller(secret))
    with calling(twin):
        again = of_caller(secret)

    assert of_caller(secret) == secret
    assert len({*known, secret}) == 5
    assert {len(each) for each in known} == {16}
    assert again == known[0]
