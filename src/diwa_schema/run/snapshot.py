"""The schema at head as one script: its execution in an empty database, and its generation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.database.state import BOOKKEEPING
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import DIRECTORY, content
from diwa_schema.models import inherited, searched
from diwa_schema.run.adopt import ecto
from diwa_schema.run.session import Change, Written
from diwa_schema.run.settings import Applied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from diwa_schema.database.link import Link
    from diwa_schema.run.plan import Plan

# Stands in the script where a column is a vector in a database with pgvector, and bytes in one without.
EMBEDDING = "{embedding}"

# In the order in which a dump has them, tables come before all keys, and keys before indexes and triggers.
_FIRST_KEY = "\n\nALTER TABLE ONLY "
_SEARCH = " EXECUTE FUNCTION tsvector_update_trigger("

_NOISE = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\|(CREATE|COMMENT ON) (EXTENSION|SCHEMA))")
_FUNCTION = re.compile(rf"^CREATE FUNCTION \w+\.{inherited.FUNCTION}\(\)", re.MULTILINE)


def path(dialect: str) -> Path:
    """Return where a dialect's script is."""
    return DIRECTORY / f"snapshot_{dialect}.sql"


def script(link: Link) -> str:
    """Return the script for a database: with the kind of embeddings it can hold, and the search that it can have."""
    text = content(path(link.dialect)).decode()
    if link.dialect == "sqlite":
        return text if link.value(searched.is_possible()) else searched.without(text)
    return text.replace(EMBEDDING, pgvector.embedding_type(link))


class Parts(NamedTuple):
    """The script in two: a table is filled fastest, and with the values that are given, while nothing hangs on it.

    Args:
        tables: What makes the tables, with the trigger that makes the words for the search.
        rest: Keys, indexes, triggers and foreign keys, a statement each.
    """

    tables: str
    rest: tuple[str, ...]


def parts(link: Link) -> Parts:
    """Return the script for a PostgreSQL database as what stands before rows are written, and after."""
    text = script(link)
    at = text.index(_FIRST_KEY)
    statements = text[at:].strip().split("\n\n")
    search = [one for one in statements if _SEARCH in one]
    return Parts("\n\n".join([text[:at], *search]), tuple(one for one in statements if one not in search))


def apply(
    change: Change,
    plan: Plan,
    *,
    first: Callable[[], object] = lambda: None,
    last: Callable[[], object] = lambda: None,
) -> Written:
    """Bring an empty database to head in one transaction, with its version row and one ledger entry a revision.

    Args:
        change: The change under way.
        plan: What it is to do.
        first: What else is done in the transaction, before all.
        last: And when the tables are there.
    """
    link = change.link
    change.run = change.run._replace(kind="snapshot")

    def create() -> None:
        if link.dialect == "postgresql":
            link.execute(pgvector.CREATE)
        link.script(script(link))
        # Ecto's list may be left from before: its own first lineage stays in it, whoever drops the tables.
        keeper = ecto.Keeper.of(change.books, change.state)
        for step in plan.revisions:
            keeper.record(step.revision, applied=True)
        last()

    entries = [(step.revision, step.sha256) for step in plan.revisions]
    timeout = change.session.settings.build_timeout
    milliseconds = change.at_once(
        create, after=plan.after, entries=entries, timeout=timeout, unseen=True, first=first
    )
    change.tell_lodging()
    applied = tuple(Applied(step.revision, step.slug, milliseconds) for step in plan.revisions)
    return Written(plan.after, len(entries), applied)


def from_sqlite(link: Link) -> str:
    """Return the script that makes the schema of an SQLite database at head."""
    rows = link.rows("SELECT sql, tbl_name FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    ours = (sql for sql, table in rows if table not in BOOKKEEPING and not searched.is_shadow(table))
    return "".join(f"{sql.strip()};\n" for sql in ours)


def from_dump(dump: str) -> str:
    """Return the script for PostgreSQL from what `pg_dump --schema-only --no-owner` says of a database at head.

    Names lose their schema, so that the script makes them where the connection's search path leads.
    """
    kept: list[str] = []
    for statement in re.split(r"\n\n+", dump):
        if _FUNCTION.search(statement):
            # Its code names the schema, so it is made where the script is run.
            kept.append(f"{inherited.function()};")
            continue
        lines = [line for line in statement.splitlines() if line.strip() and not _NOISE.match(line)]
        if lines:
            kept.append("\n".join(lines))
    text = "\n\n".join(kept).replace("public.", "") + "\n"
    return re.sub(r"vector\(\d+\)", EMBEDDING, text)
