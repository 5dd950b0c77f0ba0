"""Each mutant is caught by the checker in the scenario that a sound server passes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeStand
from tests.chaos.stores import SqliteStore
from tests.checker import Report
from tests.mutants.scenario import run

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

HERE = Path(__file__).parent
SERVICE = HERE.parents[1] / "service"

# Which invariants a mutant breaks: one of them must be named, others may be.
MUTANTS = {
    "no_attempt_predicate": {"I4", "I5"},
    "answer_before_commit": {"I1"},
    "requeue_on_stream_close": {"I14"},
    "retried_dispatch_stored_twice": {"I3", "I5", "I14"},
}


def test_every_patch_is_tried() -> None:
    assert {path.stem for path in HERE.glob("*.patch")} == set(MUTANTS)


@pytest.mark.asyncio
async def test_sound_copy_passes_the_scenario(tmp_path: Path, make_stand: MakeStand) -> None:
    report, stuck = await judged(tmp_path, make_stand, [])

    assert (stuck, report.ok) == ("", True), str(report)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_is_caught(name: str, tmp_path: Path, make_stand: MakeStand) -> None:
    report, stuck = await judged(tmp_path, make_stand, [HERE / f"{name}.patch"])

    assert report.broken() & MUTANTS[name], f"{name} was not noticed {stuck}: {report}"


async def judged(directory: Path, make_stand: MakeStand, patches: Sequence[Path]) -> tuple[Report, str]:
    """Run the scenario against a copy of the service with these patches."""
    copy = directory / "service"
    shutil.copytree(SERVICE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for patch in patches:
        apply(patch, copy)
    store = SqliteStore(path=directory / "jobs.db")
    command = [sys.executable, "-m", "protojobs_service", "serve", "--migrate"]
    stand = make_stand(store, serve=command, env={"PYTHONPATH": str(copy)})
    return await run(stand, store)


def apply(patch: Path, copy: Path) -> None:
    """Apply a patch exactly where it was made for."""
    # Inside a repository git would look for the files from its root.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    done = subprocess.run(["git", "apply", "-p2", patch], cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{patch.name} does not apply; write it anew:\n{done.stderr}"
