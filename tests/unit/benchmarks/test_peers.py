"""The comparison with peers reads their programs, counts their jobs and divides the right way."""

import asyncio
import json
from typing import Any

import pytest

from benchmarks.peers.figures import OURS, Load
from benchmarks.peers.program import judge, parse
from benchmarks.peers.tables import ratios, summarise, table
from benchmarks.peers.talk import Counter, job, produce

ABOUT: dict[str, Any] = {
    "rounds": 3,
    "load": {"jobs": 2000, "seconds": 3.0},
    "cpus": 2,
    "cpu": "a processor",
    "durability": {"fsync": "on"},
}


def _stopped(*numbers: int) -> dict[str, Any]:
    counter = Counter()
    for number in numbers:
        counter.ran(number, 0)
    return {"jobs": counter.runs, "seen": counter.seen.hex()}


def test_a_line_of_the_protocol_is_read_and_others_are_passed_over() -> None:
    assert parse('{"phase":"ran","jobs":7}\n') == {"phase": "ran", "jobs": 7}
    assert [parse(text) for text in ("a warning\n", "17\n", '{"level":"info"}\n', "")] == [None] * 4


def test_jobs_that_ran_somewhere_once_are_neither_lost_nor_repeated() -> None:
    assert judge(20, [_stopped(*range(0, 20, 2)), _stopped(*range(1, 20, 2))]) == (0, 0)


def test_a_job_that_no_worker_ran_is_lost() -> None:
    assert judge(10, [_stopped(0, 1, 2, 3, 4), _stopped(6, 7, 8, 9)]) == (1, 0)


def test_a_lost_job_is_not_made_up_for_by_one_that_ran_twice() -> None:
    assert judge(3, [_stopped(0, 1), _stopped(1)]) == (1, 1)


def test_a_job_that_nobody_made_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="nobody made"):
        judge(8, [_stopped(*range(8)), _stopped(8)])


@pytest.mark.parametrize(("number", "sent"), [(0, 0), (1_234_567, 98_765_432_109_876)])
def test_a_job_has_the_size_that_is_asked_for(number: int, sent: int) -> None:
    assert len(json.dumps(job(number, sent, 200), separators=(",", ":"))) == 200


def test_callers_of_a_producer_make_each_number_once(capsys: pytest.CaptureFixture[str]) -> None:
    made: list[int] = []

    async def insert(jobs: list[dict[str, Any]]) -> None:
        await asyncio.sleep(0)
        made.extend(each["n"] for each in jobs)

    asyncio.run(produce({"jobs": 23, "seconds": 0, "batch": 5, "callers": 3, "interval": 0, "payload": 200}, insert))

    assert sorted(made) == list(range(23))
    assert [(line["phase"], line.get("jobs")) for line in map(json.loads, capsys.readouterr().out.splitlines())] == [
        ("began", None),
        ("produced", 23),
    ]


def test_a_part_of_the_jobs_is_one_batch_at_least() -> None:
    assert Load(jobs=200_000).share(0.05) == 10_000
    assert Load(jobs=2000, batch=500).share(0.05) == 500


def test_a_figure_has_the_median_and_the_bounds_of_the_rounds_that_have_it() -> None:
    found = summarise([{"drain": 10.0}, {"drain": 30.0, "both": 5.0}, {"drain": 11.0}])

    assert found["drain"] == {"median": 11.0, "min": 10.0, "max": 30.0, "values": [10.0, 30.0, 11.0]}
    assert found["both"]["values"] == [5.0]


def test_more_jobs_per_second_and_shorter_waits_are_both_above_one() -> None:
    ours, theirs = summarise([{"drain": 80.0, "idle_p50_ms": 2.0}]), summarise([{"drain": 20.0, "idle_p50_ms": 5.0}])

    assert ratios(ours, theirs) == {"drain": 4.0, "idle_p50_ms": 2.5}


def test_what_one_of_two_has_not_measured_has_no_ratio() -> None:
    assert ratios(summarise([{"drain": 80.0}]), summarise([{"both": 20.0}])) == {}


def test_the_table_has_everyone_with_figures_and_those_who_are_not_here_with_the_reason() -> None:
    ours, theirs = summarise([{"drain": 50_000.0}, {"drain": 60_000.0}]), summarise([{"drain": 20_000.0}])
    about = {"version": "1", "setup": "its best", "verdict": "none lost"}
    runners = {
        OURS: {**about, "figures": ours, "ratios": {}},
        "river": {**about, "figures": theirs, "ratios": ratios(ours, theirs)},
    }

    lines = table({**ABOUT, "runners": runners, "missing": {"graphile": "node is not on this machine"}}).splitlines()

    assert [line.split() for line in lines if line.startswith("river")] == [
        ["river", "-", "-", "20,000", "-", "-", "-"],
        ["river", "-", "-", "2.75", "-", "-", "-"],
        ["river", "-", "-", "-", "-"],
        ["river", "1:", "its", "best;", "none", "lost"],
    ]
    assert any("55,000 (50,000 - 60,000)" in line for line in lines)
    assert "graphile       not here: node is not on this machine" in lines
