"""What the admin port offers beside probes and metrics."""

import time

from starlette.routing import BaseRoute

from protojobs_service.admin.body import Intake
from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.hosts import Hosts
from protojobs_service.admin.json_api import JsonApi
from protojobs_service.admin.sessions import Record, Sessions, Tokens
from protojobs_service.admin.site import console_site, site_routes
from protojobs_service.settings import Settings
from protojobs_service.transport.local import LocalCalls


def web_routes(local: LocalCalls, tokens: Tokens | None, settings: Settings, *, record: Record) -> list[BaseRoute]:
    """Return the routes of calls as JSON, and of the console where it is enabled.

    tokens: None where the server asks nobody for credentials. record: what writes the audit log.
    """
    hosts = Hosts(settings.console.allowed_hosts)
    limits = settings.limits
    intake = Intake(limits.max_receive_bytes, most_at_once=limits.max_call_bytes)
    routes: list[BaseRoute] = [JsonApi(local, intake, hosts if tokens is None else None).mount()]
    if settings.console.enabled:
        sessions = None if tokens is None else Sessions(tokens, record)
        console = Console(local, sessions, settings.console)
        pages = site_routes(console, time.monotonic)
        routes.append(console_site(console, hosts, pages, most_bytes=limits.max_receive_bytes))
    return routes
