"""What hangs on a column whose type is to change, and would be lost with it, stop the change, or hide rows from it.

The server would tell it too, but one thing at a time and in the middle of a run. So it is looked for beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diwa_schema.migrations import pgvector
from diwa_schema.migrations.steps.lookup import oid
from diwa_schema.names import literal

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.migrations.manifest import Revision

NOTE, NOTE_UPDATE = "diwa_schema_note", "diwa_schema_note_update"


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that is in the way of a revision.

    Args:
        revision: The revision's id.
        column: The column that it gives another type, as table.column.
        what: What hangs on it, as the server describes it.
    """

    revision: str
    column: str
    what: str


def dependents(link: Link, revisions: Iterable[Revision], *, back: bool = False) -> tuple[Dependent, ...]:
    """Return what would stop revisions that give columns another type; nothing is changed.

    Args:
        link: A connection to the database; its current schema is looked at.
        revisions: The revisions that are about to run.
        back: Whether they are reversed.
    """
    if link.dialect == "sqlite":
        return ()
    found: list[Dependent] = []
    seen: set[str] = set()
    for revision in revisions:
        for column in revision.retypes_back if back else revision.retypes:
            table, _, name = column.partition(".")
            if column in seen or not _changes(link, table, name, back=back):
                continue
            seen.add(column)
            found += [
                Dependent(revision.revision, column, what) for (what,) in link.rows(hanging(table, name))
            ]
    return tuple(found)


def _changes(link: Link, table: str, column: str, *, back: bool) -> bool:
    """Tell whether a column is not of the type yet that the revision gives it."""
    kind = link.value(
        f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = {oid(table)}"
        f" AND attname = {literal(column)}"
    )
    if column != "embedding":
        return kind is not None
    possible = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
    vector = not back and link.value(possible)
    return kind is not None and kind.rpartition(".")[2] != (
        f"vector({pgvector.DIMENSIONS})" if vector else "bytea"
    )


def hanging(table: str, column: str) -> str:
    """Return SQL for the descriptions of what is in the way; it has no parameters.

    Carried over, and so not among it: indexes that are no constraint's, rights, comments, storage, statistics targets.
    Harmless: publications of the whole table, triggers that name no column, types and functions made of its rows.
    """
    place, name = oid(table), literal(column)
    here = f"a.attrelid = {place} AND a.attname = {name}"
    return f"""
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  LEFT JOIN pg_index i ON d.classid = CAST('pg_class' AS regclass) AND i.indexrelid = d.objid
  LEFT JOIN pg_trigger t ON d.classid = CAST('pg_trigger' AS regclass) AND t.oid = d.objid
  WHERE d.refclassid = CAST('pg_class' AS regclass) AND {here} AND i.indexrelid IS NULL
  AND (t.tgname IS NULL OR t.tgname NOT IN ('{NOTE}', '{NOTE_UPDATE}'))
UNION SELECT 'the NOT NULL of column ' || a.attname || ' of table ' || CAST(a.attrelid AS regclass)
  FROM pg_attribute a WHERE {here} AND a.attnotnull
UNION SELECT 'replica identity of table ' || CAST(i.indrelid AS regclass) || ' by an index on column ' || a.attname
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
  WHERE {here} AND i.indisreplident
UNION SELECT pg_describe_object(CAST('pg_rewrite' AS regclass), oid, 0) FROM pg_rewrite WHERE ev_class = {place}
UNION SELECT 'table ' || CAST(inhrelid AS regclass) || ' inherits from ' || CAST(inhparent AS regclass)
  FROM pg_inherits WHERE inhparent = {place} OR inhrelid = {place}
UNION SELECT 'table ' || CAST(oid AS regclass) || ' is partitioned, foreign or of a type' FROM pg_class
  WHERE oid = {place} AND (relkind <> 'r' OR reloftype <> 0)
UNION SELECT coalesce(pg_describe_object(CAST('pg_policy' AS regclass), p.oid, 0),
  'row security of table ' || CAST(c.oid AS regclass)) || ', which hides rows from this role'
  FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
  WHERE c.oid = {place} AND row_security_active(c.oid)
ORDER BY 1"""
