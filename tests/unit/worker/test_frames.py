"""Values that a server would refuse are not sent."""

from datetime import timedelta

import pytest
from protojobs_worker import frames


@pytest.mark.parametrize(("grace", "said"), [(timedelta(seconds=30), 30), (timedelta(days=1), 86_400), (timedelta(days=3), 86_400)])
def test_a_worker_announces_at_most_a_day_for_what_it_finishes(grace: timedelta, said: int) -> None:
    assert frames.goodbye(grace).goodbye.deadline.seconds == said
