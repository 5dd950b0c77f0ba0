"""What the worker of the program can run: one kind for each way in which a handler can end."""

import asyncio
import json
import time
from typing import Any, cast

from protojobs_client import JobRequest
from protojobs_worker import Cancel, Complete, Discard, InvalidPayload, JobContext, Snooze, Worker

KINDS = (
    "echo",
    "noop",
    "fail_twice",
    "fail",
    "nonretryable",
    "snooze_once",
    "sleep",
    "stubborn",
    "checkpoint",
    "progress",
    "odd",
    "big",
    "typed",
    "chain",
    "discard",
    "cancel",
)

_STEP_SECONDS = 0.05
_BIG = 5 * 1024 * 1024


class NoLuck(Exception):
    """A failure, of the same name in every language."""

    __module__ = "builtins"  # whose errors are told without their module


class Odd(BaseException):
    """What a handler should not raise: no `except Exception` catches it."""


def register(worker: Worker, kinds: list[str]) -> None:
    """Let a worker run these kinds. Raises KeyError for one that is none of ours."""
    for kind in kinds:
        worker.handler(kind, should_retry=_may_retry)(_HANDLERS[kind])


def _may_retry(error: BaseException) -> bool:
    return not isinstance(error, PermissionError)


async def echo(ctx: JobContext) -> bytes:
    return ctx.payload


async def noop(ctx: JobContext) -> None:
    del ctx


async def fail_twice(ctx: JobContext) -> bytes:
    if ctx.failures < 2:
        raise NoLuck(f"no luck, attempt {ctx.attempt}: žluť")
    return str(ctx.attempt).encode()


async def fail(ctx: JobContext) -> None:
    raise NoLuck(f"no luck, attempt {ctx.attempt}: žluť")


async def nonretryable(ctx: JobContext) -> None:
    raise PermissionError(f"not again, attempt {ctx.attempt}")


async def snooze_once(ctx: JobContext) -> None:
    if ctx.attempt == 1:
        raise Snooze(1)


async def sleep(ctx: JobContext) -> None:
    await asyncio.sleep(_seconds(ctx))


def stubborn(ctx: JobContext) -> None:
    end = time.monotonic() + _seconds(ctx)
    while time.monotonic() < end:
        time.sleep(_STEP_SECONDS)


async def checkpoint(ctx: JobContext) -> bytes:
    if not ctx.checkpoint:
        ctx.save_checkpoint(b"half")
        raise NoLuck("half of it")
    return ctx.checkpoint


async def progress(ctx: JobContext) -> None:
    for percent in (10, 50, 100):
        ctx.progress(percent / 100, f"{percent} %")


async def odd(ctx: JobContext) -> None:
    raise Odd(ctx.kind)


async def big(ctx: JobContext) -> bytes:
    del ctx
    return bytes(_BIG)


async def typed(ctx: JobContext) -> bytes:
    data = ctx.data
    value: object = cast("dict[str, Any]", data).get("n") if isinstance(data, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidPayload("n: must be a whole number")
    return str(value + 1).encode()


async def chain(ctx: JobContext) -> Complete:
    return Complete(dispatch=[JobRequest("noop").on_queue(ctx.queue)])


async def discard(ctx: JobContext) -> Discard:
    del ctx
    return Discard("not wanted")


async def cancel(ctx: JobContext) -> Cancel:
    del ctx
    return Cancel("not wanted")


def _seconds(ctx: JobContext) -> float:
    return float(json.loads(ctx.payload)["seconds"])


_HANDLERS = {kind: globals()[kind] for kind in KINDS}
