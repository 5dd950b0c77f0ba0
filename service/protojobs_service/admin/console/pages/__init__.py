"""The pages of the console: each asks the server, makes views of its answers, and gives them to a template.

Changes are forms that POST and are sent on to a page with GET. They are not checked here: the server refuses what the caller
may not do, and pages only leave out the buttons.
"""

from starlette.routing import BaseRoute

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.pages import access, bulk, job, jobs, queue, queues, schedules, workers

__all__ = ["page_routes"]


def page_routes(console: Console) -> list[BaseRoute]:
    """Return the routes of every page, below the console's base path."""
    return [each for module in (queues, queue, bulk, jobs, job, schedules, workers, access) for each in module.routes(console)]
