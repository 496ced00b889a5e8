"""Columns: the cost of a new one, and the effect of a change on rows, locks and running code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import postgresql

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, contract, plain, rule, step
from diwa_schema.authoring.source import Source
from diwa_schema.names import literal

_NOT_NULL = step('set_not_null("{table}", "{column}")')
_BACKFILL = """backfill("{table}", "{column} = %s", where="{column} IS NULL")"""
_NULLABLE = plain('op.add_column("{table}", sa.Column("{column}", {type}))')
_SUCCESSOR = plain('op.add_column("{table}", sa.Column("{column}_as_{kind}", {type}))')

NOT_NULL = rule(
    "not-null-reads-rows",
    "SET NOT NULL reads all rows under an ACCESS EXCLUSIVE lock, unless a validated check already excludes"
    " NULL. The step adds this check, validates it and drops it.",
    step(_BACKFILL % "{value}"),
    _NOT_NULL,
)
REQUIRED = rule(
    "required-column",
    "PostgreSQL refuses a NOT NULL column without a default if the table has a row, and every INSERT"
    " without the column fails.",
    plain('op.add_column("{table}", sa.Column("{column}", {type}{options}))'),
)
DEFAULT = rule(
    "default-rewrites",
    "A default with another value in each row rewrites the table under an ACCESS EXCLUSIVE lock (seen:"
    " gen_random_uuid() makes a new relfilenode, a constant does not).",
    _NULLABLE,
    plain('op.alter_column("{table}", "{column}", server_default=sa.text("{default}"))'),
    step(_BACKFILL % "{default}"),
)
GENERATED = rule(
    "generated-column-rewrites",
    "PostgreSQL computes a stored generated column for every row under an ACCESS EXCLUSIVE lock.",
    _NULLABLE,
    step(_BACKFILL % "{expression}"),
)
RESULT = rule(
    "changes-result-type",
    "Prepared statements of open connections fail with SQLSTATE 0A000 when the type or length of a result"
    " changes: 2,293 of 4,813 calls failed on a connection in AUTOCOMMIT, which never recovered. With Ecto,"
    " 177 of 177 calls failed because their parameter no longer fitted.",
    _SUCCESSOR,
)
RETYPE = rule(
    "retype-rewrites",
    "ALTER TYPE rewrites all rows and all indexes under an ACCESS EXCLUSIVE lock (seen: int to bigint makes"
    " a new relfilenode).",
    _SUCCESSOR,
)
RENAME = rule(
    "renames-column",
    "Running code fails with 42703 from the moment of the rename, because an ORM names every column in"
    " every statement.",
    plain('op.add_column("{table}", sa.Column("{new}", {type}))'),
    step("""backfill("{table}", "{new} = {column}", where="{new} IS DISTINCT FROM {column}")"""),
)
DROP = rule(
    "drops-column",
    "Running code still selects the column and fails with 42703 (0A000 for SELECT *), and its values are lost.",
    contract('op.drop_column("{table}", "{column}")'),
)
NULLABLE = rule(
    "drops-not-null",
    "Running code does not expect NULL, and fails at the first row that has one.",
    contract('op.alter_column("{table}", "{column}", nullable=True)'),
)
JSON = rule(
    "json-type",
    "The type json has no equality, so DISTINCT, GROUP BY and UNION fail on it; Document is jsonb.",
    plain('op.add_column("{table}", sa.Column("{column}", Document()))'),
)
CHAR = rule(
    "char-type",
    "char(n) pads with spaces, so a read returns another value than the written one.",
    plain('op.add_column("{table}", sa.Column("{column}", ShortText()))'),
)
ENUM = rule(
    "enum-type",
    "An enum type never loses a value, and a new value needs a statement of its own. A text with a check"
    " can change both ways.",
    plain('op.add_column("{table}", sa.Column("{column}", ShortText()))'),
    step("""add_check("{table}_{column}_check", "{table}", "{column} IN ({values})")"""),
)
SHORT_KEY = rule(
    "short-key",
    "An integer key ends at 2,147,483,647. A longer type later rewrites the table and every table that"
    " refers to it.",
    plain(
        "op.create_table(",
        '    "{table}",',
        '    sa.Column("{column}", UniqueId(), nullable=False),',
        '    sa.PrimaryKeyConstraint("{column}", name="{table}_pkey"),',
        ")",
    ),
)

_PG = postgresql.dialect()  # type: ignore[no-untyped-call]
CONSTANT = re.compile(
    r"""\(*(?:E?'(?:[^']|'')*'|[-+]?[\d.]+(?:e[-+]?\d+)?|true|false|null
        |(?:now|transaction_timestamp|statement_timestamp)\(\)|current_(?:date|timestamp|user)|localtimestamp)\)*
        (?:\s*::\s*[\w ]+(?:\([\d, ]+\))?(?:\[\])?)*(?:\s+AT\s+TIME\s+ZONE\s+'\w+')?\)*""",
    re.IGNORECASE | re.VERBOSE,
)


def check(source: Source, trace: Trace, kept: Collection[tuple[int, str, str]] = ()) -> Iterator[Finding]:
    """Yield the faults of a revision in its columns.

    Args:
        source: The revision.
        trace: Its operations.
        kept: The line, table and column of each change of type that leaves the rows unchanged.
    """
    # The type is as bad in a new table, in which another choice is still cheap.
    for record in trace.records:
        operation = record.operation
        if record.plain and isinstance(operation, ops.CreateTableOp):
            columns = [column for column in operation.columns if isinstance(column, sa.Column)]
            keys = {
                column if isinstance(column, str) else column.name
                for key in operation.columns
                if isinstance(key, sa.PrimaryKeyConstraint)
                for column in (key._pending_colargs or key.columns)  # noqa: SLF001 - no table has it yet
                if column is not None
            }
            for column in columns:
                yield from _types(source, record, column, key=column.primary_key or column.name in keys)
    for record in trace.existing():
        if isinstance(record.operation, ops.AddColumnOp):
            yield from _added(source, record, record.operation.column)
        elif isinstance(record.operation, ops.AlterColumnOp):
            yield from _altered(source, record, record.operation, kept)
        elif isinstance(record.operation, ops.DropColumnOp) and source.declared("phase") != "contract":
            yield DROP.found(source, record.line, record.table, record.operation.column_name)
    yield from _retyped(source, trace)


def _retyped(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the columns whose type a step changes; the revision has to name them."""
    if source.declared("phase") == "contract":
        return
    for name in source.declared("retypes", ()):
        table, _, column = str(name).partition(".")
        if table not in trace.created:
            names: dict[str, Any] = {"kind": "vector", "type": "Embedding()"}
            yield RESULT.found(source, source.line("retypes"), table, column, **names)


def _added(source: Source, record: Record, column: sa.Column[Any]) -> Iterator[Finding]:
    where = (source, record.line, record.table, column.name)
    if column.primary_key:
        return
    if column.computed is not None:
        if column.computed.persisted is not False:
            yield GENERATED.found(*where, type=_shown(column.type), expression=_sql(column.computed.sqltext))
    elif column.server_default is not None:
        default = _default(column.server_default)
        if not CONSTANT.fullmatch(default):
            yield DEFAULT.found(*where, type=_shown(column.type), default=default)
    elif not column.nullable and column.identity is None:
        yield REQUIRED.found(*where, type=_shown(column.type), options=_constant(column.type))
    yield from _types(source, record, column, key=False)


def _altered(
    source: Source, record: Record, operation: ops.AlterColumnOp, kept: Collection[tuple[int, str, str]]
) -> Iterator[Finding]:
    where = (source, record.line, record.table, operation.column_name)
    expand = source.declared("phase") != "contract"
    if operation.modify_name is not None and expand:
        kind = operation.existing_type
        known: dict[str, Any] = {"type": _shown(sa.types.to_instance(kind))} if kind is not None else {}
        yield RENAME.found(*where, new=operation.modify_name, **known)
    if operation.modify_type is not None:
        kind = sa.types.to_instance(operation.modify_type)
        names: dict[str, Any] = {"kind": type(kind).__name__.lower(), "type": _shown(kind)}
        if expand:
            yield RESULT.found(*where, **names)
        elif (record.line, record.table, operation.column_name) not in kept:
            yield RETYPE.found(*where, **names)
    if operation.modify_nullable is False:
        yield NOT_NULL.found(*where)
    elif operation.modify_nullable is True and expand:
        yield NULLABLE.found(*where)


def _types(source: Source, record: Record, column: sa.Column[Any], *, key: bool) -> Iterator[Finding]:
    where = (source, record.line, record.table, column.name)
    if isinstance(column.type, sa.Enum):
        if column.type.native_enum:
            values = ", ".join(f"'{value}'" for value in column.type.enums)
            yield ENUM.found(*where, values=values)
        return
    written = column.type.compile(dialect=_PG)
    if written == "JSON":
        yield JSON.found(*where)
    elif re.fullmatch(r"CHAR(ACTER)?(\(\d+\))?", written):
        yield CHAR.found(*where)
    elif key and written in ("INTEGER", "SMALLINT"):
        yield SHORT_KEY.found(*where)


def _constant(kind: sa.types.TypeEngine[Any]) -> str:
    """Return the options of a column that old code can omit; NULL if there is no obvious constant."""
    try:
        value = {str: "''", int: "0", float: "0", bool: "false"}.get(kind.python_type)
    except NotImplementedError:
        value = None
    return f', server_default=sa.text("{value}"), nullable=False' if value else ", nullable=True"


def _default(default: Any) -> str:
    given = getattr(default, "arg", default)
    return literal(given) if isinstance(given, str) else _sql(given)


def _sql(expression: Any) -> str:
    return str(expression.compile(dialect=_PG, compile_kwargs={"literal_binds": True}))


def _shown(kind: sa.types.TypeEngine[Any]) -> str:
    """Return a type in the code of a revision."""
    home = "" if type(kind).__module__.startswith("diwa_schema") else "sa."
    return f"{home}{kind!r}"
