"""The differences of two catalogs as plain data, without messages and fixes.

These spellings and variants count as equal:

* `uuid_generate_v4()` and `gen_random_uuid()`, in whatever schema, both yield a random uuid.
* An embedding column is `vector(1536)` where the database has pgvector and has been converted, else `bytea`; below the
  revision that makes memories' a vector, code of some date has left `vector(384)`.
* Below the revision that makes them uuids, the ids of the buffer are texts, or uuids as the agent's own table has them.
* A build of SQLite without FTS5 has plain tables in the place of what keeps the words of memories, and no triggers.
* A comment that somebody else has written on a column stands for the one that this package writes.
* SQLite knows `true` and `false` as other spellings of 1 and 0.
* On SQLite the name of a constraint does nothing.
* An optional index may be there or not, in whatever form; only a broken one is a finding.
* Embeddings that are bytes may have the check that refuses the characters of a vector.
* A rule about rows may wait until no row breaks it, or for its validation; `drift/rules.py` tells of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from diwa_schema.drift.model import Catalog, Column, ForeignKey, Key, Other, Table
from diwa_schema.drift.optional import is_optional, refuses_characters
from diwa_schema.drift.rules import follows, tolerated
from diwa_schema.models import searched

Problem = Literal["missing", "extra", "changed", "renamed"]

COLLECTIONS = {
    "columns": "column",
    "foreign_keys": "foreign key",
    "others": "other",
    "indexes": "index",
    "triggers": "trigger",
}
TRAITS = {
    "persistence": "persistence",
    "row_security": "row security",
    "replica_identity": "replica identity",
    "owner": "owner",
    "options": "options",
}

_EMBEDDINGS = frozenset({("memories", "embedding"), ("embedding_cache", "embedding")})
_EMBEDDING_TYPES = frozenset({"vector(1536)", "bytea"})
# The placeholder for the expected type below a certain revision.
_BELOW = {
    ("memories", "embedding"): ("vector(384)", "bytea"),
    ("tala_operations", "session_id"): ("uuid", "character varying(255)"),
    ("tala_operations", "context_id"): ("uuid", "character varying(255)"),
}
_RANDOM_ID = re.compile(r'(?:(?:\w+|"(?:[^"]|"")+")\.)?(?:uuid_generate_v4|gen_random_uuid)\(\)')
_TRUTHS = {"true": "1", "false": "0"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One object that differs from the expected one.

    Args:
        kind: The kind of object, or the trait of a table.
        problem: The problem.
        table: The table it belongs to.
        found: The present object; None if it is missing.
        expected: The expected object; None if there should be none.
        fields: The fields in which the two differ.
    """

    kind: str
    problem: Problem
    table: str
    found: Any = None
    expected: Any = None
    fields: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that the object should have, or has."""
        return str((self.expected or self.found).name)


def findings(live: Catalog, expected: Catalog) -> list[Finding]:
    """Return the differences, each object once.

    Unexpected tables are ignored, except for a foreign key that followed a table of the schema when a revision renamed
    it and set it aside.
    """
    followed, column_names = _followed(live, expected)
    found = [
        Finding("foreign key", "changed", one.table, one.key, fields=("references",))
        for one in live.followers
    ]
    for table in expected.tables:
        here = live.table(table.name)
        if here == table:
            continue
        one = followed.table(table.name)
        if one is None or here is None:
            found.append(Finding("table", "missing", table.name, expected=table))
        elif one.kind != table.kind:
            found.append(Finding("table", "changed", table.name, one, table, ("kind",)))
        else:
            for old, new in column_names.get(table.name, {}).items():
                found.append(Finding("column", "renamed", table.name, here.column(old), table.column(new)))
            found += _within(one, table, live.dialect)
    columns = {(one.table, one.name) for one in found if one.kind == "column"}
    return [one for one in found if not (one.problem == "changed" and follows(one.table, one.name, columns))]


def within_capabilities(expected: Catalog, live: Catalog) -> Catalog:
    """Return the expected catalog for a database that may lack pgvector, or FTS5 on SQLite."""
    if live.dialect == "sqlite":
        return _within_sqlite(expected, live)
    if live.origin.vector:
        return expected

    def without_vector(table: Table) -> Table:
        columns = (
            replace(one, type="bytea") if (table.name, one.name) in _EMBEDDINGS else one
            for one in table.columns
        )
        return replace(table, columns=tuple(columns))

    return replace(expected, tables=tuple(map(without_vector, expected.tables)))


def with_own_comments(expected: Catalog, live: Catalog) -> Catalog:
    """Return the expected catalog for a database with foreign comments, which stay."""

    def commented(table: Table) -> Table:
        found = live.table(table.name)
        if found is None or found == table:
            return table
        own = {one.name: one.comment for one in found.columns if one.comment}
        columns = (replace(one, comment=own.get(one.name, one.comment)) for one in table.columns)
        return replace(table, columns=tuple(columns)) if own else table

    return replace(expected, tables=tuple(map(commented, expected.tables)))


def _within_sqlite(expected: Catalog, live: Catalog) -> Catalog:
    words = live.table(searched.WORDS)
    if live.origin.words or words is None or words.kind != "table":
        return expected

    def without_words(table: Table) -> Table:
        if table.name == searched.WORDS:
            return words
        return replace(
            table, triggers=tuple(one for one in table.triggers if one.name not in searched.TRIGGERS)
        )

    return replace(expected, tables=tuple(map(without_words, expected.tables)))


def _within(found: Table, expected: Table, dialect: str) -> Iterator[Finding]:
    for collection, kind in COLLECTIONS.items():
        yield from _paired(
            kind, found.name, getattr(found, collection), getattr(expected, collection), dialect
        )
    here, there = ((table.primary_key,) if table.primary_key else () for table in (found, expected))
    yield from _paired("primary key", found.name, here, there, dialect)
    for trait, kind in TRAITS.items():
        if getattr(found, trait) != getattr(expected, trait):
            yield Finding(kind, "changed", found.name, found, expected, (trait,))


def _paired(
    kind: str, table: str, here: Iterable[Any], there: Iterable[Any], dialect: str
) -> Iterator[Finding]:
    if here == there:
        return
    for problem, found, expected, differing in _problems(kind, table, here, there, dialect):
        one = found or expected
        if tolerated(kind, found, expected) or (expected is None and refuses_characters(table, found)):
            continue
        if not (kind == "index" and is_optional(table, one.name) and one.valid):
            # Objects without a collection of their own carry their kind.
            said = one.kind if isinstance(one, Other) else kind
            yield Finding(said, problem, table, found, expected, differing)


def _problems(
    kind: str, table: str, here: Iterable[Any], there: Iterable[Any], dialect: str
) -> Iterator[tuple[Problem, Any, Any, tuple[str, ...]]]:
    found, expected = {one.name: one for one in here}, {one.name: one for one in there}
    for name in sorted(found.keys() & expected.keys()):
        if differing := _differing(found[name], expected[name], table, dialect):
            yield "changed", found[name], expected[name], differing
    missing = [one for name, one in expected.items() if name not in found]
    extra = [one for name, one in found.items() if name not in expected]
    # Renamed columns are known by now, so objects on them are compared under the right names.
    for one, other in _matches(missing, extra, table, dialect) if kind != "column" else ():
        missing.remove(one)
        extra.remove(other)
        if dialect == "postgresql" or not isinstance(one, Key | ForeignKey | Other):
            yield "renamed", other, one, ()
    yield from (("missing", None, one, ()) for one in missing)
    yield from (("extra", one, None, ()) for one in extra)


def _matches(missing: list[Any], extra: list[Any], table: str, dialect: str) -> list[tuple[Any, Any]]:
    """Return pairs that differ only in their names, each object in one pair."""
    pairs, left = [], list(extra)
    for one in missing:
        other = next((other for other in left if not _differing(other, one, table, dialect)), None)
        if other is not None:
            left.remove(other)
            pairs.append((one, other))
    return pairs


def _differing(found: Any, expected: Any, table: str, dialect: str) -> tuple[str, ...]:
    """Return the names of the fields in which two objects of one kind differ, except their names."""
    if found == expected:
        return ()
    return tuple(
        spec.name
        for spec in fields(expected)
        if spec.name != "name" and spec.compare and not _same(spec.name, found, expected, table, dialect)
    )


def _same(field: str, found: Any, expected: Any, table: str, dialect: str) -> bool:
    one, other = getattr(found, field), getattr(expected, field)
    if one == other:
        return True
    if field == "default":
        return _default(one, dialect) == _default(other, dialect)
    if field == "type" and isinstance(expected, Column):
        place = (table, expected.name)
        return (place in _EMBEDDINGS and {one, other} <= _EMBEDDING_TYPES) or _BELOW.get(place) == (
            one,
            other,
        )
    return False


def _default(expression: str | None, dialect: str) -> str | None:
    if expression is None:
        return None
    if dialect == "sqlite":
        return _TRUTHS.get(expression.lower(), expression)
    return "gen_random_uuid()" if _RANDOM_ID.fullmatch(expression) else expression


def _followed(live: Catalog, expected: Catalog) -> tuple[Catalog, dict[str, dict[str, str]]]:
    """Return the live catalog with renamed columns under their right names, and these names."""
    names: dict[str, dict[str, str]] = {}
    for table in expected.tables:
        found = live.table(table.name)
        if found not in (None, table) and (pairs := _column_pairs(found, table, live.dialect)):
            names[table.name] = pairs
    return with_names(live, names) if names else live, names


def with_names(catalog: Catalog, names: dict[str, dict[str, str]]) -> Catalog:
    """Return a catalog with renamed columns, including the objects on them.

    Args:
        catalog: The catalog.
        names: The new name of each of these columns by its old one, by table.
    """
    return replace(catalog, tables=tuple(_with_names(table, names) for table in catalog.tables))


def _column_pairs(found: Table, expected: Table, dialect: str) -> dict[str, str]:
    missing = [column for column in expected.columns if found.column(column.name) is None]
    extra = [column for column in found.columns if expected.column(column.name) is None]
    alike = [
        (one, other)
        for one in missing
        for other in extra
        if set(_differing(other, one, found.name, dialect)) <= {"comment"}
    ]
    # With several candidates, the pairs are unknown.
    ones, others = Counter(one.name for one, _ in alike), Counter(other.name for _, other in alike)
    return {other.name: one.name for one, other in alike if ones[one.name] == others[other.name] == 1}


def _with_names(table: Table, names: dict[str, dict[str, str]]) -> Table:
    own = names.get(table.name, {})

    def renamed(pieces: Iterable[str], columns: dict[str, str]) -> tuple[str, ...]:
        heads = (piece.partition(" ") for piece in pieces)
        return tuple(columns.get(word, word) + blank + rest for word, blank, rest in heads)

    key = table.primary_key
    return replace(
        table,
        columns=tuple(replace(one, name=own.get(one.name, one.name)) for one in table.columns),
        primary_key=key and replace(key, columns=renamed(key.columns, own)),
        foreign_keys=tuple(
            replace(
                one,
                columns=renamed(one.columns, own),
                ref_columns=renamed(one.ref_columns, names.get(one.references, {})),
            )
            for one in table.foreign_keys
        ),
        indexes=tuple(
            replace(
                one,
                columns=tuple(
                    _reworded(piece, own) if "(" in piece or "CASE" in piece else renamed((piece,), own)[0]
                    for piece in one.columns
                ),
                predicate=one.predicate and _reworded(one.predicate, own),
            )
            for one in table.indexes
        ),
    )


def _reworded(expression: str, columns: dict[str, str]) -> str:
    """Return an expression with renamed columns; quoted texts stay."""
    return re.sub(r"'(?:[^']|'')*'|\w+", lambda found: columns.get(found[0], found[0]), expression)
