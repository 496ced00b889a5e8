"""The fixes of an SQLite schema; changes beyond SQLite's ALTER TABLE copy the table.

The copy is safe in a shell that continues after an error: the old table is set aside first, rows that do not fit and
values that would change roll everything back, and the statements after that have no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from diwa_schema.drift.compare import Finding
from diwa_schema.drift.model import Catalog, Column, ForeignKey, Index, Table, Trigger
from diwa_schema.drift.report import OF_LOST_COLUMN, Fix, of_lost_table
from diwa_schema.drift.scan import listed
from diwa_schema.models import searched
from diwa_schema.names import quoted

_SOMEBODYS = "It is not part of the schema: find out its purpose before you drop it."
_USED = "Queries may rely on it."
_LOST = "Dropping it loses its values: find out its purpose first."
_ROWS_FIT = "It changes nothing if a row breaks the new rule or a value would change."
_ASIDE = "The view is dropped; the new table is empty."
_RENAME_FIRST = "Give the columns their right names first, then check again."
_NOT_OURS = (
    "Another application owns the table: let its owner create it again, with a key to the present table."
)
_UNKNOWN = "No statement is known for this kind of object: find the author of the change."
_CONSTANT = re.compile(r"[-+]?[\d.]+|'(?:[^']|'')*'|TRUE|FALSE", re.IGNORECASE)
_CONSTRAINTS = ("primary key", "foreign key", "options")
_COPIED = ("missing", "changed")
_REFILLED = ("BEGIN IMMEDIATE", *searched.fill(), "COMMIT")
_ORDER = ("table", "column", *_CONSTRAINTS, "index", "trigger")


class Fixer:
    """Writes the fixes of one comparison.

    Args:
        live: The present catalog.
        expected: The expected catalog.
        findings: All findings: one copy of a table fixes all findings that need a copy.
    """

    def __init__(self, live: Catalog, expected: Catalog, findings: Iterable[Finding]) -> None:
        self._live = live
        self._expected = expected
        self._findings = tuple(findings)
        self._copied = frozenset(one.table for one in self._findings if _needs_copy(one))

    def fix(self, finding: Finding) -> Fix:
        """Return the fix of a finding."""
        if finding.kind == "foreign key" and finding.table not in {
            table.name for table in self._expected.tables
        }:
            return Fix(safe=False, caution=_NOT_OURS)
        if self._is_copied(finding):
            return self._copy(finding.table)
        if finding.kind == "table":
            return self._table(finding)
        if finding.kind == "column":
            return self._column(finding)
        if finding.kind in ("index", "trigger"):
            return self._belonging(finding)
        return Fix(safe=False, caution=_SOMEBODYS if finding.problem == "extra" else _UNKNOWN)

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return the place of its fix: a copy first takes over the table's present indexes."""
        order = _ORDER.index(finding.kind) if finding.kind in _ORDER else len(_ORDER)
        if self._is_copied(finding):
            return 1, order
        return {"renamed": 0, "extra": 3}.get(finding.problem, 2), order

    def _is_copied(self, finding: Finding) -> bool:
        in_copy = finding.kind in _CONSTRAINTS or (finding.kind == "column" and finding.problem in _COPIED)
        return finding.table == searched.WORDS or (in_copy and finding.table in self._copied)

    def _table(self, finding: Finding) -> Fix:
        create = (_create(finding.expected), *_belongings(finding.expected))
        if finding.problem == "missing":
            if finding.name not in (searched.KEYS, searched.WORDS):
                return of_lost_table(create)
            refilled = finding.name == searched.KEYS and self._live.table(searched.WORDS) is not None
            return Fix((*create, *(_REFILLED if refilled else ())))
        return Fix((f"DROP VIEW {quoted(finding.name)}", *create), safe=False, caution=_ASIDE)

    def _column(self, finding: Finding) -> Fix:
        alter = f"ALTER TABLE {quoted(finding.table)}"
        if finding.problem == "missing":
            return Fix((f"{alter} ADD COLUMN {_declared(finding.expected)}",), caution=OF_LOST_COLUMN)
        name = quoted(finding.found.name)
        if finding.problem == "renamed":
            caution = f"If {finding.found.name} is a column of its own, add {finding.expected.name} instead."
            rename = f"{alter} RENAME COLUMN {name} TO {quoted(finding.expected.name)}"
            return Fix((rename,), safe=False, caution=caution)
        live = self._live.table(finding.table)
        word = re.compile(rf"\b{re.escape(finding.found.name)}\b")
        drops = [
            f"DROP INDEX IF EXISTS {quoted(one.name)}"
            for one in (live.indexes if live else ())
            if any(word.search(piece) for piece in (*one.columns, one.predicate or ""))
        ]
        return Fix(
            safe=False,
            caution=_LOST,
            losing=(*drops, f"{alter} DROP COLUMN {name}"),
            counting=f"SELECT count({name}) FROM {quoted(finding.table)}",
        )

    def _belonging(self, finding: Finding) -> Fix:
        drop = f"DROP {finding.kind.upper()} IF EXISTS {quoted((finding.found or finding.expected).name)}"
        if finding.problem == "extra":
            return Fix((drop,), safe=False, caution=_USED if finding.kind == "index" else _SOMEBODYS)
        create = _index if finding.kind == "index" else _trigger
        built = create(finding.table, finding.expected)
        # Later writes were not recorded.
        refilled = _REFILLED if finding.expected.name in searched.TRIGGERS else ()
        return Fix((*(() if finding.problem == "missing" else (drop,)), built, *refilled))

    def _copy(self, name: str) -> Fix:
        live, expected = self._live.table(name), self._expected.table(name)
        if name == searched.WORDS and expected is not None:
            return Fix((f"DROP TABLE IF EXISTS {quoted(name)}", _create(expected), *_REFILLED))
        if live is None or expected is None:
            return Fix()
        names = {
            one.found.name: one.expected.name
            for one in self._findings
            if (one.table, one.kind, one.problem) == (name, "column", "renamed")
        }
        if names and live.others:
            return Fix(safe=False, caution=_RENAME_FIRST)
        old = replace(
            live, columns=tuple(replace(one, name=names.get(one.name, one.name)) for one in live.columns)
        )
        # Unexpected objects are kept, except foreign keys and the like, which are the reason for the copy.
        extra = tuple(one for one in old.columns if expected.column(one.name) is None)
        new = replace(
            expected,
            columns=expected.columns + extra,
            indexes=old.indexes,
            triggers=old.triggers,
            others=old.others,
        )
        weaker = any(
            one.problem == "extra" and one.kind in _CONSTRAINTS for one in self._findings if one.table == name
        )
        return Fix(tuple(_copying(old, new)), safe=not weaker, caution=_SOMEBODYS if weaker else _ROWS_FIT)


def _needs_copy(finding: Finding) -> bool:
    if finding.kind in _CONSTRAINTS:
        return True
    if finding.kind != "column" or finding.problem not in _COPIED:
        return False
    if finding.problem == "changed":
        return True
    one: Column = finding.expected
    if one.generated is not None:
        return one.generated.endswith("STORED")
    constant = one.default is None or _CONSTANT.fullmatch(one.default) is not None
    return not constant or (not one.nullable and one.default is None)


def _copying(old: Table, new: Table) -> Iterator[str]:
    name, aside = quoted(new.name), quoted(f"{new.name}_before")
    kept = [one for one in new.columns if one.generated is None and old.column(one.name) is not None]
    shared = ", ".join(quoted(one.name) for one in kept)
    retyped = [
        f"CAST(CAST({quoted(one.name)} AS {one.type}) AS TEXT) IS NOT CAST({quoted(one.name)} AS TEXT)"
        for one in kept
        if (before := old.column(one.name)) and before.type != one.type
    ]
    yield "PRAGMA foreign_keys = OFF"
    # Other tables still refer to the name, whatever table has it.
    yield "PRAGMA legacy_alter_table = ON"
    yield "BEGIN IMMEDIATE"
    yield from (f"DROP INDEX IF EXISTS {quoted(index.name)}" for index in old.indexes)
    yield f"ALTER TABLE {name} RENAME TO {aside}"
    yield _create(new)
    if retyped:
        # A column's type changes inserted values: '007' becomes 7. This table accepts its row only if no value
        # changes. It comes after the rename, so a shell that continues after the refusal finds nothing to copy.
        yield "CREATE TEMP TABLE diwa_schema_unchanged (changed INTEGER CHECK (changed = 0))"
        counted = f"SELECT count(*) FROM {aside} WHERE {' OR '.join(retyped)}"
        yield f"INSERT OR ROLLBACK INTO diwa_schema_unchanged {counted}"
        yield "DROP TABLE IF EXISTS temp.diwa_schema_unchanged"
    yield f"INSERT OR ROLLBACK INTO {name} ({shared}) SELECT {shared} FROM {aside}"
    yield f"DROP TABLE {aside}"
    yield from _belongings(new)
    yield "COMMIT"
    yield "PRAGMA legacy_alter_table = OFF"


def _create(one: Table) -> str:
    """Return CREATE TABLE, without indexes and triggers."""
    if one.kind == "virtual table":
        return f"CREATE VIRTUAL TABLE {quoted(one.name)} USING {one.options[0]}"
    parts = [
        _declared(held) for held in sorted(one.columns, key=lambda held: held.position or len(one.columns))
    ]
    if one.primary_key:
        parts.append(
            f"CONSTRAINT {quoted(one.primary_key.name)} PRIMARY KEY {listed(one.primary_key.columns)}"
        )
    parts += [f"CONSTRAINT {quoted(other.name)} {other.definition}" for other in one.others]
    parts += [f"CONSTRAINT {quoted(key.name)} {_foreign_key(key)}" for key in one.foreign_keys]
    options = f" {', '.join(one.options)}" if one.options else ""
    return f"CREATE TABLE {quoted(one.name)} (\n  " + ",\n  ".join(parts) + f"\n){options}"


def _declared(one: Column) -> str:
    parts = [quoted(one.name), one.type]
    parts += [f"COLLATE {one.collation}"] if one.collation else []
    parts += [f"DEFAULT ({one.default})"] if one.default is not None else []
    parts += [] if one.nullable else ["NOT NULL"]
    return " ".join([*parts, one.generated or ""]).strip()


def _foreign_key(one: ForeignKey) -> str:
    parts = [
        f"FOREIGN KEY {listed(one.columns)} REFERENCES {quoted(one.references)} {listed(one.ref_columns)}"
    ]
    parts += [] if one.on_update == "NO ACTION" else [f"ON UPDATE {one.on_update}"]
    parts += [] if one.on_delete == "NO ACTION" else [f"ON DELETE {one.on_delete}"]
    return " ".join([*parts, *([one.deferrable] if one.deferrable else [])])


def _index(on: str, one: Index, guard: str = "") -> str:
    predicate = f" WHERE {one.predicate}" if one.predicate else ""
    create = f"CREATE {'UNIQUE ' * one.unique}INDEX {guard}{quoted(one.name)}"
    return f"{create} ON {quoted(on)} {listed(one.columns)}{predicate}"


def _trigger(on: str, one: Trigger, guard: str = "") -> str:
    return f"CREATE TRIGGER {guard}{quoted(one.name)} {one.moment} ON {quoted(on)} {one.action}"


def _belongings(one: Table) -> Iterator[str]:
    """Yield the statements that create missing indexes and triggers of a table."""
    yield from (_index(one.name, held, "IF NOT EXISTS ") for held in one.indexes)
    yield from (_trigger(one.name, held, "IF NOT EXISTS ") for held in one.triggers)
