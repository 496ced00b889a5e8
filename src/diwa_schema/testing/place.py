"""The folder that outlives a test run, in memory if possible, and the locks on its files."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diwa_schema.errors import UsageError

MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is proved to be this user's
ROOM = 1 << 30  # bytes that a run can need

# The server of a root user runs as another user, who must be able to enter the folder.
MODE = 0o711 if os.geteuid() == 0 else 0o700


def folder() -> Path:
    """Return this user's folder for test databases; create it if absent.

    Raises:
        UsageError: No suitable place is writable.
    """
    name = f"diwa-schema-{os.geteuid()}"
    for parent, room in ((MEMORY, ROOM), (Path(tempfile.gettempdir()), 0)):
        found = parent / name
        if _usable(found, room):
            return found
    raise UsageError(
        f"No folder for test databases can be made in {MEMORY} or {tempfile.gettempdir()}.",
        next_step="Set TMPDIR to a writable folder, or name a server with --diwa-dsn URL.",
    )


def _usable(found: Path, room: int) -> bool:
    try:
        found.mkdir(exist_ok=True)
        about = found.lstat()
        # Everybody can write to both parents: another user may have created a folder of that name as a trap.
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        found.chmod(MODE)
        with tempfile.TemporaryFile(dir=found):
            return shutil.disk_usage(found).free >= room
    except OSError:
        return False


def lock(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Lock a file; create it if absent. The lock ends with the descriptor or with the process.

    Args:
        path: The file.
        shared: Whether others may hold the lock at the same time, if they also request it as shared.
        wait: Whether to wait for other holders.

    Returns:
        The descriptor; None if the lock is taken and `wait` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file for the block."""
    descriptor = lock(path)
    assert descriptor is not None  # noqa: S101 - it waits
    try:
        yield
    finally:
        os.close(descriptor)
