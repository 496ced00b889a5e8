"""Reading the catalog of a SQLite database: four queries over PRAGMA functions, and its tables' texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from diwa_schema.database.link import Link
from diwa_schema.drift.expression import default as canonical_default
from diwa_schema.drift.model import (
    Catalog,
    Check,
    Column,
    ForeignKey,
    Index,
    Key,
    Origin,
    Table,
    Trigger,
    View,
)
from diwa_schema.drift.read import Wanted
from diwa_schema.drift.sqlite import parse as parse_sqlite

_OBJECTS = """
SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
_COLUMNS = """
SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid
"""
_FOREIGN_KEYS = """
SELECT m.name, f.id, f."from", f."table", f."to", f.on_update, f.on_delete
FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' ORDER BY m.name, f.id DESC, f.seq
"""
_UNIQUES = """
SELECT m.name, l.name, x.name
FROM sqlite_master m JOIN pragma_index_list(m.name) l JOIN pragma_index_info(l.name) x
WHERE m.type = 'table' AND l.origin = 'u' ORDER BY m.name, l.name, x.seqno
"""
_VIRTUAL, _STORED = 2, 3
_HIDDEN = 1


Groups = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The rows of each query by table."""

    columns: Groups
    foreign_keys: Groups
    uniques: Groups
    indexes: Groups
    triggers: Groups


def read(link: Link, wanted: Wanted) -> Catalog:
    """Read the catalog of a SQLite database; see `diwa_schema.drift.read.read`."""
    with _one_moment(link):
        return _read(link, wanted)


@contextmanager
def _one_moment(link: Link) -> Iterator[None]:
    """Let all queries see one state."""
    if link.raw.in_transaction:
        yield
        return
    link.raw.execute("BEGIN")
    try:
        yield
    finally:
        link.raw.execute("ROLLBACK")


def _read(link: Link, wanted: Wanted) -> Catalog:
    objects = link.rows(_OBJECTS)
    parts = _Parts(
        columns=_grouped(link.rows(_COLUMNS)),
        foreign_keys=_grouped(link.rows(_FOREIGN_KEYS)),
        uniques=_grouped(link.rows(_UNIQUES)),
        indexes=_grouped((row[2], row[1], row[3]) for row in objects if row[0] == "index"),
        triggers=_grouped((row[2], row[1], row[3]) for row in objects if row[0] == "trigger"),
    )
    return Catalog(
        "sqlite",
        tables=tuple(
            _table(name, sql, parts) if kind == "table" else Table(name, kind="view")
            for kind, name, _, sql in objects
            if _asked(kind, name, wanted.tables)
        ),
        views=tuple(
            View(name, " ".join(parse_sqlite.without_comments(sql).split()))
            for kind, name, _, sql in objects
            if kind == "view" and name in wanted.views
        ),
        origin=Origin("main"),
    )


def _asked(kind: str, name: str, tables: Collection[str] | None) -> bool:
    if tables is None:
        return kind == "table"
    return kind in ("table", "view") and name in tables


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Groups:
    groups: Groups = defaultdict(list)
    for table, *rest in rows:
        groups[table].append(tuple(rest))
    return groups


def _table(name: str, sql: str, parts: _Parts) -> Table:
    declared = parse_sqlite.table(sql)
    columns = parts.columns[name]
    key = sorted((row[4], row[0]) for row in columns if row[4])
    return Table(
        name,
        columns=_sorted(_columns(columns, declared)),
        primary_key=Key(f"{name}_pkey", tuple(column for _, column in key)) if key else None,
        uniques=_sorted(_uniques(name, parts.uniques[name], declared)),
        foreign_keys=_sorted(_foreign_keys(name, parts.foreign_keys[name], declared)),
        checks=_sorted(_checks(name, declared)),
        indexes=_sorted(_index(own, text) for own, text in parts.indexes[name]),
        triggers=_sorted(Trigger(own, *parse_sqlite.trigger(text)) for own, text in parts.triggers[name]),
        options=declared.options,
    )


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(items, key=attrgetter("name")))


def _columns(rows: list[tuple[Any, ...]], declared: parse_sqlite.Declared) -> Iterable[Column]:
    for position, (name, type_, not_null, default, _, hidden) in enumerate(rows, 1):
        if hidden == _HIDDEN:
            continue
        yield Column(
            name,
            type_.upper(),
            nullable=not not_null,
            default=canonical_default(default),
            generated=declared.generated.get(name) if hidden in (_VIRTUAL, _STORED) else None,
            virtual=hidden == _VIRTUAL,
            collation=declared.collations.get(name),
            position=position,
        )


def _foreign_keys(
    table: str, rows: list[tuple[Any, ...]], declared: parse_sqlite.Declared
) -> Iterable[ForeignKey]:
    # PRAGMA counts backwards: the highest id is the first one declared.
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


def _uniques(table: str, rows: list[tuple[Any, ...]], declared: parse_sqlite.Declared) -> Iterable[Key]:
    for own in _grouped(rows).values():
        columns = tuple(row[0] for row in own)
        yield Key(declared.uniques.get(columns) or f"{table}_{'_'.join(columns)}_key", columns)


def _checks(table: str, declared: parse_sqlite.Declared) -> Iterable[Check]:
    for number, (name, expression) in enumerate(declared.checks, 1):
        yield Check(name or f"{table}_check{number}", " ".join(expression.split()))


def _index(name: str, text: str) -> Index:
    columns, predicate = parse_sqlite.index(text)
    return Index(name, columns, unique=text.split(None, 2)[1].upper() == "UNIQUE", predicate=predicate)
