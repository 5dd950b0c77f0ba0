"""The pipeline: what a handler says or raises becomes exactly one outcome."""

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs.v1 import job_pb2
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client import Chain, Compress, Encrypt, JobRequest
from protojobs_client.job import Job
from protojobs_client.payload import Payload, PayloadContext, Use
from protojobs_worker import Cancel, Complete, Discard, JobContext, JobTimeout, Retry, Snooze, StopReason
from protojobs_worker.context import Attempt
from protojobs_worker.execution import run
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import (
    COMPLETED,
    MAX_MESSAGE_BYTES,
    MAX_STACK_BYTES,
    MAX_TYPE_BYTES,
    Cancelled,
    Completed,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    Snoozed,
    failed,
)
from protojobs_worker.registry import Handler, HandlerOptions
from pydantic import BaseModel

from tests.unit.worker.fake_server import leased


@dataclass
class Address:
    street: str


@dataclass
class Person:
    name: str
    age: int
    address: Address | None = None


class Named(TypedDict):
    name: str


class Model(BaseModel):
    name: str


def attempt_of(function: Callable[..., object] | type[Job], payload: bytes = b"", /, **options: Any) -> Attempt:
    handler = Handler("kind", function, HandlerOptions(**options))
    job = leased(1, payload=payload)
    return Attempt(Lease(job.job_id, job.attempt, job, 1), handler)


def outcome_of(function: Callable[..., object] | type[Job], payload: bytes = b"", /, **options: Any) -> Outcome:
    return run(attempt_of(function, payload, **options))


def raising(error: BaseException) -> Callable[[], None]:
    def handler() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (None, COMPLETED),
        ({"a": 1}, Completed(b'{"a":1}')),
        (0, Completed(b"0")),
        (b"raw", Completed(b"raw")),
        (Retry(after=5), Failed(ErrorInfo("Retry", "retry requested"), retry_after=timedelta(seconds=5))),
        (Snooze(timedelta(minutes=1)), Snoozed(timedelta(minutes=1))),
        (Cancel("no need"), Cancelled("no need")),
        (Discard("bad input"), Failed(ErrorInfo("Discard", "bad input"), retryable=False)),
    ],
)
def test_what_a_handler_returns_is_its_outcome(value: object, outcome: Outcome) -> None:
    assert outcome_of(lambda: value) == outcome


@pytest.mark.parametrize("verdict", [Retry(after=5), Snooze(1), Cancel(), Discard(), Complete(7, dispatch=["next"])])
def test_a_verdict_means_the_same_raised_as_returned(verdict: Exception) -> None:
    assert outcome_of(raising(verdict)) == outcome_of(lambda: verdict)


def dispatched(outcome: Outcome) -> list[job_pb2.JobSpec]:
    assert isinstance(outcome, Completed)
    return [job_pb2.JobSpec.FromString(spec) for spec in outcome.dispatch]


def test_jobs_that_a_handler_dispatches_go_with_its_completion() -> None:
    def handler(ctx: JobContext) -> Complete:
        ctx.dispatch("resize", {"width": 100}, queue="images")
        return Complete({"ok": True}, dispatch=[JobRequest("mail", "ann").delay(5), "tidy"])

    outcome = outcome_of(handler)

    specs = dispatched(outcome)
    assert isinstance(outcome, Completed)
    assert outcome.result == b'{"ok":true}'
    assert [(spec.kind, spec.queue, spec.payload, spec.id) for spec in specs] == [
        ("resize", "images", b'{"width":100}', ""),
        ("mail", "", b'"ann"', ""),
        ("tidy", "", b"null", ""),
    ]
    assert specs[1].delay.seconds == 5


def test_jobs_that_a_handler_dispatches_go_without_a_result_too() -> None:
    def handler(ctx: JobContext) -> None:
        ctx.dispatch("next")

    outcome = outcome_of(handler)

    assert isinstance(outcome, Completed)
    assert (outcome.result, [spec.kind for spec in dispatched(outcome)]) == (None, ["next"])


def test_jobs_that_a_handler_dispatches_are_not_stored_when_it_fails() -> None:
    def handler(ctx: JobContext) -> None:
        ctx.dispatch("next")
        raise OSError("disk full")

    assert isinstance(outcome_of(handler), Failed)


def test_a_completion_takes_no_more_jobs_than_the_server_does() -> None:
    def many(ctx: JobContext) -> None:
        for _ in range(1001):
            ctx.dispatch("next")

    def large(ctx: JobContext) -> None:
        for _ in range(3):
            ctx.dispatch("next", "x" * 1024 * 1024)

    outcomes = [outcome_of(many), outcome_of(large)]

    assert [outcome.error.type for outcome in outcomes if isinstance(outcome, Failed)] == ["ValueError"] * 2


def test_a_job_that_cannot_be_sent_fails_the_completion_for_good() -> None:
    outcome = outcome_of(lambda: Complete(dispatch=[JobRequest("next", object())]))

    assert isinstance(outcome, Failed)
    assert not outcome.retryable


def test_an_exception_is_a_retryable_failure_with_its_stack() -> None:
    outcome = outcome_of(raising(OSError("disk full")))

    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.error.type, outcome.error.message) == (True, "OSError", "disk full")
    assert "in handler" in outcome.error.stack


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError("alone")])
def test_what_would_end_the_worker_ends_only_the_attempt(error: BaseException) -> None:
    outcome = outcome_of(raising(error))

    assert isinstance(outcome, Failed)
    assert outcome.retryable


def test_a_result_that_is_no_json_fails_for_good() -> None:
    outcome = outcome_of(object)

    assert isinstance(outcome, Failed)
    assert not outcome.retryable


@pytest.mark.parametrize(("answer", "retryable"), [(True, True), (False, False)])
def test_should_retry_may_stop_retries(answer: bool, retryable: bool) -> None:
    outcome = outcome_of(raising(OSError()), should_retry=lambda error: answer)

    assert isinstance(outcome, Failed)
    assert outcome.retryable is retryable


def test_should_retry_cannot_turn_a_discard_around_and_its_own_error_changes_nothing() -> None:
    def ask(error: BaseException) -> bool:
        raise RuntimeError("broken question")

    discarded, asked = outcome_of(raising(Discard()), should_retry=lambda _: True), outcome_of(raising(OSError()), should_retry=ask)

    assert isinstance(discarded, Failed)
    assert isinstance(asked, Failed)
    assert (discarded.retryable, asked.retryable) == (False, True)


def test_an_async_handler_runs_to_its_end_off_the_loop_too() -> None:
    async def handler() -> int:
        await asyncio.sleep(0)
        return 7

    assert outcome_of(handler) == Completed(b"7")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (StopReason.TIMEOUT, Failed(ErrorInfo("TIMEOUT", "run timeout of 300 s passed"))),
        (StopReason.CANCELLED, Cancelled()),
        (StopReason.LEASE_LOST, Released()),
        (StopReason.SHUTDOWN, Released()),
    ],
)
def test_a_handler_that_stops_when_asked_ends_by_the_reason(reason: StopReason, expected: Outcome) -> None:
    def handler(ctx: JobContext) -> None:
        attempt.stop(reason, 1.0)
        ctx.raise_if_cancelled()

    attempt = attempt_of(handler)

    assert run(attempt) == expected


def test_a_function_makes_of_the_decoded_payload_what_the_handler_takes() -> None:
    def of_cents(data: dict[str, int]) -> float:
        return data["cents"] / 100

    seen: list[object] = []

    outcome_of(seen.append, b'{"cents":250}', payload=of_cents)
    refused = outcome_of(seen.append, b'{"euros":2}', payload=of_cents)

    assert seen == [2.5]
    assert isinstance(refused, Failed)
    assert not refused.retryable


@pytest.mark.parametrize("value", [None, 7])
def test_what_a_handler_returns_after_its_lease_may_be_lost_is_no_completion(value: int | None) -> None:
    def handler(ctx: JobContext) -> int | None:
        attempt.stop(StopReason.LEASE_LOST, 1.0)
        return value

    attempt = attempt_of(handler)

    assert run(attempt) == Released()


def test_a_handler_that_completes_although_asked_to_stop_has_completed() -> None:
    def handler(ctx: JobContext) -> None:
        attempt.stop(StopReason.CANCELLED, 1.0)

    attempt = attempt_of(handler)

    assert run(attempt) is COMPLETED


def test_raise_if_cancelled_tells_a_timeout_from_other_reasons() -> None:
    attempt = attempt_of(lambda: None)
    context = JobContext(attempt)

    before = (bool(context.cancelled), context.cancelled.wait(0))
    context.raise_if_cancelled()
    attempt.stop(StopReason.TIMEOUT, 1.0)
    attempt.stop(StopReason.CANCELLED, 2.0)

    assert before == (False, False)
    assert context.cancelled.wait()
    assert context.cancelled.reason is StopReason.TIMEOUT
    with pytest.raises(JobTimeout):
        context.raise_if_cancelled()


def test_parameters_decide_what_a_handler_takes() -> None:
    seen: list[tuple[str, ...]] = []

    def record(*values: object) -> None:
        seen.append(tuple(type(value).__name__ for value in values))

    def by_annotation(anything: JobContext) -> None:
        record(anything)

    def by_name(ctx) -> None:  # type: ignore[no-untyped-def]  # what is tested
        record(ctx)

    def data(email: dict[str, str]) -> None:
        record(email)

    def both(ctx: JobContext, email: dict[str, str]) -> None:
        record(ctx, email)

    for handler in (record, by_annotation, by_name, data, both):
        outcome_of(handler, b'{"to": "ann"}')

    assert seen == [(), ("JobContext",), ("JobContext",), ("dict",), ("JobContext", "dict")]


def test_a_handler_that_takes_three_things_is_refused() -> None:
    with pytest.raises(TypeError, match="a handler takes"):
        attempt_of(lambda a, b, c: None)


@pytest.mark.parametrize(
    ("payload_type", "payload", "expected"),
    [
        (Person, b'{"name":"Ann","age":7}', Person("Ann", 7)),
        (Person, b'{"name":"Ann","age":7,"address":{"street":"S"}}', Person("Ann", 7, Address("S"))),
        (Named, b'{"name":"Ann"}', {"name": "Ann"}),
        (Model, b'{"name":"Ann"}', Model(name="Ann")),
        (bytes, b"\x00raw", b"\x00raw"),
        (None, b"[1]", [1]),
        (None, b"", None),
    ],
)
def test_payloads_are_built_as_the_handler_wants_them(payload_type: Any, payload: bytes, expected: object) -> None:
    seen: list[object] = []

    outcome_of(seen.append, payload, payload=payload_type)

    assert seen == [expected]


def test_the_payload_type_is_read_from_the_annotation() -> None:
    def handler(ctx: JobContext, person: Person) -> str:
        return person.name

    assert outcome_of(handler, b'{"name":"Ann","age":7}') == Completed(b'"Ann"')


@pytest.mark.parametrize("payload", [b"not json", b'{"name":"Ann"}', b"[]"])
def test_a_payload_that_does_not_fit_fails_for_good(payload: bytes) -> None:
    outcome = outcome_of(lambda data: None, payload, payload=Person)

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "protojobs_worker.registry.InvalidPayload"
    assert not outcome.retryable


def test_dataclasses_are_built_without_pydantic_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protojobs_worker.decoding._pydantic", lambda: None)
    seen: list[object] = []

    whole = outcome_of(seen.append, b'{"name":"Ann","age":7,"address":null}', payload=Person)
    missing = outcome_of(lambda data: None, b'{"name":"Ann"}', payload=Person)

    assert whole is COMPLETED
    assert seen == [Person("Ann", 7)]
    assert isinstance(missing, Failed)


def test_a_job_class_gets_its_data_and_judges_its_errors() -> None:
    class SendEmail(Job):
        def handle(self, ctx: JobContext) -> str:
            if self.data["to"] == "nobody":
                raise OSError("no such mailbox")
            return f"{self.data['to']} {ctx.attempt}"

        def should_retry(self, error: BaseException) -> bool:
            return not isinstance(error, OSError)

    sent, refused = outcome_of(SendEmail, b'{"to":"ann"}'), outcome_of(SendEmail, b'{"to":"nobody"}')

    assert sent == Completed(b'"ann 1"')
    assert isinstance(refused, Failed)
    assert not refused.retryable


def test_a_codec_opens_payloads_and_closes_results() -> None:
    class Backwards:
        def encode(self, payload: Payload, context: PayloadContext) -> Payload:
            return Payload(payload.data[::-1], payload.content_type)

        decode = encode

    handler = Handler("kind", lambda data: data, HandlerOptions(), Backwards())
    job = leased(1, payload=b"]2,1[")

    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), handler))

    assert outcome == Completed(b"]2,1[")


CODEC = Chain(Compress(), Encrypt({"k": bytes(32)}, required=True))


def sealed_job(plain: bytes, *, kind: str = "kind", checkpoint: bytes = b"") -> wire.LeasedJob:
    """A leased job of kind "kind" whose payload was encrypted for `kind`."""
    job = leased(1)
    job.spec.kind, job.spec.queue = "kind", "default"
    sealed = CODEC.encode(Payload(plain), PayloadContext(kind=kind, queue="default"))
    job.spec.payload, job.spec.content_type = sealed.data, sealed.content_type
    job.checkpoint = checkpoint
    return job


def test_payload_result_and_checkpoint_go_through_the_codec() -> None:
    def handle(ctx: JobContext, data: object) -> object:
        ctx.save_checkpoint(ctx.checkpoint + b"more")
        return [ctx.payload.decode(), ctx.content_type, data]

    job = sealed_job(b'{"to":"ann"}')

    def of(use: Use) -> PayloadContext:
        return PayloadContext(kind="kind", queue="default", use=use, job_id=job.job_id)

    job.checkpoint = CODEC.encode(Payload(b"some "), of(Use.CHECKPOINT)).data
    attempt = Attempt(Lease(job.job_id, 1, job, 1), Handler("kind", handle, HandlerOptions(), CODEC))

    outcome = run(attempt)

    assert isinstance(outcome, Completed)
    assert attempt.checkpoint is not None
    assert b"some" not in attempt.checkpoint
    assert CODEC.decode(Payload(attempt.checkpoint), of(Use.CHECKPOINT)).data == b"some more"
    result = CODEC.decode(Payload(outcome.result or b""), of(Use.RESULT)).data
    assert result == b'["{\\"to\\":\\"ann\\"}","application/json",{"to":"ann"}]'


def echo(data: object) -> object:
    return data


def test_a_handler_takes_its_codec_to_the_process_that_runs_it() -> None:
    job = sealed_job(b"[1]")
    handler = pickle.loads(pickle.dumps(Handler("kind", echo, HandlerOptions(), CODEC)))  # noqa: S301 - our own

    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), handler))

    assert isinstance(outcome, Completed)
    result = PayloadContext(kind="kind", queue="default", use=Use.RESULT, job_id=job.job_id)
    assert CODEC.decode(Payload(outcome.result or b""), result).data == b"[1]"


def test_a_payload_of_another_kind_fails_for_good_and_says_why_without_any_of_it() -> None:
    job = sealed_job(b'"secret"', kind="other")

    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), Handler("kind", lambda data: data, HandlerOptions(), CODEC)))

    assert isinstance(outcome, Failed)
    assert not outcome.retryable
    assert outcome.error.message.startswith("NOT_AUTHENTIC: ")
    assert "secret" not in outcome.error.stack


def test_a_checkpoint_that_cannot_be_read_fails_for_good() -> None:
    job = sealed_job(b"1", checkpoint=b"in the clear")
    handler = Handler("kind", lambda ctx: ctx.checkpoint, HandlerOptions(), CODEC)

    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), handler))

    assert isinstance(outcome, Failed)
    assert not outcome.retryable
    assert outcome.error.message.startswith("NOT_ENCRYPTED: ")


@pytest.mark.parametrize("payload", [None, bytes])
def test_without_its_codec_a_payload_is_not_handed_to_the_handler(payload: type | None) -> None:
    job = sealed_job(b"1")
    handler = Handler("kind", lambda data: data, HandlerOptions(payload=payload))

    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), handler))

    assert isinstance(outcome, Failed)
    assert outcome.error.message.startswith("NO_CODEC: ")


def test_an_invalid_payload_is_described_without_its_values() -> None:
    @dataclass
    class Email:
        to: int

    job = leased(1, payload=b'{"to":"secret"}')
    outcome = run(Attempt(Lease(job.job_id, 1, job, 1), Handler("kind", lambda data: data, HandlerOptions(payload=Email))))

    assert isinstance(outcome, Failed)
    assert outcome.error.message.startswith("ValueError: to: Input should be a valid integer")
    assert "secret" not in outcome.error.message + outcome.error.stack


@settings(deadline=None)
@given(text=st.text(), repeat=st.integers(1, 3000))
def test_errors_are_cut_to_their_limits_and_stay_valid_text(text: str, repeat: int) -> None:
    info = ErrorInfo(text * repeat, text * repeat, text * repeat)

    for value, limit in ((info.type, MAX_TYPE_BYTES), (info.message, MAX_MESSAGE_BYTES), (info.stack, MAX_STACK_BYTES)):
        assert len(value.encode()) <= limit


def test_an_error_that_cannot_be_shown_is_still_a_failure() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "cannot be shown" in failed(Mute()).error.message


@pytest.mark.parametrize("span", [-1, timedelta(seconds=-1)])
def test_a_negative_wait_is_refused(span: float | timedelta) -> None:
    with pytest.raises(ValueError, match="at least 0 s"):
        Snooze(span)
