"""`python -m protojobs_worker module:worker`: runs a worker that a module defines.

Exit codes: 0 finished (signal, drained, empty, recycled), 1 failed unexpectedly, 2 wrong usage, 75 restart me (handlers
that do not stop), 78 the server refuses this worker's settings or credentials, 130 stopped at once by a second signal.
"""

import importlib
import logging
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from protojobs_worker.options import WorkerOptions
from protojobs_worker.worker import Worker

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class _TextFormatter(logging.Formatter):
    """One line per event: time, level, logger, message and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        told = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        return f"{super().format(record)} {told}".rstrip()


def main(
    target: Annotated[str, typer.Argument(help="module:name of a Worker, or of a function that returns one")],
    queue: Annotated[
        list[str] | None, typer.Option(help="Queue to read, NAME or NAME=WEIGHT; repeat it. Default: the worker's.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Serve a queue only while those before it have nothing.")] = False,
    address: Annotated[str | None, typer.Option(help="Server, host:port. Default: PROTOJOBS_ADDRESS.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File of the bearer token; the token itself: PROTOJOBS_TOKEN.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the roots to trust instead of the system's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file of a client certificate; with --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key; with --cert.")] = None,
    server_name: Annotated[str | None, typer.Option(help="Name to expect in the server's certificate.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS to this machine, too; elsewhere it is used anyway.")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS, wherever the server is.")] = False,
    name: Annotated[str | None, typer.Option(help="Label for people.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Handlers that run at once.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Jobs taken and not settled.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Size of the process pool. Default: concurrency.")] = None,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="Leave once nothing waits.")] = False,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Leave after so many jobs.")] = None,
    max_memory: Annotated[int | None, typer.Option(min=1, help="Leave when it holds so many MiB.")] = None,
    max_lifetime: Annotated[float | None, typer.Option(min=0, help="Leave after so many seconds.")] = None,
    grace: Annotated[float | None, typer.Option(min=0, help="Seconds in which running jobs may finish.")] = None,
    health_file: Annotated[Path | None, typer.Option(help="Touched while the worker is healthy.")] = None,
    health_port: Annotated[int | None, typer.Option(min=0, help="Serve GET /healthz here.")] = None,
    trace_parent: Annotated[
        str | None,
        typer.Option(help="link or continue: handlers begin traces that link to the dispatch, or go on with its trace."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the handlers of a worker until it is told to stop."""
    handler = logging.StreamHandler()
    handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    worker = _load(target)
    given: dict[str, Any] = {
        "queues": _queues(queue),
        "order": "strict" if strict else None,
        "name": name,
        "concurrency": concurrency,
        "window": window,
        "processes": processes,
        "until_empty": until_empty or None,
        "max_jobs": max_jobs,
        "max_memory": None if max_memory is None else max_memory * 1024 * 1024,
        "max_lifetime": max_lifetime,
        "grace": grace,
        "health_file": health_file,
        "health_port": health_port,
        "trace_parent": trace_parent,
    }
    try:
        worker.options = _over(worker.options, given)
        worker.connection = worker.connection.over(
            address=address,
            token_file=token_file,
            ca=ca,
            cert=cert,
            key=key,
            server_name=server_name,
            tls=tls or None,
            insecure=insecure or None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(worker.run().code)


def _load(target: str) -> Worker:
    module, colon, name = target.partition(":")
    if not colon:
        raise typer.BadParameter("write it as module:name")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError) as error:
        raise typer.BadParameter(str(error)) from error
    if not isinstance(found, Worker) and callable(found):
        found = found()
    if not isinstance(found, Worker):
        raise typer.BadParameter(f"{target} is no Worker")
    return found


def _queues(given: list[str] | None) -> dict[str, int] | None:
    if not given:
        return None
    try:
        return {name: int(weight) if equals else 1 for name, equals, weight in (entry.partition("=") for entry in given)}
    except ValueError as error:
        raise typer.BadParameter("a weight is a number") from error


def _over(options: WorkerOptions, given: dict[str, Any]) -> WorkerOptions:
    known = {field.name for field in fields(options)}
    return replace(options, **{name: value for name, value in given.items() if value is not None and name in known})


if __name__ == "__main__":
    typer.run(main)
