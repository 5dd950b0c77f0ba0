"""The lag of the event loop as a gauge that any number of readers may read."""

from protojobs_service.admin.loop_watch import LoopWatch


def test_the_worst_lag_stays_for_a_minute_whoever_reads_it() -> None:
    watch = LoopWatch()
    watch.note(100.0, 0.5)
    watch.note(110.0, 0.1)

    assert [watch.worst(), watch.worst()] == [0.5, 0.5]


def test_the_worst_lag_is_forgotten_after_two_minutes() -> None:
    watch = LoopWatch()
    watch.note(100.0, 0.5)
    seen: list[float] = []
    for now in (159.0, 161.0, 219.0, 222.0):
        watch.note(now, 0.1)
        seen.append(watch.worst())

    assert seen == [0.5, 0.5, 0.5, 0.1]
