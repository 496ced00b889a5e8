"""What makes a SQLite schema what it should be; what ALTER TABLE cannot do there is done by copying.

The copy is written so that a shell which goes on after an error loses nothing: the old table is set aside
first, rows that do not fit roll everything back, and what follows then finds nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from diwa_schema.drift.difference import Mend
from diwa_schema.drift.findings import Finding
from diwa_schema.drift.model import Catalog, Column, Table
from diwa_schema.drift.sqlite import write as ddl
from diwa_schema.names import quoted

_SOMEBODYS = "Somebody put it there: find out what for before it goes."
_USED = "Queries may rely on it."
_LOST = "The values in the column are lost."
_ROWS_FIT = "It changes nothing where a row breaks the new rule."
_ASIDE = "The view is gone afterwards; the table is created empty."
_CONSTANT = re.compile(r"[-+]?[\d.]+|'(?:[^']|'')*'|TRUE|FALSE", re.IGNORECASE)
_CONSTRAINTS = ("primary key", "unique constraint", "check", "foreign key", "options")

_ORDER = ("table", "column", *_CONSTRAINTS, "index", "trigger", "view")


class Mender:
    """Writes the mends of one comparison.

    Args:
        live: The catalog as it is.
        expected: The catalog as it should be.
        findings: Everything that was found: one copy of a table mends all that needs a copy.
    """

    def __init__(self, live: Catalog, expected: Catalog, findings: Iterable[Finding]) -> None:
        self._live = live
        self._expected = expected
        self._findings = tuple(findings)
        self._copied = frozenset(one.table for one in self._findings if _needs_copy(one))

    def mend(self, finding: Finding) -> Mend:
        """Return what mends a finding."""
        if self._is_copied(finding):
            return self._copy(finding.table or "")
        if finding.kind == "table":
            return self._table(finding)
        if finding.kind == "column":
            return self._column(finding)
        if finding.kind == "view":
            drop = (f"DROP VIEW {quoted(finding.name)}",) if finding.problem == "changed" else ()
            return Mend((*drop, finding.expected.definition))
        return self._belonging(finding)

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return where its mend stands: a copy takes the table's indexes along as they are at first."""
        order = _ORDER.index(finding.kind)
        if self._is_copied(finding):
            return 1, order
        return {"renamed": 0, "extra": 3}.get(finding.problem, 2), order

    def _is_copied(self, finding: Finding) -> bool:
        in_copy = finding.kind in _CONSTRAINTS or (finding.kind == "column" and finding.problem in _COPIED)
        return in_copy and finding.table in self._copied

    def _table(self, finding: Finding) -> Mend:
        create = (ddl.table(finding.expected), *ddl.belongings(finding.expected))
        if finding.problem == "missing":
            return Mend(create)
        return Mend((f"DROP VIEW {quoted(finding.name)}", *create), safe=False, caution=_ASIDE)

    def _column(self, finding: Finding) -> Mend:
        alter = f"ALTER TABLE {quoted(finding.table or '')}"
        if finding.problem == "missing":
            return Mend((f"{alter} ADD COLUMN {ddl.column(finding.expected)}",))
        name = quoted(finding.found.name)
        if finding.problem == "renamed":
            caution = f"If {finding.found.name} is a column of its own, add {finding.expected.name} instead."
            rename = f"{alter} RENAME COLUMN {name} TO {quoted(finding.expected.name)}"
            return Mend((rename,), safe=False, caution=caution)
        live = self._live.table(finding.table or "")
        on_it = [one for one in live.indexes if _speaks_of(one, finding.found.name)] if live else []
        drops = [f"DROP INDEX IF EXISTS {quoted(one.name)}" for one in on_it]
        return Mend((*drops, f"{alter} DROP COLUMN {name}"), safe=False, caution=_LOST)

    def _belonging(self, finding: Finding) -> Mend:
        kind, table = finding.kind.upper(), finding.table or ""
        create = ddl.index if finding.kind == "index" else ddl.trigger
        drop = f"DROP {kind} IF EXISTS {quoted((finding.found or finding.expected).name)}"
        if finding.problem == "extra":
            return Mend((drop,), safe=False, caution=_USED if kind == "INDEX" else _SOMEBODYS)
        built = create(table, finding.expected)
        return Mend((built,) if finding.problem == "missing" else (drop, built))

    def _copy(self, name: str) -> Mend:
        live, expected = self._live.table(name), self._expected.table(name)
        if live is None or expected is None:
            return Mend()
        names = {
            one.found.name: one.expected.name
            for one in self._findings
            if (one.table, one.kind, one.problem) == (name, "column", "renamed")
        }
        old = replace(
            live, columns=tuple(replace(one, name=names.get(one.name, one.name)) for one in live.columns)
        )
        weaker = any(
            one.problem == "extra" and one.kind in _CONSTRAINTS for one in self._findings if one.table == name
        )
        return Mend(
            tuple(_copying(old, _target(old, expected))),
            safe=not weaker,
            caution=_SOMEBODYS if weaker else _ROWS_FIT,
        )


_COPIED = ("missing", "changed")


def _needs_copy(finding: Finding) -> bool:
    if finding.kind in _CONSTRAINTS:
        return True
    if finding.kind != "column" or finding.problem not in _COPIED:
        return False
    return finding.problem == "changed" or not _can_be_added(finding.expected)


def _can_be_added(one: Column) -> bool:
    if one.generated is not None:
        return one.virtual
    constant = one.default is None or _CONSTANT.fullmatch(one.default) is not None
    return constant and (one.nullable or one.default is not None)


def _target(old: Table, expected: Table) -> Table:
    """Return the table as it should be, with the columns, indexes and triggers that nobody expects."""
    extra = tuple(one for one in old.columns if expected.column(one.name) is None)
    return replace(expected, columns=expected.columns + extra, indexes=old.indexes, triggers=old.triggers)


def _copying(old: Table, new: Table) -> Iterator[str]:
    name, aside = quoted(new.name), quoted(f"{new.name}_before")
    shared = ", ".join(
        quoted(one.name)
        for one in new.columns
        if one.generated is None and (held := old.column(one.name)) is not None and held.generated is None
    )
    yield "PRAGMA foreign_keys = OFF"
    # Other tables go on referring to the name, whatever table has it.
    yield "PRAGMA legacy_alter_table = ON"
    yield "BEGIN IMMEDIATE"
    yield from (f"DROP INDEX IF EXISTS {quoted(index.name)}" for index in old.indexes)
    yield f"ALTER TABLE {name} RENAME TO {aside}"
    yield ddl.table(new)
    yield f"INSERT OR ROLLBACK INTO {name} ({shared}) SELECT {shared} FROM {aside}"
    yield f"DROP TABLE {aside}"
    yield from ddl.belongings(new, kept=True)
    yield "COMMIT"
    yield "PRAGMA legacy_alter_table = OFF"


def _speaks_of(item: Any, column: str) -> bool:
    pieces = [*item.columns, item.predicate or ""]
    return any(re.search(rf"\b{re.escape(column)}\b", piece) for piece in pieces)
