"""Names of spans' and metrics' attributes: semantic conventions 1.44 of OpenTelemetry, and ours under `protojobs.`.

The conventions of RPC are a release candidate, those of messaging are in development: a name that changes changes here alone.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGE_ID: Final = "messaging.message.id"
BATCH_COUNT: Final = "messaging.batch.message_count"
CLIENT_ID: Final = "messaging.client.id"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

# https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACK: Final = "exception.stacktrace"

KIND: Final = "protojobs.kind"
ATTEMPT: Final = "protojobs.attempt"
PRIORITY: Final = "protojobs.priority"

# https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/
OPERATION_DURATION: Final = "messaging.client.operation.duration"
PROCESS_DURATION: Final = "messaging.process.duration"
SENT: Final = "messaging.client.sent.messages"
CONSUMED: Final = "messaging.client.consumed.messages"

# https://opentelemetry.io/docs/specs/semconv/rpc/; the status attribute becomes rpc.status_code after 1.44.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
RPC_CLIENT_DURATION: Final = "rpc.client.call.duration"

# Advisory buckets of both conventions, s.
DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
