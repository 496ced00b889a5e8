"""The types of rules and findings, and all rules by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from diwa_schema.authoring.source import Source

RULES: dict[str, Rule] = {}

# The separator of revisions if the safe form takes more than one.
NEXT = "\n\n# the next revision\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a revision breaks a rule.

    Args:
        rule: The rule's id.
        revision: The revision's id.
        file: Its file.
        line: The line, from 1.
        table: The table; None if the finding concerns none.
        column: The column; None if the finding concerns none.
        why: Why it matters, in one sentence.
        instead: The safe form, as code.
    """

    rule: str
    revision: str
    file: str
    line: int
    table: str | None
    column: str | None
    why: str
    instead: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--format json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for revisions: something not to do to a table in use, or something to declare.

    Args:
        id: Its name.
        why: Why it matters, in one sentence.
        instead: The safe form, as code with the names in braces.
    """

    id: str
    why: str
    instead: str

    def found(
        self, source: Source, line: int, table: str | None = None, column: str | None = None, **names: Any
    ) -> Finding:
        """Return that a revision breaks the rule.

        Args:
            source: The revision.
            line: The line.
            table: The table, if any.
            column: The column, if any.
            names: Further names for the safe form.
        """
        told = {"table": table, "column": column, "revision": source.revision, **names}
        instead = self.instead.format_map(_Names(_UNTOLD | {key: text for key, text in told.items() if text}))
        return Finding(self.id, source.revision, source.shown, line, table, column, self.why, instead)


# The defaults of the safe form; other words are in capitals, to be replaced by hand.
_UNTOLD = {
    "columns": '["COLUMN"]',
    "unique": "",
    "type": "LongText()",
    "options": ", server_default=sa.text(\"''\"), nullable=False",
}


class _Names(dict[str, Any]):
    """Names, with a word in capitals in place of a missing one."""

    def __missing__(self, key: str) -> str:
        return key.upper()


def rule(name: str, why: str, *revisions: str) -> Rule:
    """Declare a rule.

    Args:
        name: Its id.
        why: Why it matters, in one sentence.
        revisions: The safe form: the code of each of its revisions.
    """
    made = Rule(name, why, NEXT.join(revisions))
    RULES[name] = made
    return made


def step(call: str) -> str:
    """Return the code of a revision that is a safe step."""
    return f"transactional = False\n\n\ndef upgrade() -> None:\n    steps.{call}"


def plain(*calls: str) -> str:
    """Return the code of a revision with these calls in one transaction."""
    return "\n    ".join(["def upgrade() -> None:", *calls])


def contract(*calls: str) -> str:
    """Return the code of a revision that breaks older code and declares it."""
    return f'phase = "contract"\nfloor = "{{revision}}"\n\n\n{plain(*calls)}'


def listed(names: Sequence[Any]) -> str:
    """Return names as a list in Python's notation."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
