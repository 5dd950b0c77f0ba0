"""What Helm makes of the chart."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "protojobs"
VALUE_FILES: Final = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE: Final = "jobs"
NAMESPACE: Final = "shop"

Object = dict[str, Any]


class Refused(Exception):
    """Helm does not take the values; the message is what it says."""


def render(helm: Path, *values: Path, settings: tuple[str, ...] = ()) -> list[Object]:
    """Return the objects for these files of values, later ones over earlier ones, and `path=value` over all. Raises Refused."""
    return [each for each in yaml.safe_load_all(render_text(helm, *values, settings=settings)) if each]


def render_text(helm: Path, *values: Path, settings: tuple[str, ...] = ()) -> str:
    """Return the same as YAML. Raises Refused."""
    files = [f"--values={path}" for path in values]
    given = [f"--set={setting}" for setting in settings]
    command = [str(helm), "template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *files, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def find(objects: list[Object], kind: str, name: str) -> Object:
    """Return the one object of a kind and a name."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield each pod that the objects come to, as a Pod, with the kind and name of what makes it."""
    for each in objects:
        place = f"{each['kind']} {each['metadata']['name']}"
        match each["kind"]:
            case "Pod":
                yield place, each
            case "Deployment" | "Job":
                yield place, each["spec"]["template"]
            case "ScaledJob":
                yield place, each["spec"]["jobTargetRef"]["template"]
