"""The client for everybody without an event loop."""

import functools
import weakref
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from protojobs_client.admin import Admin
from protojobs_client.async_client import AsyncClient
from protojobs_client.listen import AsyncListener, Listener
from protojobs_client.loop_thread import LoopThread
from protojobs_client.middleware import ClientEvent, ClientMiddleware
from protojobs_client.options import Options
from protojobs_client.pages import AsyncPages, Pages
from protojobs_client.payload import Codec
from protojobs_client.watch import AsyncWatch, Watch

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class Client:
    """Dispatches jobs and looks at them.

        with Client("127.0.0.1:50051") as client:
            job = client.dispatch("send_email", {"to": "ann@example.com"}, queue="emails")
            result = client.wait(job.job_id, timeout=60)

    Does what `AsyncClient` does, on an event loop in a thread of its own: one channel and one dispatch stream for
    all threads of the process. Make one per process and keep it. It may be made before a fork, but once any client
    was used, forked children cannot use one (ClientForkedError): gRPC does not survive it. Ctrl-C ends a waiting call.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        options: Options | None = None,
        codec: Codec | None = None,
        middleware: Sequence[ClientMiddleware] = (),
    ) -> None:
        """Without `options` they come from the environment; an `address` goes before theirs."""
        self._serve(AsyncClient(address, options=options, codec=codec, middleware=middleware))

    def _serve(self, client: AsyncClient) -> None:
        """Do what this client does on a thread of its own."""
        self._client = client
        self._thread = LoopThread(self._client.close)
        self._stop = weakref.finalize(self, self._thread.stop)  # also when the interpreter ends

    @staticmethod
    def _blocking(
        method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, ResultT]],
    ) -> "Callable[Concatenate[Client, P], ResultT]":
        """Make the method of `Client` that waits for one of `AsyncClient`."""

        def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
            bound: Callable[P, Coroutine[Any, Any, ResultT]] = getattr(self._client, method.__name__)  # a fake has its own
            return self._thread.run(bound(*args, **kwargs))

        functools.update_wrapper(call, method)
        return call

    @staticmethod
    def _paged(
        method: Callable[Concatenate[AsyncClient, P], AsyncPages[ItemT]],
    ) -> "Callable[Concatenate[Client, P], Pages[ItemT]]":
        """Make the method of `Client` that lists what one of `AsyncClient` lists."""

        def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Pages[ItemT]:
            bound: Callable[P, AsyncPages[ItemT]] = getattr(self._client, method.__name__)
            return Pages(bound(*args, **kwargs), self._thread.run)

        functools.update_wrapper(call, method)
        return call

    @staticmethod
    def _watched(
        method: Callable[Concatenate[AsyncClient, P], AsyncWatch[ItemT]],
    ) -> "Callable[Concatenate[Client, P], Watch[ItemT]]":
        """Make the method of `Client` that iterates over what one of `AsyncClient` iterates over."""

        def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Watch[ItemT]:
            return Watch(method(self._client, *args, **kwargs), self._thread.run)

        functools.update_wrapper(call, method)
        return call

    @staticmethod
    def _listening(
        method: Callable[Concatenate[AsyncClient, P], AsyncListener],
    ) -> "Callable[Concatenate[Client, P], Listener]":
        """Make the method of `Client` that listens on a thread."""

        def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Listener:
            return method(self._client, *args, **kwargs).on_thread(self._thread.run)

        functools.update_wrapper(call, method)
        return call

    @functools.cached_property
    def admin(self) -> Admin:
        """Return what administrators ask for: tokens and the audit log."""
        return Admin(self._client.admin, self._thread)

    def on(self, event: ClientEvent, hook: Callable[..., object] | None = None) -> Any:
        """Call `hook` at every such event; without a hook, a decorator. See `protojobs_client.middleware`."""
        return self._client.on(event, hook)

    dispatch = _blocking(AsyncClient.dispatch)
    dispatch_later = _blocking(AsyncClient.dispatch_later)
    dispatch_many = _blocking(AsyncClient.dispatch_many)
    dispatch_encoded = _blocking(AsyncClient.dispatch_encoded)
    schedule_at = _blocking(AsyncClient.schedule_at)
    schedule_in = _blocking(AsyncClient.schedule_in)

    schedule_every = _blocking(AsyncClient.schedule_every)
    schedule_hourly = _blocking(AsyncClient.schedule_hourly)
    schedule_daily = _blocking(AsyncClient.schedule_daily)
    schedule_weekly = _blocking(AsyncClient.schedule_weekly)
    schedule_cron = _blocking(AsyncClient.schedule_cron)
    schedule = _blocking(AsyncClient.schedule)
    sync_schedules = _blocking(AsyncClient.sync_schedules)
    schedules = _paged(AsyncClient.schedules)
    get_schedule = _blocking(AsyncClient.get_schedule)
    pause_schedule = _blocking(AsyncClient.pause_schedule)
    resume_schedule = _blocking(AsyncClient.resume_schedule)
    trigger_schedule = _blocking(AsyncClient.trigger_schedule)
    delete_schedule = _blocking(AsyncClient.delete_schedule)
    preview_schedule = _blocking(AsyncClient.preview_schedule)

    get = _blocking(AsyncClient.get)
    list = _paged(AsyncClient.list)
    failed_jobs = _paged(AsyncClient.failed_jobs)
    attempts = _paged(AsyncClient.attempts)
    wait = _blocking(AsyncClient.wait)
    result = _blocking(AsyncClient.result)
    cancel = _blocking(AsyncClient.cancel)
    retry = _blocking(AsyncClient.retry)
    payload = _blocking(AsyncClient.payload)
    update_job = _blocking(AsyncClient.update_job)
    delete = _blocking(AsyncClient.delete)
    bulk_jobs = _paged(AsyncClient.bulk_jobs)

    queues = _paged(AsyncClient.queues)
    queue = _blocking(AsyncClient.queue)
    update_queue = _blocking(AsyncClient.update_queue)
    pause = _blocking(AsyncClient.pause)
    resume = _blocking(AsyncClient.resume)
    delete_queue = _blocking(AsyncClient.delete_queue)
    clear = _blocking(AsyncClient.clear)
    stats = _blocking(AsyncClient.stats)

    watch_jobs = _watched(AsyncClient.watch_jobs)
    listen = _listening(AsyncClient.listen)
    watch_stats = _watched(AsyncClient.watch_stats)

    workers = _paged(AsyncClient.workers)
    drain_worker = _blocking(AsyncClient.drain_worker)
    server_info = _blocking(AsyncClient.server_info)
    health = _blocking(AsyncClient.health)

    def close(self) -> None:
        """Finish dispatches that are under way, for at most 5 s, and close the channel. May be repeated."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
