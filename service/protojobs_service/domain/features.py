"""Features of the contract, and which of them this version has: the one list behind GetServerInfo and docs/drivers.md."""

BUILT = (
    "delay",
    "priority",
    "aging",
    "kinds",
    "retry_policy",
    "run_timeout",
    "expire",
    "labels",
    "progress",
    "checkpoint",
    "result",
    "wait_job",
    "cancel",
    "retry_by_hand",
    "delete",
    "pause",
    "clear_queue",
    "stats",
    "retention",
    "child_jobs",
    "chains",
    "concurrency_key",
    "fairness",
    "unary_leases",
    "schedule_once",
    "schedules",
    "queue_limits",
    "unique",
    "watch",
    "update_job",
    "bulk_jobs",
    "history",
    "max_payload_bytes",
    "result_retention",
)
"""Every driver has these."""

LATER: dict[str, str] = {}
"""No driver has these; requests that need them are refused with DRIVER_UNSUPPORTED."""
