"""A receiver, and an environment that points to it."""

from collections.abc import Iterator

import pytest

from tests.telemetry.receiver import Receiver, receiving


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without what the machine says of telemetry."""
    for name in ("TRACES_EXPORTER", "METRICS_EXPORTER", "EXPORTER_OTLP_ENDPOINT", "EXPORTER_OTLP_PROTOCOL", "SDK_DISABLED"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Receive what is exported by OTLP over gRPC."""
    with receiving() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        yield running
