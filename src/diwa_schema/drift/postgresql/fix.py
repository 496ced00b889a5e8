"""The fixes of a PostgreSQL schema: statements for every kind of finding.

No fix loses a value. A type change fails and changes nothing if a value would not stay the same. Statements that drop
values are separate, with a query that counts the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from diwa_schema.drift.compare import Finding
from diwa_schema.drift.model import Catalog, Column, ForeignKey, Index, Key
from diwa_schema.drift.postgresql import write as ddl
from diwa_schema.drift.postgresql.types import keeps_rows
from diwa_schema.drift.postgresql.write import Writer
from diwa_schema.drift.report import OF_LOST_COLUMN, Fix, of_lost_table
from diwa_schema.migrations import characters
from diwa_schema.migrations.manifest import KEPT
from diwa_schema.names import cut, literal, quoted

_SOMEBODYS = "It is not part of the schema: find out its purpose before you drop it."
_USED = "Queries may rely on it."
_NO_DUPLICATES = "It fails if two rows are alike, and leaves an INVALID index to drop."
_PROTECTION = "Hidden rows become visible."
_ASIDE = "The present object is renamed and keeps its rows; the new table is empty."
_BY_HAND = "No statement turns one into the other: create a table beside it, copy the rows, swap the names."
_UNKNOWN = "No statement is known for this kind of object: find the author of the change."
_NOT_OURS = (
    "Another application owns the table: let its owner decide. If a row refers to one that the new table "
    "lacks, the second statement fails, and the key then covers new rows only."
)
_REWRITE = "PostgreSQL rewrites the table, and nobody can read or write it meanwhile."
_STAYS = "It fails and changes nothing if a value would change."
_UNFILLED = "It fails while the table has rows: add the column without NOT NULL, fill it, then set NOT NULL."
_FILLED_FIRST = "It fails and changes nothing if the column holds NULL: fill these rows first."
_NOT_RENAMED = (
    "Citus cannot rename a constraint, and others may refer to this one. It works under its present name."
)
_LOST = "Dropping it loses its values: find out its purpose first."

# The order of the fixes: prerequisites come first.
_ORDER = (
    "table", "column", "options", "persistence", "primary key", "index", "foreign key", "trigger", "row security",
    "replica identity", "owner",
)  # fmt: skip
_DROP = {
    "check": "ALTER TABLE {table} DROP CONSTRAINT {name}",
    "exclusion constraint": "ALTER TABLE {table} DROP CONSTRAINT {name}",
    "foreign key": "ALTER TABLE {table} DROP CONSTRAINT {name}",
    "policy": "DROP POLICY {name} ON {table}",
    "primary key": "ALTER TABLE {table} DROP CONSTRAINT {name}",
    "rule": "DROP RULE {name} ON {table}",
    "trigger": "DROP TRIGGER {name} ON {table}",
    "unique constraint": "ALTER TABLE {table} DROP CONSTRAINT {name}",
}

_STABLE = frozenset({"now()", "CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIMESTAMP"})
_CALL = re.compile(r"\b\w+\(")
_NO_CALL = re.compile(r"'(?:[^']|'')*'|::[a-z ]+\(\d+\)")
_PRECISION = re.compile(r"timestamp(?:\((\d)\))? (with(?:out)? time zone)")
_TEXTUAL = re.compile(r"text|character(?: varying)?(?:\(\d+\))?")
_NUMERIC = re.compile(r"smallint|integer|bigint|numeric(?:\(.*\))?|real|double precision")
# Their input accepts any text, so no expression can fail for them.
_TAKE_ANY_TEXT = frozenset({"bytea", "tsvector"})


class Fixer:
    """Writes the fixes of one comparison.

    Args:
        live: The present catalog.
        expected: The expected catalog.
    """

    def __init__(self, live: Catalog, expected: Catalog) -> None:
        self._live = live
        self._expected = expected
        self._write = Writer(live.origin.schema)

    def fix(self, finding: Finding) -> Fix:
        """Return the fix of a finding."""
        by_kind: dict[str, Callable[[Finding], Fix]] = {
            "table": self._table,
            "column": self._column,
            "primary key": self._primary_key,
            "foreign key": self._foreign_key,
            "index": self._index,
            "trigger": self._trigger,
            "row security": self._row_security,
            "replica identity": self._replica_identity,
            "persistence": self._persistence,
            "owner": self._owner,
        }
        if finding.problem == "extra":
            return self._drop(finding)
        if finding.problem == "renamed":
            return self._rename(finding)
        write = by_kind.get(finding.kind)
        return write(finding) if write else Fix(safe=False, caution=_UNKNOWN)

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return the place of its fix: obstacles come first, losses last."""
        in_the_way = finding.problem == "renamed" or (finding.problem == "extra" and finding.kind != "column")
        phase = 0 if in_the_way else 2 if finding.problem == "extra" else 1
        order = _ORDER.index(finding.kind) if finding.kind in _ORDER else len(_ORDER)
        return phase, order, self._depth(finding.name, ()) if finding.kind == "table" else 0

    def _depth(self, name: str, above: tuple[str, ...]) -> int:
        """Return the depth of a table: the length of the longest chain of tables that have to exist before it."""
        table = self._expected.table(name)
        if table is None or name in above:
            return 0
        return max((1 + self._depth(key.references, (*above, name)) for key in table.foreign_keys), default=0)

    def _drop(self, finding: Finding) -> Fix:
        name, table = quoted(finding.found.name), self._write.name(finding.table)
        if finding.kind == "index":
            valid = finding.found.valid
            statement = f"DROP INDEX CONCURRENTLY IF EXISTS {self._write.name(finding.found.name)}"
            return Fix((statement,), safe=not valid, caution=_USED if valid else "")
        if finding.kind == "column":
            return Fix(
                safe=False,
                caution=_LOST,
                losing=(f"ALTER TABLE {table} DROP COLUMN {name}",),
                counting=f"SELECT count({name}) FROM {table}",
            )
        if finding.kind not in _DROP:
            return Fix(safe=False, caution=_SOMEBODYS)
        return Fix((_DROP[finding.kind].format(name=name, table=table),), safe=False, caution=_SOMEBODYS)

    def _rename(self, finding: Finding) -> Fix:
        old, new, table = (
            quoted(finding.found.name),
            quoted(finding.expected.name),
            self._write.name(finding.table),
        )
        if finding.kind == "index":
            return Fix((f"ALTER INDEX {self._write.name(finding.found.name)} RENAME TO {new}",))
        if finding.kind == "trigger":
            return Fix((f"ALTER TRIGGER {old} ON {table} RENAME TO {new}",))
        if finding.kind == "column":
            caution = f"If {finding.found.name} is a column of its own, add {finding.expected.name} instead."
            return Fix((f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}",), safe=False, caution=caution)
        if finding.kind in ("primary key", "foreign key"):
            return self._rename_constraint(finding)
        return Fix(safe=False, caution=_UNKNOWN)

    def _rename_constraint(self, finding: Finding) -> Fix:
        alter, old = f"ALTER TABLE {self._write.name(finding.table)}", quoted(finding.found.name)
        if not self._live.origin.citus:
            return Fix((f"{alter} RENAME CONSTRAINT {old} TO {quoted(finding.expected.name)}",))
        if finding.kind == "primary key":
            return Fix(safe=False, caution=_NOT_RENAMED)
        return Fix((*self._added(finding.table, (), finding.expected), f"{alter} DROP CONSTRAINT {old}"))

    def _table(self, finding: Finding) -> Fix:
        create = tuple(self._write.table(finding.expected))
        if finding.problem == "missing":
            return of_lost_table(create, vectors=finding.name in characters.TABLES)
        kind = finding.found.kind
        if kind == "partitioned table":
            return Fix(safe=False, caution=_BY_HAND)
        name = self._write.name(finding.name)
        aside = f"ALTER {kind.upper()} {name} RENAME TO {quoted(cut(finding.name, suffix='_aside'))}"
        return Fix((aside, *create), safe=False, caution=_ASIDE)

    def _primary_key(self, finding: Finding) -> Fix:
        one: Key = finding.expected
        name = quoted(one.name)
        drop = [f"DROP CONSTRAINT {name}"] if finding.problem == "changed" else []
        # The index is built during the traffic, and then becomes the constraint under its name.
        built = Index(
            cut(one.name, suffix="_new") if drop else one.name, one.columns, unique=True, include=one.include
        )
        using = f"ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {quoted(built.name)} {one.deferrable or ''}".strip()
        statements = (self._write.index(finding.table, built), *self._together(finding.table, *drop, using))
        return Fix(statements, caution=_NO_DUPLICATES)

    def _foreign_key(self, finding: Finding) -> Fix:
        if finding.expected is None:
            return self._follower(finding)
        one, name = finding.expected, quoted(finding.expected.name)
        validate = self._write.alter(finding.table, f"VALIDATE CONSTRAINT {name}")
        if finding.fields == ("validated",) and one.validated:
            return Fix((validate,), caution="It fails and changes nothing if a row breaks the rule.")
        drop = [f"DROP CONSTRAINT {name}"] if finding.problem == "changed" else []
        return Fix(self._added(finding.table, drop, one))

    def _added(self, table: str, drop: Iterable[str], one: ForeignKey) -> tuple[str, ...]:
        """Return the steps that add a foreign key and let nobody wait for the check of the rows."""
        name = quoted(one.name)
        added = self._together(
            table, *drop, f"ADD CONSTRAINT {name} {self._write.foreign_key(one)} NOT VALID"
        )
        return (*added, self._write.alter(table, f"VALIDATE CONSTRAINT {name}")) if one.validated else added

    def _together(self, table: str, *actions: str) -> tuple[str, ...]:
        """Return changes of a table as one statement; Citus refuses a new constraint beside another change."""
        if self._live.origin.citus:
            return tuple(self._write.alter(table, action) for action in actions)
        return (self._write.alter(table, *actions),)

    def _follower(self, finding: Finding) -> Fix:
        name = quoted(finding.found.name)
        key = replace(finding.found, references=finding.found.references.removeprefix(KEPT))
        add = f"ADD CONSTRAINT {name} {self._write.foreign_key(key)} NOT VALID"
        alter = f"ALTER TABLE {finding.table}"
        drop = f"{alter} DROP CONSTRAINT {name}"
        added = (drop, f"{alter} {add}") if self._live.origin.citus else (f"{drop}, {add}",)
        statements = (*added, f"{alter} VALIDATE CONSTRAINT {name}")
        return Fix(statements, safe=False, caution=_NOT_OURS)

    def _index(self, finding: Finding) -> Fix:
        table, one = finding.table, finding.expected
        caution = _NO_DUPLICATES if one.unique else ""
        if finding.problem == "missing":
            live = self._live.table(table)
            # A unique constraint may have the name; it is then an unexpected object.
            taken = live is not None and any(other.name == one.name for other in live.others)
            free = (
                [self._write.alter(table, f"DROP CONSTRAINT IF EXISTS {quoted(one.name)}")] if taken else []
            )
            return Fix((*free, self._write.index(table, one)), caution=caution)
        if finding.fields == ("valid",):
            return Fix((f"REINDEX INDEX CONCURRENTLY {self._write.name(one.name)}",), caution=caution)
        built = cut(one.name, suffix="_new")
        return Fix(
            (
                self._write.index(table, one, name=built),
                f"DROP INDEX CONCURRENTLY {self._write.name(one.name)}",
                f"ALTER INDEX {self._write.name(built)} RENAME TO {quoted(one.name)}",
            ),
            caution=caution,
        )

    def _trigger(self, finding: Finding) -> Fix:
        table, one = finding.table, finding.expected
        if finding.fields == ("enabled",):
            return Fix((self._write.enabling(table, one),))
        if finding.fields == ("code",) and one.code is not None:
            return Fix(tuple(self._write.function(one)))
        changed = finding.problem == "changed"
        drop = []
        if changed and (one.constraint or finding.found.constraint):
            drop = [f"DROP TRIGGER {quoted(one.name)} ON {self._write.name(table)}"]
        return Fix((*drop, *self._write.trigger(table, one, replace=changed and not drop)))

    def _row_security(self, finding: Finding) -> Fix:
        enable = "DISABLE" if finding.expected.row_security == "off" else "ENABLE"
        force = "FORCE" if finding.expected.row_security == "forced" else "NO FORCE"
        actions = [f"{word} ROW LEVEL SECURITY" for word in (enable, force)]
        return Fix((self._write.alter(finding.table, *actions),), safe=False, caution=_PROTECTION)

    def _replica_identity(self, finding: Finding) -> Fix:
        words, index, name = finding.expected.replica_identity.partition("USING INDEX ")
        action = f"REPLICA IDENTITY {index}{quoted(name)}" if index else f"REPLICA IDENTITY {words}"
        return Fix((self._write.alter(finding.table, action),))

    def _persistence(self, finding: Finding) -> Fix:
        word = "UNLOGGED" if finding.expected.persistence == "unlogged" else "LOGGED"
        return Fix((self._write.alter(finding.name, f"SET {word}"),), safe=False, caution=_REWRITE)

    def _owner(self, finding: Finding) -> Fix:
        owner = finding.expected.owner or self._live.origin.owner
        return Fix((self._write.alter(finding.name, f"OWNER TO {quoted(str(owner))}"),))

    def _column(self, finding: Finding) -> Fix:
        table, found, expected = finding.table, finding.found, finding.expected
        name = quoted(expected.name)
        if finding.problem == "missing":
            fix = self._add_column(table, expected)
            said = (self._write.comment(table, expected),) if expected.comment else ()
            lost = "" if expected.generated is not None else OF_LOST_COLUMN
            caution = " ".join(filter(None, (fix.caution, lost)))
            return replace(fix, statements=(*fix.statements, *said), caution=caution)
        if found.generated != expected.generated:
            return Fix(safe=False, caution=_UNKNOWN)
        if (found.type, found.collation) != (expected.type, expected.collation):
            fix = self._retype(table, found, expected)
        elif found.default != expected.default:
            fix = Fix((self._write.alter(table, _default(expected)),))
        else:
            fix = Fix()
        statements = [*fix.statements]
        if found.nullable and not expected.nullable and (statements or not fix.losing):
            statements += self._fill(table, expected)
        if expected.nullable and not found.nullable:
            statements.append(self._write.alter(table, f"ALTER COLUMN {name} DROP NOT NULL"))
        if found.comment != expected.comment:
            statements.append(self._write.comment(table, expected))
        caution = fix.caution or (_FILLED_FIRST if found.nullable and not expected.nullable else "")
        return Fix(tuple(statements), fix.safe, caution, fix.losing, fix.counting)

    def _add_column(self, table: str, one: Column) -> Fix:
        add = self._write.alter(table, f"ADD COLUMN {ddl.column(one)}")
        if one.generated is not None:
            return Fix((add,), safe=False, caution=_REWRITE)
        calls = (
            one.default is not None
            and one.default not in _STABLE
            and _CALL.search(_NO_CALL.sub("", one.default))
        )
        if calls and one.nullable:
            # Together with the column, the default would be computed for every existing row.
            bare = self._write.alter(table, f"ADD COLUMN {quoted(one.name)} {one.type}")
            return Fix((bare, self._write.alter(table, _default(one))))
        if calls:
            return Fix((add,), safe=False, caution=_REWRITE)
        if not one.nullable and one.default is None:
            return Fix((add,), safe=False, caution=_UNFILLED)
        return Fix((add,))

    def _fill(self, table: str, one: Column) -> list[str]:
        """Return steps to NOT NULL, none of which reads the rows under a strong lock."""
        rule, name = quoted(cut(one.name, suffix="_is_filled")), quoted(one.name)
        actions = (
            f"ADD CONSTRAINT {rule} CHECK ({name} IS NOT NULL) NOT VALID",
            f"VALIDATE CONSTRAINT {rule}",
            f"ALTER COLUMN {name} SET NOT NULL",
            f"DROP CONSTRAINT {rule}",
        )
        return [self._write.alter(table, action) for action in actions]

    def _retype(self, table: str, found: Column, expected: Column) -> Fix:
        name = quoted(expected.name)
        collate = f" COLLATE {quoted(expected.collation)}" if expected.collation else ""

        def retyped(using: str) -> str:
            # One statement: after a failure, the default is unchanged. The default of the old type may have no cast.
            actions = [f"ALTER COLUMN {name} DROP DEFAULT"] if found.default is not None else []
            actions.append(f"ALTER COLUMN {name} TYPE {expected.type}{collate}{using}")
            actions += [_default(expected)] if expected.default is not None else []
            return self._write.alter(table, *actions)

        if found.type == expected.type or _widens(found, expected):
            safe = _widens(found, expected)
            return Fix((retyped(""),), safe=safe, caution="" if safe else _REWRITE)
        there = _converted(name, found.type, expected.type)
        fits = (
            f"({_converted(f'({there})', expected.type, found.type)})::text IS NOT DISTINCT FROM {name}::text"
        )
        losing = retyped(f" USING {there}")
        counting = f"SELECT count(*) FROM {self._write.name(table)} WHERE NOT ({fits})"
        if expected.type in _TAKE_ANY_TEXT:
            return Fix(safe=False, caution="It may lose values.", losing=(losing,), counting=counting)
        if _TEXTUAL.fullmatch(expected.type):
            # An explicit cast truncates a long text. An assignment refuses it, unless only spaces are lost.
            keeping = f"CASE WHEN {fits} THEN {name}::text ELSE {name}::text || ' does not fit' END"
        else:
            refused = f"({literal('does not fit: ')} || {name}::text)::{expected.type}"
            keeping = f"CASE WHEN {fits} THEN {there} ELSE {refused} END"
        caution = f"{_REWRITE} {_STAYS}"
        return Fix((retyped(f" USING {keeping}"),), False, caution, (losing,), counting)


def _default(one: Column) -> str:
    action = "DROP DEFAULT" if one.default is None else f"SET DEFAULT {one.default}"
    return f"ALTER COLUMN {quoted(one.name)} {action}"


def _widens(found: Column, expected: Column) -> bool:
    """Return whether every stored value fits unchanged, so that the table is not rewritten."""
    return found.collation == expected.collation and keeps_rows(found.type, expected.type)


def _converted(value: str, found: str, expected: str) -> str:
    """Return SQL that converts a value into another type. A time without a zone is in UTC."""
    before, after = _PRECISION.fullmatch(found), _PRECISION.fullmatch(expected)
    if before and after and before[2] != after[2]:
        return f"({value} AT TIME ZONE 'UTC')::{expected}"
    alike = any(
        kind.fullmatch(found) and kind.fullmatch(expected) for kind in (_TEXTUAL, _NUMERIC, _PRECISION)
    )
    return f"{value}::{expected}" if alike or found == expected else f"{value}::text::{expected}"
