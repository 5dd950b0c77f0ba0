"""Writes histories: one file per process, each line in the kernel before the call returns, so that SIGKILL loses nothing."""

import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson


def digest(payload: bytes) -> int:
    """Return a short fingerprint of a payload; equal at both ends unless somebody changed it."""
    return zlib.crc32(payload)


class Recorder:
    """Appends what one process does and sees. Safe to use from several threads: a line is one write."""

    def __init__(self, path: Path, proc: str, **constant: Any) -> None:
        """Append to `path` as process `proc`; `constant` fields stand in every line."""
        self.path = path
        self.proc = proc
        self._constant = constant
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, op: str, phase: str = "", *, t: float | None = None, **data: Any) -> None:
        """Append one event that happens now, or at `t` of the monotonic clock."""
        moment = time.monotonic() if t is None else t
        line = {"t": moment, "proc": self.proc, "op": op, "phase": phase, **self._constant, **data}
        os.write(self._file, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def write_rows(self, op: str, rows: Sequence[tuple[str, int, float]], **data: Any) -> None:
        """Append many events of one kind as (job, attempt, t)."""
        if rows:
            self.write(op, rows=rows, **data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
