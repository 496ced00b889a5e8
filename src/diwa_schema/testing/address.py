"""The URL of a test database: a plain string for every driver, masked in pytest's output."""

from __future__ import annotations

from typing import Self

from diwa_schema.database import libpq
from diwa_schema.database.spelling import DatabaseURL
from diwa_schema.database.url import parse


class Address(str):
    """A PostgreSQL URL that does not show its password in a traceback.

    The URL is rebuilt from its parsed parts. A database or search path that is set here therefore wins over any
    parameter or service that names another.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the masked URL."""
        return repr(parse(self).shown)

    @classmethod
    def of(cls, url: DatabaseURL) -> Self:
        """Return the address of a database."""
        return cls(url.driver)

    def database(self, name: str) -> Address:
        """Return the URL of another database on the same server."""
        return Address.of(libpq.changed(parse(self), dbname=name))

    def searching(self, *schemas: str) -> Address:
        """Return the URL of the same database with these schemas as its search path."""
        url = parse(self)
        before = dict(url.parameters).get("options", "")
        path = libpq.option("search_path", ",".join(schemas))
        return Address.of(libpq.changed(url, options=f"{before} {path}".strip()))
