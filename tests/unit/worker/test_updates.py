"""Progress and checkpoints: seldom while a handler runs, and complete before its outcome."""

from protojobs_worker.context import Attempt, JobContext
from protojobs_worker.ledger import Lease, LeaseState
from protojobs_worker.registry import Handler, HandlerOptions
from protojobs_worker.updates import Update, Updates

from tests.unit.worker.fake_server import job_id, leased


def running(updates: Updates) -> Attempt:
    lease = Lease(job_id(1), 1, leased(1), 1)
    lease.state = LeaseState.RUNNING
    attempt = Attempt(lease, Handler("kind", lambda: None, HandlerOptions()))
    attempt.on_update = updates.add
    return attempt


def taken(updates: Updates, now: float) -> list[Update]:
    return [update for batch in updates.take(now) for update in batch]


def test_progress_leaves_at_most_once_a_second_with_the_newest_value() -> None:
    updates = Updates()
    attempt = running(updates)
    context = JobContext(attempt)

    context.progress(0.1)
    first = taken(updates, 100.0)
    context.progress(0.2)
    context.progress(0.3, "further")
    early, due = taken(updates, 100.9), taken(updates, 101.0)

    assert [progress for _, progress, _ in first] == [(0.1, "")]
    assert early == []
    assert [progress for _, progress, _ in due] == [(0.3, "further")]
    assert not updates


def test_the_last_progress_leaves_when_the_handler_has_ended_however_early() -> None:
    updates = Updates()
    attempt = running(updates)
    JobContext(attempt).progress(0.1)
    taken(updates, 100.0)

    JobContext(attempt).progress(1.0)
    attempt.lease.state = LeaseState.ENDED

    assert [progress for _, progress, _ in taken(updates, 100.1)] == [(1.0, "")]


def test_a_checkpoint_never_waits() -> None:
    updates = Updates()
    attempt = running(updates)
    JobContext(attempt).progress(0.1)
    taken(updates, 100.0)

    JobContext(attempt).save_checkpoint(b"page 7")

    assert [checkpoint for _, _, checkpoint in taken(updates, 100.1)] == [b"page 7"]


def test_nothing_is_told_of_a_lease_that_is_gone() -> None:
    updates = Updates()
    attempt = running(updates)
    JobContext(attempt).progress(0.5)
    attempt.lease.state = LeaseState.GONE

    assert taken(updates, 100.0) == []
    assert not updates


def test_updates_go_in_frames_of_a_thousand() -> None:
    updates = Updates()
    for _ in range(1500):
        JobContext(running(updates)).progress(0.5)

    assert [len(batch) for batch in updates.take(100.0)] == [1000, 500]


def test_what_was_sent_is_sent_again_unless_something_newer_replaces_it() -> None:
    updates = Updates()
    attempt = running(updates)
    JobContext(attempt).progress(0.1)
    JobContext(attempt).save_checkpoint(b"page 7")
    taken(updates, 100.0)

    updates.again(attempt)
    same = taken(updates, 100.1)
    updates.again(attempt)
    JobContext(attempt).save_checkpoint(b"page 8")
    newer, nothing = taken(updates, 100.2), taken(updates, 100.3)

    assert [update[1:] for update in same] == [((0.1, ""), b"page 7")]
    assert [update[1:] for update in newer] == [((0.1, ""), b"page 8")]
    assert nothing == []


def test_an_attempt_that_told_nothing_has_nothing_to_say_again() -> None:
    updates = Updates()

    updates.again(running(updates))

    assert not updates
