"""The report on embeddings with a changed type at the end of a run: archived values and refused clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from diwa_schema.migrations import characters, pgvector
from diwa_schema.names import qualified

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_REFUSING = (
    "SELECT EXISTS (SELECT FROM pg_constraint"
    " WHERE conrelid = to_regclass(%s) AND conname = %s AND contype = 'c')"
)


def refused(link: Link, schema: str, tables: Iterable[str]) -> tuple[str, ...]:
    """Return a note on the clients that tables refuse because their embeddings changed from vectors to bytes.

    Args:
        link: A connection to the database.
        schema: The schema of the tables.
        tables: The changed tables.
    """
    if link.dialect == "sqlite":
        return ()
    refusing = [
        table
        for table in sorted(tables)
        if link.value(_REFUSING, (qualified(schema, table), characters.check_on(table)))
    ]
    if not refusing:
        return ()
    told = (
        f"Clients that send embeddings as text, such as '[0.1,0.2]' from psycopg, would now write characters into"
        f" {' and '.join(refusing)}. The server refuses them: SQLSTATE 23514."
    )
    return (told,)


def kept_apart(link: Link, schema: str) -> tuple[str, ...]:
    """Return the number of archived values that no vector can hold, with the reason."""
    from diwa_schema.migrations.steps.retype.conversion import NO_LIST

    held = "SELECT count(*) FILTER (WHERE reason = %s), count(*) FROM {archive}"
    no_list, total = _counts(link, schema, held, (NO_LIST,)) or (0, 0)
    return (
        *_said(no_list, "not a list of numbers"),
        *_said(total - no_list, f"not a list of {pgvector.DIMENSIONS} numbers that a vector can hold"),
    )


def kept_characters(link: Link, schema: str) -> tuple[str, ...]:
    """Return the number of archived values that the bytes column refuses."""
    held = "SELECT count(*) FROM {archive} WHERE " + characters.are_in("value")
    (total,) = _counts(link, schema, held) or (0,)
    return _said(total, "the characters of a list")


def _counts(link: Link, schema: str, question: str, values: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Return the counts from the archive; nothing if somebody has dropped it."""
    from diwa_schema.migrations.steps.retype.archive import TABLE

    archive = qualified(schema, TABLE)
    if not link.value("SELECT to_regclass(%s) IS NOT NULL", (archive,)):
        return ()
    counts: tuple[int, ...] = link.rows(question.replace("{archive}", archive), values)[0]
    return counts


def _said(number: int, what: str) -> tuple[str, ...]:
    from diwa_schema.migrations.steps.retype.archive import TABLE

    if not number:
        return ()
    verb = "value in {} is" if number == 1 else "values in {} are"
    return (f"{number:,} {verb.format(TABLE)} {what}.",)
