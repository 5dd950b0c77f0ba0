"""The settings of Kafka, in the words of its driver."""

from protojobs_service.drivers.kafka.options import Options, Value
from protojobs_service.settings import InvalidSettings, KafkaSettings, Settings


def options_of(settings: Settings) -> Options:
    """Return what the settings say of the cluster and of the layout of topics. Raises InvalidSettings."""
    kafka = settings.kafka
    if kafka.brokers is None:
        raise InvalidSettings("kafka.brokers: is required with driver kafka (PROTOJOBS_KAFKA__BROKERS)")
    if kafka.is_exposed and not settings.store.insecure:
        raise InvalidSettings("kafka.security: brokers beyond this machine need ssl or sasl_ssl, or store.insecure")
    options = Options(
        brokers=kafka.brokers,
        prefix=kafka.prefix,
        group=kafka.group,
        protocol=kafka.group_protocol,
        instance=kafka.instance,
        partitions=kafka.partitions,
        replication=kafka.replication,
        bands=kafka.bands,
        lookahead=kafka.lookahead,
        compression=kafka.compression,
        session_timeout_s=kafka.session_timeout,
        delivery_timeout_s=kafka.delivery_timeout,
        dead_letters=kafka.dead_letters,
        security=_security(kafka),
        overrides=kafka.client,
    )
    if (complaint := options.find_complaint()) is not None:
        raise InvalidSettings(f"kafka: {complaint}")
    return options


def _security(kafka: KafkaSettings) -> dict[str, Value]:
    """Return the settings in the words of librdkafka, which verifies brokers and their names unless it is told not to."""
    found: dict[str, Value] = {"security.protocol": kafka.security.upper()}
    files = {"ssl.ca.location": kafka.ca, "ssl.certificate.location": kafka.cert, "ssl.key.location": kafka.key}
    found |= {name: str(path) for name, path in files.items() if path is not None}
    if kafka.security.startswith("sasl") and kafka.password is not None:
        found |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.username": kafka.username or ""}
        found["sasl.password"] = kafka.password.get_secret_value()
    return found
