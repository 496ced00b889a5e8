"""Rules about rows on columns that a revision has renamed: `models/rules.py` writes a rule with the present names.

A released revision adds a rule by the rule's name, at a time when the column has its old name. On a database at head,
the same rule is about the new name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from diwa_schema.migrations.manifest import load

if TYPE_CHECKING:
    from diwa_schema.models.rule import Rule

# The renames of a draft, which the history does not have yet.
_DRAFTED: ContextVar[tuple[str, ...]] = ContextVar("diwa_schema_drafted_renames", default=())


@contextmanager
def drafted(renamed: Mapping[str, str]) -> Iterator[None]:
    """Count renames as a part of the history in the block: the new name of each ``table.column``."""
    token = _DRAFTED.set(tuple(f"{column}={new}" for column, new in renamed.items()))
    try:
        yield
    finally:
        _DRAFTED.reset(token)


def renames() -> bool:
    """Return whether the history renames a column."""
    return load().renames or bool(_DRAFTED.get())


def as_named(rule: Rule, there: Collection[str]) -> Rule:
    """Return a rule with the names that its columns have in a database.

    Args:
        rule: The rule, with the names of any revision.
        there: The columns of its table.
    """
    return rule.with_names(
        {
            column: present
            for column in rule.columns
            if column not in there
            for present in load().names_of(rule.table, column, _DRAFTED.get()) & set(there)
        }
    )
