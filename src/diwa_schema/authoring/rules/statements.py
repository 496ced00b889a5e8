"""SQL text in a revision: these rules judge the kind of each statement, squawk judges its content."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.operations import ops

from diwa_schema.authoring.record import Record, Trace, table_of
from diwa_schema.authoring.rule import Finding, contract, plain, rule, step
from diwa_schema.authoring.rules import indexes
from diwa_schema.authoring.source import Source

ROWS = rule(
    "rows-written-in-transaction",
    "One statement over all rows locks them until the revision ends, together with the locks of its other"
    " statements. Batches of 1,000 rows release theirs.",
    step("""backfill("{table}", "COLUMN = 'value'", where="COLUMN IS NULL")"""),
)
ENDS = rule(
    "ends-transaction",
    "The runner writes the version row in the transaction of the revision. If the revision ends this"
    " transaction, a kill leaves changes without a record, and the next run fails with DuplicateColumn"
    " (seen with autocommit_block).",
    step('create_index_concurrently("NAME", "TABLE", ["COLUMN"])'),
)
SETTINGS = rule(
    "sets-timeouts",
    "The runner sets the timeouts itself, with a first lock_timeout of 50 ms and retries. A timeout that a"
    " revision sets can make Alembic lose its transaction: the server rolls everything back, and nothing"
    " fails.",
    plain('op.add_column("TABLE", sa.Column("COLUMN", LongText()))'),
)
UNSEEN = rule(
    "sql-not-seen",
    "Neither this check nor squawk reads the code inside a DO block.",
    plain('op.add_column("TABLE", sa.Column("COLUMN", LongText()))'),
)
RIGHTS = rule(
    "changes-rights",
    "The command `diwa-schema roles` compares the rights with the expected ones, and reports a right from a"
    " revision as a difference.",
    "def upgrade() -> None:\n    pass  # the rights come with: diwa-schema roles",
)
EXTENSION = rule(
    "changes-extension",
    "Another version of an extension changes functions while statements use them, and needs rights that the"
    " owner of the tables may lack.",
    plain("steps.create_vector_extension()"),
)
IDENTITY = rule(
    "changes-replica-identity",
    "The replica identity tells a subscriber which row changed. FULL writes every old row to the log and"
    " lets the subscriber search without a key; with NOTHING a published table refuses every UPDATE and"
    " DELETE (55000).",
    plain('op.execute("ALTER TABLE {table} REPLICA IDENTITY DEFAULT")'),
)

# Rules that only squawk finds, in text that Alembic has no operation for.
REWRITE = rule(
    "rewrites-table",
    "VACUUM FULL, CLUSTER and SET TABLESPACE rewrite the table under an ACCESS EXCLUSIVE lock.",
    "def upgrade() -> None:\n    pass  # outside of the history: pg_repack --table={table}",
)
DETACH = rule(
    "detach-blocks",
    "DETACH PARTITION takes an ACCESS EXCLUSIVE lock on the whole partitioned table.",
    "def upgrade() -> None:\n    pass  # outside of the history: ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY",
)
DOMAIN = rule(
    "domain-with-constraint",
    "PostgreSQL checks a new constraint of a domain on every row of every table that uses it, under locks"
    " on all of them.",
    step("""add_check("{table}_{column}_check", "{table}", "{column} <> ''")"""),
)
ENUM_ORDER = rule(
    "enum-value-order",
    "PostgreSQL sorts a value without BEFORE or AFTER last, whatever its meaning.",
    plain("op.execute(\"ALTER TYPE mood ADD VALUE 'calm' BEFORE 'happy'\")"),
)
SYNTAX = rule(
    "syntax-error",
    "PostgreSQL cannot read the statement.",
    plain('op.add_column("TABLE", sa.Column("COLUMN", LongText()))'),
)
TRUNCATE = rule(
    "truncates",
    "TRUNCATE … CASCADE empties every table that refers to this one as well.",
    contract('steps.drop_table_unless_filled("{table}")'),
)

_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")
_ENDS = ("BEGIN", "COMMIT", "ROLLBACK", "START", "END", "ABORT", "SAVEPOINT", "RELEASE")
_CHANGES = ("CREATE", "ALTER", "DROP")


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the faults of a revision in its own SQL text."""
    for line in trace.ended:
        yield ENDS.found(source, line)
    for record in trace.existing():
        operation = record.operation
        if isinstance(operation, ops.BulkInsertOp):
            yield ROWS.found(source, record.line, record.table)
        elif isinstance(operation, ops.ExecuteSQLOp):
            if isinstance(operation.sqltext, sa.UpdateBase):
                yield ROWS.found(source, record.line, record.table)
            else:
                # Only dollar quotes make it hard to see whether a semicolon ends a statement.
                text = record.statement
                for statement in [text] if "$" in text else text.split(";"):
                    yield from _of_text(source, record, statement.strip())


def _of_text(source: Source, record: Record, statement: str) -> Iterator[Finding]:
    words = statement.upper().replace("(", " ").replace(";", " ").split()
    first, second = (*words, "", "")[:2]
    where = (source, record.line, table_of(statement))
    if first in _WRITES or (first == "WITH" and any(word in _WRITES for word in words)):
        yield ROWS.found(*where)
    elif first in _ENDS:
        yield ENDS.found(*where)
    elif first in ("SET", "RESET"):
        yield SETTINGS.found(*where)
    elif first in ("DO", "CALL", "SELECT", "EXECUTE"):
        yield UNSEEN.found(*where)
    elif first in ("CREATE", "DROP", "REINDEX") and "CONCURRENTLY" in words:
        yield indexes.CONCURRENTLY.found(*where)
    elif first in ("VACUUM", "CLUSTER") or (first == "ALTER" and "TABLESPACE" in words):
        yield REWRITE.found(*where)
    elif re.search(r"\bREPLICA IDENTITY (?!DEFAULT\b)", " ".join(words)):
        yield IDENTITY.found(*where)
    elif first in ("GRANT", "REVOKE") or (first in _CHANGES and second in ("ROLE", "USER", "GROUP")):
        yield RIGHTS.found(*where)
    elif first in _CHANGES and second == "EXTENSION":
        yield EXTENSION.found(*where)
