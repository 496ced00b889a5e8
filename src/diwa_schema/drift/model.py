"""The catalog: what one reading of a live schema yields, as values that can be compared.

The order of columns is no part of it. A field that is marked `of` holds values of that class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, dataclass_transform

from diwa_schema.database.url import Dialect

Problem = Literal["missing", "extra", "changed", "renamed"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _record(kind: type[T]) -> type[T]:
    """Make a dataclass that type checkers hold to be frozen.

    One that is frozen when it runs takes three times as long to make, and a check makes five hundred.
    """
    return dataclass(unsafe_hash=True, slots=True)(kind)


def _many(kind: type) -> Any:
    return field(default=(), metadata={"of": kind})


@_record
class Column:
    """A column.

    Args:
        name: Its name.
        type: Its type with length or precision, as the database writes it.
        nullable: Whether NULL gets in. A NOT NULL that was never validated counts as nullable.
        default: The default as an expression.
        identity: "always" or "by default" where the column is an identity.
        generated: The expression of a generated column.
        virtual: Whether a generated column is computed when read.
        collation: Its collation where that is not the one of its type.
        position: Where it stands in the table; not compared.
    """

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    identity: str | None = None
    generated: str | None = None
    virtual: bool = False
    collation: str | None = None
    position: int = field(default=0, compare=False)


@_record
class Key:
    """A primary key or a unique constraint; columns may carry ``WITHOUT OVERLAPS``."""

    name: str
    columns: tuple[str, ...]
    include: tuple[str, ...] = ()
    nulls_distinct: bool = True
    deferrable: str | None = None


@_record
class ForeignKey:
    """A foreign key.

    Args:
        name: Its name.
        columns: The columns that refer.
        references: The table referred to.
        ref_columns: The columns referred to.
        on_update: The action, as ``NO ACTION``.
        on_delete: The action, as ``SET NULL``.
        match: ``SIMPLE`` or ``FULL``.
        deferrable: ``DEFERRABLE`` with ``INITIALLY DEFERRED`` or without; None where it is not.
        validated: Whether the rows that were there before have been looked at.
        enforced: Whether the database looks at it at all.
    """

    name: str
    columns: tuple[str, ...]
    references: str
    ref_columns: tuple[str, ...] = ("id",)
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"
    match: str = "SIMPLE"
    deferrable: str | None = None
    validated: bool = True
    enforced: bool = True


@_record
class Check:
    """A CHECK constraint."""

    name: str
    expression: str
    inherited: bool = True
    validated: bool = True
    enforced: bool = True


@_record
class Exclusion:
    """An exclusion constraint, with everything that follows its name."""

    name: str
    definition: str


@_record
class Index:
    """An index that is not the inside of a constraint.

    Args:
        name: Its name.
        columns: Columns or expressions, each with operator class, collation and direction where these
            are not the usual ones: ``embedding vector_cosine_ops``.
        unique: Whether it is unique.
        method: The access method.
        include: Columns that are only carried along.
        nulls_distinct: Whether a unique index takes several NULLs.
        options: Its storage options: ``m='16'``.
        predicate: The condition of a partial index.
        valid: False for what a failed CREATE INDEX CONCURRENTLY leaves behind.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    method: str = "btree"
    include: tuple[str, ...] = ()
    nulls_distinct: bool = True
    options: tuple[str, ...] = ()
    predicate: str | None = None
    valid: bool = True


@_record
class Trigger:
    """A trigger.

    Args:
        name: Its name.
        moment: When it fires: ``BEFORE INSERT OR UPDATE``.
        action: What follows the table in its definition.
        constraint: Whether it is a constraint trigger.
        enabled: ``enabled``, ``disabled``, ``replica`` or ``always``.
    """

    name: str
    moment: str
    action: str
    constraint: bool = False
    enabled: str = "enabled"


@_record
class Policy:
    """A policy of row security."""

    name: str
    command: str = "ALL"
    permissive: bool = True
    roles: tuple[str, ...] = ("public",)
    using: str | None = None
    check: str | None = None


@_record
class Table:
    """A table with everything that belongs to it.

    Args:
        name: Its name.
        columns: By name, like every other collection here.
        primary_key: The primary key.
        uniques: Unique constraints.
        foreign_keys: Foreign keys.
        checks: CHECK constraints; NOT NULL belongs to the column.
        exclusions: Exclusion constraints.
        indexes: Indexes beside those of constraints.
        triggers: Triggers.
        policies: Policies of row security.
        kind: ``table``, or what stands there under the name of one: ``view``, ``partitioned table``.
        persistence: ``permanent``, ``unlogged`` or ``temporary``.
        row_security: ``off``, ``on`` or ``forced``.
        replica_identity: ``DEFAULT``, ``NOTHING``, ``FULL`` or ``USING INDEX name``.
        owner: The owner where that is not the owner of the version table.
        options: What SQLite says after the columns: ``STRICT``, ``WITHOUT ROWID``.
    """

    name: str
    columns: tuple[Column, ...] = _many(Column)
    primary_key: Key | None = field(default=None, metadata={"of": Key})
    uniques: tuple[Key, ...] = _many(Key)
    foreign_keys: tuple[ForeignKey, ...] = _many(ForeignKey)
    checks: tuple[Check, ...] = _many(Check)
    exclusions: tuple[Exclusion, ...] = _many(Exclusion)
    indexes: tuple[Index, ...] = _many(Index)
    triggers: tuple[Trigger, ...] = _many(Trigger)
    policies: tuple[Policy, ...] = _many(Policy)
    kind: str = "table"
    persistence: str = "permanent"
    row_security: str = "off"
    replica_identity: str = "DEFAULT"
    owner: str | None = None
    options: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return next((column for column in self.columns if column.name == name), None)


@_record
class Sequence:
    """A sequence and the column that owns it, as ``table.column``."""

    name: str
    type: str = "bigint"
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 9223372036854775807
    cache: int = 1
    cycle: bool = False
    owned_by: str | None = None


@_record
class Enum:
    """An enum type with its values in order."""

    name: str
    values: tuple[str, ...]


@_record
class Domain:
    """A domain over another type."""

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    collation: str | None = None
    checks: tuple[Check, ...] = _many(Check)


@_record
class Function:
    """A trigger's function; the name carries the argument types."""

    name: str
    definition: str


@_record
class View:
    """A view."""

    name: str
    definition: str


@_record
class Origin:
    """Where a catalog was read: needed to write statements for that place, never compared.

    Args:
        schema: The schema.
        owner: The owner of the version table; None without one.
        vector: Whether pgvector is installed.
        server: The server's version, as 180001.
    """

    schema: str = "public"
    owner: str | None = None
    vector: bool = False
    server: int = 0


@_record
class Catalog:
    """A schema as it was read. Equal catalogs are equal values."""

    dialect: Dialect
    tables: tuple[Table, ...] = _many(Table)
    sequences: tuple[Sequence, ...] = _many(Sequence)
    enums: tuple[Enum, ...] = _many(Enum)
    domains: tuple[Domain, ...] = _many(Domain)
    functions: tuple[Function, ...] = _many(Function)
    views: tuple[View, ...] = _many(View)
    origin: Origin = field(default=Origin(), compare=False)

    def table(self, name: str) -> Table | None:
        """Return the table of that name."""
        return next((table for table in self.tables if table.name == name), None)

    def __str__(self) -> str:
        """Return the text form for people."""
        from diwa_schema.drift.text import described

        return described(self)
