"""The stores under test: where they are, how a server is told, how they count, and how PostgreSQL goes away and comes back."""

import os
import signal
import sqlite3
import subprocess
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tests.chaos.waiting import until
from tests.postgres import Cluster

_SCHEMA: Final = "protojobs"

RECOUNT: Final = """
select lane.queue, counted.state, sum(counted.n) from (
  select lane, 'PENDING' state, count(*) n from {p}ready group by lane
  union all select lane, 'RUNNING', count(*) from {p}running group by lane
  union all select lane, case state when 1 then 'SCHEDULED' else 'RETRYING' end, count(*) from {p}due group by lane, state
  union all select lane, case outcome when 1 then 'COMPLETED' when 2 then 'FAILED' when 3 then 'CANCELLED' else 'EXPIRED' end,
    count(*) from {p}done where outcome between 1 and 4 group by lane, outcome
) counted join {p}lane lane on lane.id = counted.lane group by 1, 2
"""
"""Jobs by queue and state: the state of a job is where its id stands. {p} is the schema with its dot, or nothing."""

Counts = dict[str, dict[str, int]]


class Store(Protocol):
    """One store of one test."""

    @property
    def name(self) -> str:
        """Return sqlite, postgres or mariadb."""
        ...

    def env(self) -> Mapping[str, str]:
        """Return the settings of a server on this store."""
        ...

    def recount(self) -> Counts:
        """Count jobs by queue and state in the tables themselves."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStore:
    """A SQLite file."""

    path: Path
    name: str = "sqlite"

    def env(self) -> Mapping[str, str]:
        return {"PROTOJOBS_DRIVER": "sqlite", "PROTOJOBS_SQLITE__PATH": str(self.path)}

    def recount(self) -> Counts:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return by_queue(connection.execute(RECOUNT.format(p="")).fetchall())

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """Hold the write lock as another program would: nothing can be committed meanwhile."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=5.0)) as connection:
            connection.execute("begin immediate")
            try:
                yield
            finally:
                connection.execute("rollback")


@dataclass(slots=True, kw_only=True)
class PostgresStore:
    """A database of a cluster."""

    cluster: Cluster
    database: str
    name: str = "postgres"
    _restarted: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def env(self) -> Mapping[str, str]:
        dsn = self.cluster.dsn(self.database).replace("postgresql+asyncpg://", "postgresql://")
        return {"PROTOJOBS_DRIVER": "postgres", "PROTOJOBS_POSTGRES__DSN": dsn}

    def recount(self) -> Counts:
        text = self.cluster.execute(RECOUNT.format(p=f"{_SCHEMA}."), database=self.database)
        return by_queue(line.split("|") for line in text.splitlines())

    async def stop(self) -> None:
        """Stop the whole cluster: connections are cut, commits under way are lost."""
        postmaster = int(self._pid_file.read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGQUIT)
        await until("PostgreSQL is down", lambda: self._restarted_is_gone() and not self._pid_file.exists())

    async def start(self) -> None:
        """Start it again on its port; it recovers from its log."""
        self._spawn()
        await until("PostgreSQL is up again", self._is_ready, within=30)

    def _spawn(self) -> None:
        data = self.cluster.log.parent / "data"
        owner = data.stat()
        flags = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.cluster.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        options = [part for name, value in flags.items() for part in ("-c", f"{name}={value}")]
        with (self.cluster.log.parent / "restarted.log").open("ab") as log:
            self._restarted = subprocess.Popen(
                [self.cluster.bin_dir / "postgres", "-D", data, *options],
                cwd="/",
                user=owner.st_uid,
                group=owner.st_gid,
                extra_groups=[],
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def close(self) -> None:
        """End the server that `start` has started; the cluster's own guard knows nothing of it."""
        if self._restarted is not None and self._restarted.poll() is None:
            self._restarted.send_signal(signal.SIGQUIT)
            self._restarted.wait(15)

    @property
    def _pid_file(self) -> Path:
        return self.cluster.log.parent / "data" / "postmaster.pid"

    def _restarted_is_gone(self) -> bool:
        return self._restarted is None or self._restarted.poll() is not None

    def _is_ready(self) -> bool:
        with suppress(FileNotFoundError):
            lines = self._pid_file.read_text().splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready"
        return False


def by_queue(rows: Iterable[Sequence[Any]]) -> Counts:
    """Return the rows of a recount by queue."""
    counts: Counts = defaultdict(dict)
    for queue, state, count in rows:
        counts[queue][state] = int(count)
    return dict(counts)
