"""AdminService: who calls, tokens, and the audit log."""

# ruff: noqa: N802 # methods have the names of the RPCs

from protojobs.v1 import admin_service_pb2

from protojobs_service.domain.access import Scope
from protojobs_service.transport.caller import caller
from protojobs_service.transport.convert import to_timestamp
from protojobs_service.transport.interceptors import Context

SCOPES = {
    Scope.PRODUCER: admin_service_pb2.SCOPE_PRODUCER,
    Scope.WORKER: admin_service_pb2.SCOPE_WORKER,
    Scope.OBSERVER: admin_service_pb2.SCOPE_OBSERVER,
    Scope.OPERATOR: admin_service_pb2.SCOPE_OPERATOR,
    Scope.ADMIN: admin_service_pb2.SCOPE_ADMIN,
}


class AdminServicer:
    """Answers AdminService over the use cases."""

    async def GetCaller(
        self, _request: admin_service_pb2.GetCallerRequest, _context: Context
    ) -> admin_service_pb2.GetCallerResponse:
        """Return who calls."""
        principal = caller()
        grants = [admin_service_pb2.Grant(scope=SCOPES[grant.scope], queues=grant.queues) for grant in principal.grants]
        expire_time = None if principal.expires_at is None else to_timestamp(principal.expires_at)
        return admin_service_pb2.GetCallerResponse(
            principal=principal.id, name=principal.name, grants=grants, expire_time=expire_time
        )
