"""What producers dispatch, as their configuration asks for it."""

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate, count, cycle, repeat
from typing import Any, Final

from protojobs_client import Jitter, JobRequest, RetryPolicy

from benchmarks.stack import KIND

PAYLOAD: Final = bytes(200)
HOT_KEY: Final = "hot"
HOT_ONE_IN: Final = 10
"""Of so many jobs one has the hot concurrency key."""
OTHER_KEYS: Final = 1000
ZIPF_EXPONENT: Final = 1.0
_DRAWN_AT_ONCE: Final = 10_000


def requests(config: dict[str, Any]) -> Iterator[JobRequest]:
    """Yield jobs for ever: all the same, or with the keys or for the queues that the configuration asks for.

    keys: `unique` or `hot`. spread: prefix and number of queues to spread over, evenly or, with `skew`, as Zipf has it.
    payload_bytes: of random content, which no store can compress. delay: seconds. policy: as histories have it.
    """
    request = JobRequest(KIND).with_options(
        queue=config["queue"],
        payload=body(config.get("payload_bytes")),
        content_type="application/octet-stream",
        priority=config.get("priority", 5),
    )
    if (delay := config.get("delay")) is not None:
        request = request.delay(delay)
    if (policy := config.get("policy")) is not None:
        backoff = timedelta(seconds=policy["initial_backoff"])
        retry = RetryPolicy(initial_backoff=backoff, max_retries=policy["max_retries"], jitter=Jitter[policy["jitter"]])
        request = request.with_options(retry=retry)
    if (spread := config.get("spread")) is not None:
        return _spread([request.with_options(queue=queue) for queue in spread_names(*spread)], skew=config.get("skew", False))
    match config.get("keys"):
        case "unique":
            return (request.unique(f"{config['name']}-{number}") for number in count())
        case "hot":
            hot = request.concurrency_key(HOT_KEY)
            others = cycle([request.concurrency_key(f"key-{number}") for number in range(OTHER_KEYS)])
            return (next(others) if number % HOT_ONE_IN else hot for number in count())
        case _:
            return repeat(request)


def spread_names(prefix: str, number: int) -> list[str]:
    """Return the names of queues that jobs are spread over."""
    return [f"{prefix}{place}" for place in range(number)]


def body(size: int | None) -> bytes:
    """Return a payload of so many bytes, the same in every process; None: the usual one."""
    return PAYLOAD if size is None else random.Random(size).randbytes(size)


def _spread(each: Sequence[JobRequest], *, skew: bool) -> Iterator[JobRequest]:
    draw = random.Random(len(each))
    weights = list(accumulate(1 / place**ZIPF_EXPONENT if skew else 1.0 for place in range(1, len(each) + 1)))
    while True:
        yield from draw.choices(each, cum_weights=weights, k=_DRAWN_AT_ONCE)
