"""ServerService: what this server is and what it can do."""

# ruff: noqa: N802 # methods have the names of the RPCs

from protojobs.v1 import server_service_pb2

from protojobs_service.application import Application
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.transport.call import Context
from protojobs_service.transport.convert import to_duration, to_timestamp

MIN_CLIENT_VERSION = "0.1.0"


class ServerServicer:
    """Answers ServerService."""

    def __init__(self, application: Application, *, version: str, server_id: str) -> None:
        self._application = application
        self._version = version
        self._server_id = server_id

    async def GetServerInfo(
        self, _request: server_service_pb2.GetServerInfoRequest, _context: Context
    ) -> server_service_pb2.GetServerInfoResponse:
        """Return version, driver, capabilities, bounds and the store's time as far as it is known."""
        response = server_service_pb2.GetServerInfoResponse(
            version=self._version,
            driver=self._application.driver_name,
            limits=self._limits(),
            server_id=self._server_id,
            min_client_version=MIN_CLIENT_VERSION,
        )
        for each in self._application.capabilities():
            response.capabilities.add(name=each.name, available=each.available, reason=each.reason)
        try:
            response.server_time.CopyFrom(to_timestamp(self._application.store_time.now()))
        except StoreUnavailable:
            response.ClearField("server_time")
        return response

    def _limits(self) -> server_service_pb2.Limits:
        limits = self._application.limits
        return server_service_pb2.Limits(
            max_payload_bytes=limits.max_payload_bytes,
            max_receive_bytes=limits.max_receive_bytes,
            max_batch_items=bounds.MAX_BATCH_ITEMS,
            max_header_bytes=bounds.MAX_HEADER_BYTES,
            max_labels=bounds.MAX_LABELS,
            max_result_bytes=bounds.MAX_RESULT_BYTES,
            max_page_size=bounds.MAX_PAGE_SIZE,
            max_in_flight=bounds.MAX_WINDOW,
            id_ahead=to_duration(bounds.ID_AHEAD),
            id_window=to_duration(bounds.ID_WINDOW),
            session_ttl=to_duration(limits.session_ttl),
        )
