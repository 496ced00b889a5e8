"""Rules that need more than the revision: the objects on a column, and the referent of a key.

The tables that the revision meets are known from the catalog at head and from the revisions that are judged together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from alembic.operations import ops

from diwa_schema.authoring import written
from diwa_schema.authoring.known import (
    WORDS,
    Known,
    Reference,
    Retyping,
    Surroundings,
    mentions,
    references,
    retypings,
    statements,
)
from diwa_schema.authoring.record import Record, Trace, table_of
from diwa_schema.authoring.rule import Finding, contract, listed, plain, rule, step
from diwa_schema.authoring.rules import columns
from diwa_schema.authoring.source import Source
from diwa_schema.drift.model import Column, Index
from diwa_schema.drift.postgresql.types import keeps_rows, read, same

if TYPE_CHECKING:
    from collections.abc import Collection

CHECKS = rule(
    "retype-checks-rows",
    "A type that accepts all values unchanged rewrites nothing, but PostgreSQL then checks every row"
    " against a check of the column under an ACCESS EXCLUSIVE lock (seen: 0.4 s for 1,000,000 rows, and"
    " 0.01 s without the check).",
    contract(
        'op.drop_constraint("{name}", "{table}", type_="check")',
        'op.alter_column("{table}", "{column}", type_={type})',
        'op.create_check_constraint("{name}", "{table}", "{condition}", postgresql_not_valid=True)',
    ),
    step('add_check("{name}", "{table}", "{condition}")'),
)
BUILDS = rule(
    "retype-builds-index",
    "A type that accepts all values unchanged keeps a plain index, but PostgreSQL rebuilds an index with an"
    " expression or condition on the column under an ACCESS EXCLUSIVE lock (seen: 1.1 s for 1,000,000"
    " rows).",
    plain('op.add_column("{table}", sa.Column("{column}_as_{kind}", {type}))'),
)
UNINDEXED = rule(
    "foreign-key-without-index",
    "Without an index that begins with a column of the foreign key, each DELETE in the other table, and"
    " each change of a key there, reads this whole table (seen: 213 ms with 1,000,000 rows, and 7 ms with"
    " the index).",
    step('create_index_concurrently("{name}", "{table}", {columns})'),
)
MISMATCHED = rule(
    "foreign-key-of-another-type",
    "A column of another type than its referent holds fewer values or needs a cast at every comparison."
    " Without an operator for the two types, PostgreSQL refuses the foreign key (42804).",
    plain('op.add_column("{table}", sa.Column("{column}_as_{kind}", {type}))'),
    step('create_index_concurrently("{table}_{column}_as_{kind}_index", "{table}", ["{column}_as_{kind}"])'),
    step(
        'add_foreign_key("{table}_{column}_as_{kind}_fkey", "{table}", ["{column}_as_{kind}"], "{referent}")'
    ),
)
IDENTITY = rule(
    "drops-replica-identity",
    "Without the index of its replica identity, a published table refuses every UPDATE and DELETE (seen:"
    " 55000).",
    plain('op.execute("ALTER TABLE {table} REPLICA IDENTITY DEFAULT")'),
    step('drop_index_concurrently("{name}", "{table}")'),
)
PRIMARY_KEY = rule(
    "drops-primary-key",
    "The primary key tells a subscriber which row changed. Without it, a published table refuses every"
    " UPDATE and DELETE (seen: 55000), and a backfill cannot read the table in batches.",
    step('create_index_concurrently("{name}_again", "{table}", {columns}, unique=True)'),
    plain(
        "op.execute(",
        '    "ALTER TABLE {table} DROP CONSTRAINT {name},"',
        '    " ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}_again"',
        ")",
    ),
)

# Only these methods find the rows with a given value.
_FINDING = ("btree", "hash")


def keeping(source: Source, around: Surroundings) -> frozenset[tuple[int, str, str]]:
    """Return the line, table and column of each change of type that leaves the rows unchanged.

    Args:
        source: The revision.
        around: What it meets.
    """
    return frozenset(
        (record.line, one.table, one.column)
        for record, known in around.moments(source.revision)
        if isinstance(record.operation, ops.AlterColumnOp)
        for one in retypings(record, known)
        if one.before is not None and keeps_rows(one.before, one.after)
    )


def check(source: Source, trace: Trace, around: Surroundings, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the faults of a revision that follow from the tables it meets.

    Args:
        source: The revision.
        trace: What it does.
        around: What it meets.
        found: The earlier findings: for a rewrite of all rows, a read of them is not reported.
    """
    rewriting = {(one.line, one.table) for one in found if one.rule == columns.RETYPE.id}
    keyed = any(record.table and _makes_primary(record) for record in trace.records)
    for record, known in around.moments(source.revision):
        if not record.plain and not isinstance(record.operation, ops.DropIndexOp):
            continue
        if isinstance(record.operation, ops.DropIndexOp) or record.statement:
            yield from _identity(source, record, known)
        if record.plain and not keyed:
            yield from _primary(source, record, known)
        if record.table in trace.created or (record.line, record.table) in rewriting or not record.plain:
            continue
        for one in retypings(record, known):
            yield from _retyped(source, record, one, known)
    given = [(record, one) for record, _ in around.moments(source.revision) for one in references(record)]
    end = around.end(source.revision) if given else Known()
    for record, key in given:
        yield from _reference(source, record, key, end)


def _retyped(source: Source, record: Record, one: Retyping, known: Known) -> Iterator[Finding]:
    if one.before is None or not keeps_rows(one.before, one.after):
        return
    where = (source, record.line, one.table, one.column)
    for (table, name), condition in known.checks.items():
        if table == one.table and mentions(condition, one.column):
            yield CHECKS.found(*where, name=name, condition=_quoted(condition), type=_spelled(one.after))
    if any(_depends(index, one.column) for index in known.of_table(one.table)):
        yield BUILDS.found(*where, kind=_named(one.after), type=_spelled(one.after))


def _depends(index: Index, column: str) -> bool:
    """Return whether PostgreSQL rebuilds an index for a type that leaves the rows unchanged.

    PostgreSQL does not compare expressions: an index with an expression or a condition counts as another index.
    """
    computed = index.predicate is not None or any("(" in one for one in index.columns)
    return computed and any(
        mentions(part, column) for part in (*index.columns, *index.include, index.predicate)
    )


def _reference(source: Source, record: Record, key: Reference, end: Known) -> Iterator[Finding]:
    kinds = [end.types.get((key.table, column)) for column in key.columns]
    if None in kinds:
        return
    column = key.columns[0]
    if not any(_serves(index, key.columns) for index in end.of_table(key.table)):
        name = f"{key.table}_{column}_index"
        yield UNINDEXED.found(source, record.line, key.table, column, name=name, columns=listed(key.columns))
    for column, kind, remote in zip(key.columns, kinds, key.remote, strict=False):
        target = end.types.get((key.referent, remote))
        if kind is not None and target is not None and not same(kind, target):
            yield MISMATCHED.found(
                source, record.line, key.table, column,
                kind=_named(target), type=_spelled(target), referent=key.referent,
            )  # fmt: skip


def _serves(index: Index, of: Collection[str]) -> bool:
    """Return whether an index finds the rows that refer to a row; it may lack NULL, which refers to none."""
    first = index.columns[0].partition(" ")[0].strip('"')
    whole = index.predicate is None or any(
        re.fullmatch(rf'\(*"?{re.escape(one)}"?\s+IS\s+NOT\s+NULL\)*', index.predicate.strip(), re.IGNORECASE)
        for one in of
    )
    return index.valid and index.method in _FINDING and whole and first in of


def _identity(source: Source, record: Record, known: Known) -> Iterator[Finding]:
    """Yield the dropped indexes that are the replica identity of their table."""
    told = {one for one in known.identities.items() if one[1] not in WORDS}
    after = Known(indexes={one: Index(one[1], ()) for one in told}, identities=dict(known.identities))
    after.take(record)
    for table, name in sorted(told):
        if (table, name) not in after.indexes and after.identities.get(table) == name:
            yield IDENTITY.found(source, record.line, table, name=name)


def _primary(source: Source, record: Record, known: Known) -> Iterator[Finding]:
    """Yield the dropped primary key of a table without another replica identity."""
    operation = record.operation
    table = record.table
    if table is None or known.identities.get(table, "DEFAULT") != "DEFAULT":
        return
    name = known.primary.get(table)
    if isinstance(operation, ops.DropConstraintOp):
        named, kind = str(operation.constraint_name), operation.constraint_type
        dropped = [named] if kind == "primary" or (kind is None and named == name) else []
    else:
        dropped = [
            str(name)
            for one in statements(record)
            if name is not None
            and table_of(one) == table
            and re.search(
                rf'DROP\s+CONSTRAINT\s+(?:IF\s+EXISTS\s+)?"?{re.escape(name)}"?(?!\w)', one, re.IGNORECASE
            )
        ]
    for one in dropped:
        keys = known.indexes.get((table, one))
        yield PRIMARY_KEY.found(
            source, record.line, table, name=one, columns=listed(keys.columns) if keys else None
        )


def _makes_primary(record: Record) -> bool:
    if isinstance(record.operation, ops.CreatePrimaryKeyOp):
        return True
    return any(re.search(r"\sPRIMARY\s+KEY\b", one, re.IGNORECASE) for one in statements(record))


def _spelled(kind: str) -> str:
    """Return a type of PostgreSQL in the code of a revision."""
    found, kind = read(kind), kind.lower()
    if (known := written.kind_of(Column("", kind))) is not None:
        return known
    plainly = {
        "bigint": "sa.BigInteger()",
        "text": "LongText()",
        "uuid": "UniqueId()",
        "smallint": "sa.SmallInteger()",
    }
    if found is not None and not found.array:
        if found.name == "character varying":
            return f"ShortText({found.numbers[0]})" if found.numbers else "sa.String()"
        if found.name in plainly:
            return plainly[found.name]
        if found.name == "integer":
            return "Count()"
    return f"TYPE_OF_{_named(kind).upper()}"


def _named(kind: str) -> str:
    found = read(kind)
    return re.sub(r"\W+", "_", found.name if found else kind).strip("_")


def _quoted(condition: str) -> str:
    """Return a condition for a Python text in double quotes."""
    inner = condition.strip()
    while inner.startswith("(") and inner.endswith(")") and _closes_at_end(inner):
        inner = inner[1:-1]
    return inner.replace("\\", "\\\\").replace('"', '\\"')


def _closes_at_end(text: str) -> bool:
    """Return whether the last character of a text closes its first bracket."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return position == len(text) - 1
    return False
