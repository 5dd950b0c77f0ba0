"""Schemas of Kubernetes' own objects and of those of KEDA, Prometheus, the gateway and cert-manager, as kubeconform reads them."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.tools import find_go, find_wheel, run
from tests.fetched import fetched

# The oldest that Chart.yaml allows, one between, and the newest.
KUBERNETES: Final = ("1.30.0", "1.34.0", "1.37.0")
# The schemas are for one kind each, named kind-group-version.
_KINDS: Final = (
    *("configmap-v1", "persistentvolumeclaim-v1", "pod-v1", "secret-v1", "service-v1", "serviceaccount-v1"),
    *("deployment-apps-v1", "horizontalpodautoscaler-autoscaling-v2", "ingress-networking-v1", "job-batch-v1"),
    *("networkpolicy-networking-v1", "poddisruptionbudget-policy-v1"),
)
# Modules of Go whose files define the other kinds.
_MODULES: Final = {
    "github.com/kedacore/keda/v2@v2.21.0": (
        "config/crd/bases/keda.sh_scaledjobs.yaml",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.93.1": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "sigs.k8s.io/gateway-api@v1.4.1": ("config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml",),
    "github.com/cert-manager/cert-manager@v1.19.1": ("deploy/crds/cert-manager.io_certificates.yaml",),
}
_REFERENCE: Final = "/api/_definitions.json#/$defs/"


def find_schemas() -> Path:
    """Return the directory of the schemas, `VERSION/KIND.json` and `custom/KIND.json`. Raises ToolsUnavailable."""
    return fetched("chart-schemas", Path(__file__).read_bytes(), _write)


def find_definitions() -> list[Path]:
    """Return the files that define custom objects. Raises ToolsUnavailable."""
    go = find_go()
    roots = {module: json.loads(run([go, "mod", "download", "-json", module]))["Dir"] for module in _MODULES}
    return [Path(roots[module]) / name for module, names in _MODULES.items() for name in names]


def _write(directory: Path) -> None:
    with zipfile.ZipFile(find_wheel("kubernetes_validate")) as wheel:
        for version in KUBERNETES:
            _write_own(wheel, version, directory / f"v{version}")
    custom = directory / "custom"
    custom.mkdir()
    for path in find_definitions():
        for name, schema in _custom(yaml.safe_load(path.read_text())):
            (custom / f"{name}.json").write_text(json.dumps(schema))


def _write_own(wheel: zipfile.ZipFile, version: str, directory: Path) -> None:
    directory.mkdir(parents=True)
    source = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
    definitions = json.loads(wheel.read(f"{source}/_definitions.json"))["$defs"]
    for kind in _KINDS:
        schema = json.loads(wheel.read(f"{source}/{kind}.json").decode().replace(_REFERENCE, "#/$defs/"))
        schema.pop("$id", None)
        schema["$defs"] = {name: definitions[name] for name in _used(schema, definitions, set())}
        (directory / f"{kind}.json").write_text(json.dumps(schema))


def _used(schema: Any, definitions: dict[str, Any], seen: set[str]) -> set[str]:
    """Return the names of all definitions that a schema comes to."""
    for name in _references(schema):
        if name not in seen:
            seen.add(name)
            _used(definitions[name], definitions, seen)
    return seen


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/$defs/")
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _custom(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of each version of a custom object, with its name."""
    spec = definition["spec"]
    for version in spec["versions"]:
        name = f"{spec['names']['kind']}-{spec['group'].partition('.')[0]}-{version['name']}".lower()
        yield name, _strict(version["schema"]["openAPIV3Schema"])


def _strict(schema: Any) -> Any:
    """Refuse what is not named, as an API server does that validates strictly, and say int-or-string as JSON Schema does."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = {name: _strict(each) for name, each in schema.items() if name != "properties"}
    if "properties" in schema:
        strict["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict.setdefault("additionalProperties", False)
    return strict
