"""Setting a table of another shape aside under another name, with its rows.

A new table takes the name. References by name automatically use the new table, but foreign keys, views and rights
belong to the old table and follow its rename, in PostgreSQL and in SQLite. The application expects them under the name,
so they are moved to the new table, or the run is refused before any change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from alembic import op

from diwa_schema.errors import ROLLED_BACK, MigrationFailed
from diwa_schema.migrations.manifest import KEPT, load
from diwa_schema.migrations.steps.lookup import (
    column_types,
    literal,
    oid,
    qualified,
    quoted,
    table_exists,
    verbatim,
)
from diwa_schema.migrations.steps.pace import dialect, offline
from diwa_schema.names import cut

_SQLITE_INDEX = re.compile(
    r"""CREATE\s(?P<unique>UNIQUE\s)?\s*INDEX\s+ (?:"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|'(?:[^']|'')*'|\w+)
        \s+ON\s+ (?:"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|'(?:[^']|'')*'|\w+) \s*(?P<columns>\(.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def kept_name(table: str) -> str:
    """Return the name of a table while it is kept aside."""
    return cut(KEPT + table)


def is_kept(table: str) -> bool:
    """Return whether a table of this name is kept aside in the database."""
    return table_exists(op.get_bind(), kept_name(table))


@dataclass(frozen=True, slots=True)
class Others:
    """References to tables that are set aside, which will refer to the successors.

    Args:
        tables: The tables.
        keys: On PostgreSQL, table, name and definition of each foreign key of another table.
        texts: On SQLite, the definitions of all other objects, by their names.
    """

    tables: tuple[str, ...]
    keys: tuple[tuple[str, str, str], ...] = ()
    texts: dict[str, str] = field(default_factory=dict)

    def follow(self) -> None:
        """Tie the references to the tables that have the names now, and grant the rights on the old tables there.

        Raises:
            sqlalchemy.exc.IntegrityError: A row of another table refers to a row that the successor lacks.
        """
        connection = op.get_bind()
        if connection.dialect.name == "sqlite":
            _put_back(connection, self.texts)
            return
        for table, name, definition in self.keys:
            key = quoted(name)
            op.execute(
                f"ALTER TABLE {verbatim(table)} DROP CONSTRAINT {key}, ADD CONSTRAINT {key} {verbatim(definition)}"
            )
        for table in self.tables:
            hand_on_rights(table)


def others(tables: Sequence[str]) -> Others:
    """Return the references to tables that are set aside together.

    Raises:
        MigrationFailed: One of them, such as a view, cannot be moved to a successor.
    """
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        mine = ", ".join(map(literal, tables))
        found = connection.execute(
            sa.text(f"SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT IN ({mine})")
        )
        return Others(tuple(tables), texts={name: text for name, text in found})  # noqa: C416 - rows are no pairs
    mine = ", ".join(map(oid, tables))
    tied = list(connection.scalars(sa.text(_TIED.replace("{tables}", mine))))
    if tied:
        raise MigrationFailed(
            f"{' and '.join(tables[:3])}{' and others' if tables[3:] else ''} cannot be set aside, because"
            f" these objects would keep the old rows: {'; '.join(tied)}.",
            untouched=ROLLED_BACK,
            next_step="Drop them, run the command again, then create them again on the new tables.",
            dependents=tied,
        )
    keys = connection.execute(sa.text(_KEYS.replace("{tables}", mine)))
    return Others(tuple(tables), tuple((table, name, definition) for table, name, definition in keys))


_KEYS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(r.relname), c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.contype = 'f' AND c.confrelid IN ({tables}) AND c.conrelid NOT IN ({tables}) AND c.conparentid = 0
ORDER BY 1, 2
"""
_TIED = """
SELECT DISTINCT pg_describe_object(CAST('pg_class' AS regclass), r.ev_class, 0) FROM pg_depend d
  JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = CAST('pg_rewrite' AS regclass)
  WHERE d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid IN ({tables})
  AND r.ev_class NOT IN ({tables})
UNION SELECT pg_describe_object(CAST('pg_rewrite' AS regclass), oid, 0) FROM pg_rewrite WHERE ev_class IN ({tables})
UNION SELECT pg_describe_object(CAST('pg_publication_rel' AS regclass), oid, 0) FROM pg_publication_rel
  WHERE prrelid IN ({tables})
UNION SELECT 'table ' || CAST(CAST(inhrelid AS regclass) AS text) || ' inherits from '
  || CAST(CAST(inhparent AS regclass) AS text) FROM pg_inherits
  WHERE inhparent IN ({tables}) OR inhrelid IN ({tables})
UNION SELECT 'row security of table ' || CAST(CAST(oid AS regclass) AS text) FROM pg_class
  WHERE oid IN ({tables}) AND relrowsecurity
ORDER BY 1
"""


def set_aside(table: str) -> None:
    """Rename a table and its indexes, so that a new table can have its name. The old table keeps its rows."""
    connection = op.get_bind()
    kept = kept_name(table)
    if connection.dialect.name == "sqlite":
        _set_aside_on_sqlite(connection, table, kept)
        return
    indexes = list(
        connection.scalars(
            sa.text(
                "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                f" WHERE i.indrelid = {oid(table)}"
            )
        )
    )
    op.execute(f"ALTER TABLE {qualified(connection, table)} RENAME TO {quoted(kept)}")
    for index in indexes:
        op.execute(f"ALTER INDEX {qualified(connection, index)} RENAME TO {quoted(kept_name(index))}")


def hand_on_rights(table: str) -> None:
    """Grant the rights on a table that was set aside, and on its columns, also on its successor."""
    if offline() or dialect() == "sqlite" or not is_kept(table):
        return
    connection = op.get_bind()
    old, present = oid(kept_name(table)), column_types(connection, table)
    rights = connection.execute(
        sa.text(
            "SELECT r.privilege_type, CAST(NULL AS text), r.grantee, r.is_grantable"
            f" FROM pg_class c, aclexplode(c.relacl) r WHERE c.oid = {old} AND r.grantee <> c.relowner"
            " UNION ALL SELECT r.privilege_type, CAST(a.attname AS text), r.grantee, r.is_grantable"
            f" FROM pg_attribute a, aclexplode(a.attacl) r WHERE a.attrelid = {old} AND NOT a.attisdropped"
        )
    ).all()
    target = qualified(connection, table)
    for right, column, grantee, grantable in rights:
        if column is None or column in present:
            on = f"{right} ({quoted(column)})" if column else right
            op.execute(f"GRANT {on} ON {target} TO {role(connection, grantee, grantable)}")


def role(connection: sa.Connection, grantee: int, grantable: bool) -> str:
    """Return the notation of a role after TO in a GRANT."""
    name = connection.scalar(sa.text("SELECT rolname FROM pg_roles WHERE oid = :oid"), {"oid": grantee})
    return f"{quoted(name) if name else 'PUBLIC'}{' WITH GRANT OPTION' if grantable else ''}"


def release(*tables: str) -> None:
    """Drop the foreign keys of remaining tables to tables that are about to be dropped.

    Remaining tables are those kept aside, and those with their original names back since. SQLite needs no such step.
    """
    if dialect() == "postgresql":
        op.execute(releasing(tables))


def releasing(tables: Sequence[str]) -> str:
    """Return the SQL that drops the foreign keys of kept tables to the given ones."""
    dropped, staying = (", ".join(map(literal, names)) for names in (tables, sorted(load().leftovers)))
    return f"""DO $do$
DECLARE
  held record;
BEGIN
  FOR held IN SELECT c.conname, c.conrelid FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
      JOIN pg_class t ON t.oid = c.confrelid AND t.relnamespace = r.relnamespace
      WHERE c.contype = 'f' AND t.relnamespace = CAST(quote_ident(current_schema()) AS regnamespace)
      AND t.relname IN ({dropped}) AND r.relname NOT IN ({dropped})
      AND (starts_with(CAST(r.relname AS text), '{KEPT}') OR r.relname IN ({staying})) LOOP
    EXECUTE 'ALTER TABLE ' || CAST(held.conrelid AS regclass) || ' DROP CONSTRAINT ' || quote_ident(held.conname);
  END LOOP;
END
$do$"""


def _set_aside_on_sqlite(connection: sa.Connection, table: str, kept: str) -> None:
    indexes = connection.execute(
        sa.text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND sql IS NOT NULL"
        ),
        {"table": table},
    ).all()
    op.rename_table(table, kept)
    # SQLite cannot rename an index, and does not cut names.
    for index, text in indexes:
        parts = _SQLITE_INDEX.fullmatch(text)
        if parts is None:  # SQLite itself writes the beginning of these texts
            raise MigrationFailed(
                f"The definition of index {index} cannot be read: {text}",
                untouched=ROLLED_BACK,
                next_step=f"Drop index {index}, then run the command again.",
            )
        op.execute(f"DROP INDEX {quoted(index)}")
        op.execute(
            f"CREATE {parts['unique'] or ''}INDEX {quoted(KEPT + index)} ON {quoted(kept)}"
            f" {verbatim(parts['columns'])}"
        )


def _put_back(connection: sa.Connection, texts: dict[str, str]) -> None:
    """Undo SQLite's changes of other objects' definitions after a rename of a table: they refer to the name."""
    changed = [
        name
        for name, text in connection.execute(
            sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        )
        if texts.get(name, text) != text
    ]
    if not changed:
        return
    # SQLite's manual recommends this way for a change that affects no row.
    number = int(connection.scalar(sa.text("PRAGMA schema_version")) or 0)
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    for name in changed:
        connection.execute(
            sa.text("UPDATE sqlite_master SET sql = :sql WHERE name = :name"),
            {"sql": texts[name], "name": name},
        )
    connection.execute(sa.text(f"PRAGMA schema_version = {number + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))
