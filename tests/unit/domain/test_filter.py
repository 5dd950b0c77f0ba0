"""The filter language: what it says, what it refuses and where, and that writing and reading are each other's inverse."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain import bounds
from protojobs_service.domain.filter import CreatedTerm, Facts, Filter, LabelTerm, NameTerm, ParentTerm, Relation, StateTerm
from protojobs_service.domain.filter_text import FilterSyntaxError, parse, write
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PARENT = "01890a5d-ac96-774b-bcce-b302099a8057"
PARENT_ID = JobId(bytes.fromhex(PARENT.replace("-", "")))
SETS = st.sampled_from([Relation.ONE_OF, Relation.NONE_OF])
SIDES = st.sampled_from([Relation.BEFORE, Relation.UP_TO, Relation.AFTER, Relation.FROM])
TIMES = st.integers(0, 250_000_000_000 * 10**6).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
NAMES = st.from_regex(bounds.NAME, fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def _some(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)


def _v7(number: int) -> JobId:
    return JobId((number & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62).to_bytes(16))


TERMS = st.one_of(
    st.builds(NameTerm, field=st.sampled_from(["queue", "kind"]), relation=SETS, names=_some(NAMES)),
    st.builds(StateTerm, relation=SETS, states=_some(st.sampled_from(State))),
    st.builds(LabelTerm, key=st.from_regex(bounds.LABEL_KEY, fullmatch=True), values=_some(TEXTS)),
    st.builds(CreatedTerm, relation=SIDES, at=TIMES),
    st.builds(ParentTerm, parents=_some(st.integers(0, 2**128 - 1).map(_v7))),
)
FILTERS = st.lists(TERMS, max_size=5).map(lambda terms: Filter(tuple(terms)))
PIECES = st.sampled_from(["queue", "=", "in", "not", "(", ")", ",", "and", '"a"', "label.x", "<"])


@given(FILTERS)
def test_what_is_written_is_read_back(wanted: Filter) -> None:
    assert parse(write(wanted)) == wanted


@given(st.text(max_size=60) | st.lists(PIECES).map(" ".join))
def test_any_text_is_a_filter_or_an_error_within_it(text: str) -> None:
    column = 1
    try:
        parse(text)
    except FilterSyntaxError as error:
        column = error.column

    assert 1 <= column <= len(text) + 1


def test_every_kind_of_term() -> None:
    text = (
        'QUEUE = mail AND kind not in (send, "resend") and state != completed and label.Team in ("a b", "\\"")'
        f" and created >= 2026-01-31T13:00:00+01:00 and created < 2026-01-31T12:00:00.5Z and parent = {PARENT}"
    )

    assert parse(text) == Filter(
        (
            NameTerm(field="queue", relation=Relation.ONE_OF, names=("mail",)),
            NameTerm(field="kind", relation=Relation.NONE_OF, names=("send", "resend")),
            StateTerm(relation=Relation.NONE_OF, states=(State.COMPLETED,)),
            LabelTerm(key="Team", values=("a b", '"')),
            CreatedTerm(relation=Relation.FROM, at=NOON),
            CreatedTerm(relation=Relation.BEFORE, at=NOON + timedelta(milliseconds=500)),
            ParentTerm(parents=(PARENT_ID,)),
        )
    )


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("color = red", 1, "unknown field"),
        ("queue = mail or kind = send", 14, "expected 'and'"),
        ("queue mail", 7, "expected '=' or 'in' or '!=' or 'not in'"),
        ("queue < mail", 7, "expected '='"),
        ("queue = a b", 11, "expected 'and'"),
        ("queue = a and", 14, "expected a field"),
        ("queue in a", 10, "expected '('"),
        ("queue in (a, )", 14, "expected a value"),
        ("queue in (a b)", 13, "expected ')'"),
        ("queue not = a", 11, "expected 'in'"),
        ('queue = "a b"', 9, "must be 1 to 128"),
        ('label.x = "a', 11, "the quote is not closed"),
        ("label.x != a", 9, "expected '='"),
        ("label. = a", 1, "the label's key"),
        ("state = done", 9, "is no state"),
        ("created = 2026-01-31T12:00:00Z", 9, "expected '<'"),
        ("created < 2026-01-31", 11, "must be a time"),
        ("created < 2026-02-30T12:00:00Z", 11, "must be a time"),
        ("parent = 1", 10, "must be a UUIDv7"),
        ("  queue = $", 11, "unexpected character"),
        (f"label.x = {'y' * 257}", 11, "at most 256 bytes"),
        (f"queue in ({','.join(['a'] * 101)})", 212, "at most 100 values"),
        (" and ".join(["queue = a"] * 33), 14 * 32 + 10, "at most 32 terms"),
    ],
)
def test_errors_name_the_column(text: str, column: int, message: str) -> None:
    with pytest.raises(FilterSyntaxError, match=re.escape(message)) as caught:
        parse(text)

    assert caught.value.column == column


@given(FILTERS, st.sampled_from(State), NAMES, NAMES, TIMES)
def test_what_narrows_a_statement_never_leaves_out_a_job_for_which_the_filter_holds(
    wanted: Filter, state: State, queue: str, kind: str, created_at: datetime
) -> None:
    labels = {term.key: term.values[0] for term in wanted.labels}
    parents = wanted.parents
    parent = min(parents, default=None) if parents is not None else None
    job = Facts(queue=queue, kind=kind, state=state, labels=labels, created_at=created_at, parent=parent)

    narrowed = (
        wanted.admits(queue, kind)
        and (wanted.states is None or state in wanted.states)
        and all(labels.get(term.key) in term.values for term in wanted.labels)
        and (wanted.created_from is None or created_at >= wanted.created_from)
        and (wanted.created_to is None or created_at < wanted.created_to)
        and (parents is None or parent in parents)
    )

    assert narrowed == wanted.holds(job)
