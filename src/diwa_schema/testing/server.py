"""A PostgreSQL server that tests use: what this run may do and holds there, and what dead runs have left."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from diwa_schema.database import url as urls
from diwa_schema.database.lock import AdvisoryLock, holder_name
from diwa_schema.database.target import Target
from diwa_schema.errors import MigrationLockBusy
from diwa_schema.testing.address import Address

PREFIX = "diwa_copy_"
LEFT_OVER = 3600.0  # seconds after which what a dead run has left is dropped
BUILDING = 120.0  # seconds that another run is given to build a template

_NAME = re.compile(rf"{PREFIX}(?P<began>[0-9a-f]+)_(?P<run>[0-9a-f]{{8}})_\d+")


class Lease(Protocol):
    """What keeps a server of our own running."""

    def close(self) -> None:
        """Let it stop when nobody else needs it."""


class Server:
    """A connection to the server's maintenance database, and the names this run uses there.

    Args:
        dsn: The URL of the maintenance database.
        lease: What keeps the server running, where it is our own.

    Raises:
        DatabaseUnreachable: There is no connection.
    """

    def __init__(self, dsn: str, lease: Lease | None = None) -> None:
        self.address = Address.of(urls.parse(dsn))
        self.own = lease is not None
        self._lease = lease
        self._target = Target.of(self.address)
        self.shown = self._target.shown
        self.link = self._target.connect("diwa-schema tests")
        self.role = str(self.link.value("SELECT current_user"))
        self._run = f"{int(time.time()):x}_{secrets.token_hex(4)}"
        self._count = 0
        # Held as long as this process lives, so that others can tell its databases from those of a dead run.
        self.link.value("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self._run,))

    def close(self) -> None:
        """Let go of everything this run holds there."""
        self.link.close()
        if self._lease:
            self._lease.close()

    def new_name(self) -> str:
        """Return a name that no other test and no other run uses."""
        self._count += 1
        return f"{PREFIX}{self._run}_{self._count}"

    def may_create_databases(self) -> bool:
        """Whether the role has CREATEDB."""
        return bool(
            self.link.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        )

    def use(self, name: str) -> None:
        """Keep others from dropping something as unused for as long as this process lives."""
        self.link.value("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (name,))

    @contextmanager
    def unused(self, name: str) -> Iterator[bool]:
        """Tell whether nobody uses something, and keep it so for the block."""
        free = bool(self.link.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)))
        yield free
        if free:
            self.link.value("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))

    def left_over(self, names: Iterator[str]) -> Iterator[str]:
        """Yield those names that a run has used which is dead, and not only since a moment ago."""
        for name in names:
            found = _NAME.fullmatch(name)
            if not found or time.time() - int(found["began"], 16) < LEFT_OVER:
                continue
            with self.unused(f"{found['began']}_{found['run']}") as dead:
                if dead:
                    yield name

    @contextmanager
    def building(self, name: str) -> Iterator[None]:
        """Be the only one who builds something, for the block.

        Raises:
            MigrationLockBusy: Another run has been building it for too long.
        """
        lock = AdvisoryLock(self._target.connect(holder_name()), name)
        deadline = time.monotonic() + BUILDING
        try:
            while not lock.attempt():
                if time.monotonic() > deadline:
                    raise MigrationLockBusy(
                        f"Another test run has been building {name} on {self.shown} for {BUILDING:g} s:"
                        f" {lock.holder()}.",
                        next_step="End that session, then run the tests again.",
                    )
                time.sleep(0.05)
            yield
        finally:
            lock.release()
