"""How many jobs of each caller are on their way to the store: what would wait for seconds is refused while it costs nothing yet."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from protojobs_service.domain.bounds import MAX_JOBS_UNDER_WAY
from protojobs_service.domain.counting import counted
from protojobs_service.domain.errors import Overloaded
from protojobs_service.port.sender import sender


class UnderWay:
    """Counts jobs of calls that are not answered yet; streams have windows. Belongs to the event loop."""

    def __init__(self, most: int = MAX_JOBS_UNDER_WAY) -> None:
        """Begin with none. most: of one caller, before no further call of it is taken."""
        self._most = most
        self._jobs: Counter[str] = Counter()

    def check(self) -> None:
        """Raise Overloaded where this caller has too many; whatever it has, a call that was taken is finished."""
        if self._jobs[sender().caller] >= self._most:
            raise Overloaded("this caller has too many jobs on their way", metadata={"limit": "jobs_under_way"})

    @contextmanager
    def one(self, jobs: int) -> Generator[None]:
        """Count a call of so many jobs as long as the context lasts."""
        if sender().is_stream:
            yield
            return
        with counted(self._jobs, sender().caller, jobs):
            yield
