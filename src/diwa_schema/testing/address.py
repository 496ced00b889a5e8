"""The URL of a test database: a plain string for every driver, and masked where pytest shows values."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from diwa_schema.database.url import mask


class Address(str):
    """A PostgreSQL URL that does not show its password in a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the URL as it is shown to people."""
        return repr(mask(str(self)))

    def database(self, name: str) -> Address:
        """Return the URL of another database on the same server."""
        front, _, options = self.partition("?")
        scheme, _, rest = front.partition("://")
        return Address(f"{scheme}://{rest.partition('/')[0]}/{name}{'?' if options else ''}{options}")

    def searching(self, *schemas: str) -> Address:
        """Return the URL of the same database, where unqualified names are looked for in these schemas."""
        front, _, query = self.partition("?")
        options = dict(parse_qsl(query))
        path = f"-csearch_path={','.join(schemas)}"
        options["options"] = f"{options['options']} {path}" if "options" in options else path
        return Address(f"{front}?{urlencode(options).replace('+', '%20')}")
