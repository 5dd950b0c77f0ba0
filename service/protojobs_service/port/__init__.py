"""The driver port: what a store must do for the use cases, split by who calls it.

Every method takes and returns whole batches, every write is conditional, and time is the store's: no method takes `now`.
Drivers raise nothing but `domain.errors`. The interface is internal: it may change in any release.
"""

from protojobs_service.port.driver import NO_FOLLOW_UPS, Capability, Driver, Fingerprint, FollowUps, Room, UniqueOf
from protojobs_service.port.events import Events, Flush, LogEnd, LogPage, LogQuery, Position, Running
from protojobs_service.port.jobs import (
    CancelResult,
    Claim,
    Dispatched,
    DispatchVerdict,
    Edit,
    EditResult,
    Jobs,
    ListQuery,
    News,
    Outline,
    Retake,
    RetakeResult,
    Selection,
    Settled,
    Settlement,
    SettleVerdict,
)
from protojobs_service.port.outbox import Fates, Outbox, OutboxRow, OutboxStatus, Send
from protojobs_service.port.queues import Cleared, ClearQuery, QueueNumbers, Queues, SettingsBook
from protojobs_service.port.schedules import Fired, Firing, MakeJob, Schedules
from protojobs_service.port.sessions import (
    CancelRequest,
    Found,
    Held,
    Opened,
    Opening,
    RunningJob,
    SessionRecord,
    Sessions,
)

__all__ = [
    "NO_FOLLOW_UPS",
    "CancelRequest",
    "CancelResult",
    "Capability",
    "Claim",
    "ClearQuery",
    "Cleared",
    "DispatchVerdict",
    "Dispatched",
    "Driver",
    "Edit",
    "EditResult",
    "Events",
    "Fates",
    "Fingerprint",
    "Fired",
    "Firing",
    "Flush",
    "FollowUps",
    "Found",
    "Held",
    "Jobs",
    "ListQuery",
    "LogEnd",
    "LogPage",
    "LogQuery",
    "MakeJob",
    "News",
    "Opened",
    "Opening",
    "Outbox",
    "OutboxRow",
    "OutboxStatus",
    "Outline",
    "Position",
    "QueueNumbers",
    "Queues",
    "Retake",
    "RetakeResult",
    "Room",
    "Running",
    "RunningJob",
    "Schedules",
    "Selection",
    "Send",
    "SessionRecord",
    "Sessions",
    "SettingsBook",
    "SettleVerdict",
    "Settled",
    "Settlement",
    "UniqueOf",
]
