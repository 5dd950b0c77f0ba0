"""`protojobs tokens`: who may call this service's servers."""

import asyncio
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from protojobs_client import Grant, Scope, TokenInfo

from protojobs_service.cli.config import ConfigOption, Driver
from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_pairs, print_table
from protojobs_service.cli.values import parse_span
from protojobs_service.domain.errors import JobsError, Overloaded, StoreUnavailable

tokens = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True)


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for. At most two tokens of one name live.")],
    grant: Annotated[
        list[str], typer.Option("--grant", "-g", help="SCOPE, or SCOPE:QUEUES such as worker:mail.*; repeatable.", metavar="GRANT")
    ],
    ttl: Annotated[str, typer.Option(help="How long it lives: 12h, 90d; 1 minute to 366 days.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the token to this new file, for its owner alone.", metavar="FILE")
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Write to the store itself, as `migrate` does: for the first token.")
    ] = False,
    driver: Annotated[Driver | None, typer.Option(help="With --store: which one. [default: sqlite]")] = None,
    config: ConfigOption = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a token and show it, once. Scopes: producer, worker, observer, operator, admin."""
    grants, span = [_parse_grant(each) for each in grant], parse_span(ttl, "--ttl")
    with _kept(output, as_json=as_json) as keep:
        if store:
            made, secret = _create_in_store(name, grants, span, driver, config, as_json=as_json)
        else:
            with connected(address, as_json=as_json) as client:
                answer = client.admin.create_token(name, grants, span)
            made, secret = _plain(answer.token), answer.secret
        if output is not None:
            keep(secret)
    shown = {"token": secret} if output is None else {"file": str(output)}
    if as_json:
        print_json({**made, **shown})
    else:
        facts = (("id", "token_id"), ("name", "name"), ("grants", "grants"), ("until", "expires_at"))
        print_pairs((title, made[key]) for title, key in facts)
        typer.echo(secret if output is None else f"written to {output}")


@tokens.command("list")
def list_tokens(address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """List tokens; ended ones too, for 30 days."""
    with connected(address, as_json=as_json) as client:
        found = client.admin.tokens().all()
    if as_json:
        print_json([_plain(each) for each in found])
        return
    rows = (
        (each.token_id, each.name, _show(each.grants), each.created_at, each.expires_at, each.revoked_at, each.used_at)
        for each in found
    )
    print_table(("id", "name", "grants", "created", "until", "revoked", "last used"), rows, empty="no tokens")


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="Id of the token, from `tokens list`.")],
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """End a token: within 5 s every server refuses it, also on open streams."""
    with connected(address, as_json=as_json) as client:
        ended = client.admin.revoke_token(token_id)
    if as_json:
        print_json(_plain(ended))
    else:
        typer.echo(f"{ended.token_id}: {'revoked' if ended.revoked_at else 'had expired'}")


def _create_in_store(
    name: str, grants: Sequence[Grant], ttl: timedelta, driver: Driver | None, config: Path | None, *, as_json: bool
) -> tuple[dict[str, Any], str]:
    from protojobs_service import compose, settings, telemetry
    from protojobs_service.domain import access

    wanted = [access.Grant(access.Scope(each.scope.value), each.queues) for each in grants]
    telemetry.configure_logs("warning", "console")
    try:
        made = asyncio.run(compose.create_token(settings.load(config, driver=driver), name, wanted, ttl))
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except (Overloaded, StoreUnavailable) as error:
        fail(error.message, ExitCode.UNAVAILABLE, as_json=as_json, reason=error.reason)
    except JobsError as error:
        fail(error.message, ExitCode.REFUSED, as_json=as_json, reason=error.reason)
    token = made.token
    return _facts(token.id, token.name, _show(grants), token.created_at, token.expires_at), made.text


@contextmanager
def _kept(file: Path | None, *, as_json: bool) -> Generator[Any]:
    """Give a function that writes a text to a new file of mode 0600; made first, as a token that cannot be kept is of no use."""
    if file is None:
        yield None
        return
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fail(f"{file}: {error.strerror}", ExitCode.USAGE, as_json=as_json)
    kept = False

    def keep(text: str) -> None:
        nonlocal kept
        os.write(handle, f"{text}\n".encode())
        kept = True

    try:
        yield keep
    finally:
        os.close(handle)
        if not kept:
            with suppress(OSError):
                file.unlink()


def _parse_grant(text: str) -> Grant:
    scope, _, queues = text.partition(":")
    try:
        return Grant(Scope(scope), queues or "*")
    except ValueError:
        known = ", ".join(each.value for each in Scope)
        raise typer.BadParameter(f"{scope!r} is no scope; there are {known}", param_hint="--grant") from None


def _plain(token: TokenInfo) -> dict[str, Any]:
    facts = _facts(token.token_id, token.name, _show(token.grants), token.created_at, token.expires_at)
    return {**facts, "created_by": token.created_by, "revoked_at": token.revoked_at, "used_at": token.used_at}


def _facts(token_id: str, name: str, grants: list[str], created_at: datetime | None, expires_at: datetime | None) -> dict[str, Any]:
    return {"token_id": token_id, "name": name, "grants": grants, "created_at": created_at, "expires_at": expires_at}


def _show(grants: Sequence[Grant]) -> list[str]:
    return [each.scope.value if each.queues == "*" else f"{each.scope.value}:{each.queues}" for each in grants]
