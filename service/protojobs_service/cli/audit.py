"""`protojobs audit`."""

from itertools import islice
from typing import Annotated

import typer

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_json, print_table
from protojobs_service.cli.values import parse_time

audit = typer.Typer(help="Read what was done, and what was refused.", no_args_is_help=True)

_PACKAGE = "protojobs.v1."


@audit.command("list")
def list_events(
    principal: Annotated[str, typer.Option(help="Only of this principal, such as token:0123456789abcdef.")] = "",
    rpc: Annotated[str, typer.Option(help="Only of this RPC, such as QueueService/PauseQueue.")] = "",
    since: Annotated[str | None, typer.Option(help="From this time on, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time, ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the audit log, newest first."""
    with connected(address, as_json=as_json) as client:
        pages = client.admin.audit(
            principal=principal,
            rpc=rpc if not rpc or rpc.startswith(_PACKAGE) else _PACKAGE + rpc,
            since=None if since is None else parse_time(since, "--since"),
            until=None if until is None else parse_time(until, "--until"),
            page_size=min(limit, 500),
        )
        found = list(islice(pages, limit))
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each.at,
            each.principal or "nobody",
            each.rpc.removeprefix(_PACKAGE),
            each.target,
            each.outcome,
            each.via,
            each.peer,
            each.details,
        )
        for each in found
    )
    print_table(("time", "who", "what", "on", "outcome", "by", "from", "details"), rows, empty="nothing yet")
