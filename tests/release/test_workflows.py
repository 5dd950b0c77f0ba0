"""The workflows are sound, hold no more rights than they need, and name what is here."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.private_server import ServerUnavailable
from tests.release.actionlint import find_actionlint
from tests.release.dockerfile import ROOT, read_stages

BIN = Path(sys.executable).parent
GITHUB = ROOT / ".github"
FILES = sorted([*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("actions/*/action.yml")])
WORKFLOWS: dict[str, dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in GITHUB.glob("workflows/*.yml")}
JOBS = [(name, job, told) for name, workflow in WORKFLOWS.items() for job, told in workflow["jobs"].items()]
RELEASE = WORKFLOWS["release"]["jobs"]


@pytest.mark.timeout(300)
def test_actionlint_has_nothing_against_them() -> None:
    try:
        actionlint = find_actionlint()
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}actionlint: {error}")
    command: list[str | Path] = [actionlint, "-no-color", *GITHUB.glob("workflows/*.yml")]

    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (linted.returncode, linted.stdout) == (0, "")


def test_zizmor_has_nothing_against_them() -> None:
    audited = subprocess.run([BIN / "zizmor", "--offline", "--quiet", GITHUB], capture_output=True, text=True, check=False)

    assert audited.returncode == 0, audited.stdout + audited.stderr


@pytest.mark.parametrize(
    ("schema", "file"),
    [("github-workflows", path) for path in GITHUB.glob("workflows/*.yml")]
    + [
        ("github-actions", GITHUB / "actions" / "uv" / "action.yml"),
        ("dependabot", GITHUB / "dependabot.yml"),
    ],
)
def test_they_are_what_github_reads(schema: str, file: Path) -> None:
    command: list[str | Path] = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", file]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_action_of_others_is_a_commit_with_its_version_beside_it() -> None:
    used = [line for path in FILES for line in re.findall(r"uses: (.*)", path.read_text()) if not line.startswith("./")]

    assert used
    assert [line for line in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    versions = {line.partition("@")[0]: set[str]() for line in used}
    for line in used:
        versions[line.partition("@")[0]].add(line)
    assert [name for name, lines in versions.items() if len(lines) > 1] == []


@pytest.mark.parametrize(("workflow", "job", "told"), JOBS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_job_has_rights_of_its_own_and_an_end(workflow: str, job: str, told: dict[str, Any]) -> None:
    assert WORKFLOWS[workflow]["permissions"] == {}
    assert "permissions" in told
    assert "uses" in told or told["timeout-minutes"] <= 90


def test_only_the_job_that_tags_may_write_to_the_repository() -> None:
    writers = {job for _, job, told in JOBS if told["permissions"].get("contents") == "write"}

    assert writers == {"release"}


def test_what_cannot_be_taken_back_comes_after_the_tests_and_what_can() -> None:
    final = {"pypi", "npm", "maven", "packagist"}

    for job in final:
        assert {"ci", "images", "chart"} <= {*RELEASE[job]["needs"]}
        assert RELEASE[job]["environment"]
    assert final <= {*RELEASE["release"]["needs"]}


def test_both_images_are_built_signed_and_attested_by_their_digest() -> None:
    steps = RELEASE["images"]["steps"]
    [build] = [step["with"] for step in steps if step.get("uses", "").startswith("docker/build-push-action@")]
    declared = {text.partition("=")[0] for stage in read_stages(ROOT / "Dockerfile").values() for text in stage.all("ARG")}

    assert {*RELEASE["images"]["strategy"]["matrix"]["target"]} <= read_stages(ROOT / "Dockerfile").keys()
    assert (build["platforms"], build["sbom"], build["provenance"]) == ("linux/amd64,linux/arm64", True, "mode=max")
    assert {line.partition("=")[0] for line in build["build-args"].splitlines()} <= declared
    assert any(step.get("run", "").startswith('cosign sign --yes "$IMAGE@$DIGEST"') for step in steps)
    assert any(step.get("uses", "").startswith("actions/attest@") for step in steps)


def test_what_they_run_is_here() -> None:
    text = "\n".join(path.read_text() for path in FILES)

    named = set(re.findall(r"(?<![\w./])((?:deploy|clients|\.github)/[\w./-]*\w)", text))

    assert "deploy/version.py" in named
    # The chart comes with the rest of what runs on Kubernetes.
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith("deploy/helm/")] == []


def test_the_notes_of_a_release_are_its_part_of_the_changelog(tmp_path: Path) -> None:
    [step] = [step["run"] for step in RELEASE["release"]["steps"] if "CHANGELOG.md" in step.get("run", "")]
    [command] = re.findall(r"^awk .*$", step, re.MULTILINE)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\nnew\n\n## 1.2.0 - 2026-01-02\n\n### Added\n\nmine\n\n## 11.2.0\n\nold\n"
    )

    subprocess.run(["sh", "-c", command], cwd=tmp_path, env={"VERSION": "1.2.0", "PATH": "/usr/bin:/bin"}, check=True)

    assert (tmp_path / "notes.md").read_text().split() == ["###", "Added", "mine"]
