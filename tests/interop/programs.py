"""The `interop` program of a language as processes: commands that end, and workers and watchers that go on."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.chaos.processes import LEASH, ROOT
from tests.interop.languages import Language, environment
from tests.interop.waiting import PATIENCE

Event = dict[str, Any]

_COMMAND_SECONDS: Final = 60.0


class Command:
    """One command of a program, which ends by itself."""

    def __init__(self, language: Language, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Start it. Call this on the main thread only: a child ends with the thread that has started it."""
        self.name = f"{language.name}: interop {' '.join(arguments)}"
        self._process = _start([language.build(), *arguments], env or {}, subprocess.PIPE)
        self._ended: tuple[int, list[Event], str] | None = None

    def wait(self) -> tuple[int, list[Event]]:
        """Return its exit code and what it has said. Raises AssertionError for one that does not end or says no JSON."""
        if self._ended is None:
            try:
                out, err = self._process.communicate(timeout=_COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                self.put_away()
                raise AssertionError(f"{self.name} does not end") from None
            said = err.decode(errors="replace")
            self._ended = self._process.returncode, [_read(self.name, line) for line in out.splitlines()], said
        return self._ended[0], self._ended[1]

    def lines(self, event: str) -> list[Event]:
        """Return what it has said of a kind; fails where it did not end well."""
        code, events = self.wait()
        assert code == 0, f"{self.name} ended with {code}: {events[-1:]} {self.complaint}"
        return [each for each in events if each["event"] == event]

    def line(self, event: str) -> Event:
        """Return the only line of a kind."""
        found = self.lines(event)
        assert len(found) == 1, f"{self.name} said {found}"
        return found[0]

    def error(self) -> Event:
        """Return the error with which it has failed."""
        code, events = self.wait()
        errors = [each for each in events if each["event"] == "error"]
        assert code == 1, f"{self.name} ended with {code}: {events[-1:]} {self.complaint}"
        assert errors, f"{self.name} tells of no error: {self.complaint}"
        return errors[0]

    @property
    def complaint(self) -> str:
        """Return the end of what it has logged."""
        return "" if self._ended is None else self._ended[2][-1500:]

    def put_away(self) -> None:
        """Make sure that it is gone."""
        if self._ended is None:
            _signal(self._process, signal.SIGKILL)
            self._process.communicate()


class Program:
    """A command that runs until it is told to end, or has done what it was asked for; every line it says is kept."""

    def __init__(self, language: Language, *arguments: str, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Start it. Call this on the main thread only, as for Command."""
        self.language = language
        self._log = log
        self._events: list[Event] = []
        self._news = threading.Condition()
        self._over = False
        self._name = f"{language.name}: interop {arguments[0]}"
        with log.open("ab") as errors:
            self._process = _start([language.build(), *arguments], env or {}, errors)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Return its process id, also after its end as long as nobody has asked how it ended."""
        return self._process.pid

    def events(self, event: str | None = None, **fields: object) -> list[Event]:
        """Return what it has said so far, of a kind and with these fields."""
        with self._news:
            return [each for each in self._events if _matches(each, event, fields)]

    def event(self, event: str, within: float = PATIENCE, **fields: object) -> Event:
        """Return the first line of a kind with these fields, once it is said. Raises AssertionError after `within` seconds."""
        return self.count(1, event, within, **fields)[0]

    def count(self, count: int, event: str, within: float = PATIENCE, **fields: object) -> list[Event]:
        """Return the lines of a kind with these fields, once there are so many."""
        return self._until(f"{count} x {event} {fields}", lambda: self.events(event, **fields), count, within)

    def ready(self) -> "Program":
        """Wait until a server has welcomed it."""
        self.event("ready", within=2 * PATIENCE)
        return self

    def terminate(self) -> None:
        """Ask it to end, as a supervisor does."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, what: signal.Signals) -> None:
        """Send a signal to the program alone: a wrapper must have become it."""
        self._process.send_signal(what)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        _signal(self._process, signal.SIGKILL)
        self._process.wait(10)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does; its sockets stay open."""
        _signal(self._process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        _signal(self._process, signal.SIGCONT)

    def ended(self, within: float = PATIENCE) -> int:
        """Wait until it has ended and everything it said is read; return its exit code."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} does not end: {self._story()}") from None
        self._reader.join(PATIENCE)
        return code

    def put_away(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self.kill()
        self._reader.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __str__(self) -> str:
        return self._name

    def _until(self, what: str, look: Callable[[], list[Event]], count: int, within: float) -> list[Event]:
        with self._news:
            self._news.wait_for(lambda: len(look()) >= count or self._over, within)
            found = look()
        if len(found) < count:
            raise AssertionError(f"{self} {'ended' if self._over else 'runs'} without {what}: {self._story()}")
        return found

    def _story(self) -> str:
        return f"{self._events[-8:]}\n{self._log.read_text(errors='replace')[-2500:]}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # closed under us, at the end
            for line in self._process.stdout:
                event = _read(str(self), line)
                with self._news:
                    self._events.append(event)
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()


def _start(command: Sequence[str | Path], env: Mapping[str, str], errors: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-SEc", LEASH, *map(str, command)],
        cwd=ROOT,
        env={**environment(), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    # To the whole session: whatever a wrapper has started must not outlive it.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)


def _read(name: str, line: bytes) -> Event:
    try:
        event: Event = json.loads(line)
    except ValueError:
        return {"event": "not JSON", "program": name, "line": line.decode(errors="replace")}
    return event


def _matches(event: Event, name: str | None, fields: Mapping[str, object]) -> bool:
    return (name is None or event["event"] == name) and all(event.get(key) == value for key, value in fields.items())
