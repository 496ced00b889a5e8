"""The description of the schema at head, shared by all exporters.

Meanings come from the models; types and defaults come from the catalog that ships with the package. No database is
needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from diwa_schema.drift.read import at_head
from diwa_schema.errors import UsageError
from diwa_schema.models.dossier import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import sqlalchemy as sa
    from sqlalchemy.orm import Mapper

    from diwa_schema.drift.model import Table as Read

Kind = Literal[
    "uuid", "string", "text", "integer", "float", "boolean", "decimal", "bytes", "document", "strings", "time",
    "embedding", "search",
]  # fmt: skip
Tier = Literal["core", "team", "enterprise"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)

_TIER_OF: Final[dict[str, Tier]] = {
    "diwa_schema.models.core": "core",
    "diwa_schema.models.queues": "core",
    "diwa_schema.models.team": "team",
    "diwa_schema.models.enterprise": "enterprise",
}
_KINDS: Final[dict[str, Kind]] = {
    "UniqueId": "uuid",
    "LooseId": "uuid",
    "ShortText": "string",
    "LongText": "text",
    "Count": "integer",
    "Real": "float",
    "Flag": "boolean",
    "Cost": "decimal",
    "Bytes": "bytes",
    "Document": "document",
    "TextArray": "strings",
    "Timestamp": "time",
    "Embedding": "embedding",
    "SearchVector": "search",
}
_WRITERS: Final = {
    "agent": "diwa-agent",
    "cloud": "diwa-cloud",
    "database": "the database",
    "unknown": "no known program",
}
_PRIVACY: Final = {
    "none": "",
    "person": "names or identifies a person",
    "content": "may hold personal or health data",
    "secret": "secret: never shown or logged",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """The target of a reference, and the database's action on its deletion."""

    table: str
    column: str
    on_delete: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Args:
        name: Its name in the database.
        attribute: Its name in the models.
        kind: The kind of its values, the same on both databases.
        type: Its type on PostgreSQL at head.
        meaning: Its meaning, in one or two sentences.
        nullable: Whether it accepts NULL.
        primary_key: Whether it is the key of the row.
        unique: Whether it alone has a unique index.
        default: The default of PostgreSQL, as an expression.
        value: The default of the models: a text, number, flag, list or dict.
        made: Whether the models or the database generate an omitted value.
        length: The maximum number of characters.
        many: Whether its document is a list by convention.
        invented: Whether its default gave older rows a value that nobody stated.
        time: Its type in Ecto, for a time: ``utc_datetime`` and the like.
        unit: The unit of its number.
        values: Its known words.
        closed: Whether applications write no other words.
        writer: Its writer, as text.
        privacy: Its personal data, as text; empty if it has none.
        refers: The target of its reference.
    """

    name: str
    attribute: str
    kind: Kind
    type: str
    meaning: str
    nullable: bool
    primary_key: bool
    unique: bool
    default: str | None
    value: Any
    made: bool
    length: int | None
    many: bool
    invented: bool
    time: str
    unit: str
    values: tuple[str, ...]
    closed: bool
    writer: str
    privacy: str
    refers: Reference | None

    @property
    def required(self) -> bool:
        """Whether a new row must provide a value."""
        return not (self.nullable or self.made)


@dataclass(frozen=True, slots=True)
class Association:
    """A relationship of the models.

    Args:
        name: Its name.
        kind: ``belongs_to``, ``has_one`` or ``has_many``.
        target: The table on the other side.
        column: The referring column, on either side.
    """

    name: str
    kind: Literal["belongs_to", "has_one", "has_many"]
    target: str
    column: str


@dataclass(frozen=True, slots=True)
class Index:
    """An index beside the primary key."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    method: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its columns in the order of the database."""

    name: str
    model: str
    tier: Tier
    meaning: str
    writer: str
    columns: tuple[Column, ...]
    associations: tuple[Association, ...]
    indexes: tuple[Index, ...]


@cache
def describe() -> tuple[Table, ...]:
    """Return the tables at head by tier, each in the order in which the models declare it.

    Raises:
        UsageError: The catalog of head lacks a table or a column of the models.
    """
    from diwa_schema.models import Base, load

    load()
    Base.registry.configure()
    catalog = at_head("postgresql")
    mappers = [model.__mapper__ for model in Base.__subclasses__() if model.__module__ in _TIER_OF]
    read = {table.name: table for table in catalog.tables}
    _refuse_unknown([mapper.local_table for mapper in mappers], read)
    found = [_table(mapper, read[mapper.local_table.name]) for mapper in mappers]  # type: ignore[attr-defined]
    return tuple(table for tier in TIERS for table in found if table.tier == tier)


def of_tier(tier: Tier) -> tuple[Table, ...]:
    """Return the tables of a tier."""
    return tuple(table for table in describe() if table.tier == tier)


def _refuse_unknown(tables: Iterable[Any], read: Mapping[str, Read]) -> None:
    """Raise an error if the models are ahead of the catalog of head, as after ``revision --no-generate``."""
    missing: list[str] = []
    for table in tables:
        if (there := read.get(table.name)) is None:
            missing.append(table.name)
        else:
            missing += [f"{table.name}.{one.name}" for one in table.columns if there.column(one.name) is None]
    if missing:
        raise UsageError(
            f"The catalog of head lacks these parts of the models: {', '.join(sorted(missing))}.",
            next_step=(
                "If a revision already adds them, write the generated files: python -m"
                ' diwa_schema.generate\nIf none does: diwa-schema revision -m "…" --autogenerate'
            ),
        )


def _table(mapper: Mapper[Any], read: Read) -> Table:
    table: Any = mapper.local_table
    attributes = {mapper.get_property_by_column(column).key: column for column in table.columns}
    order = {column.name: column.position for column in read.columns}
    unique = {index.columns[0] for index in read.indexes if index.unique and len(index.columns) == 1}
    columns = [
        _column(mapper, key, column, read, column.name in unique) for key, column in attributes.items()
    ]
    return Table(
        name=table.name,
        model=mapper.class_.__name__,
        tier=_TIER_OF[mapper.class_.__module__],
        meaning=str(mapper.class_.__doc__),
        writer=_WRITERS[table.info[KEY]["writer"]],
        columns=tuple(sorted(columns, key=lambda column: order[column.name])),
        associations=tuple(_associations(mapper)),
        indexes=tuple(Index(index.name, index.columns, index.unique, index.method) for index in read.indexes),
    )


def _column(mapper: Mapper[Any], key: str, column: sa.Column[Any], read: Read, unique: bool) -> Column:
    stored = read.column(column.name)
    assert stored is not None  # noqa: S101 - refused before
    facts = column.info.get(KEY, {})
    kind = _KINDS[type(column.type).__name__]
    closed = _closed(mapper, key)
    table: Any = mapper.local_table
    generated = column.default is not None or column.server_default is not None
    return Column(
        name=column.name,
        attribute=key,
        kind=kind,
        type=stored.type,
        meaning=column.doc or "",
        nullable=stored.nullable,
        primary_key=column.primary_key,
        unique=unique,
        default=stored.default,
        value=_value(column, kind),
        made=generated or kind == "search",
        length=getattr(column.type, "length", None) if kind == "string" else None,
        many=facts.get("many", False),
        invented=facts.get("invented", False),
        time=getattr(column.type, "kind", "") if kind == "time" else "",
        unit=facts.get("unit") or _unit_of_time(column, kind),
        values=closed or facts.get("values", ()),
        closed=bool(closed),
        writer=_WRITERS[facts.get("writer") or table.info[KEY]["writer"]],
        privacy=_PRIVACY[facts.get("privacy", "none")],
        refers=_reference(column),
    )


def _unit_of_time(column: sa.Column[Any], kind: Kind) -> str:
    if kind != "time":
        return ""
    return "UTC, microseconds" if getattr(column.type, "precision", 0) else "UTC, whole seconds"


def _value(column: sa.Column[Any], kind: Kind) -> Any:
    """Return the models' default if it is a constant; keys and times are generated for each row."""
    default: Any = column.default
    if default is None:
        return None
    if default.is_scalar:
        return default.arg
    return default.arg(None) if kind in ("document", "strings") else None


def _closed(mapper: Mapper[Any], key: str) -> tuple[str, ...]:
    """Return the words of the value set that the annotation names: ``Mapped[TaskStatus | None]``."""
    pending = [mapper.class_.__annotations__.get(key)]
    while pending:
        found = pending.pop()
        if get_origin(found) is Literal:
            return get_args(found)
        pending += get_args(found)
    return ()


def _reference(column: sa.Column[Any]) -> Reference | None:
    for key in column.foreign_keys:
        if key.constraint is not None and key.constraint.elements[0] is not key:
            continue  # The additional column of a key over several columns is not a reference by itself.
        table, _, name = key.target_fullname.rpartition(".")
        return Reference(table, name, key.ondelete or "NO ACTION")
    return None


def _associations(mapper: Mapper[Any]) -> list[Association]:
    found = []
    for relationship in mapper.relationships:
        ((left, right),) = relationship.local_remote_pairs
        kind: Literal["belongs_to", "has_one", "has_many"]
        if relationship.direction.name == "MANYTOONE":
            kind, column = "belongs_to", left
        else:
            kind, column = ("has_many" if relationship.uselist else "has_one"), right
        target: Any = relationship.mapper.local_table
        found.append(Association(relationship.key, kind, target.name, column.name))
    return found
