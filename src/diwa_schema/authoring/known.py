"""The knowledge about the tables that a revision meets, without a server.

A revision of this package's history meets the tables of the catalog at head, which ships with the package.
Revisions that are judged together follow each other, and each meets the objects of the earlier ones. Other
objects (a column that only a database has, a table of another history) are unknown, and no rule considers
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import postgresql

from diwa_schema.authoring.record import Record, Trace, table_of
from diwa_schema.authoring.source import Source
from diwa_schema.drift.model import Index, Table
from diwa_schema.drift.read import at_head
from diwa_schema.migrations import manifest

_PG = postgresql.dialect()  # type: ignore[no-untyped-call]

# The keywords of a replica identity.
WORDS = ("DEFAULT", "FULL", "NOTHING")

_NAME = r'(?:"[^"]+"|[\w$.])+'
_KEY = re.compile(
    rf"FOREIGN\s+KEY\s*\((?P<columns>[^)]*)\)\s*REFERENCES\s+(?P<referent>{_NAME})\s*(?:\((?P<remote>[^)]*)\))?",
    re.IGNORECASE,
)
_INDEX = re.compile(
    rf"CREATE\s+(?P<unique>UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{_NAME})\s+ON\s+"
    rf"(?:ONLY\s+)?{_NAME}\s*(?:USING\s+(?P<method>\w+)\s*)?\((?P<columns>.*?)\)\s*(?:WHERE\s+(?P<where>.*))?$",
    re.IGNORECASE | re.DOTALL,
)
_GONE = re.compile(rf"DROP\s+INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?(?P<name>{_NAME})", re.IGNORECASE)
_CONSTRAINT = rf"CONSTRAINT\s+(?:IF\s+EXISTS\s+)?(?P<name>{_NAME})"
_DROPPED = re.compile(rf"DROP\s+{_CONSTRAINT}", re.IGNORECASE)
_PRIMARY = re.compile(rf"ADD\s+(?:{_CONSTRAINT}\s+)?PRIMARY\s+KEY", re.IGNORECASE)
_CHECKED = re.compile(rf"ADD\s+{_CONSTRAINT}\s+CHECK\s*(?P<condition>\(.*\))", re.IGNORECASE | re.DOTALL)
_IDENTITY = re.compile(
    rf"REPLICA\s+IDENTITY\s+(?:(?P<word>{'|'.join(WORDS)})|USING\s+INDEX\s+(?P<index>{_NAME}))",
    re.IGNORECASE,
)
_TYPE = r"(?P<type>[\w ]+?(?:\([\d, ]+\))?(?:\[\d*\])*)"
_RETYPED = re.compile(
    rf"ALTER\s+(?:COLUMN\s+)?(?P<column>{_NAME})\s+(?:SET\s+DATA\s+)?TYPE\s+{_TYPE}"
    r"(?=\s+USING\b|\s+COLLATE\b|\s*,|\s*$)",
    re.IGNORECASE,
)
_ADDED = re.compile(
    rf"ADD\s+COLUMN\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<column>{_NAME})\s+{_TYPE}"
    r"(?=\s+(?:CHECK|COLLATE|CONSTRAINT|DEFAULT|GENERATED|NOT|NULL|PRIMARY|REFERENCES|UNIQUE)\b|\s*,|\s*$)"
    rf"(?:[^,]*?\bREFERENCES\s+(?P<referent>{_NAME})\s*(?:\((?P<remote>[^)]*)\))?)?",
    re.IGNORECASE,
)

# The method of `Known` that takes an operation.
_CHANGES: dict[type[ops.MigrateOperation], str] = {
    ops.AddColumnOp: "_add_column",
    ops.AlterColumnOp: "_alter_column",
    ops.CreateCheckConstraintOp: "_create_check",
    ops.CreateIndexOp: "_create_index",
    ops.CreatePrimaryKeyOp: "_create_primary_key",
    ops.CreateTableOp: "_create_table",
    ops.CreateUniqueConstraintOp: "_create_unique",
    ops.DropColumnOp: "_drop_column",
    ops.DropConstraintOp: "_drop_constraint",
    ops.DropIndexOp: "_drop_index",
    ops.DropTableOp: "_drop_table",
    ops.RenameTableOp: "_rename_table",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that a revision adds.

    Args:
        table: The table that refers.
        columns: The columns that refer.
        referent: The table referred to.
        remote: The columns referred to.
    """

    table: str
    columns: tuple[str, ...]
    referent: str
    remote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retyping:
    """A change of the type of a column.

    Args:
        table: Its table.
        column: The column.
        before: The earlier type; None if it is unknown.
        after: The later type.
    """

    table: str
    column: str
    before: str | None
    after: str


@dataclass(slots=True)
class Known:
    """The tables at one moment, as far as they are known.

    Args:
        types: The type of each column, by table and column.
        indexes: The indexes, those of keys and unique constraints included, by table and name.
        checks: The conditions of checks, by table and name.
        identities: The index of the replica identity, or its keyword, by table.
        primary: The name of the primary key, by table.
    """

    types: dict[tuple[str, str], str] = field(default_factory=dict)
    indexes: dict[tuple[str, str], Index] = field(default_factory=dict)
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    primary: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Iterable[Table]) -> Known:
        """Return the knowledge from a catalog."""
        known = cls()
        for table in tables:
            for column in table.columns:
                known.types[table.name, column.name] = column.type
            for index in table.indexes:
                known.indexes[table.name, index.name] = index
            for other in table.others:
                if other.kind == "check":
                    known.checks[table.name, other.name] = other.definition.removeprefix("CHECK ")
                elif other.kind == "unique constraint" and (
                    found := re.search(r"\(([^)]*)\)", other.definition)
                ):
                    known.indexes[table.name, other.name] = Index(other.name, _split(found[1]), unique=True)
            if table.primary_key is not None:
                known._make_primary(table.name, table.primary_key.name, table.primary_key.columns)
            known.identities[table.name] = table.replica_identity.removeprefix("USING INDEX ")
        return known

    def of_table(self, table: str) -> Iterator[Index]:
        """Yield the indexes of a table."""
        return (index for (name, _), index in self.indexes.items() if name == table)

    def take(self, record: Record) -> None:
        """Apply an operation, of the revision or of a step."""
        operation: Any = record.operation
        if (change := _CHANGES.get(type(operation))) is not None:
            getattr(self, change)(str(record.table), operation)
        for statement in statements(record):
            self._read(statement)

    def add(self, other: Known) -> None:
        """Add the knowledge of another one."""
        for one in fields(self):
            getattr(self, one.name).update(getattr(other, one.name))

    def copy(self) -> Known:
        """Return an independent copy."""
        return Known(**{one.name: dict(getattr(self, one.name)) for one in fields(self)})

    def _create_table(self, table: str, operation: ops.CreateTableOp) -> None:
        made = operation.to_table()
        self._drop_table(table)
        for column in made.columns:
            self._add(table, column)
        for index in made.indexes:
            self.indexes[table, str(index.name)] = Index(str(index.name), _keys(index.expressions))
        for one in made.constraints:
            columns = tuple(column.name for column in getattr(one, "columns", ()))
            if isinstance(one, sa.PrimaryKeyConstraint) and columns:
                self._make_primary(table, str(one.name or f"{table}_pkey"), columns)
            elif isinstance(one, sa.UniqueConstraint):
                name = str(one.name or f"{table}_{'_'.join(columns)}_key")
                self.indexes[table, name] = Index(name, columns, unique=True)
            elif isinstance(one, sa.CheckConstraint):
                self.checks[table, str(one.name)] = _sql(one.sqltext)

    def _add_column(self, table: str, operation: ops.AddColumnOp) -> None:
        self._add(table, operation.column)

    def _add(self, table: str, column: sa.Column[Any]) -> None:
        self.types[table, column.name] = written(column.type)
        name = f"{table}_{column.name}_key" if column.unique else f"ix_{table}_{column.name}"
        if column.unique or column.index:
            self.indexes[table, name] = Index(name, (column.name,), unique=bool(column.unique))

    def _drop_column(self, table: str, operation: ops.DropColumnOp) -> None:
        column = operation.column_name
        self.types.pop((table, column), None)
        for key, index in list(self.indexes.items()):
            if key[0] == table and any(mentions(one, column) for one in (*index.columns, index.predicate)):
                del self.indexes[key]
        for key, condition in list(self.checks.items()):
            if key[0] == table and mentions(condition, column):
                del self.checks[key]

    def _alter_column(self, table: str, operation: ops.AlterColumnOp) -> None:
        column = operation.column_name
        if operation.modify_type is not None:
            self.types[table, column] = written(sa.types.to_instance(operation.modify_type))
        if operation.modify_name is not None and (kind := self.types.pop((table, column), None)) is not None:
            self.types[table, operation.modify_name] = kind

    def _make_primary(self, table: str, name: str, columns: Iterable[str]) -> None:
        self.primary[table] = name
        self.indexes[table, name] = Index(name, tuple(columns), unique=True)

    def _drop_index(self, _table: str, operation: ops.DropIndexOp) -> None:
        self._without_index(str(operation.index_name))

    def _without_index(self, name: str) -> None:
        for key in [key for key in self.indexes if key[1] == name]:
            del self.indexes[key]

    def _drop_constraint(self, table: str, operation: ops.DropConstraintOp) -> None:
        self._without_constraint(table, str(operation.constraint_name))

    def _without_constraint(self, table: str, name: str) -> None:
        self.checks.pop((table, name), None)
        self.indexes.pop((table, name), None)
        if self.primary.get(table) == name:
            del self.primary[table]

    def _drop_table(self, table: str, _operation: object = None) -> None:
        for parts in self._parts():
            for key in [key for key in parts if key[0] == table]:
                del parts[key]
        for names in (self.identities, self.primary):
            names.pop(table, None)

    def _rename_table(self, table: str, operation: ops.RenameTableOp) -> None:
        new = str(operation.new_table_name)
        for parts in self._parts():
            for key in [key for key in parts if key[0] == table]:
                parts[new, key[1]] = parts.pop(key)
        for names in (self.identities, self.primary):
            if table in names:
                names[new] = names.pop(table)

    def _parts(self) -> tuple[dict[tuple[str, str], Any], ...]:
        return self.types, self.indexes, self.checks

    def _create_index(self, table: str, operation: ops.CreateIndexOp) -> None:
        name = str(operation.index_name)
        self.indexes[table, name] = _index(name, operation)

    def _create_unique(self, table: str, operation: ops.CreateUniqueConstraintOp) -> None:
        name = str(operation.constraint_name)
        self.indexes[table, name] = Index(name, tuple(map(str, operation.columns)), unique=True)

    def _create_primary_key(self, table: str, operation: ops.CreatePrimaryKeyOp) -> None:
        name = str(operation.constraint_name or f"{table}_pkey")
        self._make_primary(table, name, map(str, operation.columns))

    def _create_check(self, table: str, operation: ops.CreateCheckConstraintOp) -> None:
        self.checks[table, str(operation.constraint_name)] = _sql(operation.condition)

    def _read(self, statement: str) -> None:
        """Apply a statement that is written as text."""
        if gone := _GONE.match(statement):
            self._without_index(bare(gone["name"]))
        table = table_of(statement)
        if table is None:
            return
        if made := _INDEX.match(statement):
            self.indexes[table, bare(made["name"])] = Index(
                bare(made["name"]),
                _split(made["columns"]),
                unique=bool(made["unique"]),
                method=(made["method"] or "btree").lower(),
                predicate=made["where"],
            )
        for dropped in _DROPPED.finditer(statement):
            self._without_constraint(table, bare(dropped["name"]))
        if keyed := _PRIMARY.search(statement):
            self.primary[table] = bare(keyed["name"] or f"{table}_pkey")
        for checked in _CHECKED.finditer(statement):
            self.checks[table, bare(checked["name"])] = checked["condition"]
        for added in _ADDED.finditer(statement):
            self.types[table, bare(added["column"])] = added["type"]
        for retyped in _RETYPED.finditer(statement):
            self.types[table, bare(retyped["column"])] = retyped["type"]
        if identity := _IDENTITY.search(statement):
            self.identities[table] = (
                bare(identity["index"]) if identity["index"] else identity["word"].upper()
            )


class Surroundings:
    """The tables that revisions meet which are judged together.

    Args:
        revisions: The revisions with their operations, in any order.
    """

    def __init__(self, revisions: Sequence[tuple[Source, Trace]]) -> None:
        # A trace without an end may stop in a meaningless operation.
        self._records = {
            source.revision: trace.records if trace.failure is None else [] for source, trace in revisions
        }
        self._down = {source.revision: _down(source) for source, _ in revisions}
        self._ours: dict[str, bool] = {}
        self._before: dict[str, Known] = {}
        self._ends: dict[bool, Known] = {}
        self._follow()

    def moments(self, revision: str) -> Iterator[tuple[Record, Known]]:
        """Yield each operation of a revision with the knowledge before it, which changes with each one."""
        known = self._before[revision].copy()
        for record in self._records[revision]:
            yield record, known
            known.take(record)

    def end(self, revision: str) -> Known:
        """Return the knowledge after all revisions that are judged together with one."""
        return self._ends[self._ours[revision]]

    def _follow(self) -> None:
        ids = set(manifest.load().ids)
        head = Known.of(at_head("postgresql").tables)
        self._ends = {True: head.copy(), False: Known()}
        after: dict[str, Known] = {}
        for one in self._in_order():
            down = self._down[one]
            ours = one in ids or any(other in ids or self._ours.get(other, False) for other in down)
            met = [after[other] for other in down if other in after]
            known = met[0].copy() if met else head.copy() if ours else Known()
            for other in met[1:]:
                known.add(other)
            self._ours[one], self._before[one] = ours, known.copy()
            for record in self._records[one]:
                known.take(record)
                self._ends[ours].take(record)
            after[one] = known

    def _in_order(self) -> list[str]:
        """Return the revisions, each after its predecessors."""
        order: dict[str, None] = {}
        met: set[str] = set()
        waiting = [(one, False) for one in reversed(self._records)]
        while waiting:
            one, earlier = waiting.pop()
            if earlier:
                order[one] = None
            elif one in self._records and one not in met:
                met.add(one)
                waiting += [(one, True), *((other, False) for other in self._down[one])]
        return list(order)


def references(record: Record) -> list[Reference]:
    """Return the foreign keys that an operation adds."""
    operation: Any = record.operation
    table = str(record.table)
    if isinstance(operation, ops.CreateForeignKeyOp):
        local, remote = tuple(operation.local_cols), tuple(operation.remote_cols)
        return [Reference(table, local, str(operation.referent_table), remote)]
    if isinstance(operation, ops.AddColumnOp):
        column = operation.column
        return [_reference(table, [(column.name, key)]) for key in column.foreign_keys]
    if isinstance(operation, ops.CreateTableOp):
        return [
            _reference(table, [(str(key.parent.name), key) for key in one.elements])
            for one in operation.to_table().foreign_key_constraints
        ]
    written_out = [(named, one) for one in statements(record) if (named := table_of(one)) is not None]
    return [
        Reference(named, _split(key["columns"]), bare(key["referent"]), _split(key["remote"] or "id"))
        for named, statement in written_out
        for key in _KEY.finditer(statement)
    ] + [
        Reference(
            named, (bare(column["column"]),), bare(column["referent"]), _split(column["remote"] or "id")
        )
        for named, statement in written_out
        for column in _ADDED.finditer(statement)
        if column["referent"]
    ]


def retypings(record: Record, known: Known) -> list[Retyping]:
    """Return the columns whose type an operation changes.

    Args:
        record: The operation.
        known: The knowledge before it.
    """
    operation, table = record.operation, str(record.table)
    if isinstance(operation, ops.AlterColumnOp):
        if operation.modify_type is None:
            return []
        after = written(sa.types.to_instance(operation.modify_type))
        column = operation.column_name
        return [Retyping(table, column, known.types.get((table, column)), after)]
    return [
        Retyping(named, column, known.types.get((named, column)), found["type"])
        for statement in statements(record)
        if (named := table_of(statement)) is not None
        for found in _RETYPED.finditer(statement)
        for column in [bare(found["column"])]
    ]


def statements(record: Record) -> list[str]:
    """Return the statements of SQL that was written as text, without blocks of code."""
    text = record.statement
    return [] if "$" in text else [one for each in text.split(";") if (one := each.strip())]


def bare(name: str) -> str:
    """Return a name of SQL without its schema and quotes."""
    return name.rpartition(".")[2].strip('"')


def written(kind: sa.types.TypeEngine[Any]) -> str:
    """Return a type in the words of PostgreSQL."""
    return kind.compile(dialect=_PG)


def mentions(expression: str | None, column: str) -> bool:
    """Return whether an expression names a column; a value or a type in it does not count."""
    if expression is None:
        return False
    bared = re.sub(r"'(?:[^']|'')*'|::\s*\"?\w+\"?", " ", expression)
    return re.search(rf'(?<![\w.]){re.escape(column)}(?![\w(])|"{re.escape(column)}"', bared) is not None


def _reference(table: str, keys: list[tuple[str, sa.ForeignKey]]) -> Reference:
    targets = [key.target_fullname.split(".") for _, key in keys]
    return Reference(
        table, tuple(name for name, _ in keys), targets[0][-2], tuple(target[-1] for target in targets)
    )


def _down(source: Source) -> tuple[str, ...]:
    given = source.declared("down_revision")
    return (given,) if isinstance(given, str) else tuple(map(str, given or ()))


def _index(name: str, operation: ops.CreateIndexOp) -> Index:
    where = operation.kw.get("postgresql_where")
    return Index(
        name,
        _keys(operation.columns),
        unique=bool(operation.unique),
        method=operation.kw.get("postgresql_using") or "btree",
        predicate=None if where is None else _sql(where),
    )


def _keys(columns: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(getattr(column, "name", None) or _sql(column)) for column in columns)


def _sql(expression: Any) -> str:
    if isinstance(expression, str):
        return expression
    return str(expression.compile(dialect=_PG, compile_kwargs={"literal_binds": True}))


def _split(columns: str) -> tuple[str, ...]:
    return tuple(bare(one.strip()) if one.strip().replace('"', "").isidentifier() else one.strip()
                 for one in columns.split(","))  # fmt: skip
