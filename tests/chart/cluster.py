"""A Kubernetes of one's own for `make chart FULL=1`: etcd and a real API server. Without nodes and controllers no pod runs."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.chart.tools import ToolsUnavailable, find_go, find_helm, find_kubectl
from tests.fetched import fetched
from tests.private_server import free_port

_MODULE: Final = Path(__file__).resolve().parent / "apiserver"
_READY_SECONDS: Final = 120.0
_TOKEN: Final = "only-for-loopback"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command has said, and its exit code."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server that runs, and how to speak to it as its administrator."""

    kubeconfig: Path

    def kubectl(self, *arguments: str | Path, given: str | None = None) -> Done:
        """Run kubectl, with `given` on its standard input."""
        return self._run(find_kubectl(), *arguments, given=given)

    def helm(self, *arguments: str | Path) -> Done:
        """Run Helm."""
        return self._run(find_helm("4"), *arguments)

    def start_helm(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start Helm, whose output goes to one pipe."""
        command = [find_helm("4"), *arguments]
        return subprocess.Popen(command, env=self._environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Return objects, by the arguments of `kubectl get`."""
        found = json.loads(self.kubectl("get", "--output=json", *arguments).text)
        items: list[dict[str, Any]] = found.get("items", [found])
        return items

    def _run(self, program: Path, *arguments: str | Path, given: str | None = None) -> Done:
        done = subprocess.run(
            [program, *arguments],
            input=given,
            env=self._environment(),
            text=True,
            timeout=120,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Done(done.returncode, done.stdout.strip())

    def _environment(self) -> dict[str, str]:
        """Let nothing of the user's own be read or changed."""
        home = self.kubeconfig.parent
        helm = {f"HELM_{each}_HOME": str(home / "helm" / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
        return {**os.environ, **helm, "KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(home / "kube")}


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run etcd and an API server in a directory that goes with them. Raises ToolsUnavailable."""
    etcd = shutil.which("etcd")
    if etcd is None:
        raise ToolsUnavailable("needs etcd (etcd-server)")
    apiserver = find_apiserver()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="protojobs-chart-")))
        clients, peers, port = free_port(), free_port(), free_port()
        stack.enter_context(_process(home / "etcd.log", _etcd(etcd, home, clients, peers)))
        server = stack.enter_context(_process(home / "apiserver.log", _apiserver(apiserver, home, clients, port)))
        cluster = Cluster(_write_kubeconfig(home, port))
        _wait_until_ready(cluster, server, home / "apiserver.log")
        yield cluster


def find_apiserver() -> Path:
    """Return kube-apiserver, built if this is the first time: that takes many minutes. Raises ToolsUnavailable."""
    recipe = b"".join((_MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return fetched("kube-apiserver", recipe, _build) / "kube-apiserver"


def _build(directory: Path) -> None:
    print("building kube-apiserver; this takes ten minutes once ...", flush=True)
    package = "k8s.io/kubernetes/cmd/kube-apiserver"
    # Helm and kubectl read the version, which Kubernetes' own build writes in the same way.
    version = re.search(r"k8s\.io/kubernetes (v\S+)", (_MODULE / "go.mod").read_text())
    assert version
    flags = f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={version[1]}"
    command = [find_go(), "build", "-trimpath", flags, "-o", str(directory / "kube-apiserver"), package]
    done = subprocess.run(command, cwd=_MODULE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolsUnavailable(f"Go could not build kube-apiserver: {done.stderr.strip()[-500:]}")


def _etcd(program: str, home: Path, clients: int, peers: int) -> list[str]:
    place, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    return [
        program,
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={place}",
        f"--advertise-client-urls={place}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver(program: Path, home: Path, etcd: int, port: int) -> list[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (home / "accounts.key").write_bytes(private)
    (home / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={home / 'certificates'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={home / 'accounts.key'}",
        f"--service-account-signing-key-file={home / 'accounts.key'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        # Its controller, which would let a volume go, is not there.
        "--disable-admission-plugins=StorageObjectInUseProtection",
        "--endpoint-reconciler-type=none",
    ]


def _write_kubeconfig(home: Path, port: int) -> Path:
    path = home / "kubeconfig"
    authority = home / "certificates" / "apiserver.crt"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}}],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "admin"}}],
        "current-context": "own",
    }
    path.write_text(json.dumps(config))
    return path


def _wait_until_ready(cluster: Cluster, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise ToolsUnavailable(f"the API server ended: {log.read_text()[-500:]}")
        if cluster.kubectl("get", "--raw=/readyz").text == "ok":
            return
        time.sleep(0.2)
    raise ToolsUnavailable(f"the API server is not ready after {_READY_SECONDS:.0f} s: {log.read_text()[-500:]}")


@contextmanager
def _process(log: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
