"""What makes a PostgreSQL schema what it should be: for every kind of finding, statements."""

from __future__ import annotations

from collections.abc import Callable

from diwa_schema.drift.difference import Mend
from diwa_schema.drift.findings import Finding
from diwa_schema.drift.model import Catalog, ForeignKey, Index
from diwa_schema.drift.postgresql import mend_columns, mend_types
from diwa_schema.drift.postgresql import write as ddl
from diwa_schema.drift.postgresql.write import Writer
from diwa_schema.names import quoted

_SOMEBODYS = "Somebody put it there: find out what for before it goes."
_USED = "Queries may rely on it."
_LOCKED = "The table can be read but not written while it is built."
_NO_DUPLICATES = "It fails where rows are alike; an INVALID index is then left to be dropped."
_PROTECTION = "Rows that were hidden can be seen afterwards."
_GRANTS = "Rights granted on the view go with it."
_GAP = "Between the two statements the policy does not hold."
_ASIDE = "What stands there is renamed and keeps its rows; the table is created empty."
_BY_HAND = "No statement turns one into the other: create a table beside it, copy the rows, swap the names."

# What has to be there before other things can be mended comes first.
_ORDER = (
    "enum", "domain", "sequence", "function", "table", "column", "options", "persistence", "primary key",
    "unique constraint", "index", "check", "exclusion constraint", "foreign key", "trigger", "policy",
    "row security", "replica identity", "owner", "view",
)  # fmt: skip


class Mender:
    """Writes the mends of one comparison.

    Args:
        live: The catalog as it is.
        expected: The catalog as it should be.
    """

    def __init__(self, live: Catalog, expected: Catalog) -> None:
        self._live = live
        self._expected = expected
        self._write = Writer(live.origin.schema)

    def mend(self, finding: Finding) -> Mend:
        """Return what mends a finding."""
        general = {"extra": self._drop, "renamed": self._rename}
        by_kind: dict[str, Callable[[Finding], Mend]] = {
            "table": self._table,
            "column": self._column,
            "primary key": self._key,
            "unique constraint": self._key,
            "foreign key": self._constraint,
            "check": self._constraint,
            "exclusion constraint": self._exclusion,
            "index": self._index,
            "trigger": self._trigger,
            "policy": self._policy,
            "function": self._function,
            "view": self._view,
            "row security": self._row_security,
            "replica identity": lambda one: Mend((self._write.replica_identity(one.expected),)),
            "persistence": self._persistence,
            "owner": self._owner,
            "options": lambda _: Mend(),
        }
        if finding.kind in ("enum", "domain", "sequence"):
            return mend_types.mend(finding, self._live, self._write)
        return general.get(finding.problem, by_kind[finding.kind])(finding)

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return where its mend stands: first what is in the way, last what would be lost."""
        in_the_way = finding.problem == "renamed" or (finding.problem == "extra" and finding.kind != "column")
        phase = 0 if in_the_way else 2 if finding.problem == "extra" else 1
        depth = self._depth(finding.name, ()) if finding.kind == "table" else 0
        return phase, _ORDER.index(finding.kind), depth

    def _depth(self, name: str, above: tuple[str, ...]) -> int:
        """Return how many tables have to be there one after the other before this one can refer to them."""
        table = self._expected.table(name)
        if table is None or name in above:
            return 0
        return max((1 + self._depth(key.references, (*above, name)) for key in table.foreign_keys), default=0)

    def _drop(self, finding: Finding) -> Mend:
        name, table = quoted(finding.found.name), finding.table or ""
        if finding.kind == "index":
            statement = f"DROP INDEX CONCURRENTLY IF EXISTS {self._write.name(finding.found.name)}"
            valid = finding.found.valid
            return Mend((statement,), safe=not valid, caution=_USED if valid else "")
        if finding.kind == "column":
            return Mend(
                (self._write.alter(table, f"DROP COLUMN {name}"),), safe=False, caution=mend_columns.LOST
            )
        if finding.kind in ("trigger", "policy"):
            statement = f"DROP {finding.kind.upper()} IF EXISTS {name} ON {self._write.name(table)}"
            return Mend((statement,), safe=False, caution=_SOMEBODYS)
        statement = self._write.alter(table, f"DROP CONSTRAINT IF EXISTS {name}")
        return Mend((statement,), safe=False, caution=_SOMEBODYS)

    def _rename(self, finding: Finding) -> Mend:
        old, new = quoted(finding.found.name), quoted(finding.expected.name)
        if finding.kind == "index":
            return Mend((f"ALTER INDEX {self._write.name(finding.found.name)} RENAME TO {new}",))
        on = f"ON {self._write.name(finding.table or '')}"
        if finding.kind in ("trigger", "policy"):
            return Mend((f"ALTER {finding.kind.upper()} {old} {on} RENAME TO {new}",))
        if finding.kind == "column":
            caution = f"If {finding.found.name} is a column of its own, add {finding.expected.name} instead."
            statement = self._write.alter(finding.table or "", f"RENAME COLUMN {old} TO {new}")
            return Mend((statement,), safe=False, caution=caution)
        return Mend((self._write.alter(finding.table or "", f"RENAME CONSTRAINT {old} TO {new}"),))

    def _table(self, finding: Finding) -> Mend:
        create = tuple(self._write.table(finding.expected))
        if finding.problem == "missing":
            return Mend(create)
        kind = finding.found.kind
        if kind == "partitioned table":
            return Mend(safe=False, caution=_BY_HAND)
        name = self._write.name(finding.name)
        aside = f"ALTER {kind.upper()} {name} RENAME TO {quoted(_short(finding.name, '_aside'))}"
        return Mend((aside, *create), safe=False, caution=_ASIDE)

    def _column(self, finding: Finding) -> Mend:
        table = self._expected.table(finding.table or "")
        if finding.problem == "missing" or table is None:
            return mend_columns.missing(self._write, finding.table or "", finding.expected)
        return mend_columns.changed(self._write, self._live, table, finding.found, finding.expected)

    def _key(self, finding: Finding) -> Mend:
        table, one = finding.table or "", finding.expected
        word = "PRIMARY KEY" if finding.kind == "primary key" else "UNIQUE"
        name = quoted(one.name)
        drop = [f"DROP CONSTRAINT {name}"] if finding.problem == "changed" else []
        if any(" " in column for column in one.columns):
            actions = [*drop, f"ADD CONSTRAINT {name} {ddl.key(one, word)}"]
            return Mend((self._write.alter(table, *actions),), safe=False, caution=_LOCKED)
        # The index is built beside the traffic and only then becomes the constraint, under its name.
        built = _short(one.name, "_new") if drop else one.name
        index = Index(built, one.columns, unique=True, include=one.include, nulls_distinct=one.nulls_distinct)
        using = f"ADD CONSTRAINT {name} {word} USING INDEX {quoted(built)}"
        actions = [*drop, f"{using} {one.deferrable}" if one.deferrable else using]
        return Mend(
            (self._write.index(table, index), self._write.alter(table, *actions)), caution=_NO_DUPLICATES
        )

    def _constraint(self, finding: Finding) -> Mend:
        table, one = finding.table or "", finding.expected
        name = quoted(one.name)
        validate = self._write.alter(table, f"VALIDATE CONSTRAINT {name}")
        if finding.fields == ("validated",) and one.validated:
            return Mend((validate,), caution="It fails, and changes nothing, where a row breaks the rule.")
        definition = self._write.foreign_key(one) if isinstance(one, ForeignKey) else ddl.check(one)
        drop = [f"DROP CONSTRAINT {name}"] if finding.problem == "changed" else []
        add = self._write.alter(table, *drop, f"ADD CONSTRAINT {name} {definition} NOT VALID")
        return Mend((add, validate) if one.validated else (add,))

    def _exclusion(self, finding: Finding) -> Mend:
        name = quoted(finding.expected.name)
        drop = [f"DROP CONSTRAINT {name}"] if finding.problem == "changed" else []
        add = f"ADD CONSTRAINT {name} {finding.expected.definition}"
        return Mend((self._write.alter(finding.table or "", *drop, add),), safe=False, caution=_LOCKED)

    def _index(self, finding: Finding) -> Mend:
        table, one = finding.table or "", finding.expected
        caution = _NO_DUPLICATES if one.unique else ""
        if finding.problem == "missing":
            drop = [f"DROP CONSTRAINT IF EXISTS {quoted(one.name)}"]
            taken = self._constraint_named(table, one.name)
            free = [self._write.alter(table, *drop)] if taken else []
            return Mend((*free, self._write.index(table, one)), caution=caution)
        if finding.fields == ("valid",):
            return Mend((f"REINDEX INDEX CONCURRENTLY {self._write.name(one.name)}",), caution=caution)
        built = _short(one.name, "_new")
        return Mend(
            (
                self._write.index(table, one, name=built),
                f"DROP INDEX CONCURRENTLY {self._write.name(one.name)}",
                f"ALTER INDEX {self._write.name(built)} RENAME TO {quoted(one.name)}",
            ),
            caution=caution,
        )

    def _constraint_named(self, table: str, name: str) -> bool:
        live = self._live.table(table)
        return live is not None and any(one.name == name for one in live.uniques)

    def _trigger(self, finding: Finding) -> Mend:
        table, one = finding.table or "", finding.expected
        if finding.fields == ("enabled",):
            return Mend((self._write.enabling(table, one),))
        changed = finding.problem == "changed"
        drop = []
        if changed and (one.constraint or finding.found.constraint):
            drop = [f"DROP TRIGGER {quoted(one.name)} ON {self._write.name(table)}"]
        return Mend((*drop, *self._write.trigger(table, one, replace=changed and not drop)))

    def _policy(self, finding: Finding) -> Mend:
        table, one = finding.table or "", finding.expected
        create = self._write.policy(table, one)
        if finding.problem == "missing":
            return Mend((create,))
        drop = f"DROP POLICY {quoted(one.name)} ON {self._write.name(table)}"
        return Mend((drop, create), safe=False, caution=_GAP)

    def _function(self, finding: Finding) -> Mend:
        return Mend((self._write.function(finding.expected),))

    def _view(self, finding: Finding) -> Mend:
        create = self._write.view(finding.expected)
        if finding.problem == "missing":
            return Mend((create,))
        drop = f"DROP VIEW {self._write.name(finding.name)}"
        return Mend((drop, create), safe=False, caution=_GRANTS)

    def _row_security(self, finding: Finding) -> Mend:
        weaker = _STRENGTH.index(finding.expected.row_security) < _STRENGTH.index(finding.found.row_security)
        statement = self._write.row_security(finding.expected)
        return Mend((statement,), safe=not weaker, caution=_PROTECTION if weaker else "")

    def _persistence(self, finding: Finding) -> Mend:
        word = "UNLOGGED" if finding.expected.persistence == "unlogged" else "LOGGED"
        statement = self._write.alter(finding.name, f"SET {word}")
        return Mend((statement,), safe=False, caution=mend_columns.REWRITE)

    def _owner(self, finding: Finding) -> Mend:
        owner = finding.expected.owner or self._live.origin.owner
        return Mend((self._write.alter(finding.name, f"OWNER TO {quoted(str(owner))}"),))


_STRENGTH = ("off", "on", "forced")


def _short(name: str, suffix: str) -> str:
    """Return a name with a suffix, within the 63 bytes that PostgreSQL keeps."""
    return name.encode()[: 63 - len(suffix)].decode(errors="ignore") + suffix
