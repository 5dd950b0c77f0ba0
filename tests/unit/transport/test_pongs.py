"""A Ping is answered at once, and those that follow it within a moment are answered together."""

import pytest
from protojobs_service.transport.lease_answers import Pongs

from tests.unit.application.stand import open_stand

pytestmark = pytest.mark.asyncio


async def test_the_first_one_may_be_sent_at_once_and_the_next_one_a_moment_later() -> None:
    stand = await open_stand()
    pongs = Pongs(stand.clock, stand.application.store_time)
    pongs.owed = True
    assert pongs.wait_s() <= 0

    pong = pongs.take()
    soon = pongs.wait_s()
    await stand.clock.advance(soon)

    assert pong.store_ok
    assert pong.HasField("time")
    assert not pongs.owed
    assert 0 < soon <= 0.1
    assert pongs.wait_s() <= 0
