"""What every part of the client stands on."""

from protojobs_client.connection import Connection
from protojobs_client.ids import JobIds
from protojobs_client.middleware import ClientHooks
from protojobs_client.payload import Codec
from protojobs_client.telemetry import Telemetry


class Calls:
    """A connection, a codec, a source of ids, and what is around dispatches: hooks, spans and metrics."""

    def __init__(self, connection: Connection, codec: Codec, ids: JobIds, hooks: ClientHooks) -> None:
        self._connection = connection
        self._codec = codec
        self._ids = ids
        self._hooks = hooks
        self._telemetry = Telemetry(connection.options)
