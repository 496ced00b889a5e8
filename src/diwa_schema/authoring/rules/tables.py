"""Tables and names: removals, renames, combined locks, and names that the server would change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, contract, plain, rule
from diwa_schema.authoring.source import Source
from diwa_schema.names import LONGEST, cut

_KEYED = (
    "op.create_table(",
    '    "{table}",',
    '    sa.Column("id", UniqueId(), nullable=False),',
    '    sa.PrimaryKeyConstraint("id", name="{table}_pkey"),',
    ")",
)

DROP = rule(
    "drops-table",
    "Running code still uses the table, its rows are lost, and a drop locks every table that a foreign key"
    " connects to it.",
    contract('steps.drop_table_unless_filled("{table}")'),
)
RENAME = rule(
    "renames-table",
    "Running code uses the old name, and each of its statements fails from that moment.",
    plain(*(line.replace("{table}", "{new}") for line in _KEYED)),
)
SEVERAL = rule(
    "locks-several-tables",
    "A transaction keeps the locks of all its statements until it ends. A user of one table waits for the"
    " work on the others, and two sessions with another order of tables deadlock.",
    plain('op.add_column("{first}", sa.Column("{column}", LongText()))'),
    plain('op.add_column("{table}", sa.Column("{column}", LongText()))'),
)
KEYLESS = rule(
    "table-without-key",
    "Without a primary key no row has an identity: a backfill cannot read the table in batches, and logical"
    " replication refuses updates.",
    plain(*_KEYED),
)
LONG = rule(
    "identifier-too-long",
    "PostgreSQL keeps 63 bytes of a name and cuts the rest without an error, so the schema then differs"
    " from its history.",
    plain('op.add_column("{table}", sa.Column("{short}", LongText()))'),
)
SCHEMA = rule(
    "names-a-schema",
    "The run names the schema (--schema), and one database has many of them. A name with a schema is right"
    " in only one.",
    plain('op.add_column("{table}", sa.Column("{column}", LongText()))'),
)

# Helpers that drop a table or a column. Whether the drop itself is safe is another question.
DROPPING = frozenset(
    {"drop_table_if_there", "drop_table_unless_filled", "drop_or_bring_back", "drop_indexed_columns"}
)
_STRONG = (
    ops.AddColumnOp, ops.AlterColumnOp, ops.AddConstraintOp, ops.CreateIndexOp, ops.DropColumnOp,
    ops.DropConstraintOp, ops.DropIndexOp, ops.DropTableOp, ops.RenameTableOp,
)  # fmt: skip


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the faults of a revision in its tables and their names."""
    expand = source.declared("phase") != "contract"
    for record in trace.records:
        if record.helper in DROPPING and expand:
            yield DROP.found(source, record.line, record.table)
        if record.plain:
            yield from _names(source, record)
            if isinstance(record.operation, ops.CreateTableOp):
                yield from _keyless(source, record, record.operation)
    if expand:
        for record in trace.existing():
            if isinstance(record.operation, ops.DropTableOp):
                yield DROP.found(source, record.line, record.table)
            elif isinstance(record.operation, ops.RenameTableOp):
                yield RENAME.found(source, record.line, record.table, new=record.operation.new_table_name)
    yield from _several(source, trace)


def _several(source: Source, trace: Trace) -> Iterator[Finding]:
    strong = [record for record in trace.existing() if isinstance(record.operation, _STRONG) and record.table]
    others = [record for record in strong if record.table != strong[0].table]
    if others:
        yield SEVERAL.found(source, others[0].line, others[0].table, first=strong[0].table)


def _keyless(source: Source, record: Record, operation: ops.CreateTableOp) -> Iterator[Finding]:
    keyed = any(
        isinstance(item, sa.PrimaryKeyConstraint) or (isinstance(item, sa.Column) and item.primary_key)
        for item in operation.columns
    )
    if not keyed:
        yield KEYLESS.found(source, record.line, record.table)


def _names(source: Source, record: Record) -> Iterator[Finding]:
    operation: Any = record.operation
    if getattr(operation, "schema", None) is not None:
        yield SCHEMA.found(source, record.line, record.table)
    given = [
        getattr(operation, name, None)
        for name in ("index_name", "constraint_name", "table_name", "new_table_name", "modify_name")
    ]
    items = [getattr(operation, "column", None), *getattr(operation, "columns", ())]
    given += [item.name for item in items if isinstance(item, sa.Column | sa.Constraint)]
    for name in given:
        if isinstance(name, str) and len(name.encode()) > LONGEST:
            yield LONG.found(source, record.line, record.table, short=cut(name))
