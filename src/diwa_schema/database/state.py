"""The state of a database from one read, and the states that refuse a change."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from diwa_schema.errors import (
    NotAdopted,
    PermissionMissing,
    SchemaForeign,
    SchemaTooNew,
    command,
    offered,
    option,
)
from diwa_schema.migrations.ecto import is_ours
from diwa_schema.migrations.manifest import KEPT, Manifest, load
from diwa_schema.names import amount, quoted

VERSION = "diwa_schema_version"
LEDGER = "diwa_schema_ledger"
PROTECTION = "diwa_schema_protection"
ECTO = "schema_migrations"
RELEASES = "diwa_schema_releases"
# A table of the agent's first lineage, which an adoption has rebuilt.
REBUILT = f"{KEPT}organizations"

_ASIDE = frozenset({REBUILT, f"{KEPT}tala_operations", f"{KEPT}idempotency_log"})
BOOKKEEPING = frozenset({VERSION, LEDGER, PROTECTION, RELEASES, ECTO}) | _ASIDE

_SHOWN = 5


class Kind(StrEnum):
    """The kind of a database for this package."""

    EMPTY = "empty"
    VERSIONED = "versioned"
    ECTO = "made by Ecto"
    FOREIGN = "foreign"


class State(NamedTuple):
    """The state of a database.

    Args:
        schema: The examined schema: the named one, else the first one of the search path ("main" on SQLite).
        tables: The existing tables of the schema, and of this package's own tables.
        versions: The rows of the version table: revision and floor.
        ecto: The versions that Ecto has recorded; None without its table.
        protected: Whether the database is marked as protected.
        elsewhere: Another schema on the search path with a version table; None if the schema was named.
        nowhere: Whether the schema is missing or may not be used.
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
        """The existing tables of the schema itself."""
        return self.tables - BOOKKEEPING

    @property
    def untouched(self) -> bool:
        """Whether neither a table of the schema exists, nor a table that was set aside for it."""
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
        """The kind of the database for this package."""
        if self.versions:
            return Kind.VERSIONED
        # At base, tables may remain because of their rows.
        ours = self.schema_tables - load().leftovers if VERSION in self.tables else self.schema_tables
        if not ours:
            return Kind.EMPTY
        return Kind.ECTO if is_ours(self.ecto) else Kind.FOREIGN


def _with_option() -> str:
    way = offered("--schema NAME", "the argument schema")
    return f" with {way}" if way else ""


def refuse_elsewhere(state: State, shown: str) -> None:
    """Raise an error if the schema cannot be used, or if another schema has the version table."""
    if state.nowhere:
        name = quoted(state.schema) if state.schema else "NAME"
        raise PermissionMissing(
            f"Schema '{state.schema}' of {shown} does not exist, or this role may not use it."
            if state.schema
            else f"The search_path of {shown} leads to no schema that this role may use.",
            next_step=f"Name another one{_with_option()}; or as its owner:"
            f" CREATE SCHEMA {name}; GRANT USAGE, CREATE ON SCHEMA {name} TO ROLE.",
        )
    if state.elsewhere:
        raise SchemaForeign(
            f"New tables of {shown} would go to schema '{state.schema}', but the version table is in"
            f" '{state.elsewhere}'.",
            next_step="Name the intended schema, probably the one with the version table:"
            f" {option('--schema', state.elsewhere)}, or {option('--schema', state.schema)}",
        )


def refuse_unknown(state: State, manifest: Manifest, shown: str) -> None:
    """Raise an error unless the database is empty or at a revision of the installed history."""
    refuse_elsewhere(state, shown)
    if len(state.versions) > 1:
        raise SchemaForeign(
            f"The version table of {shown} has {amount(len(state.versions), 'row')}, and a linear history has one.",
            next_step=f"To find their writer, read the ledger: {command('history --applied')}",
        )
    if state.kind is Kind.ECTO:
        raise NotAdopted(
            f"{shown} was made by Ecto ({amount(len(state.ecto or ()), 'version')} recorded)"
            " and is not taken over yet.",
            next_step=f"Run: {command('adopt --plan')}, then {command('adopt')}",
        )
    if state.kind is Kind.FOREIGN:
        ours = sorted(state.tables & set(manifest.tables))
        made = (
            f"and a list of Ecto's migrations ({ECTO}) that has none of this schema's: another application made them"
            if state.ecto
            else "but no version table: another tool made them"
        )
        raise SchemaForeign(
            f"{shown} has tables named like ours ({', '.join(ours[:_SHOWN])}{', ...' if ours[_SHOWN:] else ''})"
            f" {made}.",
            next_step=f"Name the intended database, an empty one, or another schema{_with_option()}.",
            tables=ours,
            versions=list((state.ecto or ())[:_SHOWN]),
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
        next_step=f"Install a package that has this revision, or read the ledger: {command('history --applied')}",
        revision=revision,
    )
