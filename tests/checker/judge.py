"""The invariants. Each is a function over one job (or over the run) that yields what is wrong."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from protojobs.v1 import errors_pb2

from tests.checker.history import Data, History
from tests.checker.report import Report
from tests.checker.tracks import FINAL, Run, Track, Tracks, gather

WALL_TOLERANCE_S: Final = 0.005
"""Between the store's clock and a worker's on one host."""
MONOTONIC_TOLERANCE_S: Final = 0.002
BEFORE_START_S: Final = 5.0
"""A lease is older than its handler's start by at most the receipt deadline, unless its worker was frozen in between."""
NOTICED_S: Final = 0.25
"""What a worker sent this long before its death has left it."""
MAX_CRASHES: Final = 3
REASONS: Final = frozenset(name.removeprefix("ERROR_REASON_") for name in dict(errors_pb2.ErrorReason.items()))
_LIVED: Final = frozenset({"SESSION_DIED", "SESSION_RESUMED"})
WITHOUT_REASON: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})
"""Codes that gRPC makes itself when no server answers."""

Rule = Callable[[Track, Tracks], Iterator[str]]


def judge(history: History) -> Report:
    """Check every invariant."""
    tracks = gather(history)
    report = Report(history=history, jobs=len(tracks.jobs))
    for track in tracks.jobs.values():
        track.runs.sort(key=lambda run: (run.attempt, run.start))
        track.attempts.sort(key=lambda attempt: attempt["attempt"])
        _count(track, report)
        for invariant, rule in _OF_A_JOB:
            for message in rule(track, tracks):
                report.add(invariant, message, track.job)
    for invariant, check in _OF_THE_RUN:
        for message in check(tracks):
            report.add(invariant, message)
    return report


def _count(track: Track, report: Report) -> None:
    report.runs += len(track.runs)
    report.acknowledged += track.acked is not None
    report.completed += any(run.outcome == "complete" for run in track.runs)
    for run, following in pairwise(track.runs):
        if not _asked_for(track, run, following):
            report.repeated_runs += 1
            report.overlaps += run.end is None or run.end > following.start


def _no_job_is_lost(track: Track, tracks: Tracks) -> Iterator[str]:
    if track.acked is None and not track.runs:
        return
    queue = track.spec("queue")
    deleted = any(act.may_have_happened for act in track.acts_of("delete"))
    if tracks.dumped is None:
        if track.acked is not None and queue in tracks.quiet and not any(run.outcome == "complete" for run in track.runs):
            yield "its dispatch was acknowledged, and it never completed"
    elif track.dump is None and not deleted and (queue is None or queue in tracks.dumped):
        yield "its dispatch was acknowledged, and it is gone" if track.acked is not None else "it ran, and it is gone"


def _no_outcome_is_lost(track: Track, _: Tracks) -> Iterator[str]:
    if track.dump is None:
        return
    stored = {attempt["attempt"]: attempt for attempt in track.attempts}
    state = track.dump["state"]
    for settle in track.settles:
        if settle.code != "OK" or settle.state not in FINAL:
            continue
        row = stored.get(settle.attempt)
        if stored and (row is None or row["outcome"] != settle.state):
            said = "nothing" if row is None else row["outcome"]
            yield f"attempt {settle.attempt} was acknowledged as {settle.state}, and the store has {said} for it"
        elif state != settle.state and not track.retried_within(settle.acked, float("inf")):
            yield f"{settle.state} was acknowledged for attempt {settle.attempt}, and the job is {state}"
    for act in track.acts:
        if act.phase != "ok" or act.acked is None or act.already:
            continue
        if act.op == "cancel" and act.state == "CANCELLED" and state != "CANCELLED":
            if not track.retried_within(act.acked, float("inf")):
                yield f"its cancel was acknowledged, and the job is {state}"
        elif act.op == "retry" and state in {"COMPLETED", "FAILED"} and not any(run.start >= act.invoked for run in track.runs):
            yield f"its Retry was acknowledged, and it is {state} without another run"


def _nothing_from_nowhere(track: Track, tracks: Tracks) -> Iterator[str]:
    if track.invoke is None:
        if track.dump is not None and track.dump.get("parent"):
            return
        if track.runs or track.acts or (track.dump is not None and tracks.dumped):
            yield "it ran, and nobody dispatched it" if track.runs else "the store has it, and nobody dispatched it"
        return
    sent = track.column("digests")
    for run in track.runs:
        got = run.data.get("digest")
        if sent is not None and got is not None and got != sent:
            yield f"attempt {run.attempt} got another payload than was dispatched ({got:#x}, not {sent:#x})"
        for name in ("queue", "kind"):
            if name in run.data and run.data[name] != track.spec(name):
                yield f"attempt {run.attempt} ran as {name} {run.data[name]!r}, dispatched as {track.spec(name)!r}"


def _leases_are_unique(track: Track, _: Tracks) -> Iterator[str]:
    for run, following in pairwise(track.runs):
        if run.attempt == following.attempt:
            where = f"twice in {run.proc}" if run.session == following.session else f"in {run.proc} and in {following.proc}"
            yield f"attempt {run.attempt} began {where}"
        elif run.session == following.session and run.start > following.start:
            yield f"attempt {run.attempt} began after attempt {following.attempt} in one session"


def _fenced(track: Track, _: Tracks) -> Iterator[str]:
    for settle in track.settles:
        if settle.code != "OK":
            continue
        sent = settle.sent if settle.sent is not None else _end_of(track, settle.attempt)
        for run in track.runs:
            if sent is not None and run.attempt > settle.attempt and run.start < sent:
                yield (
                    f"attempt {settle.attempt} was accepted as {settle.state or 'OK'}, "
                    f"sent {sent - run.start:.3f} s after attempt {run.attempt} had begun in {run.proc}"
                )
    for row, following in pairwise(track.attempts):
        ended, began = row.get("finished_at"), following.get("started_at")
        if ended is None or (began is not None and began < ended):
            yield f"attempt {following['attempt']} was leased while attempt {row['attempt']} was not over"


def _outcomes_are_unique(track: Track, _: Tracks) -> Iterator[str]:
    accepted = Counter(settle.attempt for settle in track.settles if settle.code == "OK")
    for attempt, times in accepted.items():
        if times > 1:
            yield f"attempt {attempt} was accepted {times} times"
    finals = sum(settle.code == "OK" and settle.state in FINAL for settle in track.settles)
    retries = sum(act.may_have_happened for act in track.acts_of("retry"))
    if finals > 1 + retries:
        yield f"{finals} final outcomes were accepted, and it was retried {retries} times"
    standing = [row for row in track.attempts if row["outcome"] in FINAL and not row.get("retaken")]
    if len(standing) > 1:
        yield "it has several final outcomes: attempts " + ", ".join(str(row["attempt"]) for row in standing)
    elif track.attempts and track.dump is not None:
        state = track.dump["state"]
        outcome = standing[0]["outcome"] if standing else None
        if (state in FINAL) != bool(standing) or (outcome is not None and outcome != state):
            yield f"the job is {state}, and its final outcome is {outcome}"


def _counters_are_right(track: Track, tracks: Tracks) -> Iterator[str]:
    dump = track.dump
    if dump is None:
        return
    failures, crashes = dump.get("failures", 0), dump.get("crashes", 0)
    policy: Data = track.spec("policy") or {}
    max_retries = policy.get("max_retries")
    if max_retries is not None and failures > max_retries + 1:
        yield f"{failures} failures, and it may be retried {max_retries} times"
    if crashes > MAX_CRASHES:
        yield f"{crashes} crashes"
    if not track.attempts:
        return
    begun = {run.attempt: run for run in track.runs}
    for row in track.attempts:
        run = begun.get(row["attempt"])
        killed = [fault for fault in tracks.faults.get(run.proc, ()) if fault.action == "kill"] if run else []
        if run and run.end is None and row["outcome"] == "RELEASED" and any(f.begin > run.start + NOTICED_S for f in killed):
            yield f"attempt {row['attempt']} had begun in {run.proc}, which was killed, and no crash is counted"
    taken = max((index + 1 for index, row in enumerate(track.attempts) if row.get("retaken")), default=0)
    if sum(act.may_have_happened for act in track.acts_of("retry")) > sum(bool(row.get("retaken")) for row in track.attempts):
        return  # a Retry of a job that was waiting leaves no mark in the attempts
    kinds = Counter(_counted_as(row) for row in track.attempts[taken:])
    # A session that comes back proves that it lived: its crash is rewritten, and taken back unless the job was final by then.
    forgiven = sum(row["outcome"] == "RELEASED" and row.get("reason") in _LIVED for row in track.attempts[taken:])
    if failures != kinds["failure"] or not kinds["crash"] <= crashes <= kinds["crash"] + forgiven:
        yield (
            f"it has {failures} failures and {crashes} crashes, "
            f"its attempts say {kinds['failure']} failures and {kinds['crash']} crashes"
        )


def _crashes_have_a_cause(tracks: Tracks) -> Iterator[str]:
    crashed: dict[str, list[str]] = defaultdict(list)
    for track in tracks.jobs.values():
        for row in track.attempts:
            if _counted_as(row) == "crash":
                crashed[row.get("worker", "")].append(f"{track.job} attempt {row['attempt']}")
    for worker, rows in crashed.items():
        if worker not in tracks.faults:
            yield f"crashes are counted for {worker or 'no worker'}, which was not harmed: {', '.join(rows[:5])}"
        elif len(rows) > tracks.slots[worker]:
            yield f"{len(rows)} crashes are counted for {worker}, which ran at most {tracks.slots[worker]} at once"


def _not_early(track: Track, _: Tracks) -> Iterator[str]:
    delay, run_at = track.spec("delay"), track.spec("run_at")
    for run in track.runs:
        if track.retried_within(0.0, run.start):
            break
        if delay is not None and run.start < track.invoked + delay - MONOTONIC_TOLERANCE_S:
            yield f"attempt {run.attempt} began {track.invoked + delay - run.start:.3f} s before its delay was over"
        if run_at is not None and "wall" in run.data and run.data["wall"] < run_at - WALL_TOLERANCE_S:
            yield f"attempt {run.attempt} began {run_at - run.data['wall']:.3f} s before its time"
    failures = 0
    for run, following in pairwise(track.runs):
        if run.end is None or run.outcome not in {"fail", "snooze"}:
            continue
        failures += run.outcome == "fail"
        if track.retried_within(run.start, following.start):
            failures = 0
            continue
        wait = run.delay if run.delay is not None else _least_backoff(track, failures)
        early = run.end + wait - following.start
        if early > MONOTONIC_TOLERANCE_S:
            yield f"attempt {following.attempt} began {early:.3f} s before its wait of {wait:g} s was over"


def _refusals_hold(track: Track, _: Tracks) -> Iterator[str]:
    if track.refused and track.acked is None and track.open_calls == 0 and (track.runs or track.dump):
        yield f"its dispatch was refused ({track.refused}), and it {'ran' if track.runs else 'is stored'}"


def _cancelled_is_over(track: Track, tracks: Tracks) -> Iterator[str]:
    for act in track.acts_of("cancel"):
        if act.phase != "ok" or act.acked is None:
            continue
        later = [run for run in track.runs if run.start > act.acked and not track.retried_within(act.invoked, run.start)]
        if act.state == "CANCELLED" and later:
            yield f"attempt {later[0].attempt} began {later[0].start - act.acked:.3f} s after its cancel was acknowledged"
        elif act.state == "RUNNING" and len({run.attempt for run in later}) > 1:
            yield "it was retried after its cancel had been taken"
        state = track.dump["state"] if track.dump else None
        looked_at = (
            state is not None and track.spec("queue") in tracks.quiet and not track.retried_within(act.invoked, float("inf"))
        )
        if act.state == "RUNNING" and looked_at and not later and state not in {"COMPLETED", "CANCELLED"}:
            yield f"its cancel was taken while it ran, and it is {state}"


def _no_lease_is_taken(track: Track, tracks: Tracks) -> Iterator[str]:
    for run, following in pairwise(track.runs):
        if run.attempt == following.attempt or _asked_for(track, run, following):
            continue
        begin, end = min(run.start, following.start) - BEFORE_START_S, max(run.start, following.start)
        if not tracks.harmed(run.proc, begin, end):
            what = "had completed" if run.outcome == "complete" else "was running"
            yield (
                f"attempt {following.attempt} began in {following.proc} after {following.start - run.start:.3f} s, "
                f"although attempt {run.attempt} {what} in {run.proc}, which was not harmed"
            )


def _it_drained(track: Track, tracks: Tracks) -> Iterator[str]:
    dump = track.dump
    if dump is None or dump.get("queue") not in tracks.quiet or dump["state"] in FINAL:
        return
    due = dump.get("next_at")
    if dump["state"] in {"SCHEDULED", "RETRYING"} and due is not None and due > tracks.quiet[dump["queue"]]:
        return
    yield f"its queue has had its time, and it is {dump['state']}"


def _stats_equal_recount(tracks: Tracks) -> Iterator[str]:
    recounts: list[tuple[str, str, Data]] = [("the tables", row["queue"], row["counts"]) for row in tracks.recounts]
    if tracks.dumped is not None:
        counted: dict[str, Counter[str]] = {queue: Counter() for queue in tracks.dumped}
        for track in tracks.jobs.values():
            if track.dump is not None:
                counted.setdefault(track.dump["queue"], Counter())[track.dump["state"]] += 1
        recounts += [("the list of jobs", queue, dict(counts)) for queue, counts in counted.items()]
    elif tracks.quiet:
        completed: Counter[str] = Counter()
        for track in tracks.jobs.values():
            if any(run.outcome == "complete" for run in track.runs):
                completed[track.spec("queue")] += 1
        recounts += [("the workers' logs", queue, {"COMPLETED": completed[queue]}) for queue in tracks.quiet]
    said = {row["queue"]: _without_zeros(row["counts"]) for row in tracks.stats}
    for source, queue, counts in recounts if said else ():
        if said.get(queue, {}) != _without_zeros(counts):
            yield f"queue {queue}: Stats says {said.get(queue, {})}, {source} {_without_zeros(counts)}"


def _errors_are_known(tracks: Tracks) -> Iterator[str]:
    codes = {data["code"] for data in tracks.expected if "code" in data}
    texts = [data["log"] for data in tracks.expected if "log" in data]
    for event in tracks.errors:
        code, reason = event.data.get("code", ""), event.data.get("reason", "")
        what = f"{event.op} in {event.proc} ended with {code} {reason}".rstrip()
        if code in codes:
            continue
        if code in {"UNKNOWN", "INTERNAL"}:
            yield what
        elif reason not in REASONS and (reason or code not in WITHOUT_REASON):
            yield f"{what}: not in the catalogue"
    for event in tracks.logs:
        message = event.data["message"]
        if not any(text in message for text in texts):
            yield f"{event.proc} logged: {message}"


def _asked_for(track: Track, run: Run, following: Run) -> bool:
    """Tell whether somebody wanted the following run: the handler or a Retry."""
    if run.end is not None and run.end <= following.start and run.outcome in {"fail", "snooze", "release"}:
        return True
    return track.retried_within(run.start, following.start)


def _end_of(track: Track, attempt: int) -> float | None:
    return next((run.end for run in track.runs if run.attempt == attempt), None)


def _counted_as(row: Data) -> str:
    if row["outcome"] == "CRASHED" or (row["outcome"] == "FAILED" and row.get("reason") == "POISON"):
        return "crash"
    return "failure" if row["outcome"] in {"RETRIED", "FAILED"} else ""


def _least_backoff(track: Track, failures: int) -> float:
    """Return the shortest wait that the policy allows after so many failures; 0 where the dispatch names none."""
    policy: Data = track.spec("policy") or {}
    initial = policy.get("initial_backoff")
    if initial is None:
        return 0.0
    wait: float = initial * policy.get("multiplier", 2.0) ** max(failures - 1, 0)
    wait = min(wait, policy.get("max_backoff", 3600.0))
    return wait if policy.get("jitter") == "NONE" else min(wait, 1.0)


def _without_zeros(counts: Data) -> Data:
    return {state: count for state, count in sorted(counts.items()) if count}


_OF_A_JOB: Final[tuple[tuple[str, Rule], ...]] = (
    ("I1", _no_job_is_lost),
    ("I1", _no_outcome_is_lost),
    ("I2", _nothing_from_nowhere),
    ("I3", _leases_are_unique),
    ("I4", _fenced),
    ("I5", _outcomes_are_unique),
    ("I6", _counters_are_right),
    ("I7", _not_early),
    ("I9", _refusals_hold),
    ("I10", _cancelled_is_over),
    ("I14", _no_lease_is_taken),
    ("I15", _it_drained),
)
_OF_THE_RUN: Final[tuple[tuple[str, Callable[[Tracks], Iterator[str]]], ...]] = (
    ("I6", _crashes_have_a_cause),
    ("I13", _stats_equal_recount),
    ("I17", _errors_are_known),
)
