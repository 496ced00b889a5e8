"""The migration lock of an SQLite file: a file beside it, locked by the operating system.

The lock ends with its process, however the process ends. It is not taken on the database file itself: closing any
descriptor of that file would drop SQLite's own locks of this process.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from diwa_schema.database.failures import lost
from diwa_schema.database.ledger import os_user
from diwa_schema.errors import DatabaseReadOnly, InvalidDatabase, MigrationFailed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt


class FileLock:
    """The lock of one SQLite file.

    Args:
        database: The path of the database file, with links followed: one file has one lock, whatever names it has.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self.path = Path(f"{database}.migration-lock")
        self._descriptor: int | None = None

    def attempt(self) -> bool:
        """Take the lock if it is free."""
        descriptor = self._open()
        if not _try_lock(descriptor) or not self._still_named(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        os.truncate(descriptor, 0)
        os.write(
            descriptor,
            f"pid {os.getpid()}, user {os_user()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}".encode(),
        )
        return True

    def holder(self) -> str:
        """Describe the holder of the lock."""
        with suppress(OSError):
            return self.path.read_text() or "a run that is just starting"
        return "a run that is just ending"

    def held(self) -> bool:
        """Whether a process holds the lock now. A killed run leaves the file without a lock."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def prove(self) -> None:
        """Raise MigrationLockLost unless the locked file is still the one that other runs will open."""
        if self._descriptor is None or not self._still_named(self._descriptor):
            raise lost(self.database)

    def release(self) -> None:
        """Remove the file and free the lock."""
        if self._descriptor is None:
            return
        if self._still_named(self._descriptor):
            with suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            what = f"No lock file can be made beside {self.database}: {error.strerror}."
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise MigrationFailed(
                    what, next_step="Free some space, then run the command again."
                ) from error
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidDatabase(
                    what,
                    next_step="Give the database a shorter name: the name of the lock file is longer than it.",
                ) from error
            raise DatabaseReadOnly(
                what,
                next_step="Make the directory of the database writable, then run the command again.",
            ) from error

    def _still_named(self, descriptor: int) -> bool:
        # The former holder may have removed the file between this open and this lock.
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(descriptor)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _try_lock(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
