"""The attributes of a column that its successor also gets: indexes, rights, comment, storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from diwa_schema.migrations.steps.lookup import literal, oid, qualified, quoted, verbatim
from diwa_schema.migrations.temporary import PROBE, retyped

_ONLY_VECTORS = ("hnsw", "ivfflat")


@dataclass(frozen=True, slots=True)
class Succession:
    """A column, and the type of its successor.

    Args:
        table: The table; its primary key is a uuid named id.
        column: The column.
        type: The new column's type, as SQL.
    """

    table: str
    column: str
    type: str

    @property
    def new(self) -> str:
        """The name of the new column before the swap."""
        return retyped(self.column)


@dataclass(frozen=True, slots=True)
class Carried:
    """An index on the old column that the new column also gets.

    Args:
        name: Its name.
        definition: The text after ``CREATE [UNIQUE] INDEX name ON table``, as the server writes it.
        unique: Whether it is unique.
        comment: Its comment.
    """

    name: str
    definition: str
    unique: bool
    comment: str | None

    @property
    def built(self) -> str:
        """Its name before the swap."""
        return retyped(self.name)

    def create(self, table: str, name: str, definition: str, *, concurrently: bool = False) -> str:
        """Return the statement that creates an equal index.

        Args:
            table: The table, qualified.
            name: The name of the new index.
            definition: The text after the table's name.
            concurrently: Whether writes continue during the build.
        """
        how = f"{'UNIQUE ' if self.unique else ''}INDEX {'CONCURRENTLY ' if concurrently else ''}"
        return f"CREATE {how}{quoted(name)} ON {table} {verbatim(definition)}"


def indexes(connection: sa.Connection, replacement: Succession) -> tuple[Carried, ...]:
    """Return the usable indexes that name the old column and are possible on a column of the new type."""
    found = connection.execute(
        sa.text(
            f"SELECT c.relname, {_TAIL}, i.indisunique, obj_description(c.oid, 'pg_class'), m.amname FROM {_INDEX}"
            f" JOIN pg_am m ON m.oid = c.relam WHERE i.indrelid = {oid(replacement.table)} AND i.indisvalid"
            " AND EXISTS (SELECT FROM pg_depend d"
            "   JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
            "   WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid"
            "   AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid = i.indrelid"
            f"   AND a.attname = {literal(replacement.column)}) ORDER BY c.relname"
        )
    )
    return tuple(
        Carried(name, definition, unique, comment)
        for name, definition, unique, comment, method in found
        if replacement.type != "bytea" or method not in _ONLY_VECTORS
    )


# The server writes the beginning of a definition from these names alone, so its length is known.
_INDEX = (
    "pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
    " JOIN pg_namespace n ON n.oid = t.relnamespace"
)
_TAIL = (
    "substr(pg_get_indexdef(c.oid), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END"
    " || quote_ident(c.relname) || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(t.relname) || ' ') + 1)"
)


def successors(
    connection: sa.Connection, replacement: Succession, found: Sequence[Carried]
) -> tuple[dict[str, str], list[str]]:
    """Return the definitions of the same indexes on the new column, and the reasons for impossible ones.

    A definition is free text: a schema, an expression or a condition may contain the column's name in another meaning.
    The server therefore rewrites it. An empty table of the same columns gets the indexes; its column gets the new name,
    and then the new type. At the end of the transaction all of this is gone again.

    Args:
        connection: In a transaction.
        replacement: The column and its successor.
        found: The indexes.
    """
    if not found:
        return {}, []
    probe, new = qualified(connection, PROBE), quoted(replacement.new)
    run = connection.execute
    run(sa.text(f"CREATE TABLE {probe} (LIKE {qualified(connection, replacement.table)})"))
    run(sa.text(f"ALTER TABLE {probe} DROP COLUMN IF EXISTS {new}"))
    names = {index.name: f"{PROBE}_{number}" for number, index in enumerate(found)}
    for index in found:
        run(sa.text(index.create(probe, names[index.name], index.definition)))
    run(sa.text(f"ALTER TABLE {probe} RENAME COLUMN {quoted(replacement.column)} TO {new}"))
    definitions: dict[str, str] = {}
    for name, made in names.items():
        definitions[name] = str(
            connection.scalar(sa.text(f"SELECT {_TAIL} FROM {_INDEX} WHERE c.oid = {oid(made)}"))
        )
        run(sa.text(f"DROP INDEX {qualified(connection, made)}"))
    run(sa.text(f"ALTER TABLE {probe} ALTER COLUMN {new} TYPE {replacement.type} USING NULL"))
    unfit = []
    for index in found:
        run(sa.text("SAVEPOINT diwa_schema_probe"))
        try:
            run(sa.text(index.create(probe, names[index.name], definitions[index.name])))
        except DBAPIError as error:
            run(sa.text("ROLLBACK TO SAVEPOINT diwa_schema_probe"))
            unfit.append(f"index {index.name} ({str(error.orig).partition(chr(10))[0]})")
    run(sa.text(f"DROP TABLE {probe}"))
    return definitions, unfit


def properties(connection: sa.Connection, replacement: Succession) -> list[str]:
    """Return the statements that give the new column, once renamed, the individual settings of the old one."""
    table, column = qualified(connection, replacement.table), quoted(replacement.column)
    alter = f"ALTER TABLE {table} ALTER COLUMN {column} "
    a = connection.execute(
        sa.text(
            "SELECT a.attstattarget, CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END AS storage,"
            " a.attcompression, array_to_string(a.attoptions, ', ') AS options,"
            " col_description(a.attrelid, a.attnum) AS comment"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            f" WHERE a.attrelid = {oid(replacement.table)} AND a.attname = {literal(replacement.column)}"
        )
    ).one()
    statements = []
    if a.attstattarget is not None and a.attstattarget >= 0:
        statements.append(f"{alter}SET STATISTICS {a.attstattarget}")
    if a.storage:
        statements.append(f"{alter}SET STORAGE {_STORAGE[a.storage]}")
    if a.attcompression in _COMPRESSION:
        statements.append(f"{alter}SET COMPRESSION {_COMPRESSION[a.attcompression]}")
    if a.options:
        statements.append(f"{alter}SET ({verbatim(a.options)})")
    if a.comment is not None:
        statements.append(f"COMMENT ON COLUMN {table}.{column} IS {literal(a.comment)}")
    labels = connection.execute(
        sa.text(
            "SELECT l.provider, l.label FROM pg_seclabel l"
            " JOIN pg_attribute a ON a.attrelid = l.objoid AND a.attnum = l.objsubid"
            f" WHERE l.classoid = CAST('pg_class' AS regclass) AND a.attrelid = {oid(replacement.table)}"
            f" AND a.attname = {literal(replacement.column)}"
        )
    )
    statements += [
        f"SECURITY LABEL FOR {quoted(provider)} ON COLUMN {table}.{column} IS {literal(label)}"
        for provider, label in labels
    ]
    rights = connection.execute(
        sa.text(
            "SELECT r.privilege_type, p.rolname, r.is_grantable"
            " FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) r LEFT JOIN pg_roles p ON p.oid = r.grantee"
            f" WHERE a.attrelid = {oid(replacement.table)} AND a.attname = {literal(replacement.column)}"
        )
    )
    statements += [
        f"GRANT {right} ({column}) ON {table} TO {quoted(name) if name else 'PUBLIC'}"
        f"{' WITH GRANT OPTION' if grantable else ''}"
        for right, name, grantable in rights
    ]
    return statements


_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
