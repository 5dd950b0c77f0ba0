"""Lists in the filter language: every driver finds just the jobs for which the filter holds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
from protojobs_service.domain.filter import Facts
from protojobs_service.domain.filter_text import parse
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.drivers.sql import jobs as sql_jobs
from protojobs_service.drivers.sql.cold import listing
from protojobs_service.port import Driver, ListQuery

from tests.contract.acts import FAIL, MINUTE, claim, connect, list_all, new_id, new_job, record, settle_well, store_all
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

PARENT = JobId(UUID("01890a5d-ac96-774b-bcce-b302099a8057").bytes)
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8058"


@pytest.fixture(params=["large spans", "small spans"])
def spans(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SQL drivers look at two jobs a statement, or at as many as they do."""
    if request.param == "small spans":
        monkeypatch.setattr(sql_jobs, "_FIRST_LOOK", 2)
        monkeypatch.setattr(sql_jobs, "_LONGEST_LOOK", 2)
        monkeypatch.setattr(listing, "_CROWD", 0)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def _population(driver: Driver, clock: Clock) -> tuple[Sequence[JobRecord], datetime]:
    """Store jobs of several queues, kinds, labels and states; return them, newest first, and a time between. One is deleted."""
    old = [
        new_job("mail", "send", labels={"team": "a", "city": "Ústí nad Labem"}),
        new_job("mail", "send", labels={"team": "b"}),
        new_job("mail", "digest", parent=PARENT),
        new_job("files", "send", labels={"team": "a "}),
        new_job("files", "send"),
    ]
    await store_all(driver, old)
    worker = await connect(driver, "mail", "files")
    first, second, third, *_ = await claim(driver, worker, limit=3)
    await settle_well(driver, worker, first, COMPLETE)
    await settle_well(driver, worker, second, FAIL)
    await driver.jobs.cancel([old[4].id], MINUTE)
    assert third.id == old[2].id
    await clock.advance(MINUTE)
    between = await driver.ping()
    new = [
        new_job("mail", "send", delay=MINUTE),
        new_job("files", "zip", labels={"team": "b", "city": "Oslo"}),
        new_job("mail", "zip"),
    ]
    gone = new_job("mail", "send", labels={"team": "a"})
    await store_all(driver, [*new, gone])
    await driver.jobs.delete([gone.id])
    found = [await record(driver, job.id) for job in [*old, *new]]
    return found[::-1], between


@pytest.mark.usefixtures("spans")
async def test_filters_find_the_jobs_for_which_they_hold(driver: Driver, clock: Clock) -> None:
    jobs, between = await _population(driver, clock)
    assert {job.state for job in jobs} == set(State) - {State.FAILED, State.EXPIRED}
    texts = {
        "": 8,
        "queue = mail": 5,
        "queue != mail": 3,
        "queue in (mail, files) and kind not in (send, zip)": 1,
        "queue = mail and queue = files": 0,
        "queue = nowhere": 0,
        "kind = zip": 2,
        "state = pending": 3,
        "state = running": 1,
        "state in (scheduled, retrying)": 2,
        "state != completed and queue = mail": 4,
        "state = completed": 1,
        "state = completed and state = pending": 0,
        "state not in (completed, pending, running)": 3,
        "state in (failed, cancelled, expired)": 1,
        "label.team = a": 1,
        'label.team = "a "': 1,
        "label.team in (a, b)": 3,
        "label.team in (a, b) and state = pending": 1,
        'label.team = b and label.city = "Oslo"': 1,
        'label.city = "Ústí nad Labem"': 1,
        "label.Team = a": 0,
        f"created < {_text(between)}": 5,
        f"created >= {_text(between)}": 3,
        f"created > {_text(max(job.created_at for job in jobs))}": 0,
        f"created >= {_text(jobs[0].created_at)} and created <= {_text(jobs[0].created_at)} and kind = zip and queue = mail": 1,
        f"created < {_text(between)} and state = pending and queue = files": 1,
        f"parent = {UUID(bytes=PARENT)}": 1,
        f"parent in ({NOBODY}, {UUID(bytes=PARENT)}) and state = running": 1,
        f"parent = {NOBODY}": 0,
    }

    for text, number in texts.items():
        where = parse(text)
        expected = [job for job in jobs if where.holds(_facts(job))]
        assert await list_all(driver, ListQuery(where=where)) == expected, text
        assert len(expected) == number, text


async def test_a_filter_and_the_other_wishes_must_hold_together(driver: Driver, clock: Clock) -> None:
    jobs, between = await _population(driver, clock)
    query = ListQuery(
        queues=["mail"],
        states=[State.PENDING, State.SCHEDULED, State.COMPLETED],
        created_after=between,
        where=parse("state != scheduled"),
    )

    found = (await driver.jobs.list(query)).jobs

    assert [job.id for job in found] == [job.id for job in jobs if (job.queue, job.kind) == ("mail", "zip")]


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_of_a_filter_join_to_the_whole(driver: Driver, newest_first: bool) -> None:
    wanted = await store_all(driver, [new_job(kind="x" if n % 2 else "y", labels={"n": str(n % 3)}) for n in range(12)])
    where = parse("kind = x and label.n in (0, 1) and state not in (completed, running)")
    query = ListQuery(where=where, limit=3, newest_first=newest_first)
    selected: list[JobId] = []

    listed = [job.id for job in await list_all(driver, query)]
    after = None
    while True:
        selection = await driver.jobs.select(replace(query, after=after))
        selected += [job.id for job in selection.jobs]
        after = selection.after
        if after is None:
            break

    expected = [job_id for n, job_id in enumerate(wanted) if n % 2 and n % 3 < 2]
    assert listed == selected == (expected if newest_first is False else expected[::-1])


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize("text", ["queue = nowhere", "state = failed and state = running", "queue = q and queue = other"])
async def test_what_nobody_can_be_is_not_looked_for(driver: Driver, text: str) -> None:
    await store_all(driver, [new_job() for _ in range(5)])

    assert await driver.jobs.select(ListQuery(where=parse(text))) == ([], None)


async def test_outlines_say_where_jobs_stand(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    [job_id] = await store_all(driver, [new_job(priority=7)])
    [lease] = await claim(driver, worker)
    await clock.advance(MINUTE)
    await settle_well(driver, worker, lease, FAIL)
    [waiting] = await store_all(driver, [new_job("other")])
    failed, stored = await record(driver, job_id), await record(driver, waiting)

    unknown, ended, fresh = await driver.jobs.outline([new_id(), job_id, waiting])

    assert unknown is None
    attempts = await driver.jobs.attempts(job_id)
    assert attempts is not None
    assert ended == (job_id, "q", 7, failed.state, 1, attempts[-1].finished_at, len(failed.envelope))
    assert fresh == (waiting, "other", 5, State.PENDING, 0, stored.created_at, len(stored.envelope))


def _facts(job: JobRecord) -> Facts:
    return Facts(
        queue=job.queue, kind=job.kind, state=job.state, labels=job.labels or {}, created_at=job.created_at, parent=job.parent
    )
