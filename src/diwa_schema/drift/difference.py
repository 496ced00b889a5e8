"""A difference between a live schema and the one expected, in words, with what would mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from diwa_schema.drift.model import Problem

Severity = Literal["drift", "note"]


@dataclass(frozen=True, slots=True)
class Mend:
    """Statements that make one difference go away.

    Args:
        statements: SQL, each to be run on its own, outside a transaction.
        safe: Whether a live table can take them: no row or value is lost, nothing that somebody put there
            is taken away, and nobody waits for longer than a moment.
        caution: Why they are not safe, or what to look at before.
    """

    statements: tuple[str, ...] = ()
    safe: bool = True
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about a live schema that is not as expected.

    Args:
        kind: The kind of object: ``index``, ``foreign key``, ``row security``.
        object: Its name.
        table: The table it belongs to; None where it stands alone.
        problem: ``missing``, ``extra``, ``changed`` or ``renamed``.
        text: The difference in one line of words.
        severity: ``drift``, or ``note`` for what works all the same.
        mend: What would mend it.
    """

    kind: str
    object: str
    table: str | None
    problem: Problem
    text: str
    severity: Severity
    mend: Mend

    @property
    def statement(self) -> str:
        """The SQL that would mend it, runnable as printed; empty where it takes more than SQL."""
        return "\n".join(f"{statement};" for statement in self.mend.statements)

    @property
    def safe(self) -> bool:
        """Whether that SQL is safe on a live table."""
        return self.mend.safe

    def __str__(self) -> str:
        """Return the difference in one line of words."""
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as a document for ``--json``."""
        return {
            "kind": self.kind,
            "object": self.object,
            "table": self.table,
            "problem": self.problem,
            "text": self.text,
            "severity": self.severity,
            "mend": self.statement,
            "safe": self.safe,
            "caution": self.mend.caution,
        }
