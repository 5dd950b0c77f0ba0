"""Globs and grants."""

import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.access import ANONYMOUS, EVERY_QUEUE, Grant, Principal, Scope, matches

_NAMES = st.text("ab.-_1", min_size=1, max_size=6)
_GLOBS = st.text("ab.-_1*?", min_size=1, max_size=6)
_GRANTS = st.lists(st.builds(Grant, st.sampled_from(Scope), _GLOBS | st.just(EVERY_QUEUE)), max_size=5)
_SCOPES = st.frozensets(st.sampled_from(Scope), min_size=1)


def _principal(grants: Sequence[Grant]) -> Principal:
    return Principal(id="token:1", name="somebody", grants=tuple(grants))


@given(_GLOBS, _NAMES)
def test_a_glob_matches_what_its_regular_expression_does(pattern: str, name: str) -> None:
    expected = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")

    assert matches(pattern, name) is (re.fullmatch(expected, name, re.DOTALL) is not None)


@given(st.text(max_size=8), st.text(max_size=8))
def test_whatever_is_neither_star_nor_question_mark_stands_for_itself(pattern: str, text: str) -> None:
    plain = pattern.replace("*", "").replace("?", "")

    assert matches(plain, text) is (plain == text)
    assert matches(f"*{plain}*", f"{text}{plain}{text}")


def test_brackets_and_other_characters_of_patterns_are_ordinary() -> None:
    assert not matches("[ab]", "a")
    assert matches("[ab]", "[ab]")
    assert not matches("[!a]*", "b")
    assert not matches("A", "a")
    assert not matches("a", "a\n")


@given(_GRANTS, _SCOPES, _NAMES)
def test_a_queue_is_granted_where_one_grant_of_one_of_the_scopes_matches_it(
    grants: list[Grant], scopes: frozenset[Scope], queue: str
) -> None:
    expected = any(grant.scope in scopes and matches(grant.queues, queue) for grant in grants)

    assert _principal(grants).may(scopes, queue) is expected


@given(_GRANTS, _SCOPES, st.lists(_NAMES, max_size=4))
def test_what_is_held_everywhere_is_held_on_every_queue(grants: list[Grant], scopes: frozenset[Scope], queues: list[str]) -> None:
    principal = _principal(grants)

    if not principal.everywhere.isdisjoint(scopes):
        assert principal.among(scopes, queues) == queues
    assert principal.everywhere <= principal.scopes
    assert principal.among(scopes, queues) == [queue for queue in queues if principal.may(scopes, queue)]


@given(_GRANTS, _GRANTS, _SCOPES, _NAMES)
def test_another_grant_never_takes_anything_away(
    some: list[Grant], more: list[Grant], scopes: frozenset[Scope], queue: str
) -> None:
    if _principal(some).may(scopes, queue):
        assert _principal([*some, *more]).may(scopes, queue)


@given(_SCOPES, _NAMES)
def test_without_grants_nothing_is_allowed_and_anonymous_may_everything(scopes: frozenset[Scope], queue: str) -> None:
    assert not _principal([]).may(scopes, queue)
    assert ANONYMOUS.may(scopes, queue)


def test_a_session_is_another_token_than_the_one_that_it_stands_for() -> None:
    def principal(token_id: str | None) -> Principal:
        return Principal(id="token:1", name="somebody", token_id=token_id)

    assert principal("2").is_session
    assert not principal("1").is_session
    assert not principal(None).is_session
    assert not ANONYMOUS.is_session
