"""Envelopes are what docs/protocol.md says, for every language; and nothing that was changed or moved is read."""

import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st
from protojobs_client import Chain, Codec, Compress, Encrypt, Payload, PayloadContext, UndecodableError, Use, decode_data
from protojobs_client.payload import ENVELOPE

VECTORS = json.loads((Path(__file__).resolve().parents[3] / "proto" / "testdata" / "envelopes.json").read_text())
KEYS = {key_id: bytes.fromhex(key) for key_id, key in VECTORS["keys"].items()}
CONTEXT = PayloadContext(kind="send_email", queue="mail", job_id="01990000-0000-7000-8000-000000000001")
READER = Chain(Compress(), Encrypt(KEYS, active="2026-11"))


def codec_of(steps: list[dict[str, Any]]) -> Codec:
    codecs: list[Codec] = []
    for step in steps:
        if step["method"] == "aes-256-gcm":
            codecs.append(Encrypt(KEYS, active=step["key"], bind_queue=step["bind_queue"]))
        else:
            codecs.append(Compress(step["method"], min_bytes=0))
    return Chain(*codecs)


def context_of(vector: dict[str, Any]) -> PayloadContext:
    return PayloadContext(**{**vector["context"], "use": Use(vector["context"]["use"])})


def copied(value: Any) -> Any:
    """Return what another process of the worker would get."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda vector: vector["name"])
def test_every_vector_is_read_and_made_again(vector: dict[str, Any]) -> None:
    plain, context = Payload(bytes.fromhex(vector["data"]), vector["content_type"]), context_of(vector)
    stored = Payload(bytes.fromhex(vector["envelope"]), "application/json")  # results have no media type

    made = codec_of(vector["encoders"]).encode(plain, context)

    assert READER.decode(stored, context) == plain
    assert made.content_type == ENVELOPE
    if vector["reproducible"]:
        assert made.data == stored.data
    else:  # other builds of zlib pack otherwise
        assert READER.decode(made, context) == plain


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_was_changed_or_moved_is_refused_for_its_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(UndecodableError) as refused:
        READER.decode(Payload(bytes.fromhex(vector["envelope"]), ENVELOPE), context_of(vector))

    assert refused.value.reason == vector["reason"]
    assert copied(refused.value).reason == vector["reason"]


def test_a_vector_is_plain_aes_gcm_as_the_protocol_describes_it() -> None:
    vector = VECTORS["envelopes"][0]
    envelope, name = bytes.fromhex(vector["envelope"]), vector["encoders"][0]["key"]
    head, nonce, sealed = envelope[: 7 + len(name)], envelope[7 + len(name) :][:12], envelope[19 + len(name) :]
    key = HKDFExpand(SHA256(), 32, b"protojobs.v1 encrypt").derive(KEYS[name])

    content = AESGCM(key).decrypt(nonce, sealed, head + b"payload\nsend_email\nmail\n")

    assert head == b"\xf5PJ\x01\x03\x01\x07" + name.encode()
    assert content == b"\x10application/json" + bytes.fromhex(vector["data"])


@given(data=st.binary(max_size=3000), content_type=st.sampled_from(["application/json", "text/plain", "x/y", ""]))
def test_whatever_goes_in_comes_out(data: bytes, content_type: str) -> None:
    plain = Payload(data, content_type)

    for use in Use:
        context = PayloadContext(kind="kind", queue="queue", use=use, job_id="id")
        encrypted = READER.encode(plain, context)
        assert READER.decode(encrypted, context) == plain
        assert data not in encrypted.data or len(data) < 8


@given(data=st.binary(max_size=200))
def test_no_bytes_break_a_decoder(data: bytes) -> None:
    for stored in (Payload(data), Payload(data, ENVELOPE), Payload(b"\xf5PJ\x01" + data, ENVELOPE)):
        with suppress(UndecodableError):  # and nothing else
            READER.decode(stored, CONTEXT)


def test_data_of_another_media_type_may_begin_like_an_envelope() -> None:
    plain = Payload(b"\xf5PJ\x01\x01 is no envelope", "image/png")

    assert READER.decode(READER.encode(plain, CONTEXT), CONTEXT) == plain


def test_a_repeated_dispatch_is_the_same_bytes_and_another_job_is_not() -> None:
    codec, plain = Encrypt({"k": KEYS["2026-11"]}), Payload(b'{"to":"ann"}')
    other = PayloadContext(kind=CONTEXT.kind, queue=CONTEXT.queue, job_id="01990000-0000-7000-8000-000000000002")

    first, again, second = codec.encode(plain, CONTEXT), codec.encode(plain, CONTEXT), codec.encode(plain, other)

    assert first == again
    assert first != second


def test_after_a_rotation_old_payloads_are_read_until_their_key_is_dropped() -> None:
    stored = Encrypt({"old": KEYS["2026-10"]}).encode(Payload(b"1"), CONTEXT)

    both = Encrypt({"old": KEYS["2026-10"], "new": KEYS["2026-11"]}, active="new")
    assert both.decode(stored, CONTEXT) == Payload(b"1")
    assert b"new" in both.encode(Payload(b"1"), CONTEXT).data
    with pytest.raises(UndecodableError, match="no key old here"):
        Encrypt({"new": KEYS["2026-11"]}).decode(stored, CONTEXT)


def test_plain_payloads_pass_until_encryption_is_required() -> None:
    plain, nothing = Payload(b'{"to":"ann"}'), Payload(b"")
    result = PayloadContext(kind="kind", queue="queue", use=Use.RESULT, job_id="id")
    strict = Encrypt({"k": KEYS["2026-11"]}, required=True)

    assert Encrypt({"k": KEYS["2026-11"]}).decode(plain, CONTEXT) == plain
    assert strict.decode(nothing, result) == nothing  # a handler that returns nothing
    with pytest.raises(UndecodableError) as refused:
        strict.decode(plain, CONTEXT)
    assert refused.value.reason == "NOT_ENCRYPTED"


def test_what_would_fill_the_memory_is_not_unpacked() -> None:
    bomb = Compress().encode(Payload(b"0" * 100_001), CONTEXT)

    with pytest.raises(UndecodableError) as refused:
        Compress(max_bytes=100_000).decode(bomb, CONTEXT)

    assert refused.value.reason == "TOO_LARGE"
    assert len(bomb.data) < 1000


def test_small_and_dense_payloads_are_not_compressed() -> None:
    small, dense = Payload(b"0" * 1023), Payload(Encrypt({"k": KEYS["2026-11"]}).encode(Payload(b"0" * 5000), CONTEXT).data, "x/y")

    assert Compress().encode(small, CONTEXT) is small
    assert Compress().encode(dense, CONTEXT) is dense


def test_bytes_of_a_codec_that_is_not_here_are_no_data() -> None:
    stored = Compress(min_bytes=0).encode(Payload(b"0" * 500), CONTEXT)

    with pytest.raises(UndecodableError) as refused:
        decode_data(stored.data, stored.content_type)

    assert refused.value.reason == "NO_CODEC"


def test_a_codec_goes_to_another_process_and_shows_no_keys() -> None:
    there = copied(READER)

    assert there.decode(READER.encode(Payload(b"1"), CONTEXT), CONTEXT) == Payload(b"1")
    assert repr(there) == "Chain(Compress(zlib), Encrypt(active=2026-11, keys=['2026-10', '2026-11']))"


@pytest.mark.parametrize(
    ("keys", "active", "why"),
    [
        ({}, None, "at least one key"),
        ({"a": b"short"}, None, "32 bytes"),
        ({"a b": bytes(32)}, None, "id of a key"),
        ({"a": bytes(32), "b": bytes(32)}, None, "name the active key"),
        ({"a": bytes(32)}, "b", "not among"),
    ],
)
def test_keys_that_cannot_work_are_refused(keys: dict[str, bytes], active: str | None, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Encrypt(keys, active=active)
