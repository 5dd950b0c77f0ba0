"""The one table of bounds: what the server enforces, GetServerInfo tells and the docs print."""

import re
from dataclasses import dataclass
from datetime import timedelta

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
LABEL_KEY = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")

DEFAULT_QUEUE = "default"
DEFAULT_CONTENT_TYPE = "application/json"
DEFAULT_PRIORITY = 5
MIN_PRIORITY, MAX_PRIORITY = 1, 9

MAX_BATCH_ITEMS = 1000
MAX_JOBS_UNDER_WAY = 20_000
"""Of one caller's calls, before no further one is taken: what a store takes in about half a second."""
MAX_SETTLE_ITEMS = 10_000
MAX_UPDATE_ITEMS = 1000
MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 500, 50
MAX_FILTER_VALUES = 100
MAX_FILTER_BYTES, MAX_FILTER_TERMS = 4096, 32
MAX_BULK_IDS = 1000
BULK_STEP = 1000
MAX_CONTENT_TYPE_BYTES = 128
MAX_HEADERS, MAX_HEADER_BYTES = 64, 8 * 1024
MAX_LABELS, MAX_LABEL_VALUE_BYTES = 16, 256
MAX_UNIQUE_KEY_BYTES = 256
MAX_FOLLOW_UPS, MAX_CHAIN_DEPTH, MAX_CHAIN_JOBS = 16, 16, 256
MAX_KEY_BYTES = 128
MAX_PER_KEY = 100_000
MAX_FAIR_WEIGHTS = 1000
MIN_AGING, MAX_AGING = timedelta(seconds=1), timedelta(days=1)
MAX_ERROR_TYPE_BYTES, MAX_ERROR_MESSAGE_BYTES, MAX_ERROR_STACK_BYTES = 256, 4 * 1024, 16 * 1024
MAX_PROGRESS_MESSAGE_BYTES = 1024
MAX_RESULT_BYTES = 256 * 1024
MAX_CHECKPOINT_BYTES = 64 * 1024
MAX_WORKER_LABEL_BYTES = 128
MAX_SDK_BYTES = 64
MAX_SUBSCRIPTIONS, MAX_KINDS = 100, 1000
MAX_WEIGHT = 1000
MAX_WINDOW = 100_000
MAX_SLOTS = 100_000
MIN_FRAME_BYTES, DEFAULT_FRAME_BYTES, MAX_FRAME_BYTES = 64 * 1024, 1024 * 1024, 16 * 1024 * 1024

MAX_DELAY = timedelta(days=3650)
MAX_BACKOFF = timedelta(days=365)
MIN_RUN_TIMEOUT, MAX_RUN_TIMEOUT = timedelta(seconds=1), timedelta(days=30)
MAX_RETRIES = 1000
MIN_MULTIPLIER, MAX_MULTIPLIER = 1.0, 100.0
MAX_RETENTION = timedelta(days=3650)
MIN_RESULT_RETENTION = timedelta(seconds=1)
HISTORY_DELAY = timedelta(hours=1)
"""How long everything is remembered of a finished job, whatever the history of its queue."""
MIN_UNIQUE_WINDOW, MAX_UNIQUE_WINDOW = timedelta(seconds=1), timedelta(days=365)
MIN_SESSION_TTL, MAX_SESSION_TTL = timedelta(seconds=2), timedelta(minutes=10)
MAX_WAIT, DEFAULT_WAIT = timedelta(seconds=60), timedelta(seconds=20)
DEFAULT_CANCEL_DEADLINE, MAX_CANCEL_DEADLINE = timedelta(seconds=30), timedelta(hours=1)
DEFAULT_DRAIN_DEADLINE, MAX_DRAIN_DEADLINE = timedelta(minutes=5), timedelta(hours=24)

ID_AHEAD = timedelta(hours=1)
ID_WINDOW = timedelta(days=7)
MAX_QUEUES, MAX_LANES = 1000, 10_000
MAX_QUEUE_IN_FLIGHT = 1_000_000
MAX_RATE, MAX_BURST = 1_000_000.0, 1_000_000
MAX_DEPTH = 1_000_000_000_000
EVENTS_KEPT = timedelta(hours=24)
"""How long a cursor can be gone on from."""
MIN_STATS_INTERVAL, DEFAULT_STATS_INTERVAL, MAX_STATS_INTERVAL = (timedelta(seconds=n) for n in (1, 2, 60))

MAX_SCHEDULES = 100_000
MIN_INTERVAL, MAX_INTERVAL = timedelta(seconds=1), timedelta(days=365)
MAX_TIMES = 48
MAX_JITTER = timedelta(hours=1)
MAX_CATCHUP, DEFAULT_CATCHUP = 1000, 100
MIN_CATCHUP_WINDOW, MAX_CATCHUP_WINDOW = timedelta(seconds=1), timedelta(days=30)
MAX_PREVIEW, DEFAULT_PREVIEW = 100, 5

TOKEN_ID = re.compile(r"[0-9a-f]{16}\Z")
GRANT_QUEUES = re.compile(r"[A-Za-z0-9._*?-]{1,128}\Z")
MAX_GRANTS = 32
MIN_TOKEN_TTL, MAX_TOKEN_TTL = timedelta(minutes=1), timedelta(days=366)
MAX_LIVE_TOKENS = 2
"""Of one name: the one in use, and the one that replaces it."""
TOKENS_KEPT = timedelta(days=30)
"""How long an ended token is still listed."""
SESSION_TTL, SESSION_IDLE = timedelta(hours=8), timedelta(minutes=30)
"""Of a console session: how long it lives, and how long without use. https://cheatsheetseries.owasp.org, Session Management."""
MAX_TOKEN_SESSIONS = 100
AUDIT_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that an operator may set.

    max_payload_bytes: 1 KiB to 3 MiB. max_receive_bytes: largest message. session_ttl: default of sessions.
    """

    max_payload_bytes: int = 1024 * 1024
    max_receive_bytes: int = 4 * 1024 * 1024
    max_send_bytes: int = 16 * 1024 * 1024
    session_ttl: timedelta = timedelta(seconds=30)
    reconnect_grace: timedelta = timedelta(seconds=3)
