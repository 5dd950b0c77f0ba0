"""Codecs that come with the client: compress, encrypt, and one after the other.

    codec = Chain(Compress(), Encrypt({"2026-11": key}))
    client = Client(codec=codec)
    worker = Worker(codec=codec)

What they make is defined byte by byte in docs/protocol.md, for clients in other languages.
"""

import gzip
import hmac
import re
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from protojobs_client.envelope import AES_256_GCM, GZIP, ZLIB, body_of, corrupt, enclose, method_of, pack, prefix, unpack
from protojobs_client.errors import UndecodableError
from protojobs_client.payload import Codec, Payload, PayloadContext, Use

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_QUEUE_BOUND: Final = 1  # bit of the flags
_ANY_DEFLATE: Final = 47  # wbits: zlib or gzip, told by its header
_ENCRYPT_INFO: Final = b"protojobs.v1 encrypt"
_NONCE_INFO: Final = b"protojobs.v1 nonce"


class Chain:
    """Encodes by its codecs in order, and decodes in reverse order. Compress before you encrypt: ciphertext does not shrink."""

    def __init__(self, *codecs: Codec) -> None:
        self._codecs = codecs

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self._codecs))})"

    def encode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Return what the last codec makes."""
        for codec in self._codecs:
            payload = codec.encode(payload, context)
        return payload

    def decode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Return what the first codec was given."""
        for codec in reversed(self._codecs):
            payload = codec.decode(payload, context)
        return payload


class Compress:
    """Compresses what gets smaller by it, by zlib or gzip of the standard library; reads both."""

    def __init__(
        self,
        method: Literal["zlib", "gzip"] = "zlib",
        *,
        level: int = 6,
        min_bytes: int = 1024,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """Payloads below `min_bytes` stay as they are. `level` is 1 to 9.

        `max_bytes` bounds what decoding may unpack, so that no small payload fills the memory: UndecodableError, TOO_LARGE.
        """
        if method not in {"zlib", "gzip"}:
            raise ValueError("method is zlib or gzip")
        if not 1 <= level <= 9:
            raise ValueError("level is 1 to 9")
        self._method = ZLIB if method == "zlib" else GZIP
        self._level = level
        self._min_bytes = min_bytes
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"Compress({'zlib' if self._method == ZLIB else 'gzip'})"

    def encode(self, payload: Payload, context: PayloadContext) -> Payload:  # noqa: ARG002 - the same everywhere
        """Return the compressed payload, or the same one where that is no smaller."""
        if len(payload.data) < self._min_bytes:
            return payload
        content = pack(payload)
        # mtime 0: the same payload is always the same bytes.
        small = zlib.compress(content, self._level) if self._method == ZLIB else gzip.compress(content, self._level, mtime=0)
        envelope = prefix(self._method) + small
        return enclose(envelope) if len(envelope) < len(payload.data) else payload

    def decode(self, payload: Payload, context: PayloadContext) -> Payload:  # noqa: ARG002 - the same everywhere
        """Undo `encode`. Raises UndecodableError."""
        if method_of(payload) not in {ZLIB, GZIP}:
            return payload
        unpacking = zlib.decompressobj(_ANY_DEFLATE)
        try:
            content = unpacking.decompress(body_of(payload), self._max_bytes + 1)
        except zlib.error:
            raise corrupt() from None
        if len(content) > self._max_bytes:
            raise UndecodableError("TOO_LARGE", f"the payload unpacks to more than {self._max_bytes} bytes")
        if not unpacking.eof or unpacking.unused_data:
            raise corrupt()
        return unpack(content)


class Encrypt:
    """Encrypts and authenticates by AES-256-GCM. Needs the extra `encryption` (the library `cryptography`).

    A payload is bound to its kind and queue, a result or checkpoint to its kind and job: elsewhere it does not decrypt.
    Rotation: give all readers the new key beside the old one, then make it `active`, and drop the old one when nothing
    that it encrypted is left. Two jobs with one payload look different; the size of a payload can be seen.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        *,
        active: str | None = None,
        bind_queue: bool = True,
        required: bool = False,
    ) -> None:
        """`keys`: 32 random bytes by an id of 1 to 64 of [A-Za-z0-9._-], which is stored in the clear.

        `active` names the key that encrypts; it may be left out where there is one. Without `bind_queue` jobs may be
        moved to other queues. `required` refuses what is not encrypted: set it once all producers encrypt.
        """
        if not keys:
            raise ValueError("at least one key is needed")
        if active is None and len(keys) > 1:
            raise ValueError("name the active key")
        self._keys = dict(keys)
        self._active = next(iter(keys)) if active is None else active
        self._bind_queue = bind_queue
        self._required = required
        if self._active not in self._keys:
            raise ValueError("the active key is not among the keys")
        self._ciphers = {key_id: _Cipher(key_id, key) for key_id, key in keys.items()}

    def __repr__(self) -> str:
        return f"Encrypt(active={self._active}, keys={sorted(self._keys)})"

    def __getstate__(self) -> dict[str, Any]:
        return {"keys": self._keys, "active": self._active, "bind_queue": self._bind_queue, "required": self._required}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the library's ciphers cannot be pickled

    def encode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Return the encrypted payload. The same payload of the same job gives the same bytes."""
        flags = _QUEUE_BOUND if self._bind_queue else 0
        key_id = self._active.encode()
        head = prefix(AES_256_GCM) + bytes([flags, len(key_id)]) + key_id
        return enclose(self._ciphers[self._active].encrypt(head, pack(payload), context, flags))

    def decode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Undo `encode`. Raises UndecodableError."""
        if method_of(payload) != AES_256_GCM:
            if self._required and (payload.data or context.use is Use.PAYLOAD):
                raise UndecodableError("NOT_ENCRYPTED", f"the {context.use.value} is not encrypted")
            return payload
        body = body_of(payload)
        end = 2 + body[1] if len(body) > 1 else 2
        if len(body) < end + _NONCE_BYTES + _TAG_BYTES or body[0] & ~_QUEUE_BOUND:
            raise corrupt()
        key_id = body[2:end].decode("ascii", "replace")
        if not _KEY_ID.match(key_id):
            raise corrupt()
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UndecodableError("UNKNOWN_KEY", f"there is no key {key_id} here")
        return unpack(cipher.decrypt(prefix(AES_256_GCM) + body[:end], body[end:], context, body[0]))


class _Cipher:
    """One key: what it encrypts with, and what it makes nonces of."""

    def __init__(self, key_id: str, key: bytes) -> None:
        if not _KEY_ID.match(key_id):
            raise ValueError("an id of a key is 1 to 64 of A-Z a-z 0-9 . _ -")
        if len(key) != _KEY_BYTES:
            raise ValueError(f"key {key_id} must have {_KEY_BYTES} bytes")
        self._aead = _aead(_expand(key, _ENCRYPT_INFO))
        self._nonce_key = _expand(key, _NONCE_INFO)

    def encrypt(self, head: bytes, content: bytes, context: PayloadContext, flags: int) -> bytes:
        associated = head + _bound(context, flags)
        # Not random: a repeated dispatch must be the same bytes. Like a random one, it repeats for other content with a
        # chance of 2^-96 per pair.
        job_id = context.job_id.encode()
        sizes = struct.pack(">II", len(associated), len(job_id))
        nonce = hmac.digest(self._nonce_key, sizes + associated + job_id + content, "sha256")[:_NONCE_BYTES]
        return head + nonce + self._aead.encrypt(nonce, content, associated)

    def decrypt(self, head: bytes, sealed: bytes, context: PayloadContext, flags: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, ciphertext, head + _bound(context, flags))
        except InvalidTag:
            raise UndecodableError(
                "NOT_AUTHENTIC", "these bytes were changed, or belong to another key, kind, queue or job"
            ) from None


def _bound(context: PayloadContext, flags: int) -> bytes:
    """Return what the bytes belong to. No name holds a line feed, so no two contexts read alike."""
    is_payload = context.use is Use.PAYLOAD
    queue = context.queue if is_payload and flags & _QUEUE_BOUND else ""
    return "\n".join((context.use.value, context.kind, queue, "" if is_payload else context.job_id)).encode()


def _expand(key: bytes, info: bytes) -> bytes:
    """Return one block of HKDF-Expand by SHA-256 (RFC 5869); the key is uniformly random, so nothing is extracted."""
    return hmac.digest(key, info + b"\x01", "sha256")


def _aead(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ImportError("Encrypt needs the extra: pip install 'proto-jobs-client[encryption]'") from error
    return AESGCM(key)
