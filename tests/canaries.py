"""Secrets that the tests plant wherever secrets come in, and a watch over everything that goes out.

Planted: payloads and headers of default jobs, the user agent of wire calls, tokens, passwords of the databases; `plant` adds one.
Watched: log records with their fields and tracebacks, errors on the wire, `/metrics`, spans, statement texts, the standard error of
tests and the logs of their programs. A test during which a secret got out fails. A pytest plugin: `tests/conftest.py` loads it for
all tests.
"""

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from opentelemetry.sdk.trace import Span
from protojobs_service.application import new_tokens
from protojobs_service.drivers.sql import mysql_link, postgres_link, sqlite_thread
from protojobs_service.telemetry import Telemetry
from protojobs_service.transport import status
from sqlalchemy import Engine, event

# Put together here, so that no traceback shows one as a line of source.
_MARK: Final = "cana" + "ry"
PAYLOAD_WORD: Final = f"{_MARK}-payload-8d1f"
PAYLOAD: Final = f'{{"card":"{PAYLOAD_WORD}"}}'.encode()
BODY: Final = f"body {_MARK}-body-27ce".encode()
"""What envelopes of driver tests hold behind the id."""
HEADER: Final = f"{_MARK}-header-60b4"
TOKEN: Final = f"{_MARK}-token-f39a"

_FORMATTER = logging.Formatter()
_LEAST = 8


class Watch:
    """Knows every planted secret, and what was seen where it must not be."""

    def __init__(self) -> None:
        self._needles: set[bytes] = set()
        self._seen: list[str] = []
        for secret in (PAYLOAD_WORD, BODY.decode(), HEADER, TOKEN):
            self.plant(secret)

    def plant(self, secret: str) -> None:
        """Watch out for one more, as it is and as hexadecimal digits."""
        assert len(secret) >= _LEAST, "a short secret would be seen everywhere"
        self._needles |= {secret.encode(), secret.encode().hex().encode()}

    def look(self, where: str, said: str | bytes, *, only_verbatim: bool = False) -> None:
        """Note the secrets in what was said."""
        text = said.encode(errors="replace") if isinstance(said, str) else said
        for needle in self._needles:
            if needle in text and not (only_verbatim and _is_hex(needle)):
                at = text.index(needle)
                self._seen.append(f"{where}: {text[max(0, at - 200) : at + len(needle) + 50]!r}")

    def look_at(self, record: logging.LogRecord) -> None:
        """Note the secrets in a log record: message, arguments, fields and traceback."""
        raised = _FORMATTER.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        self.look(f"log of {record.name}", f"{record.getMessage()}\n{record.__dict__}\n{raised}")

    def take(self) -> list[str]:
        """Return what was seen since the last time."""
        seen, self._seen = self._seen, []
        return seen


def _is_hex(needle: bytes) -> bool:
    return all(each in b"0123456789abcdef" for each in needle)


WATCH: Final = Watch()


def plant(secret: str) -> None:
    """Watch out for one more secret, to the end of the session."""
    WATCH.plant(secret)


@pytest.fixture(scope="session", autouse=True)
def canaries_watched() -> Generator[None]:
    """Look at everything that leaves the code under test, at the places that all of it passes."""
    with pytest.MonkeyPatch.context() as patch:
        _watch_logs(patch)
        _watch_errors(patch)
        _watch_metrics(patch)
        _watch_spans(patch)
        _plant_tokens(patch)
        _watch_statements(patch)
        event.listen(Engine, "before_cursor_execute", _look_at_statement)
        yield
        event.remove(Engine, "before_cursor_execute", _look_at_statement)


@pytest.fixture(autouse=True)
def no_canary_gets_out(request: pytest.FixtureRequest, canaries_watched: None) -> Generator[None]:
    """Fail the test during which a secret got out."""
    # Taken by name, so that no test gets a directory that it does not ask for.
    directory: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    for log in directory.rglob("*.log") if directory else ():
        WATCH.look(f"{log.name} of a program", log.read_bytes())
    for when, name, said in request.node._report_sections:
        if "stderr" in name:
            WATCH.look(f"{name} in {when}", said)
    complain(WATCH.take())


def complain(seen: list[str]) -> None:
    """Fail where anything was seen."""
    if seen:
        pytest.fail("secrets got out:\n" + "\n".join(seen), pytrace=False)


def _watch_logs(patch: pytest.MonkeyPatch) -> None:
    handle = logging.Logger.handle

    def watched(logger: logging.Logger, record: logging.LogRecord) -> None:
        WATCH.look_at(record)
        handle(logger, record)

    patch.setattr(logging.Logger, "handle", watched)


def _watch_errors(patch: pytest.MonkeyPatch) -> None:
    known = status._known

    def watched(error: Any) -> Message:
        answer = known(error)
        WATCH.look(f"error {type(error).__name__} on the wire", answer.SerializeToString())
        return answer

    patch.setattr(status, "_known", watched)


def _watch_metrics(patch: pytest.MonkeyPatch) -> None:
    render, close = Telemetry.render, Telemetry.close

    def watched(telemetry: Telemetry) -> bytes:
        text = render(telemetry)
        WATCH.look("/metrics", text)
        return text

    def closed(telemetry: Telemetry) -> None:
        watched(telemetry)
        close(telemetry)

    patch.setattr(Telemetry, "render", watched)
    patch.setattr(Telemetry, "close", closed)


def _watch_spans(patch: pytest.MonkeyPatch) -> None:
    end = Span.end

    def watched(span: Span, *arguments: Any) -> None:
        told = [(each.name, dict(each.attributes or {})) for each in span.events]
        WATCH.look(f"span {span.name}", f"{span.name} {dict(span.attributes or {})} {span.status.description} {told}")
        end(span, *arguments)

    patch.setattr(Span, "end", watched)


def _plant_tokens(patch: pytest.MonkeyPatch) -> None:
    """Watch out for the secret of every token that is made."""
    make = new_tokens._new_secret

    def planted() -> str:
        secret = make()
        plant(secret)
        return secret

    patch.setattr(new_tokens, "_new_secret", planted)


def _watch_statements(patch: pytest.MonkeyPatch) -> None:
    """Watch the texts that reach a database beside SQLAlchemy: values must be bound, or quoted as hexadecimal digits."""
    once, send = postgres_link.HotLink._once, mysql_link.HotLink._send
    execute = sqlite_thread._Dbapi.execute

    async def postgres(link: Any, text: str, values: Any) -> Any:
        WATCH.look("statement", text)
        return await once(link, text, values)

    async def mariadb(link: Any, text: str) -> Any:
        WATCH.look("statement", text, only_verbatim=True)
        return await send(link, text)

    def sqlite(raw: Any, text: str, *values: Any) -> Any:
        WATCH.look("statement", text)
        return execute(raw, text, *values)

    patch.setattr(postgres_link.HotLink, "_once", postgres)
    patch.setattr(mysql_link.HotLink, "_send", mariadb)
    patch.setattr(sqlite_thread._Dbapi, "execute", sqlite, raising=False)


def _look_at_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    WATCH.look("statement", statement, only_verbatim=True)
