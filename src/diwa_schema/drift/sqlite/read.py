"""Reading the catalog of a SQLite database: three queries over PRAGMA functions, and its tables' texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from diwa_schema.database.link import Link
from diwa_schema.drift.model import (
    Catalog,
    Column,
    Follower,
    ForeignKey,
    Index,
    Key,
    Origin,
    Other,
    Table,
    Trigger,
)
from diwa_schema.drift.scan import default as canonical_default
from diwa_schema.drift.sqlite import parse
from diwa_schema.migrations.manifest import KEPT
from diwa_schema.models import searched

_OBJECTS = """
SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
_COLUMNS = """
SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.sql NOT LIKE 'CREATE VIRTUAL %'
ORDER BY m.name, c.cid
"""
_FOREIGN_KEYS = """
SELECT m.name, f.id, f."from", f."table", f."to", f.on_update, f.on_delete
FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' ORDER BY m.name, f.id DESC, f.seq
"""
_GENERATED = {2: "VIRTUAL", 3: "STORED"}
_HIDDEN = 1


Groups = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The rows of each query by table."""

    columns: Groups
    foreign_keys: Groups
    indexes: Groups
    triggers: Groups


def read(link: Link, tables: Collection[str] | None) -> Catalog:
    """Read the catalog of a SQLite database; see `diwa_schema.drift.read.read`."""
    with _one_moment(link):
        return _read(link, tables)


@contextmanager
def _one_moment(link: Link) -> Iterator[None]:
    """Let all queries see one snapshot."""
    if link.raw.in_transaction:
        yield
        return
    link.raw.execute("BEGIN")
    try:
        yield
    finally:
        link.raw.execute("ROLLBACK")


def _read(link: Link, tables: Collection[str] | None) -> Catalog:
    objects = link.rows(_OBJECTS)
    parts = _Parts(
        columns=_grouped(link.rows(_COLUMNS)),
        foreign_keys=_grouped(link.rows(_FOREIGN_KEYS)),
        indexes=_grouped((row[2], row[1], row[3]) for row in objects if row[0] == "index"),
        triggers=_grouped((row[2], row[1], row[3]) for row in objects if row[0] == "trigger"),
    )
    held = {name: sql for kind, name, _, sql in objects if kind == "table" and not searched.is_shadow(name)}
    views = [name for kind, name, *_ in objects if kind == "view" and name in (tables or ())]
    found = [_table(name, sql, parts) for name, sql in held.items() if tables is None or name in tables]
    # The tables of the schema have to be known to recognise other ones.
    others = (
        [] if tables is None else [name for name in held if name not in tables and not name.startswith(KEPT)]
    )
    return Catalog(
        "sqlite",
        tables=_sorted([*found, *(Table(name, kind="view") for name in views)]),
        followers=tuple(
            Follower(name, key)
            for name in others
            if any(row[2].startswith(KEPT) for row in parts.foreign_keys[name])
            for key in _foreign_keys(name, parts.foreign_keys[name], parse.table(held[name]))
            if key.references.startswith(KEPT) and key.references not in (tables or ())
        ),
        origin=Origin("main", words=bool(link.value(searched.is_possible()))),
    )


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Groups:
    groups: Groups = defaultdict(list)
    for table, *rest in rows:
        groups[table].append(tuple(rest))
    return groups


def _table(name: str, sql: str, parts: _Parts) -> Table:
    if (module := parse.module(sql)) is not None:
        # Its columns come from the module, which this build of SQLite may lack.
        return Table(name, kind="virtual table", options=(module,))
    declared = parse.table(sql)
    columns = parts.columns[name]
    key = sorted((row[4], row[0]) for row in columns if row[4])
    return Table(
        name,
        columns=_sorted(_columns(columns, declared)),
        primary_key=Key(f"{name}_pkey", tuple(column for _, column in key)) if key else None,
        foreign_keys=_sorted(_foreign_keys(name, parts.foreign_keys[name], declared)),
        indexes=_sorted(_index(own, text) for own, text in parts.indexes[name]),
        triggers=_sorted(Trigger(own, *parse.trigger(text)) for own, text in parts.triggers[name]),
        others=_sorted(
            Other(own or f"{name}_{kind.split()[0]}{number}", kind, definition)
            for number, (own, kind, definition) in enumerate(declared.others, 1)
        ),
        options=declared.options,
    )


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(items, key=attrgetter("name")))


def _columns(rows: list[tuple[Any, ...]], declared: parse.Declared) -> Iterable[Column]:
    for position, (name, type_, not_null, default, _, hidden) in enumerate(rows, 1):
        if hidden == _HIDDEN:
            continue
        yield Column(
            name,
            type_.upper(),
            nullable=not not_null,
            default=canonical_default(default),
            generated=(
                f"GENERATED ALWAYS AS ({declared.generated.get(name)}) {_GENERATED[hidden]}"
                if hidden in _GENERATED
                else None
            ),
            collation=declared.collations.get(name),
            position=position,
        )


def _foreign_keys(table: str, rows: list[tuple[Any, ...]], declared: parse.Declared) -> Iterable[ForeignKey]:
    # PRAGMA counts backwards: the highest id is the first declared one.
    for number, own in enumerate(_grouped((str(row[0]), *row[1:]) for row in rows).values()):
        columns = tuple(row[0] for row in own)
        _, references, _, on_update, on_delete = own[0]
        name, deferrable = dict(enumerate(declared.foreign_keys)).get(number, (None, None))
        yield ForeignKey(
            name or f"{table}_{'_'.join(columns)}_fkey",
            columns,
            references,
            tuple(row[2] or "id" for row in own),
            on_update,
            on_delete,
            deferrable=deferrable,
        )


def _index(name: str, text: str) -> Index:
    columns, predicate = parse.index(text)
    return Index(name, columns, unique=text.split(None, 2)[1].upper() == "UNIQUE", predicate=predicate)
