"""Page tokens: where a list goes on, bound to the request that it came from.

The seal keeps a token to its request; it is no secret, so whatever stands behind it is checked like any other field.
"""

import base64
import re
from datetime import datetime, timedelta
from hashlib import blake2b

from google.protobuf.message import Message

from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.job import JobId
from protojobs_service.transport.convert import EPOCH

_SEAL_BYTES, _NUMBER_BYTES, _ID_BYTES = 8, 8, 16
_UNBOUND = ("page_size", "page_token", "continuation_token")
_MICROSECOND = timedelta(microseconds=1)


class Pages:
    """Makes and reads the tokens of one request, whatever its size of a page. Every `place` raises InvalidField; "" begins."""

    def __init__(self, request: Message) -> None:
        """Bind tokens to every other field of `request`."""
        twin = type(request)()
        twin.CopyFrom(request)
        for field in _UNBOUND:
            if field in twin.DESCRIPTOR.fields_by_name:
                twin.ClearField(field)
        self._field = "page_token" if "page_token" in twin.DESCRIPTOR.fields_by_name else "continuation_token"
        name = request.DESCRIPTOR.full_name.encode()
        self._request = blake2b(twin.SerializeToString(deterministic=True), key=name[:64], digest_size=_SEAL_BYTES)

    def after_number(self, number: int) -> str:
        """Return the token of a page that begins behind a number of 0 to 2^63 - 1."""
        return self._token(number.to_bytes(_NUMBER_BYTES))

    def number(self, token: str) -> int | None:
        """Return the number, None at the start."""
        place = self._place(token)
        return None if place is None else self._number(place)

    def after_name(self, name: str) -> str:
        """Return the token of a page that begins behind a name."""
        return self._token(name.encode())

    def name(self, token: str) -> str:
        """Return the name, which is no valid one where somebody made it up; "" at the start."""
        name = (self._place(token) or b"").decode(errors="replace")
        if not name.isprintable():
            raise self._not_ours()
        return name

    def after_job(self, job_id: JobId) -> str:
        """Return the token of a page that begins behind a job."""
        return self._token(job_id)

    def job(self, token: str) -> JobId | None:
        """Return the job, None at the start."""
        place = self._place(token)
        return None if place is None else self._job(place)

    def after_step(self, before: datetime, job_id: JobId | None) -> str:
        """Return the token of the step of an action that goes on behind a job, with jobs made before a time."""
        return self._token(((before - EPOCH) // _MICROSECOND).to_bytes(_NUMBER_BYTES) + (job_id or b""))

    def step(self, token: str) -> tuple[datetime, JobId | None] | None:
        """Return the time and the job, None at the first step."""
        place = self._place(token)
        if place is None:
            return None
        try:
            before = EPOCH + self._number(place[:_NUMBER_BYTES]) * _MICROSECOND
        except OverflowError:
            raise self._not_ours() from None
        rest = place[_NUMBER_BYTES:]
        return before, self._job(rest) if rest else None

    def _token(self, place: bytes) -> str:
        return base64.urlsafe_b64encode(self._seal(place) + place).decode().rstrip("=")

    def _seal(self, place: bytes) -> bytes:
        seal = self._request.copy()
        seal.update(b"\0" + place)
        return seal.digest()

    def _place(self, token: str) -> bytes | None:
        if not token:
            return None
        if not re.fullmatch(r"[A-Za-z0-9_-]{11,512}", token):
            raise self._not_ours()
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)) if len(token) % 4 != 1 else b""
        if data[:_SEAL_BYTES] != self._seal(data[_SEAL_BYTES:]):
            raise InvalidField(self._field, "is a token of another request")
        return data[_SEAL_BYTES:]

    def _number(self, place: bytes) -> int:
        if len(place) != _NUMBER_BYTES or place[0] > 0x7F:
            raise self._not_ours()
        return int.from_bytes(place)

    def _job(self, place: bytes) -> JobId:
        if len(place) != _ID_BYTES:
            raise self._not_ours()
        return JobId(place)

    def _not_ours(self) -> InvalidField:
        return InvalidField(self._field, "is not a token of this call")
