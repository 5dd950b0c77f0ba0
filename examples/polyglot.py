"""Jobs that pass through three languages each: `make demo-polyglot`.

One language dispatches a job, a worker in the next one runs it and stores a job that follows in the same transaction, and a worker
in the one after that runs the second job. Every client whose toolchain is on this machine takes each part once.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.interop.languages import Language, NotOnThisMachine, present
from tests.interop.programs import Command, Program
from tests.interop.servers import Server
from tests.schema import make_sqlite

SPEC = '{"kind": "chain", "payload": "e30="}'


def main() -> int:
    """Run one pipeline for each language that can begin it; 0 when every job has come through."""
    languages = [language for language in present() if can_run(language)]
    with tempfile.TemporaryDirectory(prefix="protojobs-polyglot-") as home, ExitStack() as stack:
        store, spec = Path(home) / "jobs.db", Path(home) / "spec.json"
        make_sqlite(store)
        spec.write_text(SPEC)
        settings = {"PROTOJOBS_DRIVER": "sqlite", "PROTOJOBS_SQLITE__PATH": str(store)}
        server = Server(Path(home) / "server.log", settings).start()
        stack.callback(server.stop)
        server.ready()
        for place, first in enumerate(languages):
            second, third = (languages[(place + step) % len(languages)] for step in (1, 2))
            queue = f"from-{first.name}"
            middle = start_worker(stack, Path(home), server, second, queue, "chain")
            last = start_worker(stack, Path(home), server, third, queue, "noop")
            dispatch = Command(first, "dispatch", "--addr", server.address, "--queue", queue, "--spec", str(spec))
            job_id = dispatch.line("dispatched")["job_id"]
            middle.event("settled", job_id=job_id, code="OK")
            follower = last.event("settled", code="OK")["job_id"]
            say(f"{first.name} dispatched {job_id}, {second.name} ran it, {third.name} ran {follower}, which followed")
    return 0


def start_worker(stack: ExitStack, home: Path, server: Server, language: Language, queue: str, kind: str) -> Program:
    """Start a worker of one kind, which ends with the demo."""
    arguments = ("work", "--addr", server.address, "--queue", queue, "--kinds", kind, "--n", "1")
    worker = Program(language, *arguments, log=home / f"{queue}-{kind}.log")
    stack.callback(worker.put_away)
    return worker.ready()


def can_run(language: Language) -> bool:
    """Build a client; say so where this machine cannot."""
    try:
        language.build()
    except NotOnThisMachine as missing:
        say(f"without {language.name}, which needs {missing}")
        return False
    return True


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
