"""Bytes of producers, shown as what they say they are."""

import json

import pytest
from protojobs_service.admin.console.views.payload import MOST_BYTES, check_json, view_payload

JSON = "application/json"


def test_json_is_shown_with_a_line_per_member() -> None:
    view = view_payload(b'{"b":1,"a":[true,null]}', JSON)

    assert (view.form, view.editable, view.cut) == ("json", True, False)
    assert view.text == '{\n  "b": 1,\n  "a": [\n    true,\n    null\n  ]\n}'


@pytest.mark.parametrize(
    "written", ['{"a":1,"a":2}', '{"a":0.1000000000000000055511151231257827}', "[1e400]", '{"big":123456789012345678901234567890}']
)
def test_json_that_reading_would_change_says_the_same_as_before(written: str) -> None:
    shown = view_payload(written.encode(), JSON).text

    assert json.loads(shown, parse_float=str, object_pairs_hook=list) == json.loads(
        written, parse_float=str, object_pairs_hook=list
    )


@pytest.mark.parametrize("text", ["{", "[" * 5000, "NaN", "1" * 5000])
def test_what_is_no_json_is_shown_as_text(text: str) -> None:
    view = view_payload(text.encode(), JSON)

    assert (view.form, view.text) == ("text", text)
    assert check_json(text)


def test_what_cannot_be_seen_in_json_is_written_as_escapes() -> None:
    view = view_payload('["\u202e"]'.encode(), "application/vnd.shop+json; charset=utf-8")

    assert view.text == '[\n  "\\u202e"\n]'
    assert view.editable


def test_text_that_a_form_would_change_is_not_for_editing() -> None:
    assert view_payload(b"a\nb", "text/plain").editable
    assert not view_payload(b"a\r\nb", "text/plain").editable
    assert not view_payload(b"a\x1bb", "text/plain").editable


def test_bytes_that_are_no_text_are_dumped() -> None:
    view = view_payload(bytes(range(0xF0, 0x100)) + b"ok", "application/octet-stream")

    assert view.form == "hex"
    assert view.text.splitlines() == [
        "00000000  f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 fa fb fc fd fe ff  ................",
        "00000010  6f 6b                                            ok",
    ]
    assert not view.editable


@pytest.mark.parametrize(("payload", "shown"), [(b"x" * 100_000, MOST_BYTES), ("é".encode() * 50_000, MOST_BYTES // 2)])
def test_long_text_is_cut_at_64_kib_of_bytes_and_says_so(payload: bytes, shown: int) -> None:
    view = view_payload(payload, "text/plain")

    assert (len(view.text), view.cut, view.editable, view.bytes) == (shown, True, False, 100_000)


def test_no_bytes_have_no_form() -> None:
    assert view_payload(b"", JSON).form == ""


def test_a_fault_of_json_is_told_with_its_place() -> None:
    assert check_json('{\n"a": }') == "line 2, column 6: Expecting value"
    assert check_json("[1]") == ""
