"""How much there is to do for some workers, and how often the store is asked for it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from protojobs_service.application import Share, Work
from protojobs_service.application.queues import QueueStats
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import QueueNumbers

from tests.unit.application.stand import Outage, Stand, open_stand

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    """Give an application over an empty store."""
    opened = await open_stand()
    yield opened
    await opened.driver.close()


async def _work(stand: Stand, *queues: str, kinds: tuple[str, ...] = ()) -> Work:
    """Return the work as it is now, whatever was looked at before."""
    stand.clock.now += 1
    return await stand.application.scaling.work(Share(queues, kinds))


async def test_what_runs_counts_beside_what_waits(stand: Stand) -> None:
    await stand.dispatch(5, "mail")
    await stand.worker({"mail": 1}, window=2)
    await stand.claim()

    assert await _work(stand, "mail") == Work(waiting=3, running=2)


async def test_what_has_ended_counts_no_more(stand: Stand) -> None:
    await stand.dispatch(2, "mail")
    worker = await stand.worker({"mail": 1})
    await stand.claim()
    await worker.settle()

    assert await _work(stand, "mail") == Work(waiting=0, running=0)


async def test_queues_are_added_up_by_name_and_by_glob_each_once(stand: Stand) -> None:
    for queue, jobs in (("mail", 1), ("news.a", 2), ("news.b", 4), ("other", 8)):
        await stand.dispatch(jobs, queue)

    assert await _work(stand, "mail", "other", "mail") == Work(9, 0)
    assert await _work(stand, "news.*", "news.a", "mail") == Work(7, 0)
    assert await _work(stand, "news.?") == Work(6, 0)
    assert await _work(stand, "*") == Work(15, 0)


async def test_a_queue_that_nobody_has_used_yet_has_no_work(stand: Stand) -> None:
    await stand.dispatch(3, "mail")

    assert await _work(stand, "new") == Work(0, 0)
    assert await _work(stand, "new", "mail") == Work(3, 0)


async def test_kinds_count_by_name_and_by_glob(stand: Stand) -> None:
    for kind, jobs in (("email", 3), ("report.daily", 4), ("report.weekly", 5)):
        await stand.dispatch(jobs, "mixed", kind)
    await stand.worker({"mixed": 1}, kinds=frozenset({"report.daily"}), window=1)
    await stand.claim()

    assert await _work(stand, "mixed", kinds=("email",)) == Work(3, 0)
    assert await _work(stand, "mixed", kinds=("report.*",)) == Work(8, 1)
    assert await _work(stand, "mixed", kinds=("none",)) == Work(0, 0)


async def test_a_paused_queue_has_only_what_runs(stand: Stand) -> None:
    await stand.dispatch(3, "mail")
    await stand.worker({"mail": 1}, window=1)
    await stand.claim()
    await stand.application.queues.pause("mail")

    assert await _work(stand, "mail") == Work(waiting=0, running=1)


async def test_what_a_share_leaves_out_does_not_count(stand: Stand) -> None:
    await stand.dispatch(3, "mail")
    await stand.worker({"mail": 1}, window=1)
    await stand.claim()
    scaling = stand.application.scaling

    assert await scaling.work(Share(("mail",), states=frozenset({State.PENDING}))) == Work(2, 0)
    assert await scaling.work(Share(("mail",), states=frozenset({State.RUNNING}))) == Work(0, 1)


async def test_what_falls_due_soon_counts_where_that_is_wanted(stand: Stand) -> None:
    await stand.dispatch(1, "mail")
    for kind, delay in (("email", 10), ("report", 20), ("email", 40)):
        drafts = stand.drafts(1, "mail", kind, delay=timedelta(seconds=delay))
        await stand.driver.jobs.dispatch([draft.job for draft in drafts])
    scaling = stand.application.scaling
    soon = frozenset({State.PENDING, State.SCHEDULED})

    assert await scaling.work(Share(("mail",))) == Work(1, 0)
    assert await scaling.work(Share(("mail",), states=soon)) == Work(3, 0)
    assert await scaling.work(Share(("mail",), ("report",), soon)) == Work(1, 0)
    assert await scaling.work(Share(("mail",), states=frozenset({State.SCHEDULED}))) == Work(2, 0)


async def test_jobs_whose_kind_nobody_knows_yet_count_for_every_kind(stand: Stand) -> None:
    numbers = QueueNumbers(queue="topic", counts={State.PENDING: 100}, pending_by_kind={"a": (10, None), "b": (20, None)})

    async def stats(queue: str | None) -> tuple[list[QueueNumbers], object]:
        return [numbers], stand.clock.store_time()

    stand.driver.queues.stats = stats  # type: ignore[method-assign,assignment] # 70 of them lie in a topic

    assert await _work(stand, "topic", kinds=("a",)) == Work(80, 0)
    assert await _work(stand, "topic") == Work(100, 0)


async def test_the_store_is_asked_once_a_second_for_all_who_ask(stand: Stand) -> None:
    await stand.dispatch(1, "mail")
    asked = Outage(stand.driver.queues, "stats")
    asked.is_on = False
    scaling = stand.application.scaling

    for queue in ("mail", "other", "*"):
        await scaling.work(Share((queue,)))
    await stand.application.recent_stats.look()
    assert asked.calls == 1

    await stand.dispatch(1, "mail")
    stand.clock.now += 0.9
    assert await scaling.work(Share(("mail",))) == Work(1, 0)
    stand.clock.now += 0.1
    assert await scaling.work(Share(("mail",))) == Work(2, 0)
    assert asked.calls == 2


async def test_a_store_that_fails_is_asked_no_more_often(stand: Stand) -> None:
    asked = Outage(stand.driver.queues, "stats")
    scaling = stand.application.scaling

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await scaling.work(Share(("mail",)))
    assert asked.calls == 1

    asked.is_on = False
    stand.clock.now += 1
    assert await scaling.work(Share(("mail",))) == Work(0, 0)


async def test_one_look_is_weighed_once_for_all_who_share_a_trigger(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.dispatch(1, "mail")
    weighed: list[str] = []
    original = "protojobs_service.application.scaling._work"

    def work(stats: QueueStats, share: Share, soon: object) -> Work:
        weighed.append(stats.numbers.queue)
        return Work(1, 0)

    monkeypatch.setattr(original, work)
    for _ in range(3):
        await stand.application.scaling.work(Share(("mail",)))

    assert weighed == ["mail"]
