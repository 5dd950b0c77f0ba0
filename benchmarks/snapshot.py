"""A transaction that somebody has left open."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stack import Stack


@contextmanager
def held_snapshot(stack: Stack) -> Generator[None]:
    """Hold a snapshot of the store's database in a REPEATABLE READ transaction, so that no row that it sees can be cleaned away."""
    cluster = stack.cluster
    assert cluster is not None
    assert stack.database is not None
    command: list[str | Path] = [cluster.bin_dir / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1"]
    address = ["-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "-d", stack.database]
    environment = {**os.environ, "PGPASSWORD": cluster.password}
    with subprocess.Popen(
        [*command, *address], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:  # fmt: skip
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            session.stdin.write("begin isolation level repeatable read;\nselect count(*) from pg_class;\n")
            session.stdin.flush()
            if not session.stdout.readline().strip():
                raise RuntimeError("no snapshot could be taken")
            yield
        finally:
            session.stdin.close()


def oldest_snapshot_s(stack: Stack) -> float:
    """Return for how long a transaction that does nothing has held a snapshot, seconds; 0 where none does."""
    assert stack.cluster is not None
    asked = (
        "select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0) from pg_stat_activity"
        " where backend_xmin is not null and state = 'idle in transaction'"
    )
    return float(stack.cluster.execute(asked))
