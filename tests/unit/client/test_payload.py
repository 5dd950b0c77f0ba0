"""Data as bytes and back."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_client import Payload, decode_data, encode_data
from pydantic import BaseModel

JSON_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@dataclass
class Email:
    """Data with a nested dataclass."""

    to: str
    copy: "Email | None" = None


class Order(BaseModel):
    """Data of another library."""

    number: int


@given(JSON_DATA)
def test_json_survives(data: Any) -> None:
    payload = encode_data(data)

    assert payload.content_type == "application/json"
    assert decode_data(payload.data) == data


def test_dataclasses_models_times_and_uuids_become_json() -> None:
    data = [Email("ann", Email("bob")), Order(number=1), datetime(2030, 1, 1, tzinfo=UTC), UUID(int=0)]

    assert decode_data(encode_data(data).data) == [
        {"to": "ann", "copy": {"to": "bob", "copy": None}},
        {"number": 1},
        "2030-01-01T00:00:00+00:00",
        "00000000-0000-0000-0000-000000000000",
    ]


def test_bytes_need_a_content_type() -> None:
    with pytest.raises(TypeError, match="content_type"):
        encode_data(b"raw")
    assert encode_data(b"raw", "text/plain") == Payload(b"raw", "text/plain")


@pytest.mark.parametrize("data", [object(), {1, 2}, lambda: None])
def test_what_is_not_json_is_refused(data: object) -> None:
    with pytest.raises(TypeError, match="is not JSON"):
        encode_data(data)


@pytest.mark.parametrize("data", [float("nan"), float("inf"), "\ud800"])
def test_what_other_languages_cannot_read_is_refused(data: object) -> None:
    with pytest.raises(ValueError):
        encode_data(data)


def test_objects_of_another_content_type_must_be_bytes() -> None:
    with pytest.raises(TypeError, match="text/plain must be bytes"):
        encode_data("text", "text/plain")


@pytest.mark.parametrize(
    ("payload", "content_type", "data"),
    [
        (b"", "application/json", None),
        (b"", "", None),
        (b"[1]", "application/json; charset=utf-8", [1]),
        (b"[1]", "application/vnd.api+json", [1]),
        ("ř".encode(), "text/plain", "ř"),
        (b"\x00\xff", "image/png", b"\x00\xff"),
    ],
)
def test_bytes_are_read_by_their_content_type(payload: bytes, content_type: str, data: object) -> None:
    assert decode_data(payload, content_type) == data
