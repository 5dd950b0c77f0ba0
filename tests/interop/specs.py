"""Jobs as producers ask for them: JobSpecs without a queue in proto3 JSON, written to files for `interop dispatch --spec`."""

import json
import random
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

Spec = dict[str, Any]

MIB: Final = 1024 * 1024
BYTES: Final = bytes(range(256)) + "žluťoučký kůň 漢字 🚀 \0 e\u0301".encode()
"""Every byte, and text of every length in UTF-8."""
LARGE: Final = random.Random(1).randbytes(MIB)
"""As large as a payload may be."""
HEADERS: Final = {"x-text": "žluťoučký kůň 🚀", "x-empty": "", "X-Case": "Kept", "x-space": "  both ends  "}
PRIORITY: Final = 9
RUN_TIME: Final = datetime.now(UTC).replace(microsecond=123457) - timedelta(minutes=1)
"""A time in the past: the job starts at once, and keeps it."""
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AT_ONCE: Final = {"initialBackoff": "0s", "jitter": "JITTER_NONE"}
"""A retry policy without waits."""

RICH: Final[Spec] = {
    "kind": "echo",
    "payload": b64encode(BYTES).decode(),
    "contentType": "application/octet-stream",
    "headers": {**HEADERS, "traceparent": TRACE},
    "priority": PRIORITY,
    "runTime": RUN_TIME.isoformat().replace("+00:00", "Z"),
    "labels": {"customer": "42"},
}
ONE_MIB: Final[Spec] = {"kind": "noop", "payload": b64encode(LARGE).decode(), "contentType": "application/octet-stream"}
FAIL_TWICE: Final[Spec] = {"kind": "fail_twice", "retry": {"maxRetries": 5, **AT_ONCE}}
LONG: Final[Spec] = {"kind": "sleep", "payload": b64encode(b'{"seconds": 120}').decode()}


def sleep(seconds: float, kind: str = "sleep") -> Spec:
    """Return a job that takes so long."""
    return {"kind": kind, "payload": json_payload({"seconds": seconds})}


def json_payload(data: object) -> str:
    """Return data as the payload of a spec."""
    return b64encode(json.dumps(data).encode()).decode()


def write(directory: Path, name: str, spec: Spec) -> str:
    """Write a spec into a directory unless it is there; return its path."""
    path = directory / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(spec, ensure_ascii=False))
    return str(path)
