"""One version stands everywhere, and deploy/version.py writes it there."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.release.dockerfile import ROOT
from tests.release.repository import tracked

MEMBERS = ("proto/python", "service", "worker", "clients/python")
# What a version may stand in, and what is fetched or built beside it.
KEPT = ("*.toml", "pom.xml", "package.json", "package-lock.json", "version.ts", "doc.go", "Version.php", "Chart.yaml", "version.py")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the files that say a version."""
    for name in tracked(*(f"*{name}" for name in KEPT)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def version(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, place / "deploy" / "version.py", *arguments], capture_output=True, text=True, check=False
    )


def test_the_whole_repository_says_one_version(copy: Path) -> None:
    current = version(copy).stdout.strip()
    released = re.sub(r"\.dev0$", "", current)

    checked = version(copy, released, "--check").stderr.splitlines()

    # While it is worked on, only what marks it as not released differs.
    others = [line for line in checked if not re.search(r": \d+\.\d+\.\d+(\.dev0|-SNAPSHOT)$", line)]
    assert others == [] or (current == released and others == [f"{released} everywhere"])
    assert all(re.search(rf"\b{re.escape(released)}\b", line) for line in checked)


def test_a_version_is_written_everywhere_and_back(copy: Path) -> None:
    before = {path: path.read_text() for path in copy.rglob("*") if path.is_file()}
    [current] = re.findall(r"^\d+\.\d+\.\d+", version(copy).stdout)

    assert version(copy, "98.7.6").returncode == 0
    assert version(copy, "v98.7.6", "--check").returncode == 0
    assert {path: path.read_text() for path in before} != before
    assert version(copy, current, "--next").returncode == 0

    assert {path: path.read_text() for path in before} == before


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("clients/php/src/Version.php", "98.7.5"),
        ("service/pyproject.toml", "98.7.6.dev0"),
        ("clients/java/bom/pom.xml", "98.7.6-SNAPSHOT"),
        ("clients/typescript/package-lock.json", "98.7.5"),
    ],
)
def test_a_place_that_says_another_version_is_named(copy: Path, file: str, wrong: str) -> None:
    version(copy, "98.7.6")
    (copy / file).write_text((copy / file).read_text().replace("98.7.6", wrong))

    checked = version(copy, "v98.7.6", "--check")

    assert checked.returncode == 1
    assert f"{file}: {wrong}" in checked.stderr


def test_a_place_that_says_none_is_named(copy: Path) -> None:
    version(copy, "98.7.6")
    (copy / "clients/php/src/Version.php").write_text("<?php\n")

    checked = version(copy, "v98.7.6", "--check")

    assert (checked.returncode, checked.stderr) == (1, "clients/php/src/Version.php: no version\n")


@pytest.mark.parametrize("wrong", ["1.0", "1.0.0rc1", "latest"])
def test_what_is_no_version_is_refused(copy: Path, wrong: str) -> None:
    assert version(copy, wrong).returncode == 2


def test_a_wheel_asks_for_the_others_at_its_own_version() -> None:
    projects = [tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"] for member in MEMBERS]
    [ours] = {project["version"] for project in projects}

    asked = [
        each
        for project in projects
        for each in (
            *project["dependencies"],
            *(name for names in project.get("optional-dependencies", {}).values() for name in names),
        )
        if each.startswith("proto-jobs-")
    ]

    assert asked
    assert {each.partition("==")[2] for each in asked} == {ours}


def test_what_is_released_apart_has_the_licence_of_the_repository() -> None:
    for member in (*MEMBERS, "clients/php"):
        assert (ROOT / member / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
