"""Names of spans' and metrics' attributes: semantic conventions 1.44 of OpenTelemetry, and ours under `protojobs.`.

The conventions of RPC are a release candidate, those of messaging are in development: a name that changes changes here alone.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# https://opentelemetry.io/docs/specs/semconv/rpc/; the status attribute becomes rpc.status_code after 1.44.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
RPC_SERVER_DURATION: Final = "rpc.server.call.duration"
ERROR_TYPE: Final = "error.type"

# https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGE_ID: Final = "messaging.message.id"

# https://opentelemetry.io/docs/specs/semconv/db/; the statement is never said.
DB_SYSTEM: Final = "db.system.name"
DB_OPERATION: Final = "db.operation.name"
DB_BATCH_SIZE: Final = "db.operation.batch.size"

KIND: Final = "protojobs.kind"

# Advisory buckets of both conventions, s.
DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
