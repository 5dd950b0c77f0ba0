"""The Dockerfile keeps what is promised of its images, as far as that can be read."""

import subprocess
import sys
from pathlib import Path

import pytest
from protojobs_service.settings import Settings

from tests.release.dockerfile import ROOT, copies_from_context, exec_form, is_ignored, lineage, read_ignored, read_stages
from tests.release.repository import tracked

STAGES = read_stages(ROOT / "Dockerfile")
IGNORED = read_ignored(ROOT / ".dockerignore")
IMAGES = ("server", "worker")


def test_hadolint_has_nothing_against_it() -> None:
    linted = subprocess.run([_program("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_all_that_is_copied_is_in_the_repository_and_in_the_context() -> None:
    sources = [source for stage in STAGES.values() for names, _ in copies_from_context(stage) for source in names]

    assert sources
    for source in sources:
        copied = tracked(source)
        assert copied, source
        assert [path for path in copied if is_ignored(path, IGNORED)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
        "docs/protocol.md",
        "protojobs.db",
        "service/protojobs_service/__pycache__/compose.cpython-311.pyc",
        "worker/protojobs_worker.egg-info/PKG-INFO",
        "clients/go/go.mod",
        "proto/baseline.binpb",
        "deploy/systemd/protojobs.service",
    ],
)
def test_the_context_holds_nothing_besides(path: str) -> None:
    assert is_ignored(path, IGNORED)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_rights_and_starts_no_shell(image: str) -> None:
    stages = lineage(STAGES, image)

    assert stages[-1].all("USER")[-1:] == ["65532:65532"]
    assert [text for stage in stages for text in stage.all("STOPSIGNAL")] == ["SIGTERM"]
    for text in (*stages[-1].all("ENTRYPOINT"), *stages[-1].all("CMD")):
        assert exec_form(text)
    assert stages[-1].instructions[-2 if image == "server" else -1][0] == "ENTRYPOINT"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_takes_no_more_than_an_environment_from_the_stage_that_builds_it(image: str) -> None:
    copied = [text for stage in lineage(STAGES, image) for text in stage.all("COPY")]

    assert copied == [f"--from=build-{image} /opt/protojobs /opt/protojobs"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is(image: str) -> None:
    labels = " ".join(text for stage in lineage(STAGES, image) for text in stage.all("LABEL"))

    for name in ("title", "description", "vendor", "licenses", "source", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_the_server_listens_on_the_ports_that_its_image_names() -> None:
    settings = Settings()

    ports = {int(port) for text in STAGES["server"].all("EXPOSE") for port in text.split()}

    assert {settings.port, settings.admin_port} <= ports


def test_the_images_have_the_python_that_runs_these_tests() -> None:
    text = (ROOT / "Dockerfile").read_text()

    assert f"ARG PYTHON={sys.version_info.major}.{sys.version_info.minor}-slim" in text


def test_a_build_without_a_target_makes_the_server() -> None:
    assert list(STAGES)[-1] == "server"


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name
