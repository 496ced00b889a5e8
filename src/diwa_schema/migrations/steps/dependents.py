"""The dependents of a column before its type changes: objects that would be lost, stop the change, or hide rows.

The server would also report them, but one at a time and in the middle of a run. They are therefore checked beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diwa_schema.migrations import characters, pgvector
from diwa_schema.migrations.ecto import LIST
from diwa_schema.migrations.steps.buffer import BUFFER
from diwa_schema.migrations.steps.kept_values import KEPT
from diwa_schema.migrations.steps.lookup import oid
from diwa_schema.migrations.steps.upstream import of_ecto
from diwa_schema.migrations.temporary import NOTE, NOTE_UPDATE
from diwa_schema.names import literal

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.migrations.manifest import Revision


@dataclass(frozen=True, slots=True)
class Retyped:
    """A column whose type a revision changes, on one database.

    Args:
        revision: The revision's id.
        column: The column, as table.column.
        before: Its current type.
        after: Its new type.
    """

    revision: str
    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that blocks a change of type.

    Args:
        revision: The revision's id; None for a conversion on request.
        column: The column whose type changes, as table.column.
        what: The dependent object, in the server's description.
    """

    revision: str | None
    column: str
    what: str


def dependents(link: Link, revisions: Iterable[Revision], *, back: bool = False) -> tuple[Dependent, ...]:
    """Return the obstacles for revisions that change column types; nothing is changed.

    Args:
        link: A connection to the database; the function examines its current schema.
        revisions: The revisions that are about to run.
        back: Whether they are reversed.
    """
    return tuple(
        found
        for one in retyped(link, revisions, back=back)
        for found in dependents_of(link, one.column, one.revision)
    )


def dependents_of(link: Link, column: str, revision: str | None) -> tuple[Dependent, ...]:
    """Return the obstacles for a type change of one column, given as table.column; nothing is changed."""
    return tuple(Dependent(revision, column, what) for (what,) in link.rows(hanging(*column.split("."))))


def retyped(link: Link, revisions: Iterable[Revision], *, back: bool = False) -> tuple[Retyped, ...]:
    """Return the columns whose type revisions would change on this database.

    Args:
        link: A connection to the database; the function examines its current schema.
        revisions: The revisions that are about to run.
        back: Whether they are reversed.
    """
    found: dict[str, Retyped] = {}
    for revision in revisions if link.dialect == "postgresql" else ():
        for column in revision.retypes_back if back else revision.retypes:
            table, _, name = column.partition(".")
            before = kind_of(link, table, name)
            if before is None:
                continue
            after = _target(link, name, before, back=back)
            if after != before:
                found.setdefault(column, Retyped(revision.revision, column, before, after))
    return tuple(found.values())


def kind_of(link: Link, table: str, column: str) -> str | None:
    """Return the type of a column, without the type's schema; None if the column is absent."""
    kind: str | None = link.value(
        f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = {oid(table)}"
        f" AND attname = {literal(column)}"
    )
    return kind and kind.rpartition(".")[2]


def _target(link: Link, column: str, before: str, *, back: bool) -> str:
    """Return the type of a column in the history: of an embedding, or of one of the buffer's ids."""
    if column != "embedding":
        kept = f"SELECT EXISTS (SELECT FROM {KEPT} WHERE table_name = {literal(BUFFER)})"
        return "character varying(255)" if back and _holds(link, KEPT, kept) else "uuid"
    if back or (before == "bytea" and _holds(link, LIST, f"SELECT {of_ecto()}")):
        return "bytea"
    return f"vector({pgvector.DIMENSIONS})" if link.value(pgvector.POSSIBLE) else "bytea"


def _holds(link: Link, table: str, question: str) -> bool:
    """Return the answer to a question about a table; without the table the answer is no."""
    return bool(link.value(f"SELECT {oid(table)} IS NOT NULL") and link.value(question))


def hanging(table: str, column: str) -> str:
    """Return SQL for the descriptions of the obstacles; it has no parameters.

    The new column inherits indexes that belong to no constraint, rights, comments, storage and statistics targets.
    Publications of the whole table, triggers without a column list, and types and functions of its rows are harmless.
    The check that refuses characters in a column of bytes is meant to disappear. None of these is an obstacle.
    """
    place, name = oid(table), literal(column)
    here = f"a.attrelid = {place} AND a.attname = {name}"
    return f"""
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  LEFT JOIN pg_index i ON d.classid = CAST('pg_class' AS regclass) AND i.indexrelid = d.objid
  LEFT JOIN pg_trigger t ON d.classid = CAST('pg_trigger' AS regclass) AND t.oid = d.objid
  LEFT JOIN pg_constraint k ON d.classid = CAST('pg_constraint' AS regclass) AND k.oid = d.objid AND k.contype = 'c'
  WHERE d.refclassid = CAST('pg_class' AS regclass) AND {here} AND i.indexrelid IS NULL
  AND (t.tgname IS NULL OR t.tgname NOT IN ('{NOTE}', '{NOTE_UPDATE}'))
  AND k.conname IS DISTINCT FROM {literal(characters.check_on(table))}
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
