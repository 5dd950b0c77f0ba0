"""What the admin port offers beside probes and metrics."""

from starlette.routing import BaseRoute

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.hosts import Hosts
from protojobs_service.admin.sessions import Sessions
from protojobs_service.admin.site import console_site
from protojobs_service.settings import Settings
from protojobs_service.transport.local import LocalCalls


def web_routes(local: LocalCalls, sessions: Sessions | None, settings: Settings) -> list[BaseRoute]:
    """Return the routes of the console, where it is enabled. sessions: None where the server asks nobody for credentials."""
    routes: list[BaseRoute] = []
    hosts = Hosts(settings.console.allowed_hosts)
    if settings.console.enabled:
        console = Console(local, sessions, settings.console)
        routes.append(console_site(console, hosts, most_bytes=settings.limits.max_receive_bytes))
    return routes
