"""Where librdkafka writes its log lines."""

import logging
from typing import Final

_OF_TRUST: Final = ("SASL", "SSL", "certificate")


class _Milder(logging.Filter):
    """Makes a warning of a connection that failed: librdkafka connects again for ever, and operations that fail say so themselves.

    One that fails for credentials or certificates stays an error: no new try mends it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno > logging.WARNING and text.startswith("FAIL [") and not any(word in text for word in _OF_TRUST):
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


client_log: Final = logging.getLogger("protojobs_service.drivers.kafka.client")
"""For the `logger` of every consumer, producer and admin client."""
client_log.addFilter(_Milder())
