"""How commands speak to a server, and what its refusals become."""

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn

import typer
from protojobs_client import Client, Options, ProtoJobsError, UnavailableError, WaitTimeoutError
from protojobs_client.errors import DeadlineExceededError, DuplicateJobError, NotFoundError

from protojobs_service.cli.output import ExitCode, fail

CONNECTION_PANEL = "Connection"

AddressOption = Annotated[
    str | None, typer.Option("--address", "-a", help="Server to speak to.", envvar="PROTOJOBS_ADDRESS", metavar="HOST:PORT")
]

# People wait for an answer; programs that want patience use the client.
_PATIENCE = timedelta(seconds=5)


def _option(name: str, help_text: str, *, variable: bool = True) -> Any:
    flag = name.replace("_", "-")
    envvar = f"PROTOJOBS_{name.upper()}" if variable else None
    return typer.Option(f"--{flag}", help=help_text, envvar=envvar, rich_help_panel=CONNECTION_PANEL, show_default=False)


# A token itself is no option: everybody on the machine could read it. PROTOJOBS_TOKEN takes one.
_OPTIONS: Mapping[str, Any] = {
    "token_file": Annotated[Path | None, _option("token_file", "File of the bearer token; the token itself: PROTOJOBS_TOKEN.")],
    "ca": Annotated[Path | None, _option("ca", "PEM file of the roots to trust instead of the system's.")],
    "cert": Annotated[Path | None, _option("cert", "PEM file of a client certificate; with --key.")],
    "key": Annotated[Path | None, _option("key", "PEM file of its key; with --cert.")],
    "server_name": Annotated[str | None, _option("server_name", "Name to expect in the server's certificate.")],
    # PROTOJOBS_TLS would be a setting of the server.
    "tls": Annotated[bool | None, _option("tls", "Use TLS to this machine, too; elsewhere it is used anyway.", variable=False)],
    "insecure": Annotated[bool | None, _option("insecure", "No TLS, wherever the server is.")],
}
_given: ContextVar[Mapping[str, Any]] = ContextVar("options of the connection", default=MappingProxyType({}))


def share_options(app: typer.Typer) -> None:
    """Give each command that has an `AddressOption` the other options of a connection; `connection_options` reads them."""
    for command in app.registered_commands:
        if command.callback is not None and _speaks(command.callback):
            command.callback = _with_options(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            share_options(group.typer_instance)


def connection_options(address: str | None, **more: Any) -> Options:
    """Return what the command line says of the connection, over what the environment says. Raises ValueError."""
    options = replace(Options.from_env().over(address=address, **_given.get()), **more)
    for file in filter(None, (options.ca, options.cert, options.key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise ValueError(f"{file}: {error.strerror}") from error
    return options


@contextmanager
def connected(address: str | None, *, as_json: bool) -> Generator[Client]:
    """Give a client of the server; ends the command with one line and an exit code for whatever it refuses."""
    try:
        options = connection_options(address, call_timeout=_PATIENCE, streaming=False)
        client = Client(options=options)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    with refusals_told(options.address, as_json=as_json), client:
        yield client


@contextmanager
def refusals_told(address: str, *, as_json: bool) -> Generator[None]:
    """End the command with one line and an exit code for whatever the server at the address refuses."""
    try:
        yield
    except ProtoJobsError as error:
        _refuse(error, address, as_json=as_json)
    except (ValueError, TypeError) as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)


def _speaks(command: Callable[..., Any]) -> bool:
    return any(each.annotation == AddressOption for each in inspect.signature(command).parameters.values())


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(name, kind, default=None, annotation=each) for name, each in _OPTIONS.items()]

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        _given.set({name: options.pop(name) for name in _OPTIONS})
        return command(*arguments, **options)

    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {**command.__annotations__, **_OPTIONS}
    return run


def _refuse(error: ProtoJobsError, address: str, *, as_json: bool) -> NoReturn:
    message = ": ".join([*getattr(error, "__notes__", ()), error.message or error.reason or type(error).__name__])
    match error:
        case WaitTimeoutError():
            code = ExitCode.WAIT_OVER
        case NotFoundError():
            code = ExitCode.NOT_FOUND
        case UnavailableError() | DeadlineExceededError():
            code = ExitCode.UNAVAILABLE
            message = f"no answer from {address}: {message}"
        case DuplicateJobError():
            code = ExitCode.REFUSED
            message = f"{message}: {error.job_id}"
        case _:
            code = ExitCode.REFUSED
    fail(message, code, as_json=as_json, reason=error.reason, **{"metadata": error.metadata} if error.metadata else {})
