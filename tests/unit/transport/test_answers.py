"""Answers that nobody reads, without a network: a call's task stands until its answer has been sent."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from protojobs_service.domain.access import Principal
from protojobs_service.domain.errors import NOT_NOW, Overloaded, StoreUnavailable
from protojobs_service.transport.answers import Answers
from protojobs_service.transport.caller import calling

from tests.unit.transport.test_limits import ABROAD, make_call

pytestmark = pytest.mark.asyncio

LARGE = b"x" * 20_000
LIST, DISPATCH = "/protojobs.v1.JobService/ListJobs", "/protojobs.v1.JobService/DispatchBatch"


class Sending:
    """Calls whose answers are sent when a test says so."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._sent = asyncio.Event()

    async def ask(self, answer: bytes = LARGE, *, peer: str = ABROAD, path: str = LIST, **rpc: Any) -> "asyncio.Task[None]":
        """Run a call up to its answer. Raises Overloaded, StoreUnavailable."""
        ready = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                ready.set_result(await self._answers(make_call(peer=peer, path=path, **rpc), self._give(answer)))
            except NOT_NOW as error:
                ready.set_exception(error)
                return
            await self._sent.wait()

        task = asyncio.create_task(run())
        await ready
        return task

    @staticmethod
    def _give(answer: bytes) -> Any:
        async def proceed(_call: Any) -> bytes:
            return answer

        return proceed

    async def send(self, *tasks: "asyncio.Task[None]") -> None:
        """Send what is on its way."""
        self._sent.set()
        await asyncio.gather(*tasks)


async def _is_refused(asked: Awaitable[Any]) -> bool:
    try:
        await asked
    except Overloaded:
        return True
    return False


async def test_a_caller_that_reads_nothing_gets_no_more_and_others_do() -> None:
    answers = Answers(max_bytes=8 * len(LARGE))
    sending = Sending(answers)

    first = [await sending.ask() for _ in range(2)]
    refused = await _is_refused(sending.ask())
    other = await sending.ask(peer="ipv4:192.0.2.2:1")
    with calling(Principal(id="token:1", name="n")):
        known = await sending.ask()
    unread = answers.bytes
    await sending.send(*first, other, known)

    assert refused
    assert unread == 4 * len(LARGE)
    assert (answers.bytes, answers.refused) == (0, 1)
    assert not await _is_refused(sending.ask())


async def test_all_callers_together_have_a_bound() -> None:
    answers = Answers(max_bytes=4 * len(LARGE))
    sending = Sending(answers)

    tasks = [await sending.ask(peer=f"ipv4:192.0.2.{n}:1") for n in range(4)]

    assert await _is_refused(sending.ask(peer="ipv4:192.0.2.9:1"))
    await sending.send(*tasks)
    assert answers.bytes == 0


async def test_a_call_that_is_cut_off_counts_no_more() -> None:
    answers = Answers(max_bytes=4 * len(LARGE))
    task = await Sending(answers).ask()

    task.cancel()
    await asyncio.wait([task])

    assert answers.bytes == 0


async def test_one_answer_goes_whatever_its_size_and_small_ones_and_streams_always() -> None:
    answers = Answers(max_bytes=4)
    sending = Sending(answers)

    tasks = [await sending.ask(), await sending.ask(b"small"), await sending.ask(streams_out=True)]

    assert answers.bytes == len(LARGE)
    await sending.send(*tasks)


async def test_a_call_that_has_changed_something_is_not_said_to_be_refused() -> None:
    answers = Answers(max_bytes=4)
    sending = Sending(answers)
    first = await sending.ask()

    with pytest.raises(StoreUnavailable):
        await sending.ask(path=DISPATCH)

    assert answers.refused == 1
    await sending.send(first)
