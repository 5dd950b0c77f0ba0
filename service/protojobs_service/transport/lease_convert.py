"""What workers say, in domain values: bounds are checked here, with the path of the field."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from protojobs.v1 import worker_service_pb2

from protojobs_service.application import HeldLease, Hello, News, Settle, Settlement, Window
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobsError, PermissionDenied
from protojobs_service.domain.job import Draft, Handle, JobId, Progress, make_tuple
from protojobs_service.domain.outcome import (
    COMPLETE,
    Cancelled,
    Complete,
    Fail,
    JobError,
    Outcome,
    Release,
    ReleaseCause,
    Snooze,
)
from protojobs_service.transport.audit import item_refused
from protojobs_service.transport.caller import of_caller
from protojobs_service.transport.convert import EPOCH, check_name, check_text, parse_optional_span, parse_span, parse_spec
from protojobs_service.transport.ids import format_id, ids_of, parse_id
from protojobs_service.transport.job_access import check_draft
from protojobs_service.transport.permissions import DISPATCH, access_by
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.status import under
from protojobs_service.transport.wire import RawComplete, RawSettle, RawSettleItem

_SECRET_BYTES = 16
_ID_PREFIX = b"\x0a\x24"
_CANCELLED = Cancelled()
_CAUSES = {
    worker_service_pb2.RELEASE_REASON_UNSPECIFIED: ReleaseCause.SHUTDOWN,
    worker_service_pb2.RELEASE_REASON_SHUTDOWN: ReleaseCause.SHUTDOWN,
    worker_service_pb2.RELEASE_REASON_OVERLOAD: ReleaseCause.OVERLOAD,
    worker_service_pb2.RELEASE_REASON_UNKNOWN_KIND: ReleaseCause.UNKNOWN_KIND,
}
_ORDERS = (
    worker_service_pb2.QUEUE_ORDER_UNSPECIFIED,
    worker_service_pb2.QUEUE_ORDER_WEIGHTED,
    worker_service_pb2.QUEUE_ORDER_STRICT,
)


def parse_hello(hello: worker_service_pb2.Hello, limits: bounds.Limits) -> Hello:
    """Return what a worker says of itself on a stream. Raises InvalidField."""
    if hello.slots > bounds.MAX_SLOTS:
        raise InvalidField("slots", f"must be 1 to {bounds.MAX_SLOTS}")
    if not hello.stream_no:
        raise InvalidField("stream_no", "must be at least 1")
    return _parse_session(
        hello, limits, stream_no=hello.stream_no, window=parse_window(hello.window, "window"), slots=hello.slots or 1
    )


def parse_acquire(request: worker_service_pb2.AcquireLeasesRequest, limits: bounds.Limits) -> Hello:
    """Return what a call says of its worker; the window is what the call wants. Raises InvalidField."""
    if not request.acquire_seq:
        raise InvalidField("acquire_seq", "must be at least 1")
    most = request.max or 1
    if most > bounds.MAX_BATCH_ITEMS:
        raise InvalidField("max", f"must be 1 to {bounds.MAX_BATCH_ITEMS}, or 0 for the default")
    return _parse_session(request, limits, stream_no=request.acquire_seq, window=Window(most), slots=most, unary=True)


def _parse_session(
    message: Any, limits: bounds.Limits, *, stream_no: int, window: Window, slots: int, unary: bool = False
) -> Hello:
    ttl = limits.session_ttl
    if message.HasField("session_ttl"):
        ttl = parse_span("session_ttl", message.session_ttl, bounds.MIN_SESSION_TTL, bounds.MAX_SESSION_TTL)
    if message.queue_order not in _ORDERS:
        raise InvalidField("queue_order", "is no known value")
    if len(message.kinds) > bounds.MAX_KINDS:
        raise InvalidField("kinds", f"at most {bounds.MAX_KINDS}")
    kinds = frozenset(check_name(f"kinds[{place}]", kind) for place, kind in enumerate(message.kinds))
    return Hello(
        secret=parse_secret(message.session_id),
        stream_no=_small(stream_no, "acquire_seq" if unary else "stream_no"),
        worker=check_text("worker", message.worker, bounds.MAX_WORKER_LABEL_BYTES),
        sdk=check_text("sdk", message.sdk, bounds.MAX_SDK_BYTES),
        sdk_version=check_text("sdk_version", message.sdk_version, bounds.MAX_SDK_BYTES),
        weights=_parse_queues(message.queues),
        strict=message.queue_order == worker_service_pb2.QUEUE_ORDER_STRICT,
        kinds=kinds or None,
        window=window,
        slots=slots,
        ttl=ttl,
        held=parse_held(message.held),
        unary=unary,
    )


def _small(number: int, field: str) -> int:
    if number >= 1 << 63:
        raise InvalidField(field, "must be below 2^63")
    return number


def parse_secret(session_id: bytes) -> bytes:
    """Return the secret of a session of this caller: another caller's session has another one. Raises InvalidField."""
    if len(session_id) != _SECRET_BYTES:
        raise InvalidField("session_id", f"must be {_SECRET_BYTES} bytes")
    return of_caller(session_id)


def _parse_queues(queues: Sequence[worker_service_pb2.QueueSubscription]) -> dict[str, int]:
    if not 1 <= len(queues) <= bounds.MAX_SUBSCRIPTIONS:
        raise InvalidField("queues", f"must be 1 to {bounds.MAX_SUBSCRIPTIONS} queues")
    weights: dict[str, int] = {}
    for place, queue in enumerate(queues):
        name = check_name(f"queues[{place}].name", queue.name)
        if name in weights:
            raise InvalidField(f"queues[{place}].name", "is named twice")
        if queue.weight > bounds.MAX_WEIGHT:
            raise InvalidField(f"queues[{place}].weight", f"must be 1 to {bounds.MAX_WEIGHT}, or 0 for 1")
        weights[name] = queue.weight or 1
    return weights


def parse_held(held: Sequence[worker_service_pb2.HeldLease]) -> list[HeldLease]:
    """Return the leases that a worker says it has. Raises InvalidField."""
    if len(held) > bounds.MAX_WINDOW:
        raise InvalidField("held", f"at most {bounds.MAX_WINDOW}")
    leases: list[HeldLease] = []
    for place, each in enumerate(held):
        path = f"held[{place}]"
        elapsed = parse_optional_span_at(each, "elapsed", path, bounds.MAX_DELAY) or timedelta()
        leases.append(HeldLease(parse_id(each.job_id, f"{path}.job_id"), each.attempt, each.started, elapsed))
    return leases


def parse_window(window: worker_service_pb2.Window, path: str = "") -> Window:
    """Return a window. Raises InvalidField."""
    if window.max_in_flight > bounds.MAX_WINDOW:
        raise InvalidField(f"{path}.max_in_flight" if path else "max_in_flight", f"must be 0 to {bounds.MAX_WINDOW}")
    return Window(window.max_in_flight, window.max_bytes)


def parse_frame_bytes(size: int) -> int:
    """Return how large a Deliver frame may be. Raises InvalidField."""
    if size and not bounds.MIN_FRAME_BYTES <= size <= bounds.MAX_FRAME_BYTES:
        raise InvalidField("max_frame_bytes", f"must be {bounds.MIN_FRAME_BYTES} to {bounds.MAX_FRAME_BYTES}, or 0 for the default")
    return size or bounds.DEFAULT_FRAME_BYTES


def parse_optional_span_at(message: Any, field: str, path: str, high: timedelta) -> timedelta | None:
    """Return a Duration field of a message at `path`, None where it is unset. Raises InvalidField."""
    if not message.HasField(field):
        return None
    return parse_span(f"{path}.{field}" if path else field, getattr(message, field), timedelta(), high)


class Refusal(NamedTuple):
    """An item that is malformed; its lease stands."""

    job_id: str
    attempt: int
    message: str


class Outcomes(NamedTuple):
    """The outcomes of a frame: what to store, the worker's own text of each id, and what is malformed. dropped: large results."""

    items: list[Settlement]
    texts: list[str]
    refused: list[Refusal]
    dropped: frozenset[tuple[JobId, int]]


class SettleReader:
    """Reads Settle messages."""

    def __init__(self, specs: Specs, settle: Settle) -> None:
        self._specs = specs
        self._settle = settle

    def read(self, settle: RawSettle, handle: Handle) -> Outcomes:
        """Return the outcomes of a frame, each item judged for itself. Raises InvalidField where there are too many."""
        groups = settle.completed
        if len(settle.items) + sum(len(group.job_ids) for group in groups) > bounds.MAX_SETTLE_ITEMS:
            raise InvalidField("settle", f"at most {bounds.MAX_SETTLE_ITEMS} items")
        items: list[Settlement] = []
        texts: list[str] = []
        refused: list[Refusal] = []
        for group in groups:
            attempt, ids = group.attempt, list(group.job_ids)
            known = ids_of(ids)
            if known is None:
                ids, known = _good_ids(ids, attempt, refused)
            # Half the price of Settlement(...), which every completed job would pay.
            items += [make_tuple(Settlement, (job_id, attempt, handle, COMPLETE, False)) for job_id in known]
            texts += ids
        dropped: set[tuple[JobId, int]] = set()
        for item in settle.items:
            text, attempt = item.job_id, item.attempt
            try:
                job_id = parse_id(text, "job_id")
                outcome = self._outcome(item, job_id, attempt)
            except JobsError as error:
                if isinstance(error, PermissionDenied):
                    item_refused(error, text)
                refused.append(Refusal(text, attempt, error.message))
                continue
            if isinstance(outcome, Complete) and outcome.result_dropped:
                dropped.add((job_id, attempt))
            items.append(Settlement(job_id, attempt, handle, outcome))
            texts.append(text)
        return Outcomes(items, texts, refused, frozenset(dropped))

    def _outcome(self, item: RawSettleItem, job_id: JobId, attempt: int) -> Outcome:
        match item.WhichOneof("outcome"):
            case "complete":
                return self._complete(item.complete, job_id, attempt)
            case "fail":
                return _parse_fail(item.fail)
            case "snooze":
                return Snooze(delay=parse_optional_span(item.snooze, "delay", timedelta(), bounds.MAX_BACKOFF))
            case "release":
                cause = _CAUSES.get(item.release.reason)
                if cause is None:
                    raise InvalidField("release.reason", "is no known value")
                return Release(cause=cause)
            case "cancelled":
                return _CANCELLED
            case _:
                raise InvalidField("outcome", "is required")

    def _complete(self, complete: RawComplete, job_id: JobId, attempt: int) -> Complete:
        result, children = complete.result, list(complete.dispatch)
        if not children:
            if not result:
                return COMPLETE
            if len(result) <= bounds.MAX_RESULT_BYTES:
                return Complete(result=result)
        if len(children) > bounds.MAX_BATCH_ITEMS:
            raise InvalidField("complete.dispatch", f"at most {bounds.MAX_BATCH_ITEMS} jobs")
        drafts: list[Draft] = []
        for place, envelope in enumerate(children):
            try:
                if not parse_spec(envelope).id:
                    envelope += _ID_PREFIX + format_id(self._settle.child_id(job_id, attempt, place)).encode()
                draft = self._specs.draft(envelope)
                check_draft(draft, access_by(DISPATCH))
                drafts.append(draft)
            except JobsError as error:
                raise under(error, f"complete.dispatch[{place}]") from None
        dropped = len(result) > bounds.MAX_RESULT_BYTES
        new_jobs = self._settle.children(job_id, drafts)
        return Complete(result=None if dropped or not result else result, children=new_jobs, result_dropped=dropped)


def _good_ids(texts: Sequence[str], attempt: int, refused: list[Refusal]) -> tuple[list[str], list[JobId]]:
    good: list[str] = []
    ids: list[JobId] = []
    for text in texts:
        try:
            ids.append(parse_id(text, "job_id"))
            good.append(text)
        except InvalidField as error:
            refused.append(Refusal(text, attempt, error.message))
    return good, ids


def _parse_fail(fail: worker_service_pb2.Fail) -> Fail:
    checkpoint = fail.checkpoint if fail.HasField("checkpoint") else None
    _check_checkpoint(checkpoint, "fail.checkpoint")
    return Fail(
        error=JobError(
            type=_cut(fail.error.type, bounds.MAX_ERROR_TYPE_BYTES),
            message=_cut(fail.error.message, bounds.MAX_ERROR_MESSAGE_BYTES),
            stack=_cut(fail.error.stack, bounds.MAX_ERROR_STACK_BYTES),
        ),
        retryable=fail.retryable if fail.HasField("retryable") else True,
        retry_after=parse_optional_span_at(fail, "retry_after", "fail", bounds.MAX_BACKOFF),
        checkpoint=checkpoint,
    )


def _check_checkpoint(checkpoint: bytes | None, field: str) -> None:
    if checkpoint is not None and len(checkpoint) > bounds.MAX_CHECKPOINT_BYTES:
        raise InvalidField(field, f"at most {bounds.MAX_CHECKPOINT_BYTES} bytes")


def _cut(text: str, max_bytes: int) -> str:
    """Return text that a store can hold: without NUL, cut at a character."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    data = text.encode()
    return text if len(data) <= max_bytes else data[:max_bytes].decode(errors="ignore")


def parse_update(update: worker_service_pb2.Update, handle: Handle) -> tuple[list[News], list[Refusal]]:
    """Return news of running attempts, and the malformed items. Raises InvalidField where there are too many."""
    if len(update.items) > bounds.MAX_UPDATE_ITEMS:
        raise InvalidField("update.items", f"at most {bounds.MAX_UPDATE_ITEMS}")
    news: list[News] = []
    refused: list[Refusal] = []
    for item in update.items:
        try:
            checkpoint = item.checkpoint if item.HasField("checkpoint") else None
            _check_checkpoint(checkpoint, "checkpoint")
            progress = _parse_progress(item) if item.HasField("progress") else None
            news.append(News(parse_id(item.job_id, "job_id"), item.attempt, handle, progress, checkpoint))
        except InvalidField as error:
            refused.append(Refusal(item.job_id, item.attempt, error.message))
    return news, refused


def _parse_progress(item: worker_service_pb2.UpdateItem) -> Progress:
    ratio = item.progress.ratio
    if not 0.0 <= ratio <= 1.0:  # NaN is refused too
        raise InvalidField("progress.ratio", "must be 0.0 to 1.0")
    # The store sets the time.
    return Progress(ratio=ratio, message=_cut(item.progress.message, bounds.MAX_PROGRESS_MESSAGE_BYTES), at=EPOCH)
