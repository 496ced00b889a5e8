"""The rule that maps role, operation and bypass to a verdict; it reads and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from diwa_schema.guard.evidence import Evidence, Role, weigh

BYPASS_VARIABLE = "ALLOW_CORE_MIGRATION"
REASON_VARIABLE = "ALLOW_CORE_MIGRATION_REASON"
BYPASS_VALUES = ("true", "1")
IN_MEMORY = "SQLite in memory"
EMBEDDED = "embedded database of this installation"
OWN_DATABASE = "database created by this process"


class Operation(StrEnum):
    """An operation on a schema; the value is the command."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    ADOPT = "adopt"
    DROP = "drop"
    CREATE_ALL = "create_all"
    DROP_ALL = "drop_all"
    PROTECT = "protect"
    UNPROTECT = "unprotect"
    ROLES = "roles"
    CONVERT = "convert"
    VALIDATE = "validate"


# A bypass that could lift a protection would defeat it.
NEVER_BYPASSED = frozenset({Operation.DROP, Operation.DROP_ALL, Operation.UNPROTECT})
# The embedded database belongs to one installation, but its rows belong to somebody.
PRIVATE_EVERYWHERE = frozenset({IN_MEMORY, OWN_DATABASE})
PRIVATE_OPERATIONS = frozenset({Operation.UPGRADE, Operation.ADOPT, Operation.CREATE_ALL, Operation.CONVERT})


class Bypass(NamedTuple):
    """A decision to allow a repository that is not the owner.

    Args:
        source: The source of the bypass.
        reason: The reason, for the ledger; None if none was given.
    """

    source: str
    reason: str | None = None


class Verdict(NamedTuple):
    """The guard's decision and its grounds.

    Args:
        operation: The requested operation.
        role: The most restrictive role in the evidence.
        repository: The name behind the role; None if no repository was named.
        evidence: All evidence.
        bypass: The effective bypass; None if none was needed, given or accepted.
        notes: Further notes for the caller, such as an ignored value.
        allowed: Whether the operation may run.
        private: The reason why nobody else can see the database; None if others can.
    """

    operation: Operation
    role: Role
    repository: str | None
    evidence: tuple[Evidence, ...]
    bypass: Bypass | None
    notes: tuple[str, ...]
    allowed: bool
    private: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a document for ``--json``."""
        bypass = self.bypass and {"source": self.bypass.source, "reason": self.bypass.reason}
        return {
            "operation": self.operation.value,
            "role": self.role.value,
            "repository": self.repository,
            "evidence": [
                {"name": one.name, "source": one.source, "role": one.role and one.role.value}
                for one in self.evidence
            ],
            "bypass": bypass,
            "notes": list(self.notes),
            "allowed": self.allowed,
            "private": self.private,
        }


def decide(
    operation: Operation,
    evidence: Iterable[Evidence],
    bypass: Bypass | None = None,
    *,
    private: str | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Decide whether an operation may run; nothing is read or changed.

    Args:
        operation: The operation.
        evidence: The evidence; the most restrictive role wins.
        bypass: The given bypass, if any. It never covers a drop.
        private: The reason why nobody else can see the database.
        notes: Earlier notes, which the verdict passes on.
    """
    evidence = tuple(evidence)
    role = weigh(evidence)
    named = [one for one in evidence if one.name]
    hidden = private is not None and (private in PRIVATE_EVERYWHERE or operation in PRIVATE_OPERATIONS)
    free = hidden or role is Role.OWNER
    used = bypass if not free and operation not in NEVER_BYPASSED else None
    return Verdict(
        operation=operation,
        role=role,
        repository=min((one.name for one in named if one.role is role), default=None)
        or min((one.name for one in named), default=None),
        evidence=evidence,
        bypass=used,
        notes=notes,
        allowed=free or used is not None,
        private=private,
    )
