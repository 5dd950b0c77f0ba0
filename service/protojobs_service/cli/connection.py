"""How commands speak to a server, and what its refusals become."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, NoReturn

import typer
from protojobs_client import Client, Options, ProtoJobsError, UnavailableError, WaitTimeoutError
from protojobs_client.errors import DeadlineExceededError, DuplicateJobError, NotFoundError

from protojobs_service.cli.output import ExitCode, fail

AddressOption = Annotated[
    str | None, typer.Option("--address", "-a", help="Server to speak to.", envvar="PROTOJOBS_ADDRESS", metavar="HOST:PORT")
]

# People wait for an answer; programs that want patience use the client.
_PATIENCE = timedelta(seconds=5)


@contextmanager
def connected(address: str | None, *, as_json: bool) -> Generator[Client]:
    """Give a client of the server; ends the command with one line and an exit code for whatever it refuses."""
    try:
        options = Options.from_env()
        options = replace(options, address=address or options.address, call_timeout=_PATIENCE, streaming=False)
        client = Client(options=options)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    try:
        with client:
            yield client
    except ProtoJobsError as error:
        _refuse(error, options.address, as_json=as_json)
    except (ValueError, TypeError) as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)


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
