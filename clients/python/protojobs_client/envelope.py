"""The envelope around bytes that a codec has made. docs/protocol.md is its definition; these are the layouts.

    envelope    magic(4) = F5 50 4A 01 | method(1) | what the method makes of `content`
    content     length(1) | media type | data

The first byte is in no UTF-8 text, so no JSON and no text is taken for an envelope.
"""

from typing import Final

from protojobs_client.errors import UndecodableError
from protojobs_client.payload import ENVELOPE, JSON, Payload

MAGIC: Final = b"\xf5PJ\x01"
ZLIB: Final = 1
GZIP: Final = 2
AES_256_GCM: Final = 3

_PREFIX_BYTES: Final = len(MAGIC) + 1


def pack(payload: Payload) -> bytes:
    """Put media type and data together. Raises ValueError for a media type of more than 255 bytes."""
    media_type = payload.content_type.encode()
    if len(media_type) > 255:
        raise ValueError("a media type has at most 128 bytes")
    return bytes([len(media_type)]) + media_type + payload.data


def unpack(content: bytes) -> Payload:
    """Undo `pack`. Raises UndecodableError."""
    end = 1 + content[0] if content else 1
    if len(content) < end:
        raise corrupt()
    try:
        return Payload(content[end:], content[1:end].decode())
    except UnicodeDecodeError:
        raise corrupt() from None


def prefix(method: int) -> bytes:
    """Return how an envelope of this method begins."""
    return MAGIC + bytes([method])


def enclose(envelope: bytes) -> Payload:
    """Return the payload that the server stores."""
    return Payload(envelope, ENVELOPE)


def method_of(payload: Payload) -> int | None:
    """Return the method of an envelope; None for everything else. Raises UndecodableError for a broken one.

    The media type tells. Results and checkpoints come as JSON, which no envelope is: there the first bytes tell.
    """
    data = payload.data
    if len(data) >= _PREFIX_BYTES and data.startswith(MAGIC) and payload.content_type in {ENVELOPE, JSON, ""}:
        return data[_PREFIX_BYTES - 1]
    if payload.content_type == ENVELOPE:
        raise corrupt()
    return None


def body_of(payload: Payload) -> bytes:
    """Return what follows the method."""
    return payload.data[_PREFIX_BYTES:]


def corrupt() -> UndecodableError:
    """Return the error of bytes that break the layout."""
    return UndecodableError("CORRUPT", "the envelope is damaged")
