"""What the server said in Welcome, with defaults for what it left out."""

from dataclasses import dataclass
from typing import Final

from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker.context import MAX_CHECKPOINT_BYTES
from protojobs_worker.frames import seconds

FRAME_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds and times of a session; times in seconds."""

    ttl: float = 30.0
    heartbeat: float = 7.5
    max_result_bytes: int = 256 * 1024
    max_checkpoint_bytes: int = MAX_CHECKPOINT_BYTES
    max_frame_bytes: int = FRAME_BYTES
    max_in_flight: int = 100_000

    @property
    def tick(self) -> float:
        """Seconds between two looks at what only time brings about."""
        return min(0.25, self.heartbeat / 4)

    @staticmethod
    def of(welcome: wire.Welcome) -> "Limits":
        """Read Welcome; what it leaves out keeps its default."""
        default, told = Limits(), welcome.limits
        return Limits(
            ttl=seconds(welcome.session_ttl) or default.ttl,
            heartbeat=seconds(welcome.heartbeat_interval) or default.heartbeat,
            max_result_bytes=told.max_result_bytes or default.max_result_bytes,
            max_checkpoint_bytes=told.max_checkpoint_bytes or default.max_checkpoint_bytes,
            max_frame_bytes=min(FRAME_BYTES, (told.max_receive_bytes or 2 * FRAME_BYTES) // 2),
            max_in_flight=told.max_in_flight or default.max_in_flight,
        )
