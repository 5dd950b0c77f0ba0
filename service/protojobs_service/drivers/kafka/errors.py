"""Foreign errors become domain errors here: those of librdkafka, nobody else's."""

from collections.abc import Generator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from protojobs_service.domain.errors import JobsError, Overloaded, StoreUnavailable

# The names of librdkafka's own errors begin with an underscore; there are no others.
NO_PLACE = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
)
"""There is no record at the offset that was asked for."""
NO_TOPIC = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001
)
END_OF_PLACE = KafkaError._PARTITION_EOF  # noqa: SLF001
"""Everything of a partition was read."""
TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
DENIED = frozenset(
    {
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


def translate(error: KafkaError | KafkaException | BufferError) -> JobsError:
    """Return the domain error that stands for `error`; what became of a record is unknown, and a repeat is safe."""
    if isinstance(error, BufferError):
        return Overloaded("Kafka does not take records as fast as they come")
    if isinstance(error, KafkaException):
        found = error.args[0] if error.args else None
        if not isinstance(found, KafkaError):
            return StoreUnavailable("Kafka does not answer")
        error = found
    if error.code() in DENIED:
        return StoreUnavailable("Kafka refuses the credentials of this service")
    return StoreUnavailable(f"Kafka does not answer ({error.name()})")


def is_too_large(error: JobsError) -> bool:
    """Tell whether an error says that a record is larger than the producer or its topic takes."""
    cause = error.__cause__
    found = cause.args[0] if isinstance(cause, KafkaException) and cause.args else None
    return isinstance(found, KafkaError) and found.code() in _TOO_LARGE


@contextmanager
def translated() -> Generator[None]:
    """Raise domain errors for those of librdkafka."""
    try:
        yield
    except (KafkaException, BufferError) as error:
        raise translate(error) from error
