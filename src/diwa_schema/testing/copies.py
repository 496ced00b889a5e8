"""A database for every test, as a copy of the template."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from diwa_schema.database.failures import driver
from diwa_schema.database.target import Target
from diwa_schema.guard import OwnDatabase
from diwa_schema.testing import template
from diwa_schema.testing.server import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.testing.server import Server

ENDING = 0.02  # seconds for the server to end the processes of closed connections

_CONNECTED = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s)"


class Copies:
    """Test databases on a server whose role may create them.

    Args:
        server: The server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._template = template.prepare(server)
        # On a shared server this would force a checkpoint of the whole server.
        self._strategy = " STRATEGY file_copy" if server.own else ""
        self._open: dict[str, tuple[str, OwnDatabase]] = {}
        for name in server.left_over(self._copies()):
            self._drop(name)

    def create(self) -> str:
        """Return the URL of a new copy; the guard allows changes to it until it is dropped."""
        name = self._server.new_name()
        self._server.link.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}{self._strategy}")
        url = self._server.address.database(name)
        self._open[url] = name, OwnDatabase(Target.of(url).identity).__enter__()
        return url

    def drop(self, url: str) -> None:
        """Drop a copy; its open connections are ended."""
        name, token = self._open.pop(url)
        token.__exit__()
        self._drop(name)

    def close(self) -> None:
        """Drop the remaining copies and release the server."""
        for url in list(self._open):
            self.drop(url)
        self._server.close()

    def _drop(self, name: str) -> None:
        # The server needs a moment to end the processes of closed connections. A DROP DATABASE that meets one of them
        # sleeps for a tenth of a second.
        give_up = time.monotonic() + ENDING
        while self._server.link.value(_CONNECTED, (name,)) and time.monotonic() < give_up:
            time.sleep(0.001)
        with suppress(driver("postgresql").Error):  # a later run drops it
            self._server.link.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _copies(self) -> Iterator[str]:
        rows = self._server.link.rows(
            "SELECT datname::text FROM pg_database"
            " WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')",
            (PREFIX,),
        )
        return (row[0] for row in rows)
