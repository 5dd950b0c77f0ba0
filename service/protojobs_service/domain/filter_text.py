"""The filter language, as text: read into a `Filter`, and written back.

::

    filter  = [ term { "and" term } ]
    term    = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
            | field [ "not" ] "in" "(" value { "," value } ")"
    field   = "queue" | "kind" | "state" | "created" | "parent" | "label." key
    value   = word | '"' { any character, or a backslash before a quote or a backslash } '"'
    word    = letters, digits and . _ - : +

Keywords, fields and states may be written in capitals. There is no `or`: a list reads along indexes, and an `or` between two fields
would read everything; `in` is the `or` within one.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn, TypeVar, assert_never
from uuid import UUID

from protojobs_service.domain import bounds
from protojobs_service.domain.filter import CreatedTerm, Filter, LabelTerm, NameTerm, ParentTerm, Relation, StateTerm, Term
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State

V = TypeVar("V")

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>"(?:[^"\\]|\\["\\])*")
      | (?P<word>[A-Za-z0-9._:+-]+)
      | (?P<sign><=|>=|!=|[=<>(),])
    )""",
    re.VERBOSE,
)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\Z", re.IGNORECASE)
_LABEL = "label."
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_FIELDS = "queue, kind, state, created, parent or label.KEY"
_SIDES = {each.value: each for each in (Relation.BEFORE, Relation.UP_TO, Relation.AFTER, Relation.FROM)}
_EQUALS = {"=": Relation.ONE_OF, "!=": Relation.NONE_OF}
_STATES = {state.name.lower(): state for state in State}


class FilterSyntaxError(Exception):
    """The text is no filter. column: the place in the text, from 1."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


class _Token(NamedTuple):
    """kind: quoted, word, sign or end. text: unquoted, as written. at: the column."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Filter:
    """Return the filter that a text says; an empty one holds for every job. Raises FilterSyntaxError."""
    return _Parser(_tokens(text)).filter()


def write(wanted: Filter) -> str:
    """Return the text of a filter; `parse` reads it back."""
    return " and ".join(map(_write, wanted.terms))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            raise FilterSyntaxError(at + 1, "the quote is not closed" if text[at] == '"' else "unexpected character")
        raw = found[found.lastgroup]
        value = re.sub(r"\\(.)", r"\1", raw[1:-1]) if found.lastgroup == "quoted" else raw
        tokens.append(_Token(found.lastgroup, value, found.start(found.lastgroup) + 1))
        place = found.end()
    return [*tokens, _Token("end", "", end + 1)]


class _Parser:
    """Reads tokens from left to right; one token decides everything."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def filter(self) -> Filter:
        """Read everything."""
        terms: list[Term] = []
        if self._here.kind != "end":
            terms.append(self._term())
        while self._here.kind != "end":
            self._keyword("and", "expected 'and' or the end")
            terms.append(self._term())
            if len(terms) > bounds.MAX_FILTER_TERMS:
                _fail(self._here, f"at most {bounds.MAX_FILTER_TERMS} terms")
        return Filter(tuple(terms))

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._here
        self._next += 1
        return token

    def _is(self, word: str) -> bool:
        return self._here.kind == "word" and self._here.text.lower() == word

    def _keyword(self, word: str, message: str) -> None:
        if not self._is(word):
            _fail(self._here, message)
        self._next += 1

    def _sign(self, sign: str) -> None:
        if self._here.kind != "sign" or self._here.text != sign:
            _fail(self._here, f"expected {sign!r}")
        self._next += 1

    def _term(self) -> Term:
        field = self._take()
        if field.kind != "word":
            _fail(field, f"expected a field: {_FIELDS}")
        name = field.text.lower()
        if name in ("queue", "kind"):
            relation, names = self._relation(Relation.ONE_OF, Relation.NONE_OF), self._values(_name)
            return NameTerm(field=name, relation=relation, names=names)
        if name == "state":
            return StateTerm(relation=self._relation(Relation.ONE_OF, Relation.NONE_OF), states=self._values(_state))
        if name == "created":
            return CreatedTerm(relation=self._relation(*_SIDES.values()), at=_time(self._value()))
        if name == "parent":
            self._relation(Relation.ONE_OF)
            return ParentTerm(parents=self._values(_job_id))
        if name.startswith(_LABEL):
            key = field.text[len(_LABEL) :]
            if not bounds.LABEL_KEY.match(key):
                _fail(field, "the label's key must be 1 to 63 of A-Z a-z 0-9 . _ -")
            self._relation(Relation.ONE_OF)
            return LabelTerm(key=key, values=self._values(_label_value))
        return _fail(field, f"unknown field; expected {_FIELDS}")

    def _relation(self, *allowed: Relation) -> Relation:
        """Read an operator, but for the list of an `in`."""
        token = self._here
        relation: Relation | None = None
        if token.kind == "sign":
            relation = _EQUALS.get(token.text) or _SIDES.get(token.text)
        elif self._is("in") or self._is("not"):
            relation = Relation.ONE_OF
            if self._is("not"):
                self._next += 1
                relation = Relation.NONE_OF
                if not self._is("in"):
                    _fail(self._here, "expected 'in'")
        if relation not in allowed:
            _fail(token, f"expected {_operators(allowed)}")
        self._next += 1
        return relation

    def _values(self, read: Callable[[_Token], V]) -> tuple[V, ...]:
        """Read one value, or the list of an `in`, as the operator before it asks."""
        if self._tokens[self._next - 1].text.lower() != "in":
            return (read(self._value()),)
        self._sign("(")
        values = [read(self._value())]
        while self._here.text == "," and self._here.kind == "sign":
            self._next += 1
            values.append(read(self._value()))
            if len(values) > bounds.MAX_FILTER_VALUES:
                _fail(self._here, f"at most {bounds.MAX_FILTER_VALUES} values")
        self._sign(")")
        return tuple(dict.fromkeys(values))

    def _value(self) -> _Token:
        token = self._take()
        if token.kind not in ("word", "quoted"):
            _fail(token, "expected a value")
        return token


def _fail(token: _Token, message: str) -> NoReturn:
    raise FilterSyntaxError(token.at, message)


def _operators(relations: Sequence[Relation]) -> str:
    signs = {Relation.ONE_OF: "'=' or 'in'", Relation.NONE_OF: "'!=' or 'not in'"}
    return " or ".join(signs.get(each, f"'{each.value}'") for each in relations)


def _name(token: _Token) -> str:
    if not bounds.NAME.match(token.text):
        _fail(token, "must be 1 to 128 of A-Z a-z 0-9 . _ -")
    return token.text


def _state(token: _Token) -> State:
    state = _STATES.get(token.text.lower())
    if state is None:
        _fail(token, f"is no state; expected {', '.join(_STATES)}")
    return state


def _label_value(token: _Token) -> str:
    if len(token.text.encode(errors="replace")) > bounds.MAX_LABEL_VALUE_BYTES or "\0" in token.text:
        _fail(token, f"at most {bounds.MAX_LABEL_VALUE_BYTES} bytes without NUL")
    return token.text


def _time(token: _Token) -> datetime:
    try:
        if _RFC_3339.match(token.text):
            at = datetime.fromisoformat(token.text.upper()).astimezone(UTC)
            if at < _LAST:
                return at
    except (ValueError, OverflowError):
        pass
    _fail(token, "must be a time like 2026-01-31T12:00:00Z")


def _job_id(token: _Token) -> JobId:
    try:
        value = UUID(token.text)
    except ValueError:
        value = None
    if value is None or value.version != 7 or str(value) != token.text:
        _fail(token, "must be a UUIDv7 in canonical form")
    return JobId(value.bytes)


def _write(term: Term) -> str:
    match term:
        case NameTerm():
            return f"{term.field} {term.relation.value} {_list(term.names)}"
        case StateTerm():
            return f"state {term.relation.value} {_list([state.name.lower() for state in term.states])}"
        case LabelTerm():
            return f"{_LABEL}{term.key} in {_list(term.values)}"
        case CreatedTerm():
            return f"created {term.relation.value} {term.at.astimezone(UTC).isoformat().replace('+00:00', 'Z')}"
        case ParentTerm():
            return f"parent in {_list([str(UUID(bytes=parent)) for parent in term.parents])}"
        case _:
            assert_never(term)


def _list(values: Sequence[str]) -> str:
    return f"({', '.join(map(_quoted, values))})"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
