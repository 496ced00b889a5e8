"""Indexes: safe ways to build and drop them, and indexes to avoid."""

from __future__ import annotations

from collections.abc import Iterator

from alembic.operations import ops

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, listed, rule, step
from diwa_schema.authoring.source import Source

BUILT = step('create_index_concurrently("{name}", "{table}", {columns})')

BLOCKS = rule(
    "index-blocks-writes",
    "CREATE INDEX holds a SHARE lock on the table for the whole build, and every write waits for its end.",
    step('create_index_concurrently("{name}", "{table}", {columns}{unique})'),
)
DROP = rule(
    "index-drop-blocks",
    "DROP INDEX takes an ACCESS EXCLUSIVE lock on the table: it waits for each read, and later reads wait for it.",
    step('drop_index_concurrently("{name}", "{table}")'),
)
CONCURRENTLY = rule(
    "concurrently-in-transaction",
    "PostgreSQL refuses CONCURRENTLY inside a transaction. An interrupted build leaves an invalid index,"
    " which IF NOT EXISTS accepts; the step drops it and builds it again.",
    step('create_index_concurrently("{name}", "{table}", {columns}{unique})'),
)
REINDEX = rule(
    "reindex-blocks",
    "REINDEX holds an ACCESS EXCLUSIVE lock on the index during the build, and every query that would use"
    " it waits.",
    step('create_index_concurrently("{name}_again", "{table}", {columns})'),
    step('drop_index_concurrently("{name}", "{table}")'),
)
HASH = rule(
    "hash-index",
    "A hash index serves only equality and cannot be unique; the default kind serves equality too.",
    BUILT,
)
WIDE = rule(
    "wide-index",
    "A change of any column writes an index of more than 3 columns, and only its first columns narrow a"
    " search.",
    BUILT,
)

_WIDEST = 3


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the faults of a revision in its indexes."""
    for record in trace.records:
        if isinstance(record.operation, ops.CreateIndexOp):
            yield from _created(source, trace, record, record.operation)
    for record in trace.existing():
        operation = record.operation
        if isinstance(operation, ops.DropIndexOp) and record.plain:
            name = operation.index_name
            yield (CONCURRENTLY if _concurrently(operation) else DROP).found(
                source, record.line, record.table, name=name
            )


def _created(source: Source, trace: Trace, record: Record, operation: ops.CreateIndexOp) -> Iterator[Finding]:
    columns = [str(getattr(column, "text", column)) for column in operation.columns]
    names = {
        "name": operation.index_name or "NAME",
        "columns": listed(columns),
        "unique": ", unique=True" if operation.unique else "",
    }
    if operation.kw.get("postgresql_using") == "hash":
        yield HASH.found(source, record.line, record.table, columns[0], **names)
    elif len(columns) > _WIDEST and not operation.unique:
        narrow = {**names, "columns": listed(columns[:_WIDEST])}
        yield WIDE.found(source, record.line, record.table, **narrow)
    elif record.plain and _concurrently(operation):
        yield CONCURRENTLY.found(source, record.line, record.table, **names)
    elif record.plain and record.table not in trace.created:
        yield BLOCKS.found(source, record.line, record.table, **names)


def _concurrently(operation: ops.CreateIndexOp | ops.DropIndexOp) -> bool:
    return bool(operation.kw.get("postgresql_concurrently"))
