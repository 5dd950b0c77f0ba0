"""What the program says: one JSON object a line, each written whole and at once."""

import json
import sys
import threading
from base64 import b64encode

from protojobs_client import JobErrorInfo, JobInfo, ProtoJobsError

_writing = threading.Lock()


def say(event: str, **fields: object) -> None:
    """Write one line. Safe from every thread."""
    line = json.dumps({"event": event, **fields}, ensure_ascii=False)
    with _writing:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def say_job(job: JobInfo, event: str = "job") -> None:
    """Write what a job is like, read in full."""
    say(
        event,
        job_id=job.id,
        state=job.state.name,
        attempt=job.attempt,
        failures=job.failures,
        crashes=job.crashes,
        payload=base64(job.payload),
        result=base64(job.result),
        **_error(job.last_error),
    )


def say_error(error: ProtoJobsError) -> None:
    """Write how a call was refused."""
    fields = [violation.field for violation in error.violations]
    say("error", code=error.code.name, reason=error.reason, fields=fields, message=error.message)


def base64(data: bytes | None) -> str | None:
    """Return bytes as text."""
    return None if data is None else b64encode(data).decode()


def _error(error: JobErrorInfo | None) -> dict[str, object]:
    return {} if error is None else {"error": {"type": error.type, "message": error.message}}
