"""Use cases: one verb, one file; no wire, no storage. Transport imports this package, and the port's values through it."""

from protojobs_service.application.audit import Audit
from protojobs_service.application.authentication import Authentication, OwnTokens, Proof
from protojobs_service.application.bulk import Action, Bulk, BulkJobs, Done
from protojobs_service.application.cancel import Cancel
from protojobs_service.application.clock import Clock, SystemClock
from protojobs_service.application.dispatch import Answer, Dispatch, job_of
from protojobs_service.application.inspect import Inspect
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease import Leasing
from protojobs_service.application.lease_calls import Acquired, Caller, Extended, LeaseCalls
from protojobs_service.application.lease_session import HeldLease, Hello, LeaseSession, Window
from protojobs_service.application.lease_sink import DrainCause, LeaseSink, Stop, StopCause
from protojobs_service.application.new_tokens import TOKEN_PREFIX, MadeToken
from protojobs_service.application.outbox import Deliver, Refused, Relay
from protojobs_service.application.peers import PeerRule, Peers
from protojobs_service.application.queues import Queues, QueueStats
from protojobs_service.application.recent import Recent
from protojobs_service.application.retry import Retried, Retry
from protojobs_service.application.scaling import COUNTED, Scaling, Share, StatsLook, Work
from protojobs_service.application.schedules import Judge, MakeDraft, Schedules
from protojobs_service.application.service import Application
from protojobs_service.application.settle import Settle
from protojobs_service.application.store_time import StoreTime
from protojobs_service.application.timings import Timings
from protojobs_service.application.tokens import Tokens
from protojobs_service.application.update import Changes, Update
from protojobs_service.application.upkeep_once import UpkeepDone
from protojobs_service.application.wait import Wait
from protojobs_service.application.watch import News as WatchNews
from protojobs_service.application.watch import Watch, Watcher
from protojobs_service.application.workers import Workers
from protojobs_service.port import (
    AuditQuery,
    AuditRecord,
    Capability,
    Cleared,
    ClearQuery,
    Dispatched,
    DispatchVerdict,
    ListQuery,
    NewAuditRecord,
    News,
    Outbox,
    OutboxRow,
    OutboxStatus,
    QueueNumbers,
    Retake,
    RunningJob,
    SessionRecord,
    Settled,
    Settlement,
    SettleVerdict,
    StoredToken,
)
from protojobs_service.port.deadline import deadline_in
from protojobs_service.port.sender import Sender, working_for

__all__ = [
    "COUNTED",
    "TOKEN_PREFIX",
    "Acquired",
    "Action",
    "Answer",
    "Application",
    "Audit",
    "AuditQuery",
    "AuditRecord",
    "Authentication",
    "Bulk",
    "BulkJobs",
    "Caller",
    "Cancel",
    "Capability",
    "Changes",
    "ClearQuery",
    "Cleared",
    "Clock",
    "Deliver",
    "Dispatch",
    "DispatchVerdict",
    "Dispatched",
    "Done",
    "DrainCause",
    "Extended",
    "HeldLease",
    "Hello",
    "Inspect",
    "Judge",
    "KnownQueues",
    "LeaseCalls",
    "LeaseSession",
    "LeaseSink",
    "Leasing",
    "ListQuery",
    "MadeToken",
    "MakeDraft",
    "NewAuditRecord",
    "News",
    "Outbox",
    "OutboxRow",
    "OutboxStatus",
    "OwnTokens",
    "PeerRule",
    "Peers",
    "Proof",
    "QueueNumbers",
    "QueueStats",
    "Queues",
    "Recent",
    "Refused",
    "Relay",
    "Retake",
    "Retried",
    "Retry",
    "RunningJob",
    "Scaling",
    "Schedules",
    "Sender",
    "SessionRecord",
    "Settle",
    "SettleVerdict",
    "Settled",
    "Settlement",
    "Share",
    "StatsLook",
    "Stop",
    "StopCause",
    "StoreTime",
    "StoredToken",
    "SystemClock",
    "Timings",
    "Tokens",
    "Update",
    "UpkeepDone",
    "Wait",
    "Watch",
    "WatchNews",
    "Watcher",
    "Window",
    "Work",
    "Workers",
    "deadline_in",
    "job_of",
    "working_for",
]
