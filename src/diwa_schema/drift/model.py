"""The catalog of a live schema as comparable values, and its JSON form.

The catalog does not contain the order of columns. A field that is marked `of` holds values of that class.

Tables, columns, keys, indexes and triggers have separate fields, because the schema contains them. All other objects
(checks, policies, rules and the like) are an `Other`: a kind, a name and the database's own definition.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, cast, dataclass_transform

from diwa_schema.database.spelling import Dialect

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _record(kind: type[T]) -> type[T]:
    """Return a dataclass that type checkers treat as frozen.

    A really frozen one takes three times as long to create, and a check creates five hundred.
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
        nullable: Whether it accepts NULL. A NOT NULL that was never validated counts as nullable.
        default: The default as an expression.
        generated: The clause of a generated or identity column, such as ``GENERATED ALWAYS AS IDENTITY``.
        collation: Its collation if it differs from the one of its type.
        comment: Its comment in the database.
        position: Its position in the table; not compared.
    """

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    generated: str | None = None
    collation: str | None = None
    comment: str | None = None
    position: int = field(default=0, compare=False)


@_record
class Key:
    """A primary key; columns may carry ``WITHOUT OVERLAPS``."""

    name: str
    columns: tuple[str, ...]
    include: tuple[str, ...] = ()
    deferrable: str | None = None


@_record
class ForeignKey:
    """A foreign key.

    Args:
        name: Its name.
        columns: The columns that refer.
        references: The table referred to.
        ref_columns: The columns referred to.
        on_update: The action, such as ``NO ACTION``.
        on_delete: The action, such as ``SET NULL``.
        match: ``SIMPLE`` or ``FULL``.
        deferrable: ``DEFERRABLE`` with or without ``INITIALLY DEFERRED``; None otherwise.
        validated: Whether older rows were checked.
        enforced: Whether the database enforces it; not if somebody disabled its triggers.
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
class Index:
    """An index that does not belong to a constraint.

    Args:
        name: Its name.
        columns: Columns or expressions, each with an unusual operator class, collation or direction: ``embedding
            vector_cosine_ops``.
        unique: Whether it is unique.
        method: The access method.
        include: Additional columns without a function for the search.
        nulls_distinct: Whether a unique index accepts several NULLs.
        options: Its storage options: ``m='16'``.
        predicate: The condition of a partial index.
        valid: False for the remains of a failed CREATE INDEX CONCURRENTLY.
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
        moment: Its event: ``BEFORE INSERT OR UPDATE``.
        action: The part of its definition after the table.
        constraint: Whether it is a constraint trigger.
        enabled: ``enabled``, ``disabled``, ``replica`` or ``always``.
        code: The code of its function if it belongs to this package on PostgreSQL, with marks in place of the schema;
            None for other functions, and on SQLite.
    """

    name: str
    moment: str
    action: str
    constraint: bool = False
    enabled: str = "enabled"
    code: str | None = None


@_record
class Other:
    """An object on a table of a kind that the schema does not contain.

    Args:
        name: Its name.
        kind: The kind, in words: ``check``, ``policy``, ``rule``.
        definition: The database's definition of it.
    """

    name: str
    kind: str
    definition: str = ""


@_record
class Table:
    """A table with all of its objects.

    Args:
        name: Its name.
        columns: By name, like every other collection here.
        primary_key: The primary key.
        foreign_keys: Foreign keys.
        indexes: Indexes beside those of constraints.
        triggers: Triggers.
        others: All other objects: constraints, policies, rules, tables that inherit from it.
        kind: ``table``, or another kind with the name of a table: ``view``, ``partitioned table``, and on SQLite
            ``virtual table``.
        persistence: ``permanent``, ``unlogged`` or ``temporary``.
        row_security: ``off``, ``on`` or ``forced``.
        replica_identity: ``DEFAULT``, ``NOTHING``, ``FULL`` or ``USING INDEX name``.
        owner: The owner if it is not the owner of the version table.
        options: SQLite's words after the columns: ``STRICT``, ``WITHOUT ROWID``. For a virtual table, its module.
    """

    name: str
    columns: tuple[Column, ...] = _many(Column)
    primary_key: Key | None = field(default=None, metadata={"of": Key})
    foreign_keys: tuple[ForeignKey, ...] = _many(ForeignKey)
    indexes: tuple[Index, ...] = _many(Index)
    triggers: tuple[Trigger, ...] = _many(Trigger)
    others: tuple[Other, ...] = _many(Other)
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
class Follower:
    """A foreign key of a foreign table to a table that was set aside; the key followed its rename.

    Args:
        table: The table with the key, with its schema if it differs.
        key: The foreign key.
    """

    table: str
    key: ForeignKey


@_record
class Origin:
    """The place of a catalog: needed for statements there, never compared.

    Args:
        schema: The schema.
        owner: The owner of the version table; None without one.
        vector: Whether pgvector is installed.
        words: Whether SQLite has FTS5.
        citus: Whether the database has Citus, which refuses some statements.
    """

    schema: str = "public"
    owner: str | None = None
    vector: bool = False
    words: bool = False
    citus: bool = False


@_record
class Catalog:
    """A schema at one moment. Equal catalogs are equal values."""

    dialect: Dialect
    tables: tuple[Table, ...] = _many(Table)
    followers: tuple[Follower, ...] = _many(Follower)
    origin: Origin = field(default=Origin(), compare=False)

    def table(self, name: str) -> Table | None:
        """Return the table of that name."""
        return next((table for table in self.tables if table.name == name), None)


def dumps(catalog: Catalog) -> str:
    """Return the JSON text of a catalog without its place, one object of the schema per line.

    Default values of fields are left out, so the text stays short and stable.
    """
    document = cast("dict[str, Any]", _plain(catalog))
    document.pop("origin", None)
    lines = [f'{{"dialect": {json.dumps(document.pop("dialect"))}']
    for name, items in document.items():
        listing = ",\n".join(_entry(item) for item in items)
        lines.append(f'"{name}": [\n{listing}\n]')
    return ",\n".join(lines) + "}\n"


def loads(text: str) -> Catalog:
    """Return the catalog of a JSON text."""
    return of_document(json.loads(text))


def of_document(document: Any) -> Catalog:
    """Return the catalog of a JSON document."""
    return _value(Catalog, document)


def _entry(item: dict[str, Any]) -> str:
    parts = []
    for name, value in item.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in value)
            parts.append(f'\n  "{name}": [\n{inner}]')
        else:
            parts.append(f'"{name}": {json.dumps(value, ensure_ascii=False)}')
    return " {" + ", ".join(parts).replace(", \n", ",\n") + "}"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    return {
        spec.name: _plain(held)
        for spec in fields(value)
        if (held := getattr(value, spec.name)) != spec.default or spec.default is MISSING
    }


def _value(kind: type[T], document: dict[str, Any]) -> T:
    specs = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _field(specs[name], held) for name, held in document.items()})


def _field(spec: Field[Any], held: Any) -> Any:
    kind = spec.metadata.get("of")
    if isinstance(held, list):
        return tuple(_value(kind, item) if kind else item for item in held)
    return _value(kind, held) if kind else held
