"""Results are kept with what ran, and their pages say what the files say."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record
from benchmarks.pages import beside_others, pages
from benchmarks.pairs import Side
from benchmarks.peers.tables import summarise

MACHINE = {"cpu": "a processor", "cpus": 2, "memory_gb": 8.0, "system": "Linux 6"}
ABOUT = {"commit": "abc1234", "recorded": "2026-01-31", "machine": MACHINE}
RAN = {"load": {}, "extras": {}, "durability": {"fsync": "on"}, "versions": {"python": "3.11", "commit": "abc1234"}}


def _said(jobs_per_s: float, *, kept: bool = True, scenario: str = "both", **figures: Any) -> dict[str, Any]:
    verdict = "every invariant holds" if kept else "2 jobs are lost"
    return {
        **RAN, "scenario": scenario, "driver": "sqlite", "jobs_per_s": jobs_per_s, "verdict": verdict, "kept": kept, **figures
    }  # fmt: skip


def _measured(monkeypatch: pytest.MonkeyPatch, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    left = {name: iter(each) for name, each in runs.items()}

    def run(side: Side) -> dict[str, Any]:
        try:
            return next(left[side.name])
        except StopIteration:
            raise RuntimeError(f"{side.name} ended with 2:\nno such scenario") from None

    monkeypatch.setattr(Side, "run", run)
    sides = [Side(name=name, home=Path(), python=Path(), arguments=[]) for name in runs]
    return record.measure(sides, 3, lambda _: None)


def _page(tmp_path: Path, kind: str, said: dict[str, Any]) -> list[str]:
    (tmp_path / "mine.json").write_text(json.dumps({"kind": kind, **ABOUT, **said}))
    return pages(tmp_path)["benchmarks/mine.md"].splitlines()


def test_each_figure_is_kept_with_every_run_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _measured(monkeypatch, {"a": [_said(10.0), _said(30.0), _said(20.0)]})

    assert said["rows"][0]["figures"]["jobs_per_s"] == {"median": 20.0, "min": 10.0, "max": 30.0, "values": [10.0, 30.0, 20.0]}
    assert said["rows"][0]["kept"]


def test_a_promise_broken_in_one_run_stays_with_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = _measured(monkeypatch, {"a": [_said(10.0), _said(30.0, kept=False), _said(20.0)]})["rows"]

    assert not row["kept"]
    assert row["verdicts"] == ["2 jobs are lost", "every invariant holds"]


def test_a_scenario_of_smaller_calls_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, many = _said(10.0) | {"load": {"batch": 10}}, _said(20.0) | {"load": {"batch": 10, "outstanding": 32}}
    runs = {"a": [_said(30.0)] * 3, "b": [small] * 3, "c": [many] * 3}
    text = "\n".join(_page(tmp_path, "runs", _measured(monkeypatch, runs)))

    assert "| sqlite both | 30" in text
    assert "| sqlite both by 10 | 10" in text
    assert "| sqlite both by 10, 32 at once | 20" in text


def test_what_cannot_run_is_named_and_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _measured(monkeypatch, {"a": [_said(10.0)] * 3, "b": []})

    assert [row["arguments"] for row in said["rows"]] == ["a"]
    assert said["missing"] == {"b": "no such scenario"}


def test_a_result_is_written_with_commit_and_machine(tmp_path: Path) -> None:
    record.write(tmp_path / "results" / "mine.json", "runs", {"runs": 3})

    kept = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert kept.keys() == {"kind", "commit", "recorded", "machine", "runs"}
    assert kept["machine"].keys() == MACHINE.keys()


def test_nothing_kept_makes_no_page(tmp_path: Path) -> None:
    assert pages(tmp_path) == {}


def test_a_page_has_speed_waiting_and_cpu_of_each_scenario(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu = {"server": 0.02, "workers": 0.005, "all": 0.025}
    one = _said(50_000.0, dispatch_to_start_ms={"p50": 20.0, "p99": 90.0}, cpu_s_per_1000_jobs=cpu)

    lines = _page(tmp_path, "runs", _measured(monkeypatch, {"a": [one, _said(60_000.0, **_figures(one)), one]}))

    assert "| sqlite both | 50,000 (50,000 - 60,000) | 20.0 | 90.0 |  |  |" in lines
    assert "|  | server | workers | all |" in lines
    assert "| sqlite both | 20.0 | 5.0 | 25.0 |" in lines
    assert '    "server" : 20.0' in lines
    assert "Commit `abc1234`, 2026-01-31, 2 CPUs (a processor), 8 GB, Linux 6." in lines


def _figures(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name in {"dispatch_to_start_ms", "cpu_s_per_1000_jobs"}}


def test_rates_are_lines_of_their_own_and_a_plot_against_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rates: dict[str, Any] = {
        f"at_{rate}_per_s": {"jobs_per_s": float(rate), "dispatch_to_start_ms": {"p50": p50, "p99": 9.5}}
        for rate, p50 in ((1000, 2.5), (5000, 4.5))
    }

    lines = _page(tmp_path, "runs", _measured(monkeypatch, {"a": [_said(5000.0, scenario="latency", **rates)] * 3}))

    assert "| sqlite latency at 5000/s | 5,000 | 4.5 | 9.5 |  |  |" in lines
    assert '    x-axis ["1000/s", "5000/s"]' in lines
    assert [line for line in lines if line.startswith("    line")] == ["    line [2.5, 4.5]", "    line [9.5, 9.5]"]


def test_a_page_of_peers_has_their_ratios_and_plots_what_more_than_one_has(tmp_path: Path) -> None:
    about = {"version": "1", "setup": "its best", "verdict": "none lost"}
    runners = {
        "proto-jobs": {**about, "figures": summarise([{"drain": 80_000.0, "both": 50_000.0}]), "ratios": {}},
        "river": {**about, "figures": summarise([{"drain": 20_000.0}]), "ratios": {"drain": 4.0}},
    }
    said = {
        "rounds": 3, "load": {"jobs": 2000, "seconds": 3.0}, "runners": runners, "missing": {"graphile": "no node"},
        "durability": {"fsync": "on"}, "versions": {"python": "3.11"},
    }  # fmt: skip

    lines = _page(tmp_path, "peers", said)

    assert "| river |  |  | 4.00 |  |  |  |" in lines
    assert [line for line in lines if "title" in line] == ['    title "drain"']
    assert "    bar [80000.0, 20000.0]" in lines
    assert "Not measured: graphile: no node." in lines


def test_another_page_quotes_the_comparison_with_where_it_was_made(tmp_path: Path) -> None:
    runners = {"proto-jobs": {"figures": summarise([{"drain": 80_000.0}])}, "river": {"figures": summarise([{"drain": 20_000.0}])}}
    said = {"rounds": 3, "load": {"jobs": 2000, "seconds": 3.0}, "runners": runners}
    (tmp_path / "peers.json").write_text(json.dumps({"kind": "peers", **ABOUT, **said}))

    quoted = beside_others(tmp_path).splitlines()

    assert quoted[0].startswith("Commit `abc1234`, 2026-01-31, 2 CPUs (a processor), 8 GB, Linux 6; 2000 jobs, 3 s, 3 rounds")
    assert quoted[-2:] == ["| proto-jobs |  |  | 80,000 |  |  |  |", "| river |  |  | 20,000 |  |  |  |"]


def test_the_list_has_every_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kind": "runs", **ABOUT, "runs": 3, "rows": [], "missing": {}}))

    listed = pages(tmp_path)["benchmarks/README.md"]

    assert "[one](one.md)" in listed
    assert "[two](two.md)" in listed
