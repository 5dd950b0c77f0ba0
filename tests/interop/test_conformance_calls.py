"""The requirements of `test_conformance.py` for workers that make the calls of the unary twin."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from protojobs.v1 import worker_service_pb2 as wire

from tests.interop.fake_server import Call, FakeServer, Refused, fake_server, job, refs, unfolded
from tests.interop.languages import Language
from tests.interop.programs import Program
from tests.interop.waiting import PATIENCE, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

Start = Callable[..., Program]
AcquireAnswer = wire.AcquireLeasesResponse | Refused

_TTL_SECONDS = 4
_POLL_SECONDS = 0.2


class Leases:
    """The server's side of one session that makes calls."""

    def __init__(self, fake: FakeServer) -> None:
        self.acquired: list[wire.AcquireLeasesRequest] = []
        self.extended: list[wire.ExtendLeasesRequest] = []
        self.settled: list[wire.SettleItem] = []
        self.refuse_settles: list[Refused | int] = []
        self.extend: Callable[[wire.ExtendLeasesRequest], wire.ExtendLeasesResponse] = lambda _: wire.ExtendLeasesResponse()
        self._ready: queue.Queue[AcquireAnswer] = queue.Queue()
        self._lock = threading.Lock()
        fake.answers["AcquireLeases"] = self._acquire
        fake.answers["SettleLeases"] = self._settle
        fake.answers["ExtendLeases"] = self._extend

    def give(self, *jobs: wire.LeasedJob, **fields: Any) -> None:
        """Answer the next AcquireLeases with these jobs."""
        self._ready.put(wire.AcquireLeasesResponse(leases=jobs, **fields))

    def refuse(self, code: grpc.StatusCode, reason: str) -> None:
        """Refuse the next AcquireLeases."""
        self._ready.put(Refused(code, reason))

    def outcome(self, job_id: str) -> wire.SettleItem:
        """Return the first outcome of a job, once it has come."""
        return self.outcomes(job_id, 1)[0]

    def outcomes(self, job_id: str, count: int) -> list[wire.SettleItem]:
        """Return every outcome of a job, once so many have come."""
        until(f"{count} outcomes of {job_id} have come", lambda: len(self._of(job_id)) >= count)
        return self._of(job_id)

    def _of(self, job_id: str) -> list[wire.SettleItem]:
        with self._lock:
            return [item for item in self.settled if item.job_id == job_id]

    def _acquire(self, request: bytes, _: Call) -> Message:
        with self._lock:
            self.acquired.append(wire.AcquireLeasesRequest.FromString(request))
        try:
            answer = self._ready.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            answer = wire.AcquireLeasesResponse()
        if isinstance(answer, Refused):
            raise answer
        answer.session_ttl.FromSeconds(_TTL_SECONDS)
        return answer

    def _settle(self, request: bytes, _: Call) -> Message:
        items = unfolded(wire.SettleLeasesRequest.FromString(request).settle)
        with self._lock:
            self.settled += items
            refusal = self.refuse_settles.pop(0) if self.refuse_settles else wire.SETTLE_CODE_OK
        if isinstance(refusal, Refused):
            raise refusal
        answers = [wire.SettledItem(job_id=item.job_id, attempt=item.attempt, code=refusal) for item in items]  # type: ignore[arg-type]
        return wire.SettleLeasesResponse(settled=wire.Settled(items=answers))

    def _extend(self, request: bytes, _: Call) -> Message:
        asked = wire.ExtendLeasesRequest.FromString(request)
        with self._lock:
            self.extended.append(asked)
        answer = self.extend(asked)
        answer.session_ttl.FromSeconds(_TTL_SECONDS)
        return answer


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server without a will of its own."""
    with fake_server() as server:
        yield server


@pytest.fixture
def leases(fake: FakeServer) -> Leases:
    """What the server makes of the calls of a worker."""
    return Leases(fake)


@pytest.fixture
def start(fake: FakeServer, leases: Leases, calling: Language, tmp_path: Path) -> Iterator[Start]:
    """Start a worker in the language under test; it ends with the test."""
    started: list[Program] = []

    def begin(*options: str, **env: str) -> Program:
        arguments = ["work", "--addr", fake.address, "--queue", "main", "--n", "0", *options]
        started.append(Program(calling, *arguments, log=tmp_path / "worker.log", env=env))
        return started[-1]

    yield begin
    for each in started:
        each.put_away()


@pytest.mark.requirement("LEASE-1")
def test_a_call_says_who_works_where_and_has_room_for_how_much(leases: Leases, start: Start) -> None:
    start("--slots", "1", "--kinds", "echo,noop")

    until("it asks twice", lambda: len(leases.acquired) >= 2)

    first, second = leases.acquired[:2]
    assert len(first.session_id) == 16
    assert second.session_id == first.session_id
    assert second.acquire_seq > first.acquire_seq
    assert [each.name for each in first.queues] == ["main"]
    assert sorted(first.kinds) == ["echo", "noop"]
    assert first.max <= 1 + 10
    assert first.sdk
    assert first.sdk_version


@pytest.mark.requirement("CONNECT-2", "CALL-1")
def test_a_call_without_an_answer_is_repeated_under_its_number(leases: Leases, start: Start) -> None:
    leases.refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")
    leases.give(done := job("echo", b"done"))
    start()

    assert leases.outcome(done.job_id).complete.result == b"done"
    assert leases.acquired[0].acquire_seq == leases.acquired[1].acquire_seq


@pytest.mark.requirement("CONNECT-2")
def test_a_session_that_the_server_has_closed_is_followed_by_a_new_one(leases: Leases, start: Start) -> None:
    leases.refuse(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_CLOSED")
    leases.give(done := job("echo", b"done"))
    start()

    leases.outcome(done.job_id)

    assert leases.acquired[0].session_id != leases.acquired[-1].session_id


@pytest.mark.requirement("CONNECT-1")
def test_a_token_file_is_read_again_for_the_calls_that_follow(
    fake: FakeServer, leases: Leases, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    start(PROTOJOBS_TOKEN_FILE=str(file))
    until("it calls", lambda: fake.called("AcquireLeases"))

    file.write_text("second\n")

    until("it shows the second", lambda: fake.calls[-1].metadata.get("authorization") == "Bearer second")
    assert fake.calls[0].metadata["authorization"] == "Bearer first"
    assert all(call.has_deadline for call in fake.calls)


@pytest.mark.requirement("LEASE-2", "LEASE-4")
def test_what_runs_is_held_and_what_is_lost_is_stopped_and_never_completed(leases: Leases, start: Start) -> None:
    worker = start()
    running = job("sleep", b'{"seconds": 120}')
    leases.extend = lambda _: wire.ExtendLeasesResponse(lost=refs(running))
    leases.give(running)
    worker.event("started", job_id=running.job_id)

    assert worker.event("ended", job_id=running.job_id)["outcome"] == "lost"

    assert [held.job_id for held in leases.extended[0].held] == [running.job_id]
    leases.give(fresh := job("echo", b"fresh"))
    leases.outcome(fresh.job_id)
    assert [item.job_id for item in leases.settled] == [fresh.job_id]


@pytest.mark.requirement("LEASE-5")
@pytest.mark.parametrize(
    "refusal", [Refused(grpc.StatusCode.UNAVAILABLE, "DRAINING"), wire.SETTLE_CODE_RETRY_LATER], ids=["error", "later"]
)
def test_an_outcome_is_sent_until_it_is_answered(leases: Leases, start: Start, refusal: Refused | int) -> None:
    worker = start()
    leases.refuse_settles = [refusal]
    leases.give(done := job("echo", b"done"))

    items = leases.outcomes(done.job_id, 2)

    assert [item.complete.result for item in items] == [b"done", b"done"]
    assert worker.event("settled", job_id=done.job_id, code="OK")
    assert len(worker.events("started")) == 1


@pytest.mark.requirement("LEASE-5")
def test_an_outcome_that_is_superseded_is_dropped(leases: Leases, start: Start) -> None:
    worker = start()
    leases.refuse_settles = [wire.SETTLE_CODE_LEASE_SUPERSEDED]
    leases.give(done := job("echo", b"done"))

    assert worker.event("settled", job_id=done.job_id)["code"] == "LEASE_SUPERSEDED"

    leases.give(fresh := job("echo", b"fresh"))
    leases.outcome(fresh.job_id)
    assert len(leases.outcomes(done.job_id, 1)) == 1


@pytest.mark.requirement("LEASE-6")
def test_a_cancel_stops_the_handler_and_is_settled(leases: Leases, start: Start) -> None:
    worker = start()
    running = job("sleep", b'{"seconds": 120}')
    leases.extend = lambda _: wire.ExtendLeasesResponse(
        cancelled=[wire.CancelItem(job_id=running.job_id, attempt=1, reason=wire.CANCEL_REASON_CANCELLED)]
    )
    leases.give(running)

    assert leases.outcome(running.job_id).WhichOneof("outcome") == "cancelled"
    assert worker.event("ended", job_id=running.job_id)["outcome"] == "cancelled"


@pytest.mark.requirement("LEASE-7")
def test_an_operators_drain_lets_the_worker_finish_and_leave(leases: Leases, start: Start) -> None:
    worker = start()
    leases.give(running := job("sleep", b'{"seconds": 1}'), drain=True)

    assert worker.ended(within=2 * PATIENCE) == 0

    assert leases.outcome(running.job_id).WhichOneof("outcome") == "complete"


@pytest.mark.requirement("LEASE-7")
def test_sigterm_finishes_what_has_begun_and_ends(leases: Leases, start: Start) -> None:
    worker = start()
    leases.give(running := job("sleep", b'{"seconds": 1}'))
    worker.event("started", job_id=running.job_id)

    worker.terminate()

    assert worker.ended(within=2 * PATIENCE) == 0
    assert leases.outcome(running.job_id).WhichOneof("outcome") == "complete"
    assert worker.events("draining")
    assert worker.events("stopped")


@pytest.mark.requirement("RUN-1", "RUN-4", "RUN-6")
def test_outcomes_are_settled_as_the_contract_has_them(leases: Leases, start: Start) -> None:
    start()
    jobs = {kind: job(kind) for kind in ("fail", "nonretryable", "discard", "snooze_once", "cancel", "chain", "odd")}
    jobs["typed"] = job("typed", b'{"n": "secret words"}')
    for each in jobs.values():
        leases.give(each)

    ends = {kind: leases.outcome(each.job_id) for kind, each in jobs.items()}

    assert (ends["fail"].fail.error.type, ends["fail"].fail.error.message) == ("NoLuck", "no luck, attempt 1: žluť")
    assert not ends["fail"].fail.HasField("retryable") or ends["fail"].fail.retryable
    for kind in ("nonretryable", "discard", "typed"):
        assert ends[kind].fail.HasField("retryable")
        assert not ends[kind].fail.retryable
    assert "secret words" not in str(ends["typed"].fail.error)
    assert ends["snooze_once"].snooze.delay.seconds == 1
    assert ends["cancel"].WhichOneof("outcome") == "cancelled"
    assert [spec.kind for spec in ends["chain"].complete.dispatch] == ["noop"]
    assert ends["odd"].fail.error.type


@pytest.mark.requirement("RUN-5")
def test_a_job_without_a_handler_is_released_as_unknown(leases: Leases, start: Start) -> None:
    start()
    leases.give(unknown := job("nobodys"))

    assert leases.outcome(unknown.job_id).release.reason == wire.RELEASE_REASON_UNKNOWN_KIND
