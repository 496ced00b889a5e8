"""The schema at head as one script: its execution in an empty database, and its generation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.database.state import BOOKKEEPING
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import DIRECTORY, content
from diwa_schema.models import inherited, searched
from diwa_schema.run.adopt import ecto
from diwa_schema.run.session import Written
from diwa_schema.run.settings import Applied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from diwa_schema.database.link import Link
    from diwa_schema.run.change import Change
    from diwa_schema.run.plan import Plan

# The placeholder for a column that is a vector in a database with pgvector, and bytes in one without.
EMBEDDING = "{embedding}"

# In a dump, tables come before all keys, and keys before indexes and triggers.
_FIRST_KEY = "\n\nALTER TABLE ONLY "
_SEARCH = " EXECUTE FUNCTION tsvector_update_trigger("

_NOISE = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\|(CREATE|COMMENT ON) (EXTENSION|SCHEMA))")
_FUNCTION = re.compile(rf"^CREATE FUNCTION \w+\.{inherited.FUNCTION}\(\)", re.MULTILINE)


def path(dialect: str) -> Path:
    """Return the path of a dialect's script."""
    return DIRECTORY / f"snapshot_{dialect}.sql"


def script(link: Link) -> str:
    """Return the script for a database, with its possible kind of embeddings and of search."""
    text = content(path(link.dialect)).decode()
    if link.dialect == "sqlite":
        return text if link.value(searched.is_possible()) else searched.without(text)
    return text.replace(EMBEDDING, pgvector.embedding_type(link))


class Parts(NamedTuple):
    """The script in two parts: a table without dependents is filled fastest, and with the exact given values.

    Args:
        tables: The statements for the tables, with the trigger that generates the search words.
        rest: Keys, indexes, triggers and foreign keys, one statement each.
    """

    tables: str
    rest: tuple[str, ...]


def parts(link: Link) -> Parts:
    """Return the script for a PostgreSQL database in two parts: before and after the rows."""
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
    """Bring an empty database to head in one transaction, with its version row and one ledger entry per revision.

    Args:
        change: The running change.
        plan: Its plan.
        first: Further work in the transaction, before everything else.
        last: Further work after the creation of the tables.
    """
    link = change.link
    change.run = change.run._replace(kind="snapshot")

    def create() -> None:
        if link.dialect == "postgresql":
            link.execute(pgvector.CREATE)
        link.script(script(link))
        # A downgrade to base or a drop leaves the agent's first lineage in Ecto's list, so the list is still kept.
        keeper = ecto.Keeper.of(change.books, change.state)
        for step in plan.revisions:
            keeper.record(step.revision, applied=True)
        keeper.keep()
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
    """Return the script that creates the schema of an SQLite database at head."""
    rows = link.rows("SELECT sql, tbl_name FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    ours = (sql for sql, table in rows if table not in BOOKKEEPING and not searched.is_shadow(table))
    return "".join(f"{sql.strip()};\n" for sql in ours)


def from_dump(dump: str) -> str:
    """Return the script for PostgreSQL from the output of `pg_dump --schema-only --no-owner` at head.

    Names lose their schema, so that the script creates them in the first schema of the search path.
    """
    kept: list[str] = []
    for statement in re.split(r"\n\n+", dump):
        if _FUNCTION.search(statement):
            # Its code names the schema, so it is created at the execution of the script.
            kept.append(f"{inherited.function()};")
            continue
        lines = [line for line in statement.splitlines() if line.strip() and not _NOISE.match(line)]
        if lines:
            kept.append("\n".join(lines))
    text = "\n\n".join(kept).replace("public.", "") + "\n"
    return re.sub(r"vector\(\d+\)", EMBEDDING, text)
