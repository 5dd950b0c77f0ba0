"""`protojobs workers`."""

from typing import Annotated

import typer

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_json, print_table
from protojobs_service.cli.values import parse_span

workers = typer.Typer(help="Look at connected workers and send them away.", no_args_is_help=True)


@workers.command("list")
def list_workers(
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Only those that read this queue.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List live workers."""
    with connected(address, as_json=as_json) as client:
        found = client.workers(queue).all()
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each.session,
            each.worker,
            f"{each.sdk} {each.sdk_version}".strip(),
            each.queues,
            each.kinds or "all",
            f"{each.slots_used}/{each.slots_total}",
            each.heartbeat_at,
            "draining" if each.draining else "",
        )
        for each in found
    )
    print_table(("session", "worker", "sdk", "queues", "kinds", "busy", "heartbeat", ""), rows, empty="no workers")


@workers.command()
def drain(
    session: Annotated[str, typer.Argument(help="Number of the session, from `workers list`.")],
    deadline: Annotated[str, typer.Option(help="How long it may finish.")] = "5m",
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a worker to finish and leave."""
    span = parse_span(deadline, "--deadline")
    with connected(address, as_json=as_json) as client:
        client.drain_worker(session, deadline=span)
    if as_json:
        print_json({"session": session, "done": "draining"})
    else:
        typer.echo(f"{session}: draining")
