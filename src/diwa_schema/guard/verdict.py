"""The guard: from role, operation and bypass to allowed or blocked. Whatever changes a schema asks it."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from diwa_schema.guard.role import Evidence, Role, weigh

__all__ = ["Bypass", "Evidence", "Operation", "OwnDatabase", "Role", "Verdict", "ask", "decide"]

BYPASS_VARIABLE = "ALLOW_CORE_MIGRATION"
REASON_VARIABLE = "ALLOW_CORE_MIGRATION_REASON"
BYPASS_VALUES = ("true", "1")
IN_MEMORY = "SQLite in memory"
EMBEDDED = "embedded database of this installation"
OWN_DATABASE = "database created by this process"


class Operation(StrEnum):
    """What is to be done to a schema; the value is the command."""

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


# Lifting a protection would let a bypass reach what the protection keeps from it.
NEVER_BYPASSED = frozenset({Operation.DROP, Operation.DROP_ALL, Operation.UNPROTECT})
# The embedded database is one installation's own, yet its rows are somebody's.
PRIVATE_EVERYWHERE = frozenset({IN_MEMORY, OWN_DATABASE})
PRIVATE_OPERATIONS = frozenset({Operation.UPGRADE, Operation.ADOPT, Operation.CREATE_ALL, Operation.CONVERT})


@dataclass(frozen=True, slots=True)
class Bypass:
    """A decision to let a repository through that is not the owner.

    Args:
        source: Where the bypass was given.
        reason: Why, for the ledger; None when nobody said.
    """

    source: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard decided, and on what grounds.

    Args:
        operation: What was asked for.
        role: The most restrictive role that speaks.
        repository: The name that gave the role; None when nothing was named.
        evidence: Everything that was observed.
        bypass: The bypass that opened the guard; None where none was needed, given or accepted.
        notes: What else the caller should know, such as a value that was ignored.
        allowed: Whether the operation may run.
        private: Why nobody else can see the database; None where others can.
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


class OwnDatabase:
    """A database that this process made and will drop, open to every operation while the token is entered.

    There is no way to name one in an argument or in the environment: only code that runs here can.

    Args:
        identity: What names the database, equal to what is handed to `ask` as `database`.
    """

    def __init__(self, identity: Hashable) -> None:
        self.identity = identity

    def __enter__(self) -> Self:
        """Open the guard for this database."""
        _own.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it again."""
        _own.remove(self)


_own: list[OwnDatabase] = []


def decide(
    operation: Operation,
    evidence: Iterable[Evidence],
    bypass: Bypass | None = None,
    *,
    private: str | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Decide whether an operation may run. Pure: reads and changes nothing.

    Args:
        operation: What is to be done.
        evidence: What was observed; the most restrictive role wins.
        bypass: A bypass that was given, if any. It never covers a drop.
        private: Why nobody else can see the database.
        notes: What was noticed before, handed on in the verdict.
    """
    evidence = tuple(evidence)
    role = weigh(evidence)
    hidden = private is not None and (private in PRIVATE_EVERYWHERE or operation in PRIVATE_OPERATIONS)
    free = hidden or role is Role.OWNER
    used = bypass if not free and operation not in NEVER_BYPASSED else None
    return Verdict(
        operation=operation,
        role=role,
        repository=_repository(role, evidence),
        evidence=evidence,
        bypass=used,
        notes=notes,
        allowed=free or used is not None,
        private=private,
    )


def ask(
    operation: Operation,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    private: str | None = None,
    directory: Path | None = None,
    database: Hashable | None = None,
) -> Verdict:
    """Ask whether an operation may run, and say on stderr when a bypass lets it.

    Args:
        operation: What is to be done.
        repo: The repository that the caller says it is.
        allow_core_migration: True opens for a consumer, False ignores the environment, None reads
            ``ALLOW_CORE_MIGRATION``, which opens when it is exactly ``true`` or ``1``.
        private: Why nobody else can see the database; creating or upgrading it then needs no evidence.
        directory: Where the caller stands; the working directory by default.
        database: What names the database, to be recognised when it is this process's own.

    Raises:
        Blocked: The operation may not run. Nothing was connected to, nothing was changed.
    """
    verdict = examine(
        operation,
        repo=repo,
        allow_core_migration=allow_core_migration,
        private=private,
        directory=directory,
        database=database,
    )
    if not verdict.allowed:
        from diwa_schema.guard.refusal import refusal

        raise refusal(verdict)
    if verdict.bypass:
        sys.stderr.write(_bypassed(verdict, verdict.bypass) + "\n")
    return verdict


def examine(
    operation: Operation,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    private: str | None = None,
    directory: Path | None = None,
    database: Hashable | None = None,
) -> Verdict:
    """Collect and decide like `ask`, and return the verdict also when it blocks."""
    from diwa_schema.guard.evidence import collect

    if private == OWN_DATABASE or _is_own(database):
        private = OWN_DATABASE if _is_own(database) else None
    if private is not None and decide(operation, (), private=private).allowed:
        return decide(operation, (), private=private)
    bypass, notes = _bypass(allow_core_migration)
    return decide(operation, collect(repo, directory), bypass, private=private, notes=notes)


def _is_own(database: Hashable | None) -> bool:
    return database is not None and any(token.identity == database for token in _own)


def _repository(role: Role, evidence: tuple[Evidence, ...]) -> str | None:
    named = [one for one in evidence if one.name]
    return min((one.name for one in named if one.role is role), default=None) or min(
        (one.name for one in named), default=None
    )


def _bypassed(verdict: Verdict, bypass: Bypass) -> str:
    name = repr(verdict.repository) if verdict.repository else "an unknown repository"
    reason = bypass.reason or "no reason was given"
    return f"[SAFETY BYPASS] '{verdict.operation}' in {name}: opened by {bypass.source} ({reason})."


def _bypass(allowed: bool | None) -> tuple[Bypass | None, tuple[str, ...]]:
    reason = os.environ.get(REASON_VARIABLE, "").strip() or None
    if allowed is True:
        return Bypass("allow_core_migration=True", reason), ()
    if allowed is False:
        return None, ()
    if allowed is not None:
        return None, (f"allow_core_migration={allowed!r:.40} is ignored: only True opens.",)
    value = os.environ.get(BYPASS_VARIABLE, "")
    if value in BYPASS_VALUES:
        return Bypass(f"{BYPASS_VARIABLE}={value}", reason), ()
    return None, (f"{BYPASS_VARIABLE}={value!r:.40} is ignored: only 'true' or '1' opens.",) if value else ()
