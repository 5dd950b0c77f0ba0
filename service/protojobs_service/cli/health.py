"""`protojobs health`."""

import typer
from protojobs_client import HealthStatus

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import ExitCode, JsonFlag, print_json, print_pairs


def health(address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Ask a server how it is; exits with 3 unless it is serving."""
    with connected(address, as_json=as_json) as client:
        status = client.health()
        info = client.server_info()
    if as_json:
        print_json({"status": status, "server": info})
    else:
        missing = [each.name for each in info.capabilities if not each.available]
        pairs = (("status", status), ("version", info.version), ("driver", info.driver), ("server", info.server_id))
        print_pairs([*pairs, ("store's time", info.server_time), ("not available", missing)])
    if status is not HealthStatus.SERVING:
        raise typer.Exit(ExitCode.UNAVAILABLE)
