"""Where two catalogs differ: the bare facts, without words and without remedies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from diwa_schema.drift.model import Catalog, Column, Key, Problem, Table
from diwa_schema.drift.optional import is_optional
from diwa_schema.drift.sameness import differing, names_matter, renamed, renamed_target
from diwa_schema.drift.text import FREE, IN_TABLES, KINDS

TRAITS = {
    "persistence": "persistence",
    "row_security": "row security",
    "replica_identity": "replica identity",
    "owner": "owner",
    "options": "options",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One object that is not as it should be.

    Args:
        kind: The kind of object, or the trait of a table.
        problem: What is wrong with it.
        table: The table it belongs to; None where it stands alone.
        found: The object as it is; None where it is missing.
        expected: The object as it should be; None where there should be none.
        fields: The fields in which the two differ.
    """

    kind: str
    problem: Problem
    table: str | None
    found: Any = None
    expected: Any = None
    fields: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that the object should have, or has."""
        return str((self.expected or self.found).name)


def findings(live: Catalog, expected: Catalog) -> list[Finding]:
    """Return what differs, each object once. Tables that are not expected are none of our business."""
    followed, column_names = _followed(live, expected)
    found = list(_free(live, expected))
    for table in expected.tables:
        if live.table(table.name) == table:
            continue
        one = followed.table(table.name)
        if one is None:
            found.append(Finding("table", "missing", table.name, expected=table))
        elif one.kind != table.kind:
            found.append(Finding("table", "changed", table.name, one, table, ("kind",)))
        else:
            found += _renamed_columns(live.table(table.name), table, column_names.get(table.name, {}))
            found += _within(one, table, live.dialect)
    return [one for one in found if not _self_made(one, found)]


def _free(live: Catalog, expected: Catalog) -> Iterator[Finding]:
    for collection in FREE:
        here = {item.name: item for item in getattr(live, collection)}
        for item in getattr(expected, collection):
            found = here.get(item.name)
            if found is None:
                yield Finding(KINDS[collection], "missing", None, expected=item)
            elif fields := differing(found, item, dialect=live.dialect):
                yield Finding(KINDS[collection], "changed", None, found, item, fields)


def _within(found: Table, expected: Table, dialect: str) -> Iterator[Finding]:
    for collection in IN_TABLES:
        yield from _paired(
            KINDS[collection], found.name, getattr(found, collection), getattr(expected, collection), dialect
        )
    yield from _paired("primary key", found.name, _keys(found), _keys(expected), dialect)
    for trait, kind in TRAITS.items():
        if getattr(found, trait) != getattr(expected, trait):
            yield Finding(kind, "changed", found.name, found, expected, (trait,))


def _keys(table: Table) -> list[Key]:
    return [table.primary_key] if table.primary_key else []


def _paired(
    kind: str, table: str, here: Iterable[Any], there: Iterable[Any], dialect: str
) -> Iterator[Finding]:
    if here == there:
        return
    found, expected = {one.name: one for one in here}, {one.name: one for one in there}
    for name in sorted(found.keys() & expected.keys()):
        fields = differing(found[name], expected[name], table, dialect=dialect)
        if fields and not (kind == "index" and is_optional(table, name) and "valid" not in fields):
            yield Finding(kind, "changed", table, found[name], expected[name], fields)
    missing = [one for name, one in expected.items() if name not in found]
    extra = [one for name, one in found.items() if name not in expected]
    # Renamed columns have been found before: what stands on them is compared under the right names.
    for one, other in _matches(missing, extra, table, dialect) if kind != "column" else ():
        missing.remove(one)
        extra.remove(other)
        if names_matter(type(one), dialect):
            yield Finding(kind, "renamed", table, other, one)
    for one in missing:
        if not (kind == "index" and is_optional(table, one.name)):
            yield Finding(kind, "missing", table, expected=one)
    for one in extra:
        if not (kind == "index" and is_optional(table, one.name) and one.valid):
            yield Finding(kind, "extra", table, found=one)


def _matches(missing: list[Any], extra: list[Any], table: str, dialect: str) -> list[tuple[Any, Any]]:
    """Return pairs that differ in their name only, each object in one pair."""
    pairs, left = [], list(extra)
    for one in missing:
        other = next((other for other in left if not differing(other, one, table, dialect=dialect)), None)
        if other is not None:
            left.remove(other)
            pairs.append((one, other))
    return pairs


def _followed(live: Catalog, expected: Catalog) -> tuple[Catalog, dict[str, dict[str, str]]]:
    """Return the live catalog as it would be with renamed columns under their right names."""
    names: dict[str, dict[str, str]] = {}
    for table in expected.tables:
        found = live.table(table.name)
        if found not in (None, table) and (pairs := _column_pairs(found, table, live.dialect)):
            names[table.name] = pairs
    if not names:
        return live, names
    return replace(live, tables=tuple(_with_names(table, names) for table in live.tables)), names


def _column_pairs(found: Table, expected: Table, dialect: str) -> dict[str, str]:
    missing = [column for column in expected.columns if found.column(column.name) is None]
    extra = [column for column in found.columns if expected.column(column.name) is None]
    alike = [
        (one, other)
        for one in missing
        for other in extra
        if not differing(other, one, found.name, dialect=dialect)
    ]
    # With several candidates nobody can say which column became which.
    ones, others = Counter(one.name for one, _ in alike), Counter(other.name for _, other in alike)
    return {other.name: one.name for one, other in alike if ones[one.name] == others[other.name] == 1}


def _with_names(table: Table, names: dict[str, dict[str, str]]) -> Table:
    own = names.get(table.name, {})
    return replace(
        table,
        columns=tuple(replace(one, name=own.get(one.name, one.name)) for one in table.columns),
        primary_key=renamed(table.primary_key, own),
        uniques=tuple(renamed(one, own) for one in table.uniques),
        foreign_keys=tuple(
            renamed_target(renamed(one, own), names.get(one.references, {})) for one in table.foreign_keys
        ),
        indexes=tuple(renamed(one, own) for one in table.indexes),
    )


def _renamed_columns(found: Table | None, expected: Table, names: dict[str, str]) -> Iterator[Finding]:
    for old, new in names.items():
        here, there = found.column(old) if found else None, expected.column(new)
        yield Finding("column", "renamed", expected.name, here, there)


def _self_made(one: Finding, others: list[Finding]) -> bool:
    """Return whether a missing sequence comes by itself, with the identity that is missing too."""
    if one.kind != "sequence" or one.problem != "missing" or not one.expected.owned_by:
        return False
    table, _, column = one.expected.owned_by.partition(".")
    return any(
        (other.kind == "table" and other.problem == "missing" and other.table == table)
        or (
            isinstance(other.expected, Column)
            and (other.table, other.expected.name) == (table, column)
            and other.expected.identity is not None
            and (other.problem == "missing" or "identity" in other.fields)
        )
        for other in others
    )
