"""Jobs that are stored in the transaction that completes the job whose handler asks for them."""

from typing import Final

from protojobs_client.convert import to_spec
from protojobs_client.payload import Codec, PlainCodec
from protojobs_client.request import JobRequest
from protojobs_client.trace import trace_fields, with_trace

MAX_CHILDREN: Final = 1000
# One completion travels in one frame, of which a server takes 4 MiB unless it is set up otherwise.
MAX_CHILDREN_BYTES: Final = 2 * 1024 * 1024


class Children:
    """What one attempt wants to store with its completion."""

    def __init__(self, codec: Codec | None) -> None:
        self._codec = codec or PlainCodec()
        self.specs: list[bytes] = []
        self._size = 0

    def add(self, request: JobRequest) -> None:
        """Add a job, in the trace of the caller. Raises TypeError or ValueError for what cannot be sent."""
        headers = with_trace(request.options.headers, trace_fields())
        spec = to_spec(request, job_id=request.options.job_id or "", headers=headers, codec=self._codec).SerializeToString()
        if len(self.specs) >= MAX_CHILDREN:
            raise ValueError(f"a completion brings at most {MAX_CHILDREN} jobs")
        if self._size + len(spec) > MAX_CHILDREN_BYTES:
            raise ValueError(f"the jobs of a completion have at most {MAX_CHILDREN_BYTES} bytes in all")
        self._size += len(spec)
        self.specs.append(spec)
