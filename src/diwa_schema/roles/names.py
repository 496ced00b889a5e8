"""How the three roles of a database are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from diwa_schema.errors import UsageError

_LONGEST = 63  # bytes, as the server cuts names
_RESERVED = ("public", "none")


@dataclass(frozen=True, slots=True)
class RoleNames:
    """How the three roles are called.

    Args:
        owner: Who changes the schema.
        app: Who reads and writes rows.
        reader: Who reads rows.
    """

    owner: str = "diwa_owner"
    app: str = "diwa_app"
    reader: str = "diwa_reader"

    def __iter__(self) -> Iterator[str]:
        """Return the three names."""
        return iter((self.owner, self.app, self.reader))

    def refuse_impossible(self) -> None:
        """Raise unless these can be the names of three different roles.

        Raises:
            UsageError: They cannot.
        """
        for name in self:
            too_long = len(name.encode()) > _LONGEST
            if not name or too_long or "\0" in name or name.startswith("pg_") or name in _RESERVED:
                raise UsageError(
                    f"'{name}' cannot be the name of a role.",
                    next_step="Name it in 1 to 63 bytes, not 'public' or 'none', and not beginning with pg_.",
                )
        if len(set(self)) < len(tuple(self)):
            raise UsageError(
                f"Owner, application and reader are three roles, and two share a name: {', '.join(self)}.",
                next_step="Name three different roles with --owner, --app and --reader.",
            )
