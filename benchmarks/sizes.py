"""The options of single scenarios: how large what they are about is."""

import argparse
from collections.abc import Callable

from benchmarks.run import Load


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def size_options() -> argparse.ArgumentParser:
    """Return them as a parent of the whole parser; each is a field of Load."""
    default = Load()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("single scenarios")

    def number(option: str, about: str, *, kind: Callable[[str], float] = positive) -> None:
        value = getattr(default, option.removeprefix("--").replace("-", "_"))
        group.add_argument(option, type=kind, metavar="N", help=f"{about} (default {value:g})")

    def numbers(option: str, about: str, *, kind: Callable[[str], float] = positive) -> None:
        values = getattr(default, option.removeprefix("--").replace("-", "_"))
        shown = " ".join(f"{value:g}" for value in values)
        group.add_argument(option, type=kind, nargs="+", metavar="N", help=f"{about}, one run for each (default {shown})")

    number("--backlog", "inversion: unimportant jobs that wait")
    numbers("--watchers", "watchers: streams", kind=int)
    numbers("--rates", "latency: jobs/s", kind=float)
    number("--pace", "soak: jobs/s", kind=float)
    number("--max-in-flight", "limited: of the queue")
    number("--claim-rate", "limited: of the queue, jobs/s", kind=float)
    numbers("--pending", "growth: jobs that wait when the claims end")
    number("--scheduled", "growth: jobs that are scheduled for tomorrow", kind=int)
    number("--busy", "long: how long each job runs, s", kind=float)
    numbers("--queues", "queues: how many")
    numbers("--streams", "streams: how many")
    numbers("--sizes", "payloads: bytes", kind=int)
    numbers("--failing", "failures: of a hundred jobs", kind=float)
    numbers("--batches", "dispatch-grid: jobs of a batch")
    numbers("--callers", "dispatch-grid: callers")
    numbers("--drain-streams", "drain-grid: streams")
    numbers("--windows", "drain-grid: window of each stream")
    number("--burst", "burst: jobs at once")
    number("--calls", "burst and slow: calls on their way at once")
    number("--swarm", "swarm: streams that a client opens")
    number("--others", "tenants and bad input: single jobs of the others, jobs/s", kind=float)
    number("--memory", "tenants and bad input: by how much the server may grow, MB", kind=float)
    return parser
