"""A database for every test, as a copy of the template."""

from __future__ import annotations

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


class Copies:
    """Test databases on a server where the role may create them.

    Args:
        server: The server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._template = template.prepare(server)
        # On somebody else's server this would force a checkpoint of everything that is there.
        self._strategy = " STRATEGY file_copy" if server.own else ""
        self._open: dict[str, tuple[str, OwnDatabase]] = {}
        self._given_up: list[str] = []
        for name in server.left_over(self._copies()):
            self._drop(name)

    def create(self) -> str:
        """Return the URL of a new copy; the guard is open for it until it is dropped."""
        name = self._server.new_name()
        self._server.link.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}{self._strategy}")
        url = self._server.address.database(name)
        self._open[url] = name, OwnDatabase(Target.of(url).identity).__enter__()
        self._drop_given_up()
        return url

    def drop(self, url: str) -> None:
        """Give a copy up. It is dropped once the next one stands, or at the end.

        The server takes a moment to end the processes behind closed connections; a DROP DATABASE that comes
        before would sleep for a tenth of a second.
        """
        name, token = self._open.pop(url)
        token.__exit__()
        self._given_up.append(name)

    def close(self) -> None:
        """Drop what is left, and leave the server."""
        for url in list(self._open):
            self.drop(url)
        self._drop_given_up()
        self._server.close()

    def _drop_given_up(self) -> None:
        while self._given_up:
            self._drop(self._given_up.pop())

    def _drop(self, name: str) -> None:
        with suppress(driver("postgresql").Error):  # it is dropped by a later run
            self._server.link.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _copies(self) -> Iterator[str]:
        rows = self._server.link.rows(
            "SELECT datname::text FROM pg_database"
            " WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')",
            (PREFIX,),
        )
        return (row[0] for row in rows)
