"""Text that jobs hold, as people see it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from protojobs_service.admin.console.views import text


def test_control_characters_are_shown_as_pictures() -> None:
    assert text.visible("a\0b\x1b[31m\x7f\r") == "a\u2400b\u241b[31m\u2421\u240d"


def test_characters_that_turn_or_hide_text_are_shown_by_their_numbers() -> None:
    assert text.visible("\u202egpj\u2066\u200b\ufeff") == "[U+202E]gpj[U+2066][U+200B][U+FEFF]"


def test_text_of_any_script_with_lines_and_tabs_stays_as_it_is() -> None:
    plain = "naïve\tπ\nשלום مرحبا 日本語 👍"

    assert text.visible(plain) == plain
    assert text.is_plain(plain)


@given(st.text())
def test_whatever_it_was_what_is_shown_is_plain(anything: str) -> None:
    assert text.is_plain(text.visible(anything))


def test_a_long_text_is_cut_with_a_mark_that_counts_the_rest() -> None:
    assert text.cut("x" * 5, 5) == "xxxxx"
    assert text.cut("x" * 2005, 5) == "xxxxx… (2,000 more)"


def test_what_a_template_prints_is_made_visible_unless_it_is_markup() -> None:
    markup = Markup("<b>\u202e</b>")

    assert text.printed("\u202e") == "[U+202E]"
    assert text.printed(markup) is markup
    assert text.printed(None) == ""
    assert text.printed(7) == 7


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.35, "350 ms"), (4, "4 s"), (4.25, "4.2 s"), (200, "3 min 20 s"), (7200, "2 h"), (187_200, "2 d 4 h"), (-90, "-1 min 30 s")],
)
def test_a_length_of_time_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert text.span(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(("per_second", "shown"), [(0, "0"), (0.001, "0.01"), (0.034, "0.03"), (4.23, "4.2"), (1250.4, "1,250")])
def test_a_rate_has_as_many_digits_as_are_read(per_second: float, shown: str) -> None:
    assert text.rate(per_second) == shown


def test_a_moment_is_an_element_in_utc() -> None:
    at = datetime(2026, 3, 4, 6, 7, 8, 9000, tzinfo=timezone(timedelta(hours=1)))

    assert text.moment(at) == (
        '<time class="" datetime="2026-03-04T05:07:08.009Z" title="2026-03-04 05:07:08.009 UTC">2026-03-04 05:07:08 UTC</time>'
    )
    assert text.since(datetime(2026, 3, 4, tzinfo=UTC)).startswith('<time class="ago"')
    assert text.moment(None) == ""
