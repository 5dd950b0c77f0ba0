"""Sends the bearer token with every call."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import grpc
from grpc import aio
from typing_extensions import override

from protojobs_client.errors import UnauthenticatedError

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Token:
    """A token by value, or in a file that may change (a projected Kubernetes secret)."""

    def __init__(self, value: str | None, file: Path | None) -> None:
        self._value = value
        self._file = file
        self._changed_at = -1

    def __bool__(self) -> bool:
        return self._value is not None or self._file is not None

    def header(self) -> tuple[str, str]:
        """Return the metadata of a call. Raises UnauthenticatedError where the file has never held a token.

        While a file is being replaced it may be empty or gone: the last token stays.
        """
        if self._file is not None:
            try:
                self._read(self._file)
            except OSError as error:
                if self._value is None:
                    raise UnauthenticatedError(f"the token file cannot be read: {error}") from error
            if self._value is None:
                raise UnauthenticatedError(f"the token file is empty: {self._file}")
        return ("authorization", f"Bearer {self._value}")

    def _read(self, file: Path) -> None:
        changed_at = file.stat().st_mtime_ns
        if changed_at != self._changed_at and (value := file.read_text().strip()):
            self._value, self._changed_at = value, changed_at


def bearer_credentials(token: Token) -> grpc.CallCredentials:
    """Return credentials that carry the token. gRPC takes them on an encrypted channel only."""
    return grpc.metadata_call_credentials(_Plugin(token), name="protojobs-token")


def bearer_interceptors(token: Token) -> list[aio.ClientInterceptor]:
    """Return interceptors that carry the token on a channel without TLS."""
    return [_UnaryUnary(token), _UnaryStream(token), _StreamUnary(token), _StreamStream(token)]


class _Plugin(grpc.AuthMetadataPlugin):
    def __init__(self, token: Token) -> None:
        self._token = token

    @override
    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        callback((self._token.header(),), None)


class _Bearer:
    def __init__(self, token: Token) -> None:
        self._token = token

    def _authorized(self, details: aio.ClientCallDetails) -> aio.ClientCallDetails:
        pairs = (*(details.metadata or ()), self._token.header())
        return aio.ClientCallDetails(
            details.method, details.timeout, aio.Metadata(*pairs), details.credentials, details.wait_for_ready
        )


class _UnaryUnary(_Bearer, aio.UnaryUnaryClientInterceptor):
    @override
    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, RequestT], Awaitable[aio.UnaryUnaryCall[RequestT, ResponseT]]],
        client_call_details: aio.ClientCallDetails,
        request: RequestT,
    ) -> ResponseT | aio.UnaryUnaryCall[RequestT, ResponseT]:
        return await continuation(self._authorized(client_call_details), request)


class _UnaryStream(_Bearer, aio.UnaryStreamClientInterceptor):
    @override
    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, RequestT], Awaitable[aio.UnaryStreamCall[RequestT, ResponseT]]],
        client_call_details: aio.ClientCallDetails,
        request: RequestT,
    ) -> AsyncIterator[ResponseT] | aio.UnaryStreamCall[RequestT, ResponseT]:
        return await continuation(self._authorized(client_call_details), request)


class _StreamUnary(_Bearer, aio.StreamUnaryClientInterceptor):
    @override
    async def intercept_stream_unary(
        self,
        continuation: Callable[
            [aio.ClientCallDetails, AsyncIterable[RequestT] | Iterable[RequestT]],
            Awaitable[aio.StreamUnaryCall[RequestT, ResponseT]],
        ],
        client_call_details: aio.ClientCallDetails,
        request_iterator: AsyncIterable[RequestT] | Iterable[RequestT],
    ) -> ResponseT | aio.StreamUnaryCall[RequestT, ResponseT]:
        return await continuation(self._authorized(client_call_details), request_iterator)


class _StreamStream(_Bearer, aio.StreamStreamClientInterceptor):
    @override
    async def intercept_stream_stream(
        self,
        continuation: Callable[
            [aio.ClientCallDetails, AsyncIterable[RequestT] | Iterable[RequestT]],
            Awaitable[aio.StreamStreamCall[RequestT, ResponseT]],
        ],
        client_call_details: aio.ClientCallDetails,
        request_iterator: AsyncIterable[RequestT] | Iterable[RequestT],
    ) -> AsyncIterator[ResponseT] | aio.StreamStreamCall[RequestT, ResponseT]:
        return await continuation(self._authorized(client_call_details), request_iterator)
