"""`protojobs schedules`, and the client's calls behind it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from protojobs_client import (
    Catchup,
    CatchupMode,
    Client,
    Cron,
    Daily,
    Every,
    JobState,
    Overlap,
    ScheduleRequest,
    Weekday,
    Weekly,
)
from protojobs_client.errors import ConflictError, InvalidArgumentError, ScheduleNotFoundError

from tests.unit.cli.conftest import Cli, run

FILE = """
schedules:
  - name: file.nightly
    kind: report
    queue: reports
    cron: "30 2 * * *"
    time_zone: Europe/Prague
    data: {b: 2, a: [1]}
    catchup: {mode: all, max: 5, window: 12h}
    overlap: skip
    jitter: 30s
    start: 2026-01-01T00:00:00Z
    labels: {team: a}
    retries: 1
    run_timeout: 2m
  - name: file.pulse
    kind: pulse
    every: 5m
    anchor: 2026-01-01
  - name: file.weekly
    kind: digest
    weekly: {days: [monday, friday], times: ["09:00", 17:30]}
    paused: true
"""


def test_a_schedule_is_created_shown_and_listed(cli: Cli) -> None:
    made = cli.json(
        "schedules", "create", "report", "--name", "cli.report", "--daily", "09:00", "--weekly", "monday", "--tz", "Asia/Tokyo",
        "--data", "[1]", "--queue", "reports", "--catchup", "all", "--overlap", "buffer_one", "--jitter", "10s",
        "--end", "2100-01-01T00:00:00Z", "--label", "a=1",
    )  # fmt: skip

    shown = cli.json("schedules", "get", "cli.report")
    table = cli.run("schedules", "list").stdout

    assert shown == made
    assert (made["when"], made["time_zone"], made["payload"], made["queue"]) == ("monday 09:00:00", "Asia/Tokyo", "[1]", "reports")
    assert (made["catchup"]["mode"], made["overlap"], made["jitter"]) == ("all", "buffer_one", 10.0)
    assert made["next_at"]
    assert "cli.report" in table
    assert "monday 09:00:00" in cli.run("schedules", "get", "cli.report").stdout


def test_a_schedule_is_paused_resumed_triggered_and_deleted(cli: Cli) -> None:
    cli.run("schedules", "create", "report", "--name", "cli.s", "--every", "1h")

    cli.run("schedules", "pause", "cli.s")
    paused = cli.json("schedules", "get", "cli.s")
    cli.run("schedules", "resume", "cli.s")
    job_id = cli.json("schedules", "trigger", "cli.s")["job_id"]
    cli.run("schedules", "delete", "cli.s", "--yes")

    assert (paused["paused"], paused["next_at"]) == (True, None)
    assert cli.json("jobs", "get", job_id)["job"]["kind"] == "report"
    cli.run("schedules", "get", "cli.s", code=4)


def test_preview_shows_local_and_universal_time(cli: Cli) -> None:
    wanted = ("schedules", "preview", "30 2 * * *", "--tz", "Europe/Prague", "--from", "2026-03-28T12:00:00Z", "--count", "2")

    found = cli.json(*wanted)
    table = cli.run(*wanted).stdout

    assert found == [
        {"local": "2026-03-29T03:00:00+02:00", "utc": "2026-03-29T01:00:00+00:00"},
        {"local": "2026-03-30T02:30:00+02:00", "utc": "2026-03-30T00:30:00+00:00"},
    ]
    assert "Sun 2026-03-29 03:00:00 CEST" in table
    assert "2026-03-29 01:00:00Z" in table


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("preview", "0 0 30 2 *"), 1),
        (("preview", "@daily", "--tz", "Nowhere/Land"), 1),
        (("preview", "@daily", "--count", "0"), 2),
        (("preview", "@daily", "--from", "soon"), 2),
        (("create", "report"), 2),
        (("create", "report", "--cron", "@daily", "--every", "1h"), 2),
        (("create", "report", "--every", "0s"), 1),
        (("create", "report", "--daily", "25:00"), 1),
        (("create", "report", "--weekly", "someday"), 2),
        (("pause", "nothing"), 4),
        (("apply", "-f", "/does/not/exist.yaml"), 2),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cli: Cli, arguments: tuple[str, ...], code: int) -> None:
    result = run("--address", cli.address, "schedules", *arguments)

    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


def test_a_file_says_what_the_schedules_are(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "schedules.yaml"
    file.write_text(FILE)
    cli.run("schedules", "create", "old", "--name", "file.old", "--cron", "@daily")
    cli.run("schedules", "create", "other", "--name", "other.program", "--cron", "@daily")

    dry = cli.json("schedules", "apply", "-f", str(file), "--prune", "--prefix", "file.", "--dry-run")
    before = {each["name"] for each in cli.json("schedules", "list")}
    first = cli.json("schedules", "apply", "-f", str(file), "--prune", "--prefix", "file.")
    again = cli.json("schedules", "apply", "-f", str(file), "--prune", "--prefix", "file.")
    file.write_text(FILE.replace("every: 5m", "every: 6m"))
    changed = cli.run("schedules", "apply", "-f", str(file)).stdout

    names = ["file.nightly", "file.pulse", "file.weekly"]
    assert dry == first == {"created": names, "changed": [], "unchanged": [], "removed": ["file.old"]}
    assert not before & set(names)
    assert again == {"created": [], "changed": [], "unchanged": names, "removed": []}
    assert [line.split() for line in changed.splitlines()][1] == ["file.pulse", "changed"]
    stored = {each["name"]: each for each in cli.json("schedules", "list")}
    assert "other.program" in stored
    nightly = stored["file.nightly"]
    assert (nightly["when"], nightly["time_zone"], nightly["payload"]) == ("30 2 * * *", "Europe/Prague", '{"a":[1],"b":2}')
    assert nightly["catchup"] == {"mode": "all", "most": 5, "window": 43_200.0}
    assert (stored["file.weekly"]["when"], stored["file.weekly"]["paused"]) == ("monday friday 09:00:00 17:30:00", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "not YAML"),
        ("schedules: 3", "list `schedules`"),
        ("schedules: [3]", "schedules[0]: must be a mapping"),
        ("schedules: [{kind: a, cron: '@daily'}, {cron: '@daily'}]", "schedules[1]: kind is missing"),
        ("schedules: [{kind: a}]", "say when in one way"),
        ("schedules: [{kind: a, cron: x, every: 1m}]", "say when in one way"),
        ("schedules: [{kind: a, cron: '@daily', crno: 1}]", "has no field crno"),
        ("schedules: [{kind: a, every: soon}]", "no span of time"),
        ("schedules: [{kind: a, daily: '09:00'}]", "must be a list"),
        ("schedules: [{kind: a, cron: '@daily', catchup: some}]", "some"),
        ("schedules: [{kind: a, cron: '@daily', data: {1: !!binary aGk=}}]", "schedules[0]"),
        ("schedules: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)

    result = run("--address", cli.address, "schedules", "apply", "--file", str(file))

    assert result.exit_code == 2, result.output
    assert told in " ".join(result.output.replace("│", " ").split())


def test_a_schedule_that_the_server_refuses_is_named_and_the_others_are_left_alone(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "schedules.yaml"
    file.write_text("schedules: [{name: half.a, kind: a, every: 1h}, {name: half.b, kind: a, cron: '0 3 30 2 *'}]")

    result = cli.run("schedules", "apply", "--file", str(file), code=1)
    with Client(cli.address) as client, pytest.raises(InvalidArgumentError, match=r"spec\.cron"):
        client.sync_schedules([ScheduleRequest.of("k", None, Cron("0 3 30 2 *"), name="half.b")])

    assert "schedule half.b: schedule.spec.cron: " in " ".join(result.stderr.split())
    cli.run("schedules", "get", "half.a", code=4)


def test_the_client_declares_each_way_of_repeating(cli: Cli) -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    with Client(cli.address) as client:
        made = [
            client.schedule_every("k", 1, 90, anchor=anchor, queue="q"),
            client.schedule_hourly("k", 2, minute=5),
            client.schedule_daily("k", 3, ["09:00"], time_zone="Europe/Prague"),
            client.schedule_weekly("k", 4, [Weekday.SUNDAY], ["23:00"], overlap=Overlap.CANCEL_OLD),
            client.schedule_cron("k", 5, "@monthly", catchup=Catchup(mode=CatchupMode.SKIP), jitter=3),
        ]
        again = client.schedule_hourly("k", 2, minute=5)
        ticks = client.preview_schedule(made[2].name, start_at=anchor, count=1)
        for each in made:
            client.delete_schedule(each.name, etag=each.etag)

    assert [each.when for each in made] == [
        Every(timedelta(seconds=90), anchor),
        Cron("5 * * * *"),
        Daily(("09:00:00",)),
        Weekly((Weekday.SUNDAY,), ("23:00:00",)),
        Cron("0 0 1 * *"),
    ]
    assert again == made[1]
    assert (made[0].queue, made[0].payload, made[3].overlap) == ("q", b"1", Overlap.CANCEL_OLD)
    assert (made[4].catchup.mode, made[4].jitter) == (CatchupMode.SKIP, timedelta(seconds=3))
    assert ticks == (datetime(2026, 1, 1, 8, tzinfo=UTC),)


def test_a_program_that_syncs_at_each_start_changes_nothing_the_second_time(cli: Cli) -> None:
    wanted = [
        ScheduleRequest.of("k", {"n": 1}, Cron("@daily"), name="sync.a"),
        ScheduleRequest.of("k", {"n": 2}, Every(60), name="sync.b"),
    ]
    with Client(cli.address) as client:
        first = client.sync_schedules(wanted)
        second = client.sync_schedules(wanted, prune=True, prefix="sync.")
        third = client.sync_schedules(wanted[:1], prune=True, prefix="sync.")
        client.delete_schedule("sync.a")

    assert first.created == ("sync.a", "sync.b")
    assert (second.unchanged, second.removed) == (("sync.a", "sync.b"), ())
    assert (third.unchanged, third.removed) == (("sync.a",), ("sync.b",))


def test_the_client_pauses_resumes_and_triggers(cli: Cli) -> None:
    with Client(cli.address) as client:
        client.schedule_every("k", None, 3600, name="s")
        client.pause_schedule("s")
        paused = client.get_schedule("s")
        client.resume_schedule("s")
        job_id = client.trigger_schedule("s")
        state = client.get(job_id).state
        with pytest.raises(ConflictError):
            client.delete_schedule("s", etag=paused.etag)
        client.delete_schedule("s")
        with pytest.raises(ScheduleNotFoundError):
            client.get_schedule("s")
        with pytest.raises(InvalidArgumentError):
            client.schedule_cron("k", None, "0 0 30 2 *")

    assert (paused.paused, paused.next_at) == (True, None)
    assert state is JobState.PENDING


def test_options_of_a_single_job_are_none_of_a_schedule() -> None:
    with pytest.raises(ValueError, match="job_id, delay or run_at"):
        ScheduleRequest.of("k", None, Cron("@daily"), delay=1)


def test_what_is_printed_as_json_is_json(cli: Cli) -> None:
    result = cli.run("schedules", "create", "k", "--every", "1m", "--dry-run", "--json")

    assert json.loads(result.stdout)["when"] == "every 1 m"
