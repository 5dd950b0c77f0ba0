"""Settings of OpenTelemetry's exporters."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from protojobs_service.settings.kinds import InvalidSettings


class OtelSettings(BaseSettings):
    """Which exporters OpenTelemetry gets. Its own variables alone, `OTEL_*`: the SDK reads all others itself, where they are used.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True, extra="ignore", frozen=True)

    sdk_disabled: str = "false"  # not bool: only "true" disables, and nothing else is an error
    traces_exporter: str | None = None
    metrics_exporter: str | None = None
    exporter_otlp_endpoint: str | None = None
    exporter_otlp_traces_endpoint: str | None = None
    exporter_otlp_metrics_endpoint: str | None = None
    exporter_otlp_protocol: str = "grpc"
    exporter_otlp_traces_protocol: str | None = None
    exporter_otlp_metrics_protocol: str | None = None

    @property
    def span_exporters(self) -> list[str]:
        """Return the entry points of the exporters of spans. Raises InvalidSettings for a protocol that there is not."""
        endpoint = self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint
        return self._names(self.traces_exporter, endpoint, self.exporter_otlp_traces_protocol)

    @property
    def metric_exporters(self) -> list[str]:
        """Return the entry points of the exporters of metrics; Prometheus is always there. Raises InvalidSettings."""
        endpoint = self.exporter_otlp_metrics_endpoint or self.exporter_otlp_endpoint
        names = self._names(self.metrics_exporter, endpoint, self.exporter_otlp_metrics_protocol)
        return [name for name in names if name != "prometheus"]

    def _names(self, wanted: str | None, endpoint: str | None, protocol: str | None) -> list[str]:
        if self.sdk_disabled.strip().lower() == "true":
            return []
        # The specification's default is otlp; without an endpoint it would dial a collector that nobody has promised.
        names = [name.strip() for name in (wanted or ("otlp" if endpoint else "none")).split(",")]
        return [self._otlp(protocol) if name == "otlp" else name for name in names if name not in ("", "none")]

    def _otlp(self, protocol: str | None) -> str:
        match (protocol or self.exporter_otlp_protocol).strip():
            case "grpc":
                return "otlp_proto_grpc"
            case "http/protobuf":
                return "otlp_proto_http"
            case other:
                raise InvalidSettings(f"OTEL_EXPORTER_OTLP_PROTOCOL: {other!r} is neither grpc nor http/protobuf")
