"""One store with a server, a worker for each language, and what every pair of languages has done there."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from protojobs_client import Client, JobInfo, JobState, Options

from tests.interop import specs
from tests.interop.languages import Language
from tests.interop.programs import Command, Program
from tests.interop.servers import Server
from tests.interop.waiting import until

_SLOTS: Final = "10"


class Bench:
    """Belongs to one store for the whole session. Commands and workers start when they are first asked for."""

    def __init__(self, directory: Path, store: Mapping[str, str]) -> None:
        self.directory = directory
        self.server = Server(directory / "server.log", store).start()
        self._workers: dict[str, Program | AssertionError] = {}
        self._pairs: dict[tuple[str, str], Pair] = {}

    @property
    def address(self) -> str:
        """Return where the server is."""
        return self.server.address

    @cached_property
    def client(self) -> Client:
        """A client for what a test wants to know of the store."""
        return Client(options=Options(address=self.address))

    def command(self, language: Language, name: str, *arguments: str) -> Command:
        """Start a command of a program."""
        return Command(language, name, "--addr", self.address, *arguments)

    def dispatch(self, language: Language, queue: str, name: str, spec: specs.Spec, *arguments: str) -> Command:
        """Start a command that dispatches a job."""
        return self.command(language, "dispatch", "--queue", queue, "--spec", specs.write(self.directory, name, spec), *arguments)

    def start_worker(self, language: Language, queue: str, *options: str) -> Program:
        """Start a worker of a queue. Whoever starts it puts it away."""
        log = self.directory / f"{queue}-{language.name}.log"
        count = () if "--n" in options else ("--n", "0")
        return Program(language, "work", "--addr", self.address, "--queue", queue, *options, *count, log=log)

    def worker(self, language: Language) -> Program:
        """Return the worker of a language for all pairs; one that did not come up fails every test at once."""
        found = self._workers.get(language.name)
        if found is None:
            worker = self.start_worker(language, queue_of(language), "--slots", _SLOTS)
            try:
                found = worker.ready()
            except AssertionError as error:
                worker.put_away()
                found = error
            self._workers[language.name] = found
        if isinstance(found, AssertionError):
            raise found
        return found

    def pair(self, dispatcher: Language, worker: Language) -> "Pair":
        """Return what a pair of languages does here; the first call sets it off."""
        key = (dispatcher.name, worker.name)
        if key not in self._pairs:
            self._pairs[key] = Pair(self, dispatcher, self.worker(worker))
        return self._pairs[key]

    def job(self, job_id: str) -> JobInfo:
        """Return a job in full."""
        return self.client.get(job_id, full=True)

    def becomes(self, job_id: str, state: JobState) -> JobInfo:
        """Return a job once it is in a state."""
        until(f"job {job_id} is {state.name}", lambda: self.job(job_id).state is state)
        return self.job(job_id)

    def close(self) -> None:
        """End everything."""
        for pair in self._pairs.values():
            pair.put_away()
        for worker in self._workers.values():
            if isinstance(worker, Program):
                worker.put_away()
        self.client.close()
        self.server.kill()


class Pair:
    """Jobs of one language that another one runs: dispatched at once, and judged one by one."""

    def __init__(self, bench: Bench, dispatcher: Language, worker: Program) -> None:
        self.dispatcher = dispatcher
        self.worker = worker
        self._bench = bench
        queue = self._queue = queue_of(worker.language)
        self._commands = {
            "rich": bench.dispatch(dispatcher, queue, "rich", specs.RICH),
            "one_mib": bench.dispatch(dispatcher, queue, "one_mib", specs.ONE_MIB, "--mode", "batch"),
            "fail_twice": bench.dispatch(dispatcher, queue, "fail_twice", specs.FAIL_TWICE, "--wait", "30"),
        }

    def job(self, name: str) -> str:
        """Return the id of a job, once it is dispatched."""
        job_id: str = self._commands[name].line("dispatched")["job_id"]
        return job_id

    def put_away(self) -> None:
        """End the commands that no test has waited for."""
        for command in self._commands.values():
            command.put_away()

    def long(self) -> str:
        """Dispatch a job that takes long: when it is wanted, since it may be all that a worker can run. Returns its id."""
        job_id: str = self._bench.dispatch(self.dispatcher, self._queue, "long", specs.LONG).line("dispatched")["job_id"]
        return job_id

    def finished(self, name: str) -> dict[str, Any]:
        """Return what the dispatcher says of the end of its job."""
        return self._commands[name].line("finished")

    def settled(self, job_id: str) -> None:
        """Wait until the worker has heard that a job's outcome is stored."""
        self.worker.event("settled", job_id=job_id, code="OK")

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a job as the dispatcher reads it."""
        return self._bench.command(self.dispatcher, "get", "--job-id", job_id).line("job")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job as the dispatcher does."""
        return self._bench.command(self.dispatcher, "cancel", "--job-id", job_id).line("job")


def queue_of(language: Language) -> str:
    """Return the queue that the worker of a language reads."""
    return f"to-{language.name}"
