"""The filter language as a fake client reads it: the service's grammar, over jobs that lie in memory."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import NamedTuple

from protojobs_client.fake_errors import is_id, is_name, refuse
from protojobs_client.fake_job import FakeJob
from protojobs_client.models import JobState

_TOKEN = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<word>[A-Za-z0-9._:+-]+)|(?P<sign><=|>=|!=|[=<>(),]))')
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\Z", re.IGNORECASE)
_LABEL_KEY = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")
_SIDES: dict[str, Callable[[datetime, datetime], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_STATES = {state.value: state for state in JobState if state is not JobState.UNKNOWN}
_MOST_BYTES, _MOST_TERMS, _MOST_VALUES, _MOST_LABEL_BYTES = 4096, 32, 100, 256

Term = Callable[[FakeJob], bool]


@dataclass(frozen=True, slots=True)
class FakeFilter:
    """Terms that must all hold."""

    terms: Sequence[Term]
    names_states: bool

    def holds(self, job: FakeJob) -> bool:
        """Tell whether every term holds for a job."""
        return all(term(job) for term in self.terms)


class _Token(NamedTuple):
    kind: str
    text: str


def parse(text: str) -> FakeFilter:
    """Return the filter that a text says. Raises InvalidArgumentError."""
    if len(text.encode()) > _MOST_BYTES:
        raise refuse("expression", f"at most {_MOST_BYTES} bytes")
    return _Parser(text).filter()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens, self._names_states = _tokens(text), False

    def filter(self) -> FakeFilter:
        """Read everything."""
        terms: list[Term] = []
        while self._tokens:
            if terms and self._take("word").text.lower() != "and":
                raise refuse("expression", "expected 'and' or the end")
            terms.append(self._term())
            if len(terms) > _MOST_TERMS:
                raise refuse("expression", f"at most {_MOST_TERMS} terms")
        return FakeFilter(terms, self._names_states)

    def _term(self) -> Term:
        name = self._take("word").text
        match name.lower():
            case "queue":
                among = self._among(_name)
                return lambda job: among(job.queue)
            case "kind":
                among = self._among(_name)
                return lambda job: among(job.kind)
            case "state":
                self._names_states, states = True, self._among(_state)
                return lambda job: states(job.state.value)
            case "created":
                return self._created()
            case "parent":
                parents = self._among(_id, may_exclude=False)
                return lambda job: parents(job.parent)
            case lower if lower.startswith("label.") and _LABEL_KEY.match(key := name[len("label.") :]):
                values = self._among(_label_value, may_exclude=False)
                return lambda job: key in job.labels and values(job.labels[key])
            case _:
                raise refuse("expression", "unknown field; expected queue, kind, state, created, parent or label.KEY")

    def _created(self) -> Term:
        compare, at = _SIDES.get(self._take("sign").text), _time(self._take("word", "quoted").text)
        if compare is None:
            raise refuse("expression", "expected '<' or '<=' or '>' or '>='")
        return lambda job: compare(job.created_at, at)

    def _among(self, read: Callable[[str], str], *, may_exclude: bool = True) -> Callable[[str], bool]:
        sign = self._take("word", "sign").text.lower()
        excludes = sign in {"!=", "not"}
        if sign == "not":
            sign = self._take("word").text.lower()
        if sign not in {"=", "!=", "in"} or (excludes and not may_exclude):
            raise refuse("expression", "expected another operator")
        values = self._list(read) if sign == "in" else [read(self._take("word", "quoted").text)]
        return lambda value: (value in values) is not excludes

    def _list(self, read: Callable[[str], str]) -> list[str]:
        values: list[str] = []
        sign = self._take("sign").text
        if sign != "(":
            raise refuse("expression", "expected '('")
        while sign != ")":
            values.append(read(self._take("word", "quoted").text))
            if len(values) > _MOST_VALUES:
                raise refuse("expression", f"at most {_MOST_VALUES} values")
            sign = self._take("sign").text
            if sign not in {",", ")"}:
                raise refuse("expression", "expected ')'")
        return values

    def _take(self, *kinds: str) -> _Token:
        if not self._tokens or self._tokens[0].kind not in kinds:
            raise refuse("expression", f"expected a {' or '.join(kinds)}")
        return self._tokens.pop(0)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise refuse("expression", f"column {place + 1}: unexpected character")
        tokens.append(_Token(found.lastgroup, re.sub(r"\\(.)", r"\1", found[found.lastgroup])))
        place = found.end()
    return tokens


def _name(text: str) -> str:
    if not is_name(text):
        raise refuse("expression", "must be 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


def _state(text: str) -> str:
    if text.lower() not in _STATES:
        raise refuse("expression", f"is no state; expected {', '.join(_STATES)}")
    return text.lower()


def _id(text: str) -> str:
    if not is_id(text):
        raise refuse("expression", "must be a UUIDv7 in canonical form")
    return text


def _label_value(text: str) -> str:
    if len(text.encode(errors="replace")) > _MOST_LABEL_BYTES or "\0" in text:
        raise refuse("expression", f"at most {_MOST_LABEL_BYTES} bytes without NUL")
    return text


def _time(text: str) -> datetime:
    try:
        if _RFC_3339.match(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise refuse("expression", "must be a time like 2026-01-31T12:00:00Z")
