"""Signs that a replica's upkeep has something to do, all by one statement: mostly there is nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, exists, select

from protojobs_service.drivers.sql.cold.base import Cold, kept
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.tables import Tables


class Signs(NamedTuple):
    """What was found. version: of the settings. The others are hints: whoever acts on one looks again, with locks.

    due, ticks: jobs to promote, schedules to fire. cancels: whether there is any request to cancel an attempt.
    """

    version: int
    due: bool
    ticks: bool
    cancels: bool


def read_signs(c: Connection, cold: Cold) -> Signs:
    """Read the signs, without a lock."""
    version, *others = c.execute(signs_statement(cold.tables, cold.now)).one()
    return Signs(int(version), *map(bool, others))


@kept
def signs_statement(tables: Tables, now: Callable[[], ColumnElement[int]]) -> Select[Any, Any, Any, bool]:
    """Return the statement; of what waits for a later time, or is gone that did, it reads nothing."""

    def past(at: ColumnElement[Any]) -> ColumnElement[Any]:
        # With order and limit, as the planner may take a mere condition for one that half of the rows meet, and read all of them;
        # with the condition, as the first entries of the index may be of rows that are gone.
        return select(at).where(at <= now()).order_by(at).limit(1).scalar_subquery()

    return select(
        tables.fleet.c.settings_version,
        past(tables.due.c.due_at).label("due"),
        past(tables.schedule.c.wake_at).label("ticks"),
        exists(select(tables.cancel_request.c.id)).label("cancels"),
    ).where(tables.fleet.c.id == FLEET)
