"""Every knob of the server. The only package that reads the environment.

Values come, first wins, from: the command line, `PROTOJOBS_*` variables (nested with `__`), the YAML file that `--config` or
`PROTOJOBS_CONFIG` names, the defaults here. Spans are seconds unless the name says otherwise.
"""

from protojobs_service.settings.kinds import InvalidSettings, is_loopback
from protojobs_service.settings.load import CONFIG_VARIABLE, Setting, explain, load, load_file
from protojobs_service.settings.otel import OtelSettings
from protojobs_service.settings.security import OidcSettings, TlsSettings
from protojobs_service.settings.server import DEFAULT_PORT, Listener, Settings
from protojobs_service.settings.serving import ConsoleSettings, GrpcSettings, LimitSettings
from protojobs_service.settings.stores import DriverName, KafkaSettings

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_PORT",
    "ConsoleSettings",
    "DriverName",
    "GrpcSettings",
    "InvalidSettings",
    "KafkaSettings",
    "LimitSettings",
    "Listener",
    "OidcSettings",
    "OtelSettings",
    "Setting",
    "Settings",
    "TlsSettings",
    "explain",
    "is_loopback",
    "load",
    "load_file",
]
