"""A wheel holds all of its package that is in the repository, and nothing besides."""

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.release.dockerfile import ROOT
from tests.release.repository import tracked

PACKAGES = {
    "proto_jobs_proto": ("proto/python", "protojobs"),
    "proto_jobs_client": ("clients/python", "protojobs_client"),
    "proto_jobs_worker": ("worker", "protojobs_worker"),
    "proto_jobs_service": ("service", "protojobs_service"),
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all wheels, as the Dockerfile and the release do: with what is in uv itself."""
    directory = tmp_path_factory.mktemp("wheels")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--all-packages", "--no-index", "--out-dir", directory], cwd=ROOT, check=True
    )
    return directory


def read(wheels: Path, name: str) -> tuple[set[str], Message]:
    """Return the files of a wheel's package, and what the wheel says of itself."""
    [wheel] = wheels.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {each for each in archive.namelist() if not each.endswith("/")}
        [about] = [each for each in names if each.endswith(".dist-info/METADATA")]
        return {each for each in names if ".dist-info/" not in each}, Parser().parsestr(archive.read(about).decode())


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_has_every_file_of_its_package_and_no_other(wheels: Path, name: str) -> None:
    member, package = PACKAGES[name]
    listed = tracked(package, directory=ROOT / member)

    held, _ = read(wheels, name)

    assert f"{package}/py.typed" in held
    assert held == set(listed)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_says_what_it_is(wheels: Path, name: str) -> None:
    _, about = read(wheels, name)

    assert about["License-Expression"] == "Apache-2.0"
    assert about["License-File"] == "LICENSE"
    assert about["Description-Content-Type"] == "text/markdown"
    assert str(about.get_payload()).startswith("# Proto Jobs")
    assert {each.partition(",")[0] for each in about.get_all("Project-URL", [])} == {"Documentation", "Changelog", "Source"}


def test_the_service_brings_its_migrations_and_the_pages_of_its_console(wheels: Path) -> None:
    held, _ = read(wheels, "proto_jobs_service")

    for needed in (
        "drivers/sql/migrations/versions/rev_0001.py",
        "admin/console/templates/layout.html",
        "admin/console/static/console.js",
    ):
        assert f"protojobs_service/{needed}" in held
