"""Run a command with a broker of its own and return its exit code."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from tests.brokers.cluster import running_brokers
from tests.private_server import run_with


@contextmanager
def servers() -> Generator[str]:
    """Yield the address of a broker."""
    with running_brokers() as cluster:
        yield cluster.servers


if __name__ == "__main__":
    sys.exit(run_with("tests.brokers", sys.argv[1:], servers))
