"""What one caller may do, without a network."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from protojobs.v1 import job_service_pb2
from protojobs_service.domain.access import Principal
from protojobs_service.domain.errors import Overloaded
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.transport import limits
from protojobs_service.transport.call import Call, Rpc
from protojobs_service.transport.caller import calling
from protojobs_service.transport.limits import Allowance, CallerLimits, Origin, origin_of

pytestmark = pytest.mark.asyncio

SLOW = RateLimit(per_second=10, burst=2)
ABROAD = "ipv4:192.0.2.1:4711"
HERE = "ipv4:127.0.0.1:4711"


class FakeContext:
    """A call's context without a call."""

    def __init__(self, peer: str, metadata: Sequence[tuple[str, str]]) -> None:
        self._peer = peer
        self._metadata = metadata

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def peer(self) -> str:
        return self._peer


class FakeTime:
    """A clock that sleepers move on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _limits(clock: FakeTime, here: Allowance | None = None, **allowed: Any) -> CallerLimits:
    return CallerLimits(Allowance(**allowed), here or Allowance(), clock=clock, sleep=clock.sleep)


def make_call(request: Any = b"", *, peer: str = ABROAD, metadata: Sequence[tuple[str, str]] = (), **rpc: Any) -> Call:
    """Return a call that is unary unless told otherwise."""
    described = Rpc(
        **{
            "path": "/x/Y",
            "request": job_service_pb2.GetJobRequest,
            "streams_in": False,
            "streams_out": False,
            "takes_bytes": False,
            "waits": 0.0,
            "essential": False,
            "ends_work": False,
            "cut_at_drain": False,
            **rpc,
        }
    )
    return Call(described, request, cast(Any, FakeContext(peer, metadata)))


async def _at_once(call: Call) -> Any:
    return b"done"


async def _refused(caller_limits: CallerLimits, call: Call) -> Overloaded | None:
    try:
        await caller_limits(call, _at_once)
    except Overloaded as error:
        return error
    return None


async def test_calls_beyond_the_burst_are_refused_until_the_time_they_are_told() -> None:
    clock = FakeTime()
    caller_limits = _limits(clock, calls=SLOW)

    answers = [await _refused(caller_limits, make_call()) for _ in range(3)]
    [error] = [answer for answer in answers if answer is not None]
    clock.now += error.retry_after.total_seconds() - 0.001
    too_early = await _refused(caller_limits, make_call())
    clock.now += 0.001
    in_time = await _refused(caller_limits, make_call())

    assert answers.index(error) == 2
    assert (error.retry_after, error.metadata) == (timedelta(milliseconds=100), {"limit": "rate"})
    assert too_early is not None
    assert in_time is None
    assert caller_limits.refused == 2


async def test_a_message_larger_than_what_is_left_is_taken_and_the_next_waits_for_it() -> None:
    clock = FakeTime()
    caller_limits = _limits(clock, bytes=RateLimit(per_second=1000, burst=1000))

    first = await _refused(caller_limits, make_call(b"x" * 3000))
    second = await _refused(caller_limits, make_call(b"x"))

    assert first is None
    assert second is not None
    assert (second.retry_after, second.metadata) == (timedelta(seconds=2, milliseconds=1), {"limit": "bytes_per_second"})


async def test_a_refused_call_costs_nothing() -> None:
    clock = FakeTime()
    caller_limits = _limits(clock, calls=SLOW, bytes=RateLimit(per_second=1000, burst=1000))
    await caller_limits(make_call(b"x" * 1100), _at_once)

    refusals = [await _refused(caller_limits, make_call(b"x" * 5000)) for _ in range(20)]

    assert {refusal.retry_after for refusal in refusals if refusal} == {timedelta(milliseconds=101)}
    assert len(refusals) == 20


async def test_callers_do_not_feel_each_others_limits() -> None:
    caller_limits = _limits(FakeTime(), calls=RateLimit(per_second=1, burst=1))
    peers = [ABROAD, "ipv4:192.0.2.2:4711", "ipv6:%5B2001:db8::1%5D:1"]
    first, second = (Principal(id=f"token:{n}", name="n") for n in range(2))

    anonymous = [await _refused(caller_limits, make_call(peer=peer)) for peer in peers]
    with calling(first):
        of_first = [await _refused(caller_limits, make_call(peer=peer)) for peer in peers]
    with calling(second):
        of_second = await _refused(caller_limits, make_call())

    assert anonymous == [None] * 3
    assert [error is None for error in of_first] == [True, False, False]
    assert of_second is None


async def test_callers_without_credentials_share_what_their_address_may_do() -> None:
    caller_limits = _limits(FakeTime(), calls=RateLimit(per_second=1, burst=1))

    answers = [await _refused(caller_limits, make_call(peer=f"ipv4:192.0.2.1:{port}")) for port in (1, 2)]

    assert [error is None for error in answers] == [True, False]


async def test_callers_from_this_machine_have_a_limit_of_their_own_unless_they_say_who_they_are() -> None:
    caller_limits = _limits(FakeTime(), Allowance(), calls=RateLimit(per_second=1, burst=1))

    local = [await _refused(caller_limits, make_call(peer=HERE)) for _ in range(5)]
    with calling(Principal(id="token:1", name="n")):
        known = [await _refused(caller_limits, make_call(peer=HERE)) for _ in range(2)]

    assert local == [None] * 5
    assert [error is None for error in known] == [True, False]


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        (HERE, Origin("127.0.0.1", is_local=True)),
        ("ipv6:%5B::1%5D:4711", Origin("::1", is_local=True)),
        ("ipv6:[::ffff:127.0.0.1]:4711", Origin("127.0.0.1", is_local=True)),
        ("unix:/run/protojobs.sock", Origin("unix", is_local=True)),
        (ABROAD, Origin("192.0.2.1", is_local=False)),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:4711", Origin("2001:db8:1:2::/64", is_local=False)),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", Origin("fe80::/64", is_local=False)),
        ("192.0.2.7", Origin("192.0.2.7", is_local=False)),
        ("somewhere", Origin("somewhere", is_local=False)),
        ("", Origin("", is_local=False)),
    ],
)
async def test_where_a_call_comes_from(peer: str, origin: Origin) -> None:
    assert origin_of(peer) == origin


@pytest.mark.parametrize(("kind", "limit"), [({"streams_out": True}, "streams"), ({"waits": 60.0}, "waits")])
async def test_streams_and_waiting_calls_of_a_caller_are_bounded_and_given_back(kind: dict[str, Any], limit: str) -> None:
    caller_limits = _limits(FakeTime(), None, **{limit: 1})
    inside, leave = asyncio.Event(), asyncio.Event()

    async def stay(call: Call) -> Any:
        inside.set()
        await leave.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(caller_limits(make_call(**kind), stay))
        await inside.wait()
        refused = await _refused(caller_limits, make_call(**kind))
        elsewhere = await _refused(caller_limits, make_call(peer="ipv4:192.0.2.2:1", **kind))
        unary = await _refused(caller_limits, make_call())
        leave.set()

    assert refused is not None
    assert refused.metadata == {"limit": f"{limit}_per_caller"}
    assert (elsewhere, unary) == (None, None)
    assert await _refused(caller_limits, make_call(**kind)) is None


async def test_frames_of_a_stream_are_read_later_and_none_is_lost() -> None:
    clock = FakeTime()
    caller_limits = _limits(clock, calls=SLOW)

    async def frames() -> AsyncIterator[bytes]:
        for n in range(5):
            yield bytes([n])

    async def read(call: Call) -> Any:
        return [frame async for frame in call.request]

    found = await caller_limits(make_call(frames(), streams_in=True), read)

    assert found == [bytes([n]) for n in range(5)]
    assert sum(clock.slept) == pytest.approx(0.4)  # the call and a frame at once, then ten a second


async def test_an_essential_call_is_never_refused() -> None:
    caller_limits = _limits(FakeTime(), calls=RateLimit(per_second=1, burst=1))

    answers = [await _refused(caller_limits, make_call(essential=True)) for _ in range(5)]

    assert answers == [None] * 5


async def test_metadata_beyond_the_bound_are_refused_whatever_is_called() -> None:
    caller_limits = _limits(FakeTime())
    fits, too_many = [("name", "v" * (16 * 1024 - 4))], [("name", "v" * (16 * 1024 - 3))]

    taken = await _refused(caller_limits, make_call(metadata=fits))
    refused = await _refused(caller_limits, make_call(metadata=too_many, essential=True))

    assert taken is None
    assert refused is not None
    assert refused.metadata == {"limit": "metadata"}


async def test_no_more_callers_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_CALLERS", 3)
    caller_limits = _limits(FakeTime(), calls=RateLimit(per_second=1, burst=1))
    faithful = make_call(peer="ipv4:192.0.2.200:1")
    await caller_limits(faithful, _at_once)

    for n in range(20):
        await caller_limits(make_call(peer=f"ipv4:192.0.2.{n}:1"), _at_once)
        assert await _refused(caller_limits, faithful) is not None  # who keeps calling is not forgotten

    assert caller_limits.callers == 3
