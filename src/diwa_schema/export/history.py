"""The effect of each revision on each table, read from a run of the history in memory.

SQLite in memory is read after each revision. Objects that only PostgreSQL has are found by name in the statements of
the revision. Nothing about revisions is written by hand.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.link import Link
from diwa_schema.drift.read import at_head, read
from diwa_schema.migrations.manifest import KEPT, load
from diwa_schema.migrations.revisions import load as load_module, operations
from diwa_schema.names import LONGEST
from diwa_schema.run.script import render

if TYPE_CHECKING:
    from diwa_schema.drift.model import Catalog, Table
    from diwa_schema.migrations.manifest import Revision

_SECTION = re.compile(r"^-- upgrade (\d{14}) .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a table by a revision.

    Args:
        table: The table.
        text: The change as part of a sentence: ``adds slug``. Empty for parts of a new table.
        column: The added column.
    """

    table: str
    text: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A revision and its changes.

    Args:
        revision: Its entry in the manifest.
        purpose: The first sentence of its file.
        changes: Its changes, table by table.
    """

    revision: Revision
    purpose: str
    changes: tuple[Change, ...]


@cache
def history() -> tuple[Step, ...]:
    """Return all revisions, oldest first; the function builds a database in memory."""
    statements = _statements()
    return tuple(
        Step(
            revision,
            purpose,
            tuple(sorted({*changes, *_only_on_postgresql(revision, statements)}, key=_order)),
        )
        for revision, purpose, changes in _replayed()
    )


@cache
def since() -> dict[str, str]:
    """Return the revision that added each column, by ``table.column``."""
    found: dict[str, str] = {}
    for step in history():
        for change in step.changes:
            if change.column:
                found.setdefault(f"{change.table}.{change.column}", step.revision.revision)
    return found


def _order(change: Change) -> tuple[str, bool, str]:
    return change.table, not change.text.startswith("creates"), change.text


def _replayed() -> Iterator[tuple[Revision, str, list[Change]]]:
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with Link(memory, "sqlite", "memory") as link, connection_over(link) as connection:
        before = read(link)
        with operations(connection, {}):
            for revision in load():
                module = load_module(revision)
                module.upgrade()
                after = read(link)
                yield revision, _purpose(module.__doc__), list(_between(before, after))
                before = after


def _purpose(documentation: str | None) -> str:
    return (documentation or "").strip().partition("\n\n")[0].replace("\n", " ")


def _between(before: Catalog, after: Catalog) -> Iterator[Change]:
    for table in after.tables:
        old = before.table(table.name)
        # A replacement by a table of the same shape is no change for its users.
        if old is None:
            yield Change(table.name, "creates the table")
            yield from (Change(table.name, "", column.name) for column in table.columns)
        elif not table.name.startswith(KEPT):
            yield from _within(old, table)
    for table in before.tables:
        if after.table(table.name) is None:
            yield Change(table.name, "drops the table")


def _within(old: Table, new: Table) -> Iterator[Change]:
    for column in new.columns:
        earlier = old.column(column.name)
        if earlier is None:
            yield Change(new.name, f"adds `{column.name}`", column.name)
        elif earlier.type != column.type:
            yield Change(new.name, f"makes `{column.name}` {column.type} on SQLite")
        elif earlier.nullable != column.nullable:
            yield Change(new.name, f"makes `{column.name}` {'nullable' if column.nullable else 'NOT NULL'}")
    for column in old.columns:
        if new.column(column.name) is None:
            yield Change(new.name, f"drops `{column.name}`")
    indexes = {index.name for index in old.indexes}
    yield from (
        Change(new.name, f"adds the index `{index.name[:LONGEST]}`")
        for index in new.indexes
        if index.name not in indexes
    )


def _statements() -> dict[str, str]:
    """Return the statements that each revision sends to PostgreSQL."""
    parts = _SECTION.split(render("postgresql", "head", "upgrade"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _only_on_postgresql(revision: Revision, statements: dict[str, str]) -> Iterator[Change]:
    for retyped in revision.retypes:
        owner, _, name = retyped.rpartition(".")
        yield Change(owner, f"gives `{name}` its present type if it still has another one")
    here = {table.name: table for table in at_head("sqlite").tables}
    for table in at_head("postgresql").tables:
        there = here[table.name]
        known = {column.name for column in there.columns} | {index.name[:LONGEST] for index in there.indexes}
        for column in table.columns:
            if column.name not in known and _first(column.name, statements) == revision.revision:
                yield Change(table.name, f"adds `{column.name}` (PostgreSQL only)", column.name)
        for kind, objects in (("index", table.indexes), ("trigger", table.triggers)):
            for one in objects:
                if one.name not in known and _first(one.name, statements) == revision.revision:
                    yield Change(table.name, f"adds the {kind} `{one.name}` (PostgreSQL only)")


def _first(name: str, statements: dict[str, str]) -> str | None:
    return next((revision for revision, text in statements.items() if re.search(rf"\b{name}\b", text)), None)
