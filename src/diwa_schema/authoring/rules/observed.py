"""Rules about the observed effects of a revision on a server that its text does not show.

A function in SQL, a block of code and a default with a function decide only at run time what happens to a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diwa_schema.authoring.marks import CONCURRENT, LOCKS, Trace
from diwa_schema.authoring.rule import Finding, plain, rule, step
from diwa_schema.authoring.source import Source

REWRITES = rule(
    "seen-to-rewrite",
    "On a server the table got a new file: PostgreSQL rewrote all rows and indexes under an ACCESS EXCLUSIVE lock.",
    plain('op.add_column("{table}", sa.Column("{column}", LongText()))'),
    step("""backfill("{table}", "{column} = 'VALUE'", where="{column} IS NULL")"""),
)
SCANS = rule(
    "seen-to-scan",
    "On a server the revision read all rows of the table under a lock that stops writes, and writes wait"
    " longer with each row.",
    step("""add_check("{table}_{column}_check", "{table}", "{column} <> ''")"""),
)
RETYPES = rule(
    "seen-to-retype",
    "On a server a column got another type, so prepared statements of open connections fail with SQLSTATE"
    " 0A000.",
    plain('op.add_column("{table}", sa.Column("{column}_anew", LongText()))'),
)

# The rules that apply only to revisions that ran on a server.
IDS = (RETYPES.id, REWRITES.id, SCANS.id)

_STOPS_WRITES = LOCKS.index("ShareLock")


def check(source: Source, seen: Trace, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the observed effects that neither the text nor the declarations of a revision show.

    Args:
        source: The revision.
        seen: Its observed effects.
        found: The findings in its text: for a table of these, nothing is repeated.
    """
    said = {one.table for one in found} | set(source.declared("rewrites", ()))
    line = source.line("upgrade")
    for table, mark in sorted(seen.marks.items()):
        if table in said:
            continue
        if mark.rewritten:
            yield REWRITES.found(source, line, table)
        elif mark.scanned and LOCKS.index(mark.scanned) >= _STOPS_WRITES and CONCURRENT not in mark.known:
            yield SCANS.found(source, line, table)
    if source.declared("phase") == "contract":
        return
    declared = set(source.declared("retypes", ()))
    for table, column in seen.retyped:
        if table not in said and f"{table}.{column}" not in declared:
            yield RETYPES.found(source, line, table, column)
