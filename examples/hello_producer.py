"""A producer: `python -m examples.hello_producer`."""

import sys
from datetime import timedelta

from protojobs_client import Client


def main() -> int:
    """Dispatch a job, wait for its result, and dispatch another one for later."""
    with Client() as client:
        job = client.dispatch("greet", {"name": "Ann"}, queue="greetings")
        result = client.wait(job.job_id, timedelta(seconds=30))
        sys.stdout.write(f"{result['greeting']}\n")
        client.dispatch("greet", {"name": "Bob"}, queue="greetings", delay=60, priority=9)
    return 0


if __name__ == "__main__":
    sys.exit(main())
