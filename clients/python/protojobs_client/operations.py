"""Workers and servers: who is there, what they can do, how they are."""

from grpc_health.v1 import health_pb2
from protojobs.v1 import server_service_pb2, worker_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.convert import to_duration
from protojobs_client.models import HealthStatus, Seconds, ServerInfo, WorkerInfo
from protojobs_client.pages import AsyncPages
from protojobs_client.parse import server_info, worker_info
from protojobs_client.request import span

_HEALTH = {
    health_pb2.HealthCheckResponse.SERVING: HealthStatus.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING: HealthStatus.NOT_SERVING,
}


class OperationCalls(Calls):
    """The part of the client about workers and servers."""

    def workers(self, queue: str | None = None, *, page_size: int = 100) -> AsyncPages[WorkerInfo]:
        """Return the live worker sessions, oldest first; only those that read `queue` if it is given."""

        async def read(token: str) -> tuple[tuple[WorkerInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.workers.ListWorkers,
                worker_service_pb2.ListWorkersRequest(queue=queue or "", page_size=page_size, page_token=token),
            )
            return tuple(worker_info(worker) for worker in answer.workers), answer.next_page_token

        return AsyncPages(read)

    async def drain_worker(self, session: str, *, deadline: Seconds | None = None) -> None:
        """Tell the worker of a session to finish within `deadline` (default 5 min) and leave.

        Raises SessionNotFoundError.
        """
        await self._connection.call(
            self._connection.workers.DrainWorker,
            worker_service_pb2.DrainWorkerRequest(
                session=session, deadline=to_duration(None if deadline is None else span(deadline))
            ),
        )

    async def server_info(self) -> ServerInfo:
        """Return version, driver, capabilities and limits of the server that answers."""
        answer = await self._connection.call(self._connection.server.GetServerInfo, server_service_pb2.GetServerInfoRequest())
        return server_info(answer)

    async def health(self, service: str = "") -> HealthStatus:
        """Ask the health of the server, or of one of its services; UNKNOWN if it has no such service.

        Raises UnavailableError if no server answers.
        """
        check = self._connection.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await self._connection.call(check, health_pb2.HealthCheckRequest(service=service))
        return _HEALTH.get(answer.status, HealthStatus.UNKNOWN)
