"""Keeping a table of another shape aside under another name, with its rows, until the way back.

A new table takes the name. What refers to a table by its name goes on with the new one by itself; what PostgreSQL, or
SQLite, ties to the table itself goes with the old one when that is renamed: foreign keys, views, rights. The
application still means the name, so such ties are moved to the successor, or the run is refused while all is as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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

# What the comment of an index begins with whose name had to be cut; the whole name follows, up to the end of the line.
_WHOLE = "diwa-schema keeps this index aside; its name is "

_SQLITE_INDEX = re.compile(
    r"""CREATE\s(?P<unique>UNIQUE\s)?\s*INDEX\s+ (?:"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|'(?:[^']|'')*'|\w+)
        \s+ON\s+ (?:"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|'(?:[^']|'')*'|\w+) \s*(?P<columns>\(.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def kept_name(table: str) -> str:
    """Return the name that a table has while it is kept aside."""
    return cut(KEPT + table)


def is_kept(table: str) -> bool:
    """Tell whether a table of this name is kept aside in the database."""
    return table_exists(op.get_bind(), kept_name(table))


@dataclass(frozen=True, slots=True)
class Others:
    """What refers to tables that are to be set aside, and is to refer to their successors.

    Args:
        tables: The tables.
        keys: On PostgreSQL, table, name and definition of each foreign key of another table.
        texts: On SQLite, the definitions of all that is not one of the tables, by its name.
    """

    tables: tuple[str, ...]
    keys: tuple[tuple[str, str, str], ...] = ()
    texts: dict[str, str] = field(default_factory=dict)

    def follow(self) -> None:
        """Tie it to the tables that have the names now, with the rights that were given on the old ones.

        Raises:
            sqlalchemy.exc.IntegrityError: A row of another table refers to one that the successor does not have.
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
    """Return what refers to tables that are to be set aside together.

    Raises:
        MigrationFailed: There is something among it that cannot be moved to a successor, such as a view.
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
            f"{' and '.join(tables[:3])}{' and others' if tables[3:] else ''} cannot be set aside, because these"
            f" would go on with the old rows: {'; '.join(tied)}.",
            untouched=ROLLED_BACK,
            next_step="Drop them, run the same command again, then create them anew on the new tables.",
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
    """Rename a table and its indexes, so that another of its name can be made. Its rows stay in it."""
    _rename(table, kept_name(table), _aside)


def bring_back(table: str) -> None:
    """Give a table that was set aside its names again; there must be no other of that name."""
    _rename(kept_name(table), table, _former)


def make_room(table: str) -> None:
    """Set a table aside that already has the name of one that is about to be made; its rows stay in it.

    Raises:
        MigrationFailed: Other objects of the database hang on it, so that its successor could not replace it.
    """
    if offline() or not table_exists(op.get_bind(), table):
        return
    keys = others((table,)).keys
    if keys:
        described = "; ".join(f"{name} of {referring}" for referring, name, _ in keys)
        raise MigrationFailed(
            f"{table} cannot be set aside, because foreign keys refer to it: {described}.",
            untouched=ROLLED_BACK,
            next_step="Drop them, run the same command again, then create them anew on the new table.",
            dependents=[name for _, name, _ in keys],
        )
    set_aside(table)


def drop_or_bring_back(table: str) -> None:
    """Drop a table; where another of its name was set aside for it, that one gets its name back."""
    op.drop_table(table)
    if not offline() and is_kept(table):
        bring_back(table)


def copy_kept_rows(table: str) -> None:
    """Copy the rows of a table that was set aside into the one that took its name; those that are there stay.

    All columns that both tables have are copied; a NULL becomes the default of a column that refuses it.
    """
    kept = kept_name(table)
    if dialect() == "postgresql":
        op.execute(_COPY.format(table=quoted(table), kept=quoted(kept), old=oid(kept), new=oid(table)))
    elif not offline() and is_kept(table):
        connection = op.get_bind()
        new = column_types(connection, table)
        listed = ", ".join(quoted(name) for name in column_types(connection, kept) if name in new)
        op.execute(
            f"INSERT INTO {quoted(table)} ({listed}) SELECT {listed} FROM {quoted(kept)} WHERE true"
            " ON CONFLICT DO NOTHING"
        )


_COPY = """DO $do$
DECLARE
  names text;
  taken text;
BEGIN
  IF {old} IS NULL THEN RETURN; END IF;
  SELECT string_agg(quote_ident(n.attname), ', ' ORDER BY n.attnum), string_agg(CASE
      WHEN n.attnotnull AND d.adbin IS NOT NULL
      THEN 'coalesce(' || quote_ident(n.attname) || ', ' || pg_get_expr(d.adbin, d.adrelid) || ')'
      ELSE quote_ident(n.attname) END, ', ' ORDER BY n.attnum)
    INTO names, taken
    FROM pg_attribute n JOIN pg_attribute o ON o.attname = n.attname AND o.attrelid = {old}
    LEFT JOIN pg_attrdef d ON d.adrelid = n.attrelid AND d.adnum = n.attnum
    WHERE n.attrelid = {new} AND n.attnum > 0 AND NOT n.attisdropped AND n.attgenerated = ''
    AND o.attnum > 0 AND NOT o.attisdropped;
  EXECUTE 'INSERT INTO {table} (' || names || ') SELECT ' || taken || ' FROM {kept} ON CONFLICT DO NOTHING';
END
$do$"""


def hand_on_rights(table: str) -> None:
    """Give the rights on a table that was set aside, and on its columns, on the one that has its name as well."""
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
    """Return how a role is written behind TO in a GRANT."""
    name = connection.scalar(sa.text("SELECT rolname FROM pg_roles WHERE oid = :oid"), {"oid": grantee})
    return f"{quoted(name) if name else 'PUBLIC'}{' WITH GRANT OPTION' if grantable else ''}"


def release(*tables: str) -> None:
    """Drop the foreign keys by which tables that stay refer to tables that are about to be dropped.

    Tables stay that were kept aside, and that have their names back since. SQLite drops a table without that.
    """
    if dialect() == "postgresql":
        op.execute(releasing(tables))


def releasing(tables: Sequence[str]) -> str:
    """Return the SQL that drops the foreign keys of tables that were kept aside to the given ones."""
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


Renamed = Callable[[str, str | None], tuple[str, str | None]]


def _aside(index: str, comment: str | None) -> tuple[str, str | None]:
    """Return name and comment of an index while it is kept; a name that has to be cut goes into the comment."""
    name = cut(KEPT + index)
    if name == KEPT + index:
        return name, comment
    return name, f"{_WHOLE}{index}\n{comment or ''}"


def _former(index: str, comment: str | None) -> tuple[str, str | None]:
    """Return the name and the comment that a kept index had before."""
    if comment is None or not comment.startswith(_WHOLE):
        return index.removeprefix(KEPT), comment
    name, _, rest = comment.removeprefix(_WHOLE).partition("\n")
    return name, rest or None


def _rename(before: str, after: str, renamed: Renamed) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _rename_on_sqlite(connection, before, after)
        return
    found = connection.execute(
        sa.text(
            "SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_index i"
            f" JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = {oid(before)}"
        )
    ).all()
    op.execute(f"ALTER TABLE {qualified(connection, before)} RENAME TO {quoted(after)}")
    for index, comment in found:
        name, said = renamed(index, comment)
        op.execute(f"ALTER INDEX {qualified(connection, index)} RENAME TO {quoted(name)}")
        if said != comment:
            text = literal(said) if said is not None else "NULL"
            op.execute(f"COMMENT ON INDEX {qualified(connection, name)} IS {text}")


def _rename_on_sqlite(connection: sa.Connection, before: str, after: str) -> None:
    indexes = connection.execute(
        sa.text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND sql IS NOT NULL"
        ),
        {"table": before},
    ).all()
    op.rename_table(before, after)
    # SQLite cannot rename an index. It cuts no name either.
    for index, text in indexes:
        parts = _SQLITE_INDEX.fullmatch(text)
        if parts is None:  # SQLite writes the beginning of these texts itself
            raise MigrationFailed(
                f"The definition of index {index} cannot be read: {text}",
                untouched=ROLLED_BACK,
                next_step=f"Drop index {index}, then run the same command again.",
            )
        op.execute(f"DROP INDEX {quoted(index)}")
        name = index.removeprefix(KEPT) if before == KEPT + after else KEPT + index
        op.execute(
            f"CREATE {parts['unique'] or ''}INDEX {quoted(name)} ON {quoted(after)} {verbatim(parts['columns'])}"
        )


def _put_back(connection: sa.Connection, texts: dict[str, str]) -> None:
    """Undo what SQLite wrote into other objects' definitions when it renamed a table: they mean the name."""
    changed = [
        name
        for name, text in connection.execute(
            sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        )
        if texts.get(name, text) != text
    ]
    if not changed:
        return
    # The way that SQLite's manual gives for a change that touches no row.
    number = int(connection.scalar(sa.text("PRAGMA schema_version")) or 0)
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    for name in changed:
        connection.execute(
            sa.text("UPDATE sqlite_master SET sql = :sql WHERE name = :name"),
            {"sql": texts[name], "name": name},
        )
    connection.execute(sa.text(f"PRAGMA schema_version = {number + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))
