"""Job classes: one class says what a kind of job is, for producers and for the worker."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from protojobs_client.models import RetryPolicy, Seconds
from protojobs_client.request import HasRequest, JobOptions, JobRequest, merged_retry, span
from protojobs_client.unique import OnConflict, UniqueScope


class _SettingAndOption:
    """Is the setting's value on the class and the fluent option of the same name on an instance."""

    def __init__(self, name: str, value: object) -> None:
        self._name = name
        self._value = value

    def __get__(self, instance: "Job | None", owner: type["Job"]) -> Any:
        return self._value if instance is None else getattr(instance.request(), self._name)


class Job:
    """A kind of job. Subclass it, set what differs from the queue's defaults, and write `handle`.

        class SendEmail(Job):
            queue = "emails"
            max_retries = 3
            retry_delay = 60
            timeout = 120

            async def handle(self, ctx): ...

        client.dispatch(SendEmail, {"to": "ann@example.com"})
        client.dispatch(SendEmail({"to": "ann@example.com"}).on_queue("urgent").delay(30))

    `timeout` and `priority` are settings on the class and fluent options on an instance. A type checker that sees
    only the setting takes `SendEmail(data).request().timeout(5)`.
    """

    kind: ClassVar[str] = ""  # default: name of the class
    queue: ClassVar[str | None] = None
    max_retries: ClassVar[int | None] = None  # retries after the first run
    retry_delay: ClassVar[Seconds | None] = None  # before the first retry
    retry: ClassVar[RetryPolicy | None] = None  # everything else about retries
    labels: ClassVar[Mapping[str, str]] = {}
    timeout: ClassVar[Any] = _SettingAndOption("timeout", None)  # longest run of one attempt
    priority: ClassVar[Any] = _SettingAndOption("priority", None)  # 1 to 9, higher first

    def __init__(self, data: Any = None, /) -> None:
        self.data = data

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" not in vars(cls):
            cls.kind = cls.__name__
        for name in ("timeout", "priority"):
            if name in vars(cls):
                setattr(cls, name, _SettingAndOption(name, vars(cls)[name]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @classmethod
    def defaults(cls) -> JobOptions:
        """Return the options that the class sets."""
        policy = RetryPolicy(
            max_retries=cls.max_retries,
            initial_backoff=None if cls.retry_delay is None else span(cls.retry_delay),
        )
        return JobOptions(
            queue=cls.queue,
            priority=cls.priority,
            run_timeout=None if cls.timeout is None else span(cls.timeout),
            retry=merged_retry(policy, cls.retry or RetryPolicy()),
            labels=dict(cls.labels),
        )

    def request(self) -> JobRequest:
        """Return what a dispatch of this job asks for."""
        return JobRequest(self.kind, self.data, self.defaults())

    def on_queue(self, queue: str) -> JobRequest:
        """Send it to this queue."""
        return self.request().on_queue(queue)

    def retries(self, count: int) -> JobRequest:
        """Retry it up to `count` times after its first run."""
        return self.request().retries(count)

    def retry_after(self, backoff: Seconds) -> JobRequest:
        """Wait this long before the first retry; later waits grow."""
        return self.request().retry_after(backoff)

    def delay(self, delay: Seconds) -> JobRequest:
        """Start it this long after it was stored."""
        return self.request().delay(delay)

    def at(self, run_at: datetime) -> JobRequest:
        """Start it at this time."""
        return self.request().at(run_at)

    def expires_at(self, expire_at: datetime) -> JobRequest:
        """End it as EXPIRED if it still waits then."""
        return self.request().expires_at(expire_at)

    def keep_result(self, result_retention: Seconds) -> JobRequest:
        """Keep its result this long, at most as long as the queue keeps the job."""
        return self.request().keep_result(result_retention)

    def unique(
        self,
        key: str,
        *,
        scope: UniqueScope = UniqueScope.UNTIL_DONE,
        window: Seconds | None = None,
        on_conflict: OnConflict = OnConflict.REJECT,
    ) -> JobRequest:
        """Let at most one job of this key be in its queue; see `Unique`."""
        return self.request().unique(key, scope=scope, window=window, on_conflict=on_conflict)

    def label(self, key: str, value: str) -> JobRequest:
        """Add a label, to find it by."""
        return self.request().label(key, value)

    def header(self, key: str, value: str) -> JobRequest:
        """Add a header, to tell its handler."""
        return self.request().header(key, value)

    def on_complete(self, *jobs: JobRequest | HasRequest | str) -> JobRequest:
        """Store these jobs as well, in the transaction that completes it."""
        return self.request().on_complete(*jobs)

    def on_failed(self, *jobs: JobRequest | HasRequest | str) -> JobRequest:
        """Store these jobs as well, in the transaction in which it fails for good."""
        return self.request().on_failed(*jobs)

    def fairness_key(self, key: str) -> JobRequest:
        """Let it take from this key's share of a fair queue."""
        return self.request().fairness_key(key)

    def concurrency_key(self, key: str) -> JobRequest:
        """Run no more jobs of this key at once than the queue's `per_key_limit`: one, unless it says otherwise."""
        return self.request().concurrency_key(key)

    def with_id(self, job_id: str) -> JobRequest:
        """Choose its id, a UUIDv7; dispatching the same id again never runs it twice."""
        return self.request().with_id(job_id)

    def handle(self, ctx: Any) -> Any:
        """Do the work; the worker calls it. May be `async def`. What it returns is the job's result."""
        raise NotImplementedError(f"{type(self).__name__} has no handle()")

    def failed(self, ctx: Any, error: BaseException) -> Any:
        """Hear that the job has failed for good. May be `async def`. Default: nothing."""

    def should_retry(self, error: BaseException) -> bool:  # noqa: ARG002 - for overriders
        """Return False to stop retries after this error. It can never add any."""
        return True
