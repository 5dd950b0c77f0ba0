"""Both major versions of Helm take the chart, and every object is one that Kubernetes knows."""

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import found
from tests.chart.rendering import CHART, VALUE_FILES, render_text
from tests.chart.schemas import KUBERNETES, find_schemas
from tests.chart.tools import HELM_VERSIONS, find_helm, find_kubeconform

_rendered_text = cache(render_text)
each_values = pytest.mark.parametrize("values", VALUE_FILES, ids=lambda path: path.name.removesuffix("-values.yaml"))
each_helm = pytest.mark.parametrize("version", HELM_VERSIONS)


@each_helm
@each_values
def test_helm_finds_nothing_to_complain_of(version: str, values: Path) -> None:
    helm = found(find_helm, version)

    done = subprocess.run(
        [helm, "lint", "--strict", "--quiet", CHART, "--values", values], capture_output=True, text=True, check=False, timeout=30
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@each_values
def test_both_versions_of_helm_make_the_same_objects(values: Path) -> None:
    three, four = (render_text(found(find_helm, version), values) for version in HELM_VERSIONS)

    assert _by_name(three) == _by_name(four)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@each_values
def test_every_object_fits_its_schema(helm: Path, values: Path, kubernetes: str) -> None:
    kubeconform, schemas = found(find_kubeconform), found(find_schemas)
    command = [str(kubeconform), "-strict", "-output=json", "-summary", f"-kubernetes-version={kubernetes}"]
    kind = "{{.ResourceKind}}{{.KindSuffix}}.json"
    command += [f"-schema-location={schemas / directory / kind}" for directory in (f"v{kubernetes}", "custom")]
    text = _rendered_text(helm, values)

    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=30)

    report = json.loads(done.stdout)
    assert report["resources"] == []  # what is good is not listed
    assert report["summary"] == {"valid": len(_by_name(text)), "invalid": 0, "errors": 0, "skipped": 0}


def _by_name(text: str) -> dict[tuple[str, str], object]:
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}
