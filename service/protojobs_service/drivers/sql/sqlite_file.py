"""Where a SQLite database may live: one process at a time, on a disk of this machine."""

import fcntl
import os
from pathlib import Path

from protojobs_service.domain.errors import StoreUnavailable

# WAL needs memory shared between processes and locks that work: neither holds on these (sqlite.org/wal.html, "Overview").
_NETWORK = frozenset({
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs",
})  # fmt: skip


class FileLock:
    """An advisory lock on `<database>.lock`, held while the store is open; ends with the process, however it ends."""

    def __init__(self, database: Path) -> None:
        """Name the lock; does not take it."""
        self._path = database.with_name(f"{database.name}.lock")
        self._held: int | None = None

    def take(self) -> None:
        """Take the lock at once. Raises StoreUnavailable where another process has it."""
        try:
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreUnavailable(f"cannot lock the database: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip()
            os.close(lock)
            raise StoreUnavailable(
                f"process {holder or '?'} has this SQLite database open; one server at a time, or use PostgreSQL"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._held = lock

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files of one name."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def refuse_network_filesystem(database: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise StoreUnavailable for a database on a network filesystem, as far as `mounts` tells (Linux)."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    where = os.path.realpath(database)
    best, kind = "", ""
    for line in lines:
        _, point, fstype, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fstype
    if kind in _NETWORK:
        raise StoreUnavailable(f"a SQLite database cannot live on {kind} ({best}): use a local disk, or PostgreSQL")
