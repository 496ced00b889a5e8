"""The statements that Citus refuses or executes differently on a tenant's tables, for histories that run there.

Each was observed on Citus 13.2. The origin of a statement does not matter, so the rules also read the output of this
package's steps, and the downgrade.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diwa_schema.authoring.record import Trace, table_of
from diwa_schema.authoring.rule import Finding, Rule, plain, rule, step
from diwa_schema.authoring.source import Source
from diwa_schema.database.script import statements

_COLUMN = plain('op.add_column("{table}", sa.Column("COLUMN", LongText()))')
_CHECK = step("""add_check("{table}_COLUMN_check", "{table}", "COLUMN <> ''")""")

INLINE = rule(
    "citus-check-with-column",
    "Citus refuses a check in the statement that adds its column (0A000). It takes the check in a later statement.",
    _COLUMN,
    _CHECK,
)
BESIDE = rule(
    "citus-constraint-beside-another",
    "Citus refuses ADD CONSTRAINT beside another change in one ALTER TABLE (0A000).",
    _COLUMN,
    _CHECK,
)
ALTERED = rule(
    "citus-alters-constraint",
    "Citus refuses RENAME CONSTRAINT and ALTER CONSTRAINT (0A000). It takes a DROP CONSTRAINT and a new ADD"
    " CONSTRAINT.",
    plain('op.drop_constraint("{table}_COLUMN_check", "{table}")'),
    _CHECK,
)
STORED = rule(
    "citus-column-storage",
    "Citus refuses SET STATISTICS and SET STORAGE (0A000).",
    "def upgrade() -> None:\n    pass  # outside of the history, on the node that has the table",
)
IDENTITY = rule(
    "citus-identity",
    "Citus moves a tenant that has an identity column to a node, and never back into a plain schema.",
    plain('op.execute("CREATE TABLE COLUMN_numbers (id bigserial PRIMARY KEY)")'),
)
KEPT = rule(
    "citus-drops-identity",
    "Citus refuses DROP IDENTITY (0A000), so an identity column stays one.",
    plain('op.add_column("{table}", sa.Column("COLUMN_plain", sa.BigInteger()))'),
)
INDEXES = rule(
    "citus-drops-several-indexes",
    "Citus refuses DROP INDEX with more than one index (0A000).",
    step('drop_index_concurrently("INDEX", "{table}")'),
)
MOVED = rule(
    "citus-sets-schema",
    "The schema of a tenant decides the node of its tables, and Citus refuses SET SCHEMA for them.",
    "def upgrade() -> None:\n    pass  # a tenant moves as a whole: diwa-schema fleet copy",
)
UNNAMED = rule(
    "citus-constraint-without-name",
    "Citus and PostgreSQL choose different names for a constraint without a name, and the schema then differs.",
    _CHECK,
)
NAMED = rule(
    "citus-trigger-reads-table-name",
    "On a node, the name of a tenant's table ends with a number, so TG_TABLE_NAME is not a name of the history.",
    plain(
        "op.execute(",
        '    """CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS',
        '    $$ BEGIN NEW.noted := true; RETURN NEW; END $$"""',
        ")",
    ),
)
STABLE = rule(
    "citus-now-in-select",
    "INSERT ... SELECT with now() fails on Citus with a syntax error (42601), a defect of Citus. It takes a"
    " bound time or the default of a column.",
    step("""backfill("{table}", "COLUMN = inserted_at", where="COLUMN IS NULL")"""),
)

# Texts in quotes and code; a name in quotes stays.
_NOISE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)
_ALTER = re.compile(
    r'ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?:"[^"]+"|[\w$.])+\s+(?P<changes>.*)',
    re.IGNORECASE | re.DOTALL,
)
_UNNAMED = re.compile(r"ADD\s+(?:CHECK|UNIQUE|PRIMARY\s+KEY|FOREIGN\s+KEY|EXCLUDE)\b", re.IGNORECASE)
_WITH_COLUMN = re.compile(r"\b(?:REFERENCES|UNIQUE|PRIMARY\s+KEY)\b", re.IGNORECASE)
_INSERT_SELECT = re.compile(r"INSERT\s+INTO\b.*\bSELECT\b", re.IGNORECASE | re.DOTALL)
_NOW = re.compile(
    r"\b(?:(?:now|statement_timestamp|transaction_timestamp|current_setting)\s*\(|CURRENT_TIMESTAMP|CURRENT_DATE"
    r"|LOCALTIMESTAMP)",
    re.IGNORECASE,
)
_TRIGGER = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\b.*\bRETURNS\s+trigger\b", re.IGNORECASE | re.DOTALL
)
_IDENTITY = r"\bGENERATED\s+(?:ALWAYS|BY\s+DEFAULT)\s+AS\s+IDENTITY\b"
_TABLE_NAME = re.compile(r"\bTG_(?:TABLE_NAME|RELNAME)\b", re.IGNORECASE)
# Each of these decides alone, at any position in a change of a table.
_CHANGES = (
    (re.compile(r"(?:RENAME|ALTER)\s+CONSTRAINT\b", re.IGNORECASE), ALTERED),
    (re.compile(r"ALTER\s+.*\bSET\s+(?:STATISTICS|STORAGE)\b", re.IGNORECASE | re.DOTALL), STORED),
    (re.compile(r"ALTER\s+.*\bDROP\s+IDENTITY\b", re.IGNORECASE | re.DOTALL), KEPT),
    (re.compile(rf"(?:ADD|ALTER)\s.*{_IDENTITY}", re.IGNORECASE | re.DOTALL), IDENTITY),
    (re.compile(r"SET\s+SCHEMA\b", re.IGNORECASE), MOVED),
    (_UNNAMED, UNNAMED),
)


def check(source: Source, trace: Trace) -> Iterator[Finding]:
    """Yield the operations of a revision that Citus refuses on a tenant's tables."""
    told: set[tuple[str, int]] = set()
    for record in trace.records:
        for statement in statements(record.sql):
            for broken in refused(statement):
                if (broken.id, record.line) not in told:
                    told.add((broken.id, record.line))
                    yield broken.found(source, record.line, record.table or table_of(statement))


def refused(statement: str) -> Iterator[Rule]:
    """Yield the rules that one statement breaks."""
    if _TRIGGER.search(statement) and _TABLE_NAME.search(statement):
        yield NAMED
    text = _NOISE.sub("''", statement).strip()
    if (altered := _ALTER.match(text)) is not None:
        yield from _of_table(_separate(altered["changes"]))
    elif re.match(r"ALTER\b.*\bSET\s+SCHEMA\b", text, re.IGNORECASE | re.DOTALL):
        yield MOVED
    elif re.match(rf"CREATE\b.*\bTABLE\b.*{_IDENTITY}", text, re.IGNORECASE | re.DOTALL):
        yield IDENTITY
    elif re.match(r"DROP\s+INDEX\b[^;]*,", text, re.IGNORECASE):
        yield INDEXES
    elif _INSERT_SELECT.match(text) and _NOW.search(text):
        yield STABLE


def _of_table(changes: list[str]) -> Iterator[Rule]:
    for change in changes:
        yield from (broken for form, broken in _CHANGES if form.match(change))
        constraint = re.match(r"ADD\s+CONSTRAINT\b", change, re.IGNORECASE) or _UNNAMED.match(change)
        if constraint:
            if changes[1:]:
                yield BESIDE
        elif re.match(r"ADD\b", change, re.IGNORECASE):
            if re.search(r"\bCHECK\s*\(", change, re.IGNORECASE):
                yield INLINE
            elif _WITH_COLUMN.search(change) and not re.search(r"\bCONSTRAINT\b", change, re.IGNORECASE):
                yield UNNAMED


def _separate(changes: str) -> list[str]:
    """Return the changes between the commas of an ALTER TABLE; commas in parentheses do not count."""
    found, depth, start = [], 0, 0
    for at, sign in enumerate(changes):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            found.append(changes[start:at].strip())
            start = at + 1
    return [*found, changes[start:].strip()]
