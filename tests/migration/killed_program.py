"""A migration that dies by SIGKILL before one of its changes, from 1; 0: none. `python -m tests.migration.killed_program URL N`"""

import asyncio
import os
import signal
import sys
from itertools import count
from typing import Any

from protojobs_service.drivers.sql.migrate import upgrade
from sqlalchemy import Engine, event

_CHANGES = ("CREATE ", "ALTER ", "UPDATE ", "INSERT ")


def main(url: str, place: int) -> None:
    """Migrate, and die before the change of this number."""
    numbers = count(1)

    @event.listens_for(Engine, "before_cursor_execute")
    def _(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(_CHANGES) and next(numbers) == place:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(upgrade(url))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
