"""The gate on CPU per job fails for more of it, and for broken promises; for nothing else."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import check
from benchmarks.pairs import Side, compare

WHOLE = "every invariant holds"


def _said(ratio: float | None, *, kept: bool = True, **others: float) -> dict[str, Any]:
    figures = {"cpu_s_per_1000_jobs.all": {"ratio": ratio}, "jobs_per_s": {"ratio": 0.2}}
    figures |= {f"cpu_s_per_1000_jobs.{name}": {"ratio": value} for name, value in others.items()}
    return {"kept": kept, "figures": figures, "verdicts": {"A": [WHOLE], "B": [WHOLE if kept else "2 jobs are lost"]}}


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.0999, 1.1])
def test_cpu_up_to_the_limit_is_good(ratio: float) -> None:
    assert not check.judge("drain", _said(ratio), 10).why


def test_cpu_above_the_limit_fails_with_who_used_it() -> None:
    verdict = check.judge("both", _said(1.1001, server=1.3, store=0.9), 10)

    assert verdict.why == "above the limit of +10 %"
    assert str(verdict) == "both: CPU per job: all +10.0 %, server +30.0 %, store -10.0 %: above the limit of +10 %"


def test_a_part_alone_may_be_above_the_limit() -> None:
    assert not check.judge("drain", _said(1.0, store=1.5), 10).why


def test_a_broken_promise_fails_whatever_the_cpu() -> None:
    assert check.judge("drain", _said(0.5, kept=False), 10).why == f"2 jobs are lost; {WHOLE}"


def test_runs_too_short_to_measure_fail() -> None:
    assert "more jobs" in check.judge("drain", _said(None), 10).why


def test_the_median_of_the_pairs_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    used = {"old": iter([1.0, 1.0, 1.0]), "new": iter([9.0, 1.0, 1.05])}

    def run(side: Side) -> dict[str, Any]:
        cpu = {"all": next(used[side.name])}
        return {"jobs_per_s": 1.0, "verdict": WHOLE, "kept": True, "versions": {}, "cpu_s_per_1000_jobs": cpu}

    monkeypatch.setattr(Side, "run", run)
    old, new = (Side(name=name, home=tmp_path, python=tmp_path, arguments=[]) for name in ("old", "new"))

    assert not check.judge("drain", compare(old, new, 3, lambda _: None), 10).why


def test_a_checkout_without_an_environment_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(["--against", str(tmp_path)])

    assert ended.value.code == 2
    assert "has no environment" in capsys.readouterr().err
