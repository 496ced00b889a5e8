"""The PostgreSQL server of the tests: the rights and objects of this run, and the leftovers of dead runs."""

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
LEFT_OVER = 3600.0  # seconds until the leftovers of a dead run are dropped
BUILDING = 120.0  # seconds to wait while another run builds a template

_NAME = re.compile(rf"{PREFIX}(?P<began>[0-9a-f]+)_(?P<run>[0-9a-f]{{8}})_\d+")


class Lease(Protocol):
    """A lease that keeps an embedded server running."""

    def close(self) -> None:
        """Allow the server to stop if nobody else needs it."""


class Server:
    """A connection to the server's maintenance database, and the names that this run uses there.

    Args:
        dsn: The URL of the maintenance database.
        lease: The lease on the server, if it is the embedded one.

    Raises:
        DatabaseUnreachable: The server did not accept a connection.
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
        # Held while this process lives, so that others can distinguish its databases from those of a dead run.
        self.link.value("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self._run,))

    def close(self) -> None:
        """Release everything that this run holds on the server."""
        self.link.close()
        if self._lease:
            self._lease.close()

    def new_name(self) -> str:
        """Return a name that is unique across tests and runs."""
        self._count += 1
        return f"{PREFIX}{self._run}_{self._count}"

    def may_create_databases(self) -> bool:
        """Whether the role has CREATEDB."""
        return bool(
            self.link.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        )

    def use(self, name: str) -> None:
        """Prevent others from dropping an object as unused while this process lives."""
        self.link.value("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (name,))

    @contextmanager
    def unused(self, name: str) -> Iterator[bool]:
        """Yield whether an object is unused, and keep it unused during the block."""
        free = bool(self.link.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)))
        yield free
        if free:
            self.link.value("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))

    def left_over(self, names: Iterator[str]) -> Iterator[str]:
        """Yield the names that a dead run has used, except recent ones."""
        for name in names:
            found = _NAME.fullmatch(name)
            if not found or time.time() - int(found["began"], 16) < LEFT_OVER:
                continue
            with self.unused(f"{found['began']}_{found['run']}") as dead:
                if dead:
                    yield name

    @contextmanager
    def building(self, name: str) -> Iterator[None]:
        """Hold the exclusive right to build an object during the block.

        Raises:
            MigrationLockBusy: Another run has been building the object for too long.
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
