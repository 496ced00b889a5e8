"""Constraints on a table with rows: all rows are read, and the rules limit how long others wait for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, Rule, contract, listed, plain, rule, step
from diwa_schema.authoring.source import Source

FOREIGN_KEY = rule(
    "foreign-key-checks-rows",
    "A foreign key without NOT VALID reads all rows under SHARE ROW EXCLUSIVE locks on both tables, and"
    " nobody can write to either.",
    step('add_foreign_key("{name}", "{table}", {columns}, "{referent}")'),
)
FOREIGN_KEYS = rule(
    "several-foreign-keys",
    "Each foreign key locks two tables against writes until the transaction ends, and two of them in one"
    " transaction can deadlock with an application that uses the tables in another order.",
    step('add_foreign_key("{name}", "{table}", {columns}, "{referent}")'),
)
CHECK = rule(
    "check-reads-rows",
    "A check without NOT VALID reads all rows under an ACCESS EXCLUSIVE lock, so reads wait too.",
    step('add_check("{name}", "{table}", "{condition}")'),
)
VALIDATE = rule(
    "validates-in-transaction",
    "VALIDATE in the transaction that added the constraint reads all rows while that transaction holds its"
    " strong lock.",
    step('add_check("{name}", "{table}", "{condition}")'),
)
UNIQUE = rule(
    "unique-builds-index",
    "A UNIQUE constraint builds its index under an ACCESS EXCLUSIVE lock. A unique index refuses the same"
    " rows, and its build lets the application use the table.",
    step('create_index_concurrently("{name}", "{table}", {columns}, unique=True)'),
)
PRIMARY_KEY = rule(
    "primary-key-builds-index",
    "A primary key builds its index under an ACCESS EXCLUSIVE lock; with a new numbered column it also"
    " writes every row.",
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
    "Without the foreign key, new rows may refer to missing ones, and no later check finds them.",
    contract('op.drop_constraint("{name}", "{table}", type_="foreignkey")'),
)


_BUILDING = (
    (ops.CreateUniqueConstraintOp, UNIQUE),
    (ops.CreatePrimaryKeyOp, PRIMARY_KEY),
    (CreateExcludeConstraintOp, EXCLUDE),
)


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the faults of a revision in its constraints."""
    keys = 0
    for record in trace.records:
        if record.table in trace.created:
            continue
        if record.helper == "add_reference":
            keys += 1
            if keys > 1:
                yield FOREIGN_KEYS.found(source, record.line, record.table)
        if not record.plain:
            continue
        keys += isinstance(record.operation, ops.CreateForeignKeyOp)
        if isinstance(record.operation, ops.AddColumnOp):
            yield from _of_column(source, record, record.operation)
        elif (broken := _broken(source, record.operation, keys)) is not None:
            columns = _columns(record.operation)
            names = _names(record.operation)
            yield broken.found(
                source, record.line, record.table, next(iter(columns), None), columns=listed(columns), **names
            )


def _broken(source: Source, operation: ops.MigrateOperation, keys: int) -> Rule | None:
    """Return the rule that a constraint breaks.

    Args:
        source: The revision.
        operation: The operation.
        keys: The number of its foreign keys so far, including this one.
    """
    if isinstance(operation, ops.CreateForeignKeyOp):
        return FOREIGN_KEYS if keys > 1 else None if _unchecked(operation) else FOREIGN_KEY
    if isinstance(operation, ops.CreateCheckConstraintOp):
        return None if _unchecked(operation) else CHECK
    if isinstance(operation, ops.DropConstraintOp):
        drops = operation.constraint_type == "foreignkey" and source.declared("phase") != "contract"
        return DROPPED if drops else None
    return next((broken for kind, broken in _BUILDING if isinstance(operation, kind)), None)


def _of_column(source: Source, record: Record, operation: ops.AddColumnOp) -> Iterator[Finding]:
    """Yield the faults in the constraints of a new column, which Alembic adds after it."""
    column = operation.column
    where = (source, record.line, record.table, column.name)
    if column.primary_key:
        name = f"{record.table}_{column.name}_index"
        yield PRIMARY_KEY.found(*where, name=name, columns=listed([column.name]))
    elif column.unique:
        name = f"{record.table}_{column.name}_index"
        yield UNIQUE.found(*where, name=name, columns=listed([column.name]))
    for key in () if operation.inline_references else column.foreign_keys:
        name = str(key.name or f"{record.table}_{column.name}_fkey")
        referent = key.target_fullname.rpartition(".")[0]
        yield FOREIGN_KEY.found(*where, name=name, columns=listed([column.name]), referent=referent)


def _names(operation: Any) -> dict[str, Any]:
    names = {
        "name": getattr(operation, "constraint_name", None),
        "referent": getattr(operation, "referent_table", None),
        "condition": getattr(operation, "condition", None),
    }
    return {key: value for key, value in names.items() if value is not None}


def _columns(operation: Any) -> list[str]:
    if isinstance(operation, CreateExcludeConstraintOp):
        return [str(getattr(column, "name", column)) for column, _ in operation.elements or ()]
    columns = getattr(operation, "columns", None) or getattr(operation, "local_cols", None) or ()
    return [column for column in columns if isinstance(column, str)]


def _unchecked(operation: ops.AddConstraintOp) -> bool:
    return bool(getattr(operation, "kw", {}).get("postgresql_not_valid"))
