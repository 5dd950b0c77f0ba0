"""A drill by docs/operations/backup.md: a store is turned back in time under workers that hold jobs of its future."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.conftest import MARIADB, STORES
from tests.chaos.maria_store import MariaStore
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore, Store
from tests.chaos.waiting import until
from tests.operations.pages import bash, blocks, need

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]


class Drill:
    """The commands of the page for one store, run where a test has its files."""

    def __init__(self, store: Store, home: Path) -> None:
        self._home = home
        self._env: Mapping[str, str] = store.env()
        self._path: Path | None = None
        names: dict[str, str] = {}
        match store:
            case PostgresStore():
                section, self._path = "PostgreSQL", store.cluster.bin_dir
            case MariaStore():
                need("mariadb-dump")
                section, names = "MariaDB", {" jobs": f" {store.database}"}
                _, _, rest = store.server.dsn(store.database).partition("://")
                account, _, place = rest.partition("@")
                user, _, password = account.partition(":")
                host, _, port = place.partition("/")[0].partition(":")
                lines = [f"host={host}", f"port={port}", f"user={user}", f"password={password}", "protocol=tcp"]
                (home / "backup.cnf").write_text("\n".join(["[client]", *lines, ""]))
            case _:
                need("sqlite3")
                section = "SQLite"
        self._back_up, self._restore = (_renamed(each, names) for each in blocks("backup.md", section))

    def back_up(self) -> None:
        """Make a backup beside the servers."""
        bash(self._back_up, self._home, self._env, path=self._path)

    def restore(self) -> str:
        """Restore it, and return what the last command said."""
        return bash(self._restore, self._home, self._env, path=self._path).splitlines()[-1]

    def practise(self) -> str:
        """Look at a restored store."""
        [commands] = blocks("backup.md", "Practise")
        return bash(commands, self._home, self._env, path=self._path)


def _renamed(commands: str, names: Mapping[str, str]) -> str:
    for name, ours in names.items():
        commands = commands.replace(name, ours)
    return commands


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [*STORES, MARIADB], indirect=True)
async def test_workers_from_before_a_restore_change_nothing_and_work_on(stand: Stand, store: Store, tmp_path: Path) -> None:
    drill = Drill(store, tmp_path)
    server = await stand.add_server()
    producer = stand.producer()
    early = await stand.add_worker("early", raw=True)
    [known] = await producer.dispatch(1, task={"hold": {"early": "never", "old": "old", "heir": "heir"}})
    await stand.started(1, "early")
    old = await stand.add_worker("old", raw=True)
    await producer.dispatch(3, queue="idle")
    drill.back_up()

    # What the backup knows nothing of: the job runs on elsewhere, as its next attempt, and another worker has a new job.
    early.kill()
    [event] = await stand.started(1, "old")
    assert (event["job"], event["attempt"]) == (known, 2)
    late = await stand.add_worker("late", raw=True, queues=["late"])
    [unknown] = await producer.dispatch(1, queue="late", task={"hold": "late"})
    await stand.started(1, "late")
    for worker in (old, late):
        worker.freeze()
    server.program.kill()
    assert drill.restore() == "sessions refused 2, running jobs given back 1"
    await server.start()

    assert [await producer.counts(queue) for queue in ("main", "idle", "late")] == [{"PENDING": 1}, {"PENDING": 3}, {}]
    await stand.add_worker("heir", raw=True)
    [event] = await stand.started(1, "heir")
    assert (event["job"], event["attempt"]) == (known, 2)

    # Both workers come back with what they have; the attempt of the one is that which runs elsewhere.
    for worker in (old, late):
        stand.open_gate(worker.name)
        worker.thaw()
    for worker, job in ((old, known), (late, unknown)):
        answered = partial(stand.seen, "settled", proc=worker.name, job=job)
        [answer] = await until(f"{worker.name} is answered", answered)
        assert answer["code"] == "LEASE_SUPERSEDED"
    refused = [event["proc"] for event in stand.seen("noted") if event.get("code") == "FAILED_PRECONDITION"]
    assert refused == ["old"]
    info = await producer.client.get(known)
    assert (info.state.name, info.attempt, info.failures, info.crashes) == ("RUNNING", 2, 0, 0)

    stand.open_gate("heir")
    await until("it completes where it was leased", lambda: producer.has("main", COMPLETED=1))
    attempts = [attempt async for attempt in producer.client.attempts(known)]
    assert [(each.outcome.name, each.worker) for each in attempts] == [("RELEASED", "early"), ("COMPLETED", "heir")]
    [after] = await producer.dispatch(1, queue="late")
    await until("who was refused works on", lambda: stand.seen("settled", proc="late", job=after))


@pytest.mark.asyncio
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_a_restored_store_can_be_looked_at_before_it_is_used(stand: Stand, store: Store, tmp_path: Path) -> None:
    drill = Drill(store, tmp_path)
    server = await stand.add_server()
    await stand.producer().dispatch(2)
    server.program.kill()

    drill.back_up()
    drill.restore()
    said = drill.practise()

    assert "schema is current" in said
    assert "sessions refused 0" in said
    assert "promoted 0" in said
