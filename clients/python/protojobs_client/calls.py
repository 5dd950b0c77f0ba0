"""What every part of the client stands on."""

from protojobs_client.connection import Connection
from protojobs_client.ids import JobIds
from protojobs_client.payload import Codec


class Calls:
    """A connection, a codec and a source of ids."""

    def __init__(self, connection: Connection, codec: Codec, ids: JobIds) -> None:
        self._connection = connection
        self._codec = codec
        self._ids = ids
