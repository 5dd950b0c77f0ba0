"""`protojobs smoke`: takes one job through a server, as a producer and a worker do."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Annotated

import typer
from protojobs_client import (
    AsyncClient,
    DispatchOptions,
    Options,
    ProtoJobsError,
    RetryPolicy,
    UnavailableError,
    WaitTimeoutError,
)
from protojobs_client.errors import PermissionDeniedError, QueueNotFoundError

from protojobs_service.cli.connection import AddressOption, connection_options, refusals_told
from protojobs_service.cli.output import ExitCode, JsonFlag, clean, fail, print_json, show_span
from protojobs_service.cli.values import parse_span

_KIND = "protojobs.smoke"
_TIDYING = 5.0  # s


@dataclass(frozen=True, slots=True)
class Passed:
    """A job that went all the way. left: what could not be removed again, of job and queue."""

    job_id: str
    queue: str
    took: timedelta
    left: tuple[str, ...]


def smoke(
    queue: Annotated[
        str, typer.Option("--queue", "-q", help="Queue to use; where it is new, it is removed again.")
    ] = "protojobs-smoke",
    timeout: Annotated[str, typer.Option(help="Give up after this long, also where nobody answers.")] = "30s",
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Dispatch a job, lease and complete it here, and remove it: does a server work, to its store and back?

    Needs the scopes producer and worker on the queue; without operator the job stays, and the queue.
    """
    patience = parse_span(timeout, "--timeout")
    if not patience:
        raise typer.BadParameter("must be more than 0 s", param_hint="--timeout")
    try:
        options = connection_options(address, call_timeout=patience, streaming=False)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    with refusals_told(options.address, as_json=as_json):
        passed = asyncio.run(_run(options, queue, patience))
    if as_json:
        print_json(passed)
        return
    left = f"; left behind: {', '.join(passed.left)}" if passed.left else ""
    typer.echo(clean(f"{queue}: job {passed.job_id} dispatched, leased and completed in {show_span(passed.took)}{left}"))


async def _run(options: Options, queue: str, patience: timedelta) -> Passed:
    """Raises ProtoJobsError for whatever keeps the job from its completion."""
    async with AsyncClient(options=options) as client:
        trial = _Trial(client, options, queue)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                took = await trial.run(patience)
        except ProtoJobsError:
            await trial.tidy(unfinished=True)
            raise
        except TimeoutError:
            await trial.tidy(unfinished=True)
            if not trial.job_id:
                raise UnavailableError(f"none within {show_span(patience)}") from None
            raise WaitTimeoutError(f"job {trial.job_id} was not completed within {show_span(patience)}") from None
        return Passed(trial.job_id, queue, took, await trial.tidy())


class _Trial:
    """One job of its own. job_id: empty until it is stored."""

    def __init__(self, client: AsyncClient, options: Options, queue: str) -> None:
        self.job_id = ""
        self._client = client
        self._options = options
        self._queue = queue
        self._is_new = False

    async def run(self, patience: timedelta) -> timedelta:
        """Store the job and serve its queue until it is completed; return how long that took. Raises ProtoJobsError."""
        self._is_new = await self._finds_no_queue()
        # By the server's clock, as this machine's may be wrong: nobody runs what this process leaves behind when it is killed.
        now = (await self._client.server_info()).server_time
        options: DispatchOptions = {"queue": self._queue, "retry": RetryPolicy(max_retries=0)}
        if now is not None:
            options["expire_at"] = now + patience
        began = monotonic()
        self.job_id = (await self._client.dispatch(_KIND, **options)).job_id
        await self._serve_until_done()
        return timedelta(seconds=monotonic() - began)

    async def tidy(self, *, unfinished: bool = False) -> tuple[str, ...]:
        """Remove the job, and the queue if it was new and is empty; return what is left. unfinished: cancel the job first."""
        left = ["job"] if self.job_id else []
        left += ["queue"] if self._is_new else []
        # Whoever may not remove them is told what is left, and that is all.
        with suppress(ProtoJobsError, TimeoutError):
            async with asyncio.timeout(_TIDYING):
                if unfinished and self.job_id:
                    await self._client.cancel(self.job_id)
                if self.job_id:
                    await self._client.delete(self.job_id)
                    left.remove("job")
                if self._is_new:
                    await self._client.delete_queue(self._queue)
                    left.remove("queue")
        return tuple(left)

    async def _finds_no_queue(self) -> bool:
        """Tell whether the queue is new; False where that may not be asked."""
        try:
            await self._client.queue(self._queue)
        except QueueNotFoundError:
            return True
        except PermissionDeniedError:
            pass
        return False

    async def _serve_until_done(self) -> None:
        """Be the worker of the queue until the job has ended. Raises ProtoJobsError unless it is completed."""
        from protojobs_worker import ExitReason, Worker

        worker = Worker(self._options, queues=[self._queue], concurrency=1, name="protojobs smoke")
        worker.handler(_KIND, inline=True)(lambda: None)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(self._ended())
            serving = tasks.create_task(worker.serve())
            serving.add_done_callback(lambda _: waiting.cancel())
            await asyncio.wait([waiting])
            worker.stop()
        if waiting.cancelled():  # the worker's own log has said more
            if serving.result() is ExitReason.REFUSED:
                raise ProtoJobsError(f"the server takes no worker of queue {self._queue} from this caller")
            raise ProtoJobsError(f"the worker had to leave before the job was completed: {serving.result().label}")
        if (error := waiting.result()) is not None:
            raise error

    async def _ended(self) -> ProtoJobsError | None:
        """Return once the job has ended, with what keeps it from being completed."""
        try:
            await self._client.wait(self.job_id)
        except ProtoJobsError as error:
            return error
        return None
