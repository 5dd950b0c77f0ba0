"""`protojobs serve` and `protojobs dev`: run the server until a signal."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from protojobs_service.cli.config import ConfigOption, Driver
from protojobs_service.cli.output import ExitCode, clean, fail
from protojobs_service.cli.serving import run, spare_collector

if TYPE_CHECKING:
    from protojobs_service.compose import RunningServer
    from protojobs_service.settings import Settings

ListenOption = Annotated[str | None, typer.Option("--address", "-a", help="Where to listen.", metavar="HOST:PORT")]
AdminOption = Annotated[
    str | None, typer.Option("--admin-address", help="Where to listen for probes and metrics.", metavar="HOST:PORT")
]


def serve(
    driver: Annotated[Driver | None, typer.Option(help="Store. [default: sqlite]")] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Bring the store's schema up to date first.")] = False,
    address: ListenOption = None,
    admin_address: AdminOption = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen beyond loopback without TLS, too.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Processes behind one port, each on a core. [default: 1]", metavar="N")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run a server."""
    overrides = {"driver": driver, "insecure": insecure, "processes": processes, **_listen(address, admin_address)}
    chosen = _load(config, **overrides)
    if chosen.processes == 1:
        _run(chosen, migrate=migrate)
        return
    from protojobs_service.cli.processes import supervise

    supervise(chosen, config, overrides, migrate=migrate)


def dev(
    data: Annotated[Path | None, typer.Option("--data", help="SQLite file. [default: ./protojobs.db]", metavar="FILE")] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep nothing: no file, all jobs gone at the end.")] = False,
    address: ListenOption = None,
    admin_address: AdminOption = None,
    config: ConfigOption = None,
) -> None:
    """Run a server to develop against: SQLite, its schema kept up to date, one process, this machine only."""
    store: dict[str, Any] = {"driver": "memory" if memory else "sqlite"}
    if data is not None:
        store["sqlite"] = {"path": data}
    chosen = _load(config, **store, **_listen(address, admin_address))
    _run(chosen, migrate=True, greet=True)


def _load(config: Path | None, **overrides: Any) -> "Settings":
    from protojobs_service import settings

    try:
        return settings.load(config, **overrides)
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE)


def _listen(address: str | None, admin_address: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if address is not None:
        values["host"], values["port"] = _split(address, "--address")
    if admin_address is not None:
        values["admin_host"], values["admin_port"] = _split(admin_address, "--admin-address")
    return values


def _split(address: str, option: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise typer.BadParameter(f"{address!r} is not HOST:PORT", param_hint=option)
    return host or "0.0.0.0", int(port)


def _run(chosen: "Settings", *, migrate: bool, greet: bool = False) -> None:
    # A greeting says what a starting server logs.
    level = "warning" if greet and chosen.log.level == "info" else chosen.log.level
    run(lambda stop: _serve(chosen, stop, migrate=migrate, greet=greet), chosen, level=level)


async def _serve(chosen: "Settings", stop: asyncio.Event, *, migrate: bool, greet: bool) -> None:
    from protojobs_service import compose
    from protojobs_service.settings import OtelSettings

    if migrate and chosen.driver != "memory":
        await compose.upgrade_schema(chosen)
    async with compose.start_server(chosen, says_audit=not greet, otel=OtelSettings()) as running:
        spare_collector()
        if greet:
            _greet(chosen, running)
        await stop.wait()
        if greet:
            Console().print("stopping; once more to stop now")


def _greet(chosen: "Settings", running: "RunningServer") -> None:
    where = "memory, gone at the end" if chosen.driver == "memory" else str(chosen.sqlite.path.resolve())
    console = Console()
    for name, value in (
        ("Proto Jobs", running.version),
        ("gRPC", running.address),
        *([("console", f"http://{running.admin_address}{chosen.console.base_path}")] if chosen.console.enabled else []),
        ("probes, metrics", f"http://{running.admin_address}/readyz, /metrics"),
        ("store", where),
        ("try", f'protojobs dispatch hello --data \'{{"to": "you"}}\' --address {running.address}'),
    ):
        console.print(Text.assemble((f"{name:>16}  ", "bold"), clean(value)), soft_wrap=True)
