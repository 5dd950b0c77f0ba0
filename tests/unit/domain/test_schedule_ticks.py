"""What a schedule does when its time has come, and what people do to it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs_service.domain.errors import Conflict, ScheduleNotFound
from protojobs_service.domain.schedule import (
    Catchup,
    CatchupMode,
    Definition,
    Every,
    Overlap,
    Schedule,
    Spec,
    default_name,
    lateness,
    tick_id,
)
from protojobs_service.domain.schedule_calendar import cron
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.domain.schedule_ticks import decide

MADE = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
HOURLY = Spec(when=cron("@hourly"))


def schedule(spec: Spec = HOURLY, **fields: Any) -> Schedule:
    """Return a schedule that was made at MADE."""
    made = define(Definition(name="s", queue="q", kind="k", spec=spec, template=b"t"))(None, MADE)
    assert made is not None
    return replace(made, **fields)


def every(interval: timedelta, **fields: Any) -> Schedule:
    """Return a schedule of a fixed distance."""
    return schedule(Spec(when=Every(interval=interval)), **fields)


def hours(*numbers: float) -> list[datetime]:
    """Return times so many hours after MADE."""
    return [MADE + number * HOUR for number in numbers]


def test_a_new_schedule_waits_for_its_first_tick() -> None:
    made = schedule()

    assert (made.next_at, made.wake_at, made.version) == (MADE + HOUR, MADE + HOUR, 1)


def test_a_tick_on_time_runs_and_the_next_one_follows() -> None:
    decision = decide(schedule(), MADE + HOUR + SECOND, active=False, limit=10)

    assert list(decision.ticks) == hours(1)
    assert (decision.missed, decision.cancels) == (0, False)
    assert (decision.schedule.next_at, decision.schedule.last_at) == (MADE + 2 * HOUR, MADE + HOUR)


@pytest.mark.parametrize("mode", list(CatchupMode))
def test_ticks_within_a_minute_are_not_missed_whatever_the_policy(mode: CatchupMode) -> None:
    fast = every(10 * SECOND, catchup=Catchup(mode=mode))

    decision = decide(fast, MADE + 59 * SECOND, active=False, limit=10)

    assert len(decision.ticks) == 5
    assert decision.missed == 0


DOWN_FOR_SIX_HOURS = [
    (Catchup(mode=CatchupMode.SKIP), [], 6),
    (Catchup(mode=CatchupMode.LAST), [6], 5),
    (Catchup(mode=CatchupMode.ALL), [6], 5),
    (Catchup(mode=CatchupMode.ALL, window=12 * HOUR), [1, 2, 3, 4, 5, 6], 0),
    (Catchup(mode=CatchupMode.ALL, window=12 * HOUR, most=2), [5, 6], 4),
    (Catchup(mode=CatchupMode.LAST, window=MINUTE), [], 6),
]


@pytest.mark.parametrize(("catchup", "run", "missed"), DOWN_FOR_SIX_HOURS, ids=["skip", "last", "all", "window", "most", "too-old"])
def test_six_hours_of_outage_under_each_policy(catchup: Catchup, run: Sequence[float], missed: int) -> None:
    decision = decide(schedule(catchup=catchup), MADE + 6 * HOUR + 30 * MINUTE, active=False, limit=100)

    assert list(decision.ticks) == hours(*run)
    assert decision.missed == missed
    assert decision.schedule.next_at == MADE + 7 * HOUR


def test_ten_years_of_missed_seconds_cost_no_more_than_a_few() -> None:
    long_ago = every(SECOND, catchup=Catchup(mode=CatchupMode.ALL, most=3, window=30 * 24 * HOUR))
    now = MADE + timedelta(days=3650)

    decision = decide(long_ago, now, active=False, limit=100)

    assert list(decision.ticks) == [now - 2 * SECOND, now - SECOND, now]
    assert decision.missed == 3650 * 86_400 - 3


def test_what_does_not_fit_into_a_turn_runs_in_the_next_one() -> None:
    late = schedule(catchup=Catchup(mode=CatchupMode.ALL, most=4, window=12 * HOUR))
    now = MADE + 6 * HOUR + 30 * MINUTE

    first = decide(late, now, active=False, limit=3)
    second = decide(first.schedule, now, active=False, limit=3)

    assert (list(first.ticks), list(second.ticks)) == (hours(3, 4, 5), hours(6))
    assert first.schedule.wake_at is not None
    assert first.schedule.wake_at <= now
    assert (first.missed, second.missed) == (2, 0)
    assert second.schedule.next_at == MADE + 7 * HOUR


def test_overlap_skip_leaves_a_tick_out_while_the_last_job_is_not_final() -> None:
    held = decide(schedule(overlap=Overlap.SKIP), MADE + HOUR, active=True, limit=10)
    free = decide(schedule(overlap=Overlap.SKIP), MADE + HOUR, active=False, limit=10)

    assert (list(held.ticks), held.missed, held.schedule.next_at) == ([], 1, MADE + 2 * HOUR)
    assert list(free.ticks) == hours(1)


def test_overlap_cancel_old_runs_the_latest_and_cancels_the_one_before() -> None:
    decision = decide(every(10 * SECOND, overlap=Overlap.CANCEL_OLD), MADE + 25 * SECOND, active=True, limit=10)

    assert list(decision.ticks) == [MADE + 20 * SECOND]
    assert (decision.cancels, decision.missed) == (True, 1)


def test_overlap_buffer_one_keeps_one_tick_until_the_last_job_has_ended() -> None:
    buffering = schedule(overlap=Overlap.BUFFER_ONE)

    first = decide(buffering, MADE + HOUR, active=True, limit=10)
    second = decide(first.schedule, MADE + 2 * HOUR, active=True, limit=10)
    third = decide(second.schedule, MADE + 2 * HOUR + MINUTE, active=False, limit=10)

    assert (list(first.ticks), first.schedule.buffered_at, first.missed) == ([], MADE + HOUR, 0)
    assert first.schedule.wake_at == MADE + HOUR + SECOND
    assert (list(second.ticks), second.schedule.buffered_at, second.missed) == ([], MADE + HOUR, 1)
    assert (list(third.ticks), third.schedule.buffered_at) == (hours(1), None)
    assert third.schedule.wake_at == MADE + 3 * HOUR


def test_a_clock_that_is_set_back_repeats_no_tick() -> None:
    after = decide(schedule(), MADE + HOUR, active=False, limit=10).schedule
    edited = define(Definition(name="s", queue="q", kind="k", spec=Spec(when=cron("0,30 * * * *")), template=b"t"))
    changed = edited(after, MADE + HOUR - 10 * SECOND)

    assert changed is not None
    assert changed.next_at == MADE + HOUR + 30 * MINUTE


def test_a_schedule_whose_end_has_come_never_wakes_again() -> None:
    ending = schedule(replace(HOURLY, end_at=MADE + 2 * HOUR))

    decision = decide(ending, MADE + HOUR, active=False, limit=10)

    assert (decision.schedule.next_at, decision.schedule.wake_at) == (None, None)


@settings(max_examples=300)
@given(
    interval=st.integers(1, 7200),
    mode=st.sampled_from(CatchupMode),
    most=st.integers(1, 50),
    window=st.integers(1, 86_400),
    overlap=st.sampled_from(Overlap),
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), min_size=1, max_size=12),
)
def test_no_tick_runs_twice_or_too_early_and_time_always_goes_on(
    interval: int,
    mode: CatchupMode,
    most: int,
    window: int,
    overlap: Overlap,
    limit: int,
    steps: list[tuple[int, bool]],
) -> None:
    catchup = Catchup(mode=mode, most=most, window=timedelta(seconds=window))
    current, now, run = every(interval * SECOND, catchup=catchup, overlap=overlap), MADE, list[datetime]()
    for seconds, active in steps:
        now += timedelta(seconds=seconds)
        if current.wake_at is None or current.wake_at > now:
            continue
        before = current
        decision = decide(current, now, active=active, limit=limit)
        current = decision.schedule
        run += decision.ticks
        assert len(decision.ticks) <= limit
        assert all(tick <= now for tick in decision.ticks)
        assert current != before
    assert run == sorted(set(run))
    assert all((tick - MADE) % (interval * SECOND) == timedelta() for tick in run)


@settings(max_examples=200)
@given(interval=st.integers(1, 90), steps=st.lists(st.integers(1, 59), min_size=1, max_size=40), limit=st.integers(1, 5))
def test_every_tick_runs_once_while_servers_are_up(interval: int, steps: list[int], limit: int) -> None:
    current, now, run = every(interval * SECOND), MADE, list[datetime]()
    for seconds in steps:
        now += timedelta(seconds=seconds)
        while current.wake_at is not None and current.wake_at <= now:
            decision = decide(current, now, active=True, limit=limit)
            current = decision.schedule
            run += decision.ticks

    assert run == [MADE + n * interval * SECOND for n in range(1, (now - MADE) // (interval * SECOND) + 1)]


def test_the_same_definition_again_changes_nothing() -> None:
    stored = schedule(next_at=MADE - HOUR)  # overdue: a program that starts after an outage declares it again
    same = define(Definition(name="s", queue="q", kind="k", spec=HOURLY, template=b"t"))

    assert same(stored, MADE) == stored


def test_a_new_template_keeps_the_next_tick_and_a_new_time_does_not() -> None:
    stored = schedule(next_at=MADE - HOUR)
    other_job = define(Definition(name="s", queue="q", kind="k", spec=HOURLY, template=b"other"))(stored, MADE)
    other_time = define(Definition(name="s", queue="q", kind="k", spec=Spec(when=cron("30 * * * *")), template=b"t"))(stored, MADE)

    assert other_job is not None
    assert (other_job.next_at, other_job.version) == (MADE - HOUR, 2)
    assert other_time is not None
    assert (other_time.next_at, other_time.version) == (MADE + 30 * MINUTE, 2)


def test_declaring_a_paused_schedule_leaves_it_paused() -> None:
    paused = pause(schedule(), MADE)
    again = define(Definition(name="s", queue="q", kind="other", spec=HOURLY, template=b"t"))(paused, MADE)

    assert again is not None
    assert (again.paused, again.next_at, again.wake_at) == (True, None, None)


def test_resumed_schedule_catches_nothing_up() -> None:
    resumed = resume(pause(schedule(), MADE), MADE + 9 * HOUR + MINUTE)

    assert (resumed.paused, resumed.next_at, resumed.version) == (False, MADE + 10 * HOUR, 3)


def test_pause_and_resume_are_idempotent() -> None:
    paused = pause(schedule(), MADE)

    assert pause(paused, MADE + HOUR) == paused
    assert resume(schedule(), MADE + HOUR) == schedule()


def test_an_etag_that_does_not_match_is_a_conflict() -> None:
    stored = schedule()
    wanted = Definition(name="s", queue="q", kind="k", spec=HOURLY, template=b"other")

    changed = define(wanted, stored.etag)(stored, MADE)
    with pytest.raises(Conflict):
        define(wanted, stored.etag)(changed, MADE)
    with pytest.raises(Conflict):
        define(wanted, stored.etag)(None, MADE)
    with pytest.raises(Conflict):
        remove("other")(stored, MADE)


def test_what_does_not_exist_cannot_be_acted_on() -> None:
    for act in (pause, resume, remove()):
        with pytest.raises(ScheduleNotFound):
            act(None, MADE)


def test_a_default_name_depends_on_kind_spec_and_payload_alone() -> None:
    name = default_name("email", HOURLY, b"{}")

    assert name == default_name("email", Spec(when=cron("0 * * * *")), b"{}")
    others = [
        default_name("sms", HOURLY, b"{}"),
        default_name("email", HOURLY, b"[]"),
        default_name("email", replace(HOURLY, zone="Europe/Prague"), b"{}"),
        default_name("email", Spec(when=cron("@daily")), b"{}"),
    ]
    assert len({name, *others}) == 5
    assert name == "email-b431e3afdb9cfc91"
    assert len(default_name("k" * 128, HOURLY, b"")) <= 128


@given(st.integers(0, 3600), st.integers(0, 10**6))
def test_jitter_is_within_its_bound_and_the_same_for_the_same_tick(jitter: int, number: int) -> None:
    spread = schedule(replace(HOURLY, jitter=jitter * SECOND))
    tick = MADE + number * MINUTE

    late = lateness(spread, tick)

    assert timedelta() <= late <= jitter * SECOND
    assert late == lateness(spread, tick)


def test_jitter_spreads_the_schedules_of_one_time() -> None:
    spread = [lateness(schedule(replace(HOURLY, jitter=HOUR), name=f"s{n}"), MADE) for n in range(200)]

    assert len(set(spread)) == 200
    assert min(spread) < HOUR / 10
    assert max(spread) > HOUR * 9 / 10


def test_the_id_of_a_tick_is_a_uuid7_of_its_time_and_known_beforehand() -> None:
    one, other = schedule(), schedule(name="t")
    now = MADE + HOUR + SECOND

    first = tick_id(one, MADE + HOUR, now)

    assert first == tick_id(one, MADE + HOUR, now + SECOND)
    assert len({first, tick_id(other, MADE + HOUR, now), tick_id(one, MADE + 2 * HOUR, MADE + 2 * HOUR)}) == 3
    assert (first[6] >> 4, first[8] >> 6) == (7, 2)
    assert int.from_bytes(first[:6]) == int((MADE + HOUR).timestamp() * 1000)
    assert int.from_bytes(tick_id(one, MADE, MADE + 300 * HOUR)[:6]) == int((MADE + 300 * HOUR).timestamp() * 1000)
