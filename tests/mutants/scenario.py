"""One short run with every fault that the mutants need to show themselves, on SQLite; about ten seconds on a sound server."""

from typing import Final

from tests.chaos.stand import TTL, Stand
from tests.chaos.stores import SqliteStore
from tests.chaos.waiting import until
from tests.checker import Report

QUEUES: Final = ("cut", "frozen", "twice", "unstored")


async def run(stand: Stand, store: SqliteStore) -> tuple[Report, str]:
    """Harm workers, streams, the file and the server; return the judgement, and where the run got stuck if it did."""
    stuck = ""
    try:
        await _harm(stand, store)
    except AssertionError as error:
        stuck = str(error)
    return await stand.judge(queues=QUEUES, quiet=QUEUES), stuck


async def _harm(stand: Stand, store: SqliteStore) -> None:
    server = await stand.add_server()
    producer = stand.producer()
    stand.expect(log="locked")
    stand.expect(log="store")
    fragile = await stand.add_worker("fragile", raw=True, queues=QUEUES[:3], concurrency=8)

    # A producer that hears no answer dispatches again: before its job runs, while it runs, and after it has run.
    held = await producer.dispatch(4, queue="twice", task={"hold": "twice"})
    over = await producer.dispatch(4, queue="twice")
    await stand.started(8)
    await until("four have ended", lambda: len(stand.seen("settled")) >= 4)
    await producer.dispatch(4, queue="twice", ids=over)
    await producer.dispatch(4, queue="twice", task={"hold": "twice"}, ids=held)
    stand.open_gate("twice")
    await until("the other four have ended", lambda: len(stand.seen("settled")) >= 8)

    # A stream is lost, its worker is not: it comes back within the grace, and nobody takes its jobs.
    [cut] = await producer.dispatch(1, queue="cut", task={"hold": "cut"})
    [frozen] = await producer.dispatch(1, queue="frozen", task={"hold": {"fragile": "late", "sturdy": "later"}})
    await stand.started(10, "fragile")
    await stand.add_worker("sturdy", raw=True, queues=QUEUES, concurrency=8)
    fragile.cut()
    await until("its stream is back", lambda: stand.noted("fragile", "welcome") == 2)
    stand.open_gate("cut")
    await until("the job is over", lambda: producer.final_state(cut))

    # A worker is frozen for longer than its session lives, and comes back with the outcome of a job that runs elsewhere by now.
    fragile.freeze()
    await until("the job begins elsewhere", lambda: stand.seen("start", proc="sturdy", job=frozen), within=TTL + 10)
    stand.open_gate("late")
    fragile.thaw()
    await until("the late outcome is answered", lambda: stand.seen("settled", proc="fragile", job=frozen))
    stand.open_gate("later")
    await until("the other is too", lambda: stand.seen("settled", proc="sturdy", job=frozen))

    # Nothing can be committed; the server is killed meanwhile.
    hasty = stand.producer("hasty", strict=False, call_timeout=1.0)
    with store.locked():
        await hasty.dispatch(5, queue="unstored")
        server.program.kill()
    await server.start()
    await until("what is stored completes", lambda: producer.is_quiet(QUEUES), within=30)
