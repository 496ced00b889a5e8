"""What a check found, and what it is given to look at."""

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
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Args:
        code: Its name for machines, always the same for the same thing.
        severity: A note is worth knowing; anything else is worth fixing.
        reason: What was found, and why it matters.
        command: What to run, in a shell or in the database.
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
    """What the checks look at.

    Args:
        target: The database, for a second connection.
        link: A connection of the checks' own, made as the application makes its.
        role: What the repository that asks may do with the schema.
        repository: Its name; None where it is not known.
        schema: The schema that holds the version table, else the one that new tables would go to.
        tables: Which of the schema's tables are there.
    """

    target: Target
    link: Link
    role: Role
    repository: str | None
    schema: str
    tables: tuple[str, ...]


Check = Callable[[Patient], Iterator[Finding]]
