"""nginx in front of a server, with the file of deploy/nginx: streams live as long as the server lets them."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from protojobs_client import AsyncClient, Options

from tests.certificates import Authority
from tests.chaos.conftest import MakeStand
from tests.chaos.processes import Program
from tests.chaos.stand import TTL, Stand
from tests.chaos.stores import SqliteStore
from tests.chaos.waiting import until
from tests.conftest import NOT_ON_THIS_MACHINE
from tests.operations.pages import ROOT
from tests.private_server import free_port
from tests.rollout.fleet import said

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

NGINX = Path("/usr/sbin/nginx")
PAGE = (ROOT / "docs" / "operations" / "proxies.md").read_text()
CONF = (ROOT / "deploy" / "nginx" / "protojobs.conf").read_text()
PATIENCE = ("client_body_timeout", "grpc_read_timeout", "grpc_send_timeout")


@dataclass(slots=True)
class Nginx:
    """nginx with our file, on a port and a directory of its own."""

    home: Path
    port: int = field(default_factory=free_port)
    _running: "subprocess.Popen[bytes] | None" = None

    @property
    def options(self) -> Options:
        """Return how a client reaches it."""
        return Options(address=f"127.0.0.1:{self.port}", ca=self.home / "ca.crt")

    def start(self, upstream: str, **changed: str) -> None:
        """Run it in front of a server. changed: other values of its settings."""
        authority = Authority()
        pair = authority.server()
        (self.home / "ca.crt").write_bytes(authority.pem)
        (self.home / "tls.crt").write_bytes(pair.cert)
        (self.home / "tls.key").write_bytes(pair.key)
        ours = CONF.replace("127.0.0.1:50051", upstream).replace("listen 443", f"listen 127.0.0.1:{self.port}")
        ours = ours.replace("/etc/nginx/protojobs", str(self.home))
        for name, value in changed.items():
            [old] = [line for line in ours.splitlines() if line.strip().startswith(f"{name} ")]
            ours = ours.replace(old, f"    {name} {value};")
        temporary = "".join(
            f"{kind}_temp_path {self.home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.home / "nginx.conf").write_text(
            f"daemon off;\npid {self.home}/nginx.pid;\nerror_log {self.home}/error.log warn;\n"
            f"events {{}}\nhttp {{\naccess_log {self.home}/access.log;\n{temporary}{ours}\n}}\n"
        )
        command: list[str | Path] = [NGINX, "-p", self.home, "-e", self.home / "error.log", "-c", self.home / "nginx.conf"]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert tested.returncode == 0, tested.stderr
        self._running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(20)

    def log(self) -> str:
        """Return what it has said of errors."""
        return (self.home / "error.log").read_text()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """Give the test an nginx that is not running yet."""
    if not NGINX.exists():
        pytest.skip(f"{NOT_ON_THIS_MACHINE}nginx: nginx-light")
    home = tmp_path / "nginx"
    home.mkdir()
    proxy = Nginx(home)
    yield proxy
    proxy.stop()


@pytest.fixture
def proxied(make_stand: MakeStand, tmp_path: Path) -> Stand:
    """A stand on SQLite."""
    return make_stand(SqliteStore(path=tmp_path / "jobs.db"))


@pytest.mark.asyncio
async def test_streams_live_behind_nginx_over_tls(proxied: Stand, nginx: Nginx) -> None:
    server = await proxied.add_server()
    nginx.start(server.address)
    worker = await add_worker(proxied, nginx)
    producer = proxied.producer()
    [long] = await producer.dispatch(1, task={"hold": "the end"})
    await proxied.started(1)

    # One stream carries more than nginx takes of a request by itself, which is 1 MiB.
    async with AsyncClient(options=nginx.options) as client:
        large = [(await client.dispatch("work", "x" * 900_000, queue="large")).job_id for _ in range(5)]
        await producer.dispatch(200)
        await until("they complete", lambda: producer.has("main", COMPLETED=200, RUNNING=1))
        beaten = await heartbeats(client, 4)
        proxied.open_gate("the end")
        await until("the long one completes, too", lambda: producer.has("main", COMPLETED=201))
        assert [(await client.get(job)).attempt for job in [long, *large]] == [1, 0, 0, 0, 0, 0]

    assert beaten
    assert (opened(worker), broken(worker)) == (1, 0), worker.log.read_text()
    assert " [error] " not in nginx.log()
    report = await proxied.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("setting", ["client_body_timeout", "grpc_read_timeout"])
async def test_without_its_patience_streams_break_and_still_no_job_runs_twice(proxied: Stand, nginx: Nginx, setting: str) -> None:
    server = await proxied.add_server(SESSION__RECONNECT_GRACE="10")
    nginx.start(server.address, **{setting: "200ms"})
    worker = await add_worker(proxied, nginx, ttl=20.0)
    producer = proxied.producer()
    jobs = await producer.dispatch(5, task={"hold": "the end"})

    await until("its stream was opened three times", lambda: opened(worker) >= 3, within=40)
    proxied.open_gate("the end")
    await until("they complete", lambda: producer.has("main", COMPLETED=5), within=40)

    assert {(await producer.client.get(job)).attempt for job in jobs} == {1}
    report = await proxied.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == 0


@pytest.mark.asyncio
async def test_a_server_is_restarted_behind_nginx(proxied: Stand, nginx: Nginx) -> None:
    server = await proxied.add_server()
    nginx.start(server.address)
    worker = await add_worker(proxied, nginx, ttl=20.0)
    producer = proxied.producer()
    jobs = await producer.dispatch(5, task={"hold": "the end"})
    await proxied.started(5)

    server.program.terminate()
    assert await server.program.ended() == 0
    await server.start()
    await until("its stream is back", lambda: opened(worker) >= 2, within=40)
    proxied.open_gate("the end")
    await until("they complete", lambda: producer.has("main", COMPLETED=5), within=40)

    assert {(await producer.client.get(job)).attempt for job in jobs} == {1}


def test_the_page_explains_each_setting_of_nginx() -> None:
    inside = [
        line.split()[0].rstrip(";") for line in CONF.splitlines() if line.startswith(("    ", "\t")) and line.strip()[0] not in "#}"
    ]
    named = {name for name in inside if name.startswith(("client_", "grpc_", "http2_", "keepalive_", "least_"))} - {"grpc_pass"}

    assert set(PATIENCE) < named
    assert {name for name in named if f"`{name}`" not in PAGE} == set()


def test_the_file_of_envoy_has_the_settings_that_the_page_explains() -> None:
    text = (ROOT / "deploy" / "envoy" / "protojobs.yaml").read_text()
    [listener] = yaml.safe_load(text)["static_resources"]["listeners"]
    table = PAGE.partition("## Envoy")[2]

    assert listener["address"]["socket_address"]["port_value"] == 443
    for setting in ("stream_idle_timeout", "request_timeout", "timeout", "connection_keepalive", "grpc_health_check"):
        assert f"{setting}:" in text
        assert f"`{setting}`" in table


async def add_worker(stand: Stand, nginx: Nginx, *, ttl: float = TTL) -> Program:
    """Start a worker that reaches its server by nginx alone."""
    return await stand.add_worker(
        "worker", address=nginx.options.address, ca=str(nginx.options.ca), concurrency=10, ttl=ttl, listed=True
    )


async def heartbeats(client: AsyncClient, count: int) -> bool:
    """Wait until the worker has been heard so many times."""
    heard: set[object] = set()

    async def again() -> bool:
        heard.update([each.heartbeat_at async for each in client.workers()])
        return len(heard) >= count

    return bool(await until("it beats", again, within=30))


def opened(worker: Program) -> int:
    """Return how many streams a worker has opened."""
    return _says(worker, lambda event: event == "stream open")


def broken(worker: Program) -> int:
    """Return how many streams it has lost."""
    return _says(worker, lambda event: event.startswith(("stream ended", "no frame", "session is over")))


def _says(worker: Program, wanted: Callable[[str], bool]) -> int:
    return sum(wanted(line["event"]) for line in said(worker))
