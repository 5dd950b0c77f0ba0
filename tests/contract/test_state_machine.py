"""A random walk over every operation; after each step the store must be what the model says.

`PROTOJOBS_EXAMPLES` sets the number of walks: 200 under CI=true, a few on a developer's machine.
"""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.backends import BACKENDS, Kept
from tests.contract.walk import Walk, World

_ASIDE = {"kafka": 5}
"""The share of walks, one in so many: its side store has all of them as itself, and waits for a broker at many steps here."""
EXAMPLES = int(os.environ.get("PROTOJOBS_EXAMPLES", "200" if os.environ.get("CI") == "true" else "10"))
WALKS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.timeout(1800)
def test_random_walk(request: pytest.FixtureRequest, backend: str) -> None:
    with asyncio.Runner() as runner:
        kept = Kept()
        world = World(lambda: BACKENDS[backend].open(request, kept), runner)

        class OfThisWorld(Walk):
            def __init__(self) -> None:
                super().__init__(world)

        try:
            walks = settings(WALKS, max_examples=max(1, EXAMPLES // _ASIDE.get(backend, 1)))
            run_state_machine_as_test(OfThisWorld, settings=walks)
        finally:
            runner.run(kept.end())
