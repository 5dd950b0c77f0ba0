"""Why clients get nowhere: librdkafka tells it beside the calls, which only take too long."""

import asyncio
import logging
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from protojobs_service.domain.errors import JobsError, StoreUnavailable
from protojobs_service.drivers.kafka.errors import DENIED, translated
from protojobs_service.drivers.kafka.options import Options

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_LOOK_S = 0.05
_CREDENTIALS = "Kafka refuses the credentials of this service"
_REASONS = {
    **dict.fromkeys(DENIED, _CREDENTIALS),
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "Kafka does not know the mechanism of kafka.sasl_mechanism",
    KafkaError._SSL: "no TLS with Kafka: see kafka.security, kafka.ca and the name in the certificate",  # noqa: SLF001
    KafkaError._RESOLVE: "the names in kafka.brokers have no address",  # noqa: SLF001
}


class Complaints:
    """Keeps the last reason that time alone does not end. Told on the threads of the clients, asked on the event loop."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self._why: str | None = None

    def told(self, options: Options) -> Options:
        """Return options whose clients complain here; each must be polled, or what they say piles up."""
        return replace(options, on_error=self.hear)

    def hear(self, error: KafkaError) -> None:
        """Note an error of a client if it is one that matters. Its text is not kept: it may name addresses and users."""
        why = _REASONS.get(error.code())
        if why is not None and why != self._why:
            self._why = why
            _log.error("Kafka cannot be used", extra={"reason": why})

    def forget(self) -> None:
        """Hear that Kafka has answered: whatever it was is over."""
        self._why = None

    def explain(self, error: JobsError) -> JobsError:
        """Return the reason instead of an error that says no more than that Kafka does not answer."""
        return StoreUnavailable(self._why) if self._why is not None and isinstance(error, StoreUnavailable) else error

    async def cluster_of(self, admin: AdminClient, longest_s: float) -> str:
        """Return the id of the cluster, once it answers. Raises StoreUnavailable, at once where time alone will not help."""
        try:
            found = await self.heard_or(admin, admin.describe_cluster(request_timeout=longest_s))
        except StoreUnavailable as error:
            unknown = f"Kafka cannot be reached within {longest_s:g} s; see kafka.brokers and kafka.security"
            raise StoreUnavailable(self._why or unknown) from error
        return found.cluster_id or ""

    async def heard_or(self, admin: AdminClient, future: "Future[_T]") -> _T:
        """Return what the admin client answers, or raise StoreUnavailable as soon as it is clear why there will be no answer."""
        answer = asyncio.wrap_future(future)
        while not answer.done():
            await asyncio.wait([answer], timeout=_LOOK_S)
            admin.poll(0)
            if self._why is not None and not answer.done():
                answer.cancel()
                raise StoreUnavailable(self._why)
        try:
            with translated():
                return answer.result()
        except StoreUnavailable as error:
            raise self.explain(error) from error
