"""Which pages there are."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console


def page_routes(console: Console) -> list[BaseRoute]:
    """Return the routes of every page, below the console's base path."""

    async def index(request: Request) -> Response:
        return console.page(request, "index.html")

    return [Route("/", index)]
