"""The version table, and everything else that one look at a database tells about where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from diwa_schema.database import read_only
from diwa_schema.database.ledger import LEDGER
from diwa_schema.database.link import Link
from diwa_schema.errors import NotAdopted, PermissionMissing, SchemaForeign, SchemaTooNew, command
from diwa_schema.migrations.manifest import KEPT, Manifest, load
from diwa_schema.names import literal, quoted

VERSION = "diwa_schema_version"
PROTECTION = "diwa_schema_protection"
ECTO = "schema_migrations"
# One of the agent's first lineage, which an adoption has built anew.
REBUILT = f"{KEPT}organizations"
_ASIDE = frozenset({REBUILT, f"{KEPT}tala_operations", f"{KEPT}idempotency_log"})

_CREATE = f"CREATE TABLE {VERSION} (version_num VARCHAR(32) NOT NULL PRIMARY KEY, floor VARCHAR(32))"
_CREATE_PROTECTION = f"CREATE TABLE {PROTECTION} (protected_at TEXT NOT NULL, protected_by TEXT, reason TEXT)"

_BOOKKEEPING = frozenset({VERSION, LEDGER, PROTECTION, ECTO}) | _ASIDE


class Kind(StrEnum):
    """What a database is to this package."""

    EMPTY = "empty"
    VERSIONED = "versioned"
    ECTO = "made by Ecto"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class State:
    """Where a database stands.

    Args:
        schema: The schema that unqualified names are created in ("main" on SQLite).
        tables: Which tables of the schema, and of those that keep account of it, exist there.
        versions: The rows of the version table: revision and floor.
        ecto: The versions that Ecto has recorded; None without its table.
        protected: Whether the database is marked as protected.
        elsewhere: Another schema on the search path that holds a version table.
        nowhere: Whether the search path leads to no schema that is there and may be used.
    """

    schema: str
    tables: frozenset[str]
    versions: tuple[tuple[str, str | None], ...] = ()
    ecto: tuple[int, ...] | None = None
    protected: bool = False
    elsewhere: str | None = None
    nowhere: bool = False

    @property
    def schema_tables(self) -> frozenset[str]:
        """Which tables of the schema itself exist."""
        return self.tables - _BOOKKEEPING

    @property
    def untouched(self) -> bool:
        """Whether there is no table of the schema, and none that was set aside for it."""
        return not self.schema_tables and not self.tables & _ASIDE

    @property
    def revision(self) -> str | None:
        """The revision the database is at; None at base."""
        return self.versions[0][0] if self.versions else None

    @property
    def floor(self) -> str | None:
        """The oldest head whose code still works with this database."""
        return self.versions[0][1] if self.versions else None

    @property
    def kind(self) -> Kind:
        """What the database is to this package."""
        if self.versions:
            return Kind.VERSIONED
        # At base there may be tables that were left for what is in them.
        ours = self.schema_tables - load().leftovers if VERSION in self.tables else self.schema_tables
        if not ours:
            return Kind.EMPTY
        return Kind.ECTO if self.ecto else Kind.FOREIGN


def read(link: Link) -> State:
    """Read where a database stands; nothing is written."""
    history = load()
    names = [*history.tables, *history.leftovers - set(history.tables), *_BOOKKEEPING]
    found, present, elsewhere = _present(link, names)
    schema, nowhere = found or "public", found is None
    prefix = f"{quoted(schema)}."
    versions = link.rows(f"SELECT version_num, floor FROM {prefix}{VERSION}") if VERSION in present else []
    ecto = None
    if ECTO in present:
        ecto = tuple(row[0] for row in link.rows(f"SELECT version FROM {prefix}{ECTO} ORDER BY version"))
    protected = PROTECTION in present and bool(link.value(f"SELECT count(*) FROM {prefix}{PROTECTION}"))
    rows = tuple((row[0], row[1]) for row in versions)
    return State(schema, present, rows, ecto, protected, elsewhere, nowhere)


def create(link: Link) -> None:
    """Create the version table, to be written by its owner only."""
    link.execute(create_statement(link.dialect))


def create_statement(dialect: str) -> str:
    """Return the SQL that creates the version table, to be written by its owner only."""
    return f"{_CREATE};\n{read_only.statement(VERSION)}" if dialect == "postgresql" else _CREATE


def advance_statement(before: str | None, after: str | None, floor: str | None) -> str:
    """Return the SQL that moves the version row, for a printed script."""
    if before is None:
        return f"INSERT INTO {VERSION} (version_num, floor) VALUES ({literal(after)}, {literal(floor)})"
    if after is None:
        return f"DELETE FROM {VERSION} WHERE version_num = {literal(before)}"
    changes = f"version_num = {literal(after)}, floor = {literal(floor)}"
    return f"UPDATE {VERSION} SET {changes} WHERE version_num = {literal(before)}"


def advance(link: Link, before: str | None, after: str | None, floor: str | None) -> bool:
    """Move the version row from one revision to another inside the caller's transaction.

    Args:
        link: The connection of the transaction.
        before: The revision the row must show now; None where there must be no row.
        after: The revision it is to show; None to remove it.
        floor: The oldest head whose code works with the database from then on.

    Returns:
        False when the row did not show `before`: somebody else has moved it.
    """
    if before is None:
        return bool(
            link.execute(
                f"INSERT INTO {VERSION} (version_num, floor) SELECT %s, %s WHERE NOT EXISTS (SELECT 1 FROM {VERSION})",
                (after, floor),
            )
        )
    if after is None:
        return bool(link.execute(f"DELETE FROM {VERSION} WHERE version_num = %s", (before,)))
    return bool(
        link.execute(
            f"UPDATE {VERSION} SET version_num = %s, floor = %s WHERE version_num = %s",
            (after, floor, before),
        )
    )


def protect(link: Link, at: str, by: str | None, reason: str | None) -> None:
    """Mark the database as protected: from then on the bypass does not work on it."""
    with link.transaction():
        link.execute(_CREATE_PROTECTION.replace("TABLE", "TABLE IF NOT EXISTS", 1))
        if link.dialect == "postgresql":
            link.execute(read_only.statement(PROTECTION))
        link.execute(f"DELETE FROM {PROTECTION}")
        link.execute(f"INSERT INTO {PROTECTION} VALUES (%s, %s, %s)", (at, by, reason))


def unprotect(link: Link) -> None:
    """Take the mark away; without one nothing happens."""
    link.execute(f"DROP TABLE IF EXISTS {PROTECTION}")


def _present(link: Link, names: list[str]) -> tuple[str | None, frozenset[str], str | None]:
    if link.dialect == "sqlite":
        marks = ", ".join(["%s"] * len(names))
        rows = link.rows(f"SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ({marks})", names)
        return "main", frozenset(row[0] for row in rows), None
    rows = link.rows(
        "SELECT s.nspname::text, array_agg(c.relname::text), (SELECT n.nspname::text FROM pg_class v"
        "  JOIN pg_namespace n ON n.oid = v.relnamespace WHERE v.oid = to_regclass(%s) AND n.oid <> s.oid AND %s)"
        " FROM pg_namespace s LEFT JOIN pg_class c ON c.relnamespace = s.oid"
        " AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " WHERE s.nspname = coalesce(%s, current_schema()) AND has_schema_privilege(s.oid, 'USAGE')"
        " GROUP BY s.oid, s.nspname",
        (VERSION, link.schema is None, list(names), link.schema),
    )
    if not rows:
        return None, frozenset(), None
    schema, present, elsewhere = rows[0]
    return schema, frozenset(name for name in present if name), elsewhere


def refuse_unknown(state: State, manifest: Manifest, shown: str) -> None:
    """Raise unless the database is empty or at a revision of the installed history."""
    _refuse_elsewhere(state, shown)
    if len(state.versions) > 1:
        raise SchemaForeign(
            f"The version table of {shown} has {len(state.versions)} rows, and a linear history has one.",
            next_step=f"Find out who wrote them: {command('history --applied')}",
        )
    if state.kind is Kind.ECTO:
        raise NotAdopted(
            f"{shown} was made by Ecto ({len(state.ecto or ())} versions recorded) and has not been taken over yet.",
            next_step=f"Run: {command('adopt --plan')}, then {command('adopt')}",
        )
    if state.kind is Kind.FOREIGN:
        ours = sorted(state.tables & set(manifest.tables))
        raise SchemaForeign(
            f"{shown} has tables named like ours ({', '.join(ours[:5])}{', ...' if len(ours) > 5 else ''})"  # noqa: PLR2004 - as many names as fit a line
            " but no version table: another tool made them.",
            next_step="Name an empty database, or a schema of its own with ?options=-csearch_path%3DNAME.",
            tables=ours,
        )
    if state.revision is not None and state.revision not in manifest:
        raise unknown_revision(state, manifest, shown)


def unknown_revision(state: State, manifest: Manifest, shown: str) -> SchemaTooNew | SchemaForeign:
    """Describe a database at a revision that the installed history does not have."""
    revision = state.revision or ""
    if revision.isdigit() and len(revision) == len(manifest.head) and revision > manifest.head:
        return SchemaTooNew(
            f"{shown} is at revision {revision}, and the installed package ends at {manifest.head}.",
            next_step="Install the newer package: pip install --upgrade diwa-schema",
            revision=revision,
            head=manifest.head,
        )
    return SchemaForeign(
        f"{shown} is at revision '{revision}', which is not in the installed history.",
        next_step=f"Install the package that knows it, or see what was applied: {command('history --applied')}",
        revision=revision,
    )


def _refuse_elsewhere(state: State, shown: str) -> None:
    if state.nowhere:
        raise PermissionMissing(
            f"The search_path of {shown} leads to no schema that is there and may be used.",
            next_step="Name one: ?options=-csearch_path%3DNAME in the URL; or as its owner:"
            " GRANT USAGE, CREATE ON SCHEMA NAME TO ROLE.",
        )
    if state.elsewhere:
        raise SchemaForeign(
            f"New tables of {shown} would go to schema '{state.schema}', but the version table is in"
            f" '{state.elsewhere}'.",
            next_step=f"Name the schema first: ?options=-csearch_path%3D{state.elsewhere}%2Cpublic in the URL.",
        )
