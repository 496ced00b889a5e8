"""The findings of a check, and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target
    from diwa_schema.guard import Role


class Severity(StrEnum):
    """The weight of a finding."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a check.

    Args:
        code: Its stable name for machines.
        severity: A note is worth knowing; anything else is worth fixing.
        reason: The finding and its consequences.
        command: The command to run, in a shell or in the database.
    """

    code: str
    severity: Severity
    reason: str
    command: str

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a document for ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """The input of the checks.

    Args:
        target: The database, for a second connection.
        link: A separate connection for the checks, opened in the same way as the application's.
        role: The rights of the calling repository over the schema.
        repository: Its name; None if it is unknown.
        schema: The schema of the version table, or else the schema for new tables.
        tables: The existing tables of the schema.
    """

    target: Target
    link: Link
    role: Role
    repository: str | None
    schema: str
    tables: tuple[str, ...]


Check = Callable[[Patient], Iterator[Finding]]
