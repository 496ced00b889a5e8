"""Constraints on a table that has rows: all of them are read, and how long others wait for that is what matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, contract, listed, plain, rule, step
from diwa_schema.authoring.source import Source

FOREIGN_KEY = rule(
    "foreign-key-checks-rows",
    "A foreign key that is checked as it is added holds SHARE ROW EXCLUSIVE locks on both tables while all rows"
    " are read: neither can be written to.",
    step('add_foreign_key("{name}", "{table}", {columns}, "{referent}")'),
)
FOREIGN_KEYS = rule(
    "several-foreign-keys",
    "Each foreign key locks two tables against writes until the transaction ends, and two of them in one"
    " transaction can deadlock with an application that takes the tables in another order.",
    step('add_foreign_key("{name}", "{table}", {columns}, "{referent}")'),
)
CHECK = rule(
    "check-reads-rows",
    "A check that is validated as it is added holds an ACCESS EXCLUSIVE lock while all rows are read: reads wait"
    " too.",
    step('add_check("{name}", "{table}", "{condition}")'),
)
VALIDATE = rule(
    "validates-in-transaction",
    "VALIDATE in the transaction that added the constraint keeps that strong lock for as long as all rows are read.",
    step('add_check("{name}", "{table}", "{condition}")'),
)
UNIQUE = rule(
    "unique-builds-index",
    "A UNIQUE constraint builds its index under an ACCESS EXCLUSIVE lock; a unique index refuses the same rows,"
    " and is built while the table is used.",
    step('create_index_concurrently("{name}", "{table}", {columns}, unique=True)'),
)
PRIMARY_KEY = rule(
    "primary-key-builds-index",
    "A primary key builds its index, and for a new numbered column writes every row, under an ACCESS EXCLUSIVE lock.",
    step('create_index_concurrently("{name}", "{table}", {columns}, unique=True)'),
    step('set_not_null("{table}", "{column}")'),
)
EXCLUDE = rule(
    "exclude-reads-rows",
    "An EXCLUDE constraint reads all rows under an ACCESS EXCLUSIVE lock, and PostgreSQL has no NOT VALID for it;"
    " a new table has no rows to read.",
    plain(
        "op.create_table(",
        '    "{table}_checked",',
        '    sa.Column("id", UniqueId(), primary_key=True),',
        '    sa.Column("{column}", LongText()),',
        '    ExcludeConstraint(("{column}", "="), name="{name}"),',
        ")",
    ),
)
DROPPED = rule(
    "drops-foreign-key",
    "Without the foreign key, rows whose other half is gone come in from now on, and nothing will find them later.",
    contract('op.drop_constraint("{name}", "{table}", type_="foreignkey")'),
)


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield what is wrong with the constraints of a revision."""
    keys = 0
    for record in trace.existing():
        operation: Any = record.operation
        names = _names(operation)
        column = next(iter(names.get("_columns", ())), None)
        where = (source, record.line, record.table, column)
        if isinstance(operation, ops.CreateForeignKeyOp):
            keys += 1
            if keys > 1:
                yield FOREIGN_KEYS.found(*where, **names)
            elif not _unchecked(operation):
                yield FOREIGN_KEY.found(*where, **names)
        elif isinstance(operation, ops.CreateCheckConstraintOp) and not _unchecked(operation):
            yield CHECK.found(*where, **names)
        elif isinstance(operation, ops.CreateUniqueConstraintOp):
            yield UNIQUE.found(*where, **names)
        elif isinstance(operation, ops.CreatePrimaryKeyOp):
            yield PRIMARY_KEY.found(*where, **names)
        elif isinstance(operation, CreateExcludeConstraintOp):
            yield EXCLUDE.found(*where, **names)
        elif isinstance(operation, ops.DropConstraintOp) and operation.constraint_type == "foreignkey":
            if source.declared("phase") != "contract":
                yield DROPPED.found(*where, **names)
        elif isinstance(operation, ops.AddColumnOp):
            yield from _of_column(source, record, operation)


def _of_column(source: Source, record: Record, operation: ops.AddColumnOp) -> Iterator[Finding]:
    """Yield what is wrong with the constraints that come with a column, which Alembic adds behind it."""
    column = operation.column
    where = (source, record.line, record.table, column.name)
    if column.primary_key:
        name = f"{record.table}_{column.name}_index"
        yield PRIMARY_KEY.found(*where, name=name, columns=listed([column.name]))
    elif column.unique:
        name = f"{record.table}_{column.name}_index"
        yield UNIQUE.found(*where, name=name, columns=listed([column.name]))
    for key in () if operation.inline_references else column.foreign_keys:
        name = key.name or f"{record.table}_{column.name}_fkey"
        referent = key.target_fullname.rpartition(".")[0]
        yield FOREIGN_KEY.found(*where, name=name, columns=listed([column.name]), referent=referent)


def _names(operation: Any) -> dict[str, Any]:
    columns = getattr(operation, "columns", None) or getattr(operation, "local_cols", ())
    if isinstance(operation, CreateExcludeConstraintOp):
        columns = [getattr(column, "name", column) for column, _ in operation.elements]
    names = {
        "name": getattr(operation, "constraint_name", None),
        "referent": getattr(operation, "referent_table", None),
        "condition": getattr(operation, "condition", None),
    }
    found = {key: value for key, value in names.items() if value is not None}
    plain_columns = [column for column in columns if isinstance(column, str)]
    return {**found, "columns": listed(plain_columns), "_columns": plain_columns}


def _unchecked(operation: ops.AddConstraintOp) -> bool:
    return bool(getattr(operation, "kw", {}).get("postgresql_not_valid"))
