"""Jobs on their way: a flood is refused at a bound, and nobody else for it."""

from datetime import timedelta

import pytest
from protojobs_service.application.under_way import UnderWay
from protojobs_service.domain.errors import Overloaded
from protojobs_service.port.sender import Sender, working_for

from tests.unit.application.stand import FakeClock


def test_a_call_is_taken_until_there_are_too_many_jobs_and_again_when_they_are_stored() -> None:
    under_way = UnderWay(FakeClock(), most=10)
    with working_for(Sender("one")):
        with under_way.one(9):
            under_way.check()
            with under_way.one(500), pytest.raises(Overloaded) as refused:
                under_way.check()
            under_way.check()
        under_way.check()

    assert refused.value.metadata == {"limit": "jobs_under_way"}
    assert refused.value.retry_after is not None


def test_what_one_has_on_its_way_is_nothing_to_others() -> None:
    under_way = UnderWay(FakeClock(), most=10)

    with working_for(Sender("one")), under_way.one(10), working_for(Sender("other")):
        under_way.check()


def test_calls_of_all_sizes_count_for_their_caller_and_streams_do_not() -> None:
    under_way = UnderWay(FakeClock(), most=10)

    with working_for(Sender("one", 7, is_stream=True)), under_way.one(1000):
        under_way.check()
        with working_for(Sender("one", 1)), under_way.one(10), working_for(Sender("one", 2)), pytest.raises(Overloaded):
            under_way.check()


def test_a_call_that_fails_is_on_its_way_no_longer() -> None:
    under_way = UnderWay(FakeClock(), most=10)

    with pytest.raises(RuntimeError), under_way.one(10):
        raise RuntimeError

    under_way.check()


def test_calls_that_are_refused_together_are_told_to_come_one_after_the_other_within_ten_seconds() -> None:
    under_way = UnderWay(FakeClock(), most=10)
    told: list[timedelta] = []

    with working_for(Sender("one")), under_way.one(10):
        for _ in range(2000):
            with pytest.raises(Overloaded) as refused:
                under_way.check()
            told.append(refused.value.retry_after)

    assert told[0] == timedelta(seconds=0.25)
    assert len(set(told)) > 1000
    assert told == sorted(told)
    assert told[-1] == timedelta(seconds=10)


def test_a_call_that_is_refused_later_is_told_to_come_as_soon_as_the_first() -> None:
    clock = FakeClock()
    told: list[timedelta] = []
    under_way = UnderWay(clock, most=10)

    with working_for(Sender("one")), under_way.one(10):
        for clock.now in (100.0, 100.0, 130.0):
            with pytest.raises(Overloaded) as refused:
                under_way.check()
            told.append(refused.value.retry_after)

    first, second, later = told
    assert first < second
    assert later == first == timedelta(seconds=0.25)
