"""Building and dropping indexes without blocking writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import Ground, Pace, dialect, ground, offline, operations, step

Build = Callable[[sa.Connection, bool], None]
Keys = Sequence[str | sa.TextClause]


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index as a revision describes it.

    Args:
        name: Its name.
        table: Its table.
        keys: Its columns; an expression, or a column with a direction, is a `sa.text`.
        where: The condition of a partial index, as SQL that both databases understand.
        using: The access method on PostgreSQL.
        unique: Whether it is unique.
        only: The only dialect that has it; both by default.
    """

    name: str
    table: str
    keys: Keys
    where: str | None = None
    using: str | None = None
    unique: bool = False
    only: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of `alembic.op.create_index` besides name, table and keys."""
        using = {"postgresql_using": self.using} if self.using else {}
        if self.where is None:
            return using
        return using | {f"{name}_where": sa.text(self.where) for name in ("postgresql", "sqlite")}


@step
def create_index_concurrently(
    name: str, table: str, columns: Keys, *, unique: bool = False, **options: Any
) -> None:
    """Create an index while the table is in use; afterwards it is valid.

    An existing index stays as it is. An invalid one from an interrupted run is dropped and rebuilt, unless a server
    process is still building it; the step waits for that. A failed build leaves nothing behind.

    Args:
        name: The index.
        table: Its table.
        columns: Its columns; an expression, or a column with a direction, is a `sa.text`.
        unique: Whether it is unique.
        options: Further options of `alembic.op.create_index`, such as ``postgresql_using="gin"``.

    Raises:
        MigrationFailed: The name belongs to an index with another table, other columns or other uniqueness.
    """
    _create(name, table, columns, unique=unique, **options)


@step
def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index while the table is in use; if it is absent, nothing happens.

    Args:
        name: The index.
        table: Its table.
    """
    _drop(name, table)


@step
def exchange_indexes(new: Sequence[NewIndex], old: Sequence[NewIndex]) -> None:
    """Create indexes and then drop the ones that they replace, while the tables are in use.

    Nothing is dropped before all new ones are valid. The downgrade of a revision is the same with both swapped.

    Args:
        new: The indexes to create; as with `create_index_concurrently`, an existing one stays.
        old: The indexes to drop; absent ones are skipped.

    Raises:
        MigrationFailed: The name of a new one belongs to another index. No old one was dropped.
    """
    for one in new:
        if one.only in (None, dialect()):
            _create(one.name, one.table, one.keys, unique=one.unique, **one.options)
    for one in old:
        if one.only in (None, dialect()):
            _drop(one.name, one.table)


@step
def add_indexed_columns(
    columns: Mapping[str, Sequence[sa.Column[Any]]], indexes: Sequence[tuple[str, str, Sequence[str]]]
) -> None:
    """Add columns and then the indexes on them; existing ones stay as they are.

    Args:
        columns: The new columns of each table: nullable ones, whose default, if any, is a constant.
        indexes: Name, table and columns of each new index.
    """
    for table, new in columns.items():
        _add_columns(table, new)
    for name, table, keys in indexes:
        _create(name, table, keys)


@step
def drop_indexed_columns(columns: Mapping[str, Sequence[str]], indexes: Sequence[tuple[str, str]]) -> None:
    """Drop indexes and then columns; absent ones are skipped.

    Args:
        columns: The columns to drop from each table.
        indexes: Name and table of each index to drop.
    """
    for name, table in indexes:
        _drop(name, table)
    for table, names in columns.items():
        _drop_columns(table, names)


def _add_columns(table: str, columns: Sequence[sa.Column[Any]]) -> None:
    """Add columns that a table does not have yet, in one short transaction."""

    def work(connection: sa.Connection) -> None:
        present = lookup.column_types(connection, table)
        for column in columns:
            if column.name not in present:
                operations(connection).add_column(table, column)

    if offline():
        for column in columns:
            op.add_column(table, column)
        return
    ground().pace.short(work)


def _drop_columns(table: str, names: Sequence[str]) -> None:
    """Drop columns that a table still has, in one short transaction."""

    def work(connection: sa.Connection) -> None:
        present = lookup.column_types(connection, table)
        for name in names:
            if name in present:
                operations(connection).drop_column(table, name)

    if offline():
        for name in names:
            op.drop_column(table, name)
        return
    ground().pace.short(work)


def build_index(
    on: Ground,
    name: str,
    build: Build,
    refuse: Callable[[lookup.IndexState], None] = lambda _: None,
) -> None:
    """Build an index of the current PostgreSQL schema unless it is there and valid.

    Args:
        on: The environment of the step.
        name: The index.
        build: A function that creates it on the given connection, concurrently on request.
        refuse: A function that raises an error if an index with its name is another one.

    Raises:
        MigrationFailed: It was built and is not valid.
    """
    found = _settled(on.pace, name, refuse)
    if found is not None and found.valid:
        return
    if found is not None:
        _remove(on, name)
    try:
        on.pace.long(lambda connection: build(connection, on.live))
    except DBAPIError:
        if on.live:
            _remove(on, name)
        raise
    if not on.pace.look(lambda connection: lookup.usable_index(connection, name)):
        raise MigrationFailed(
            f"The build of index {name} ended, and the index is not valid.",
            untouched="Queries do not use it; the tables are unchanged.",
            next_step="Run the command again; it drops the index and builds it again.",
            index=name,
        )


def _create(name: str, table: str, columns: Keys, *, unique: bool = False, **options: Any) -> None:
    def build(connection: sa.Connection, concurrently: bool) -> None:
        operations(connection).create_index(
            name, table, list(columns), unique=unique, postgresql_concurrently=concurrently, **options
        )

    if offline():
        op.create_index(name, table, list(columns), unique=unique, **options)
    elif dialect() == "sqlite":
        ground().pace.short(
            lambda connection: operations(connection).create_index(
                name, table, list(columns), unique=unique, if_not_exists=True, **options
            )
        )
    else:
        keys = tuple(one if isinstance(one, str) else "" for one in columns)
        wanted = lookup.IndexState(table, keys, unique, valid=True)
        build_index(ground(), name, build, lambda found: _refuse_other(name, found, wanted))


def _drop(name: str, table: str) -> None:
    if offline():
        op.drop_index(name, table)
    elif dialect() == "sqlite":
        ground().pace.short(lambda connection: operations(connection).drop_index(name, table, if_exists=True))
    else:
        _remove(ground(), name)


def _remove(on: Ground, name: str) -> None:
    how = "CONCURRENTLY " if on.live else ""
    on.pace.long(
        lambda connection: connection.execute(
            sa.text(f"DROP INDEX {how}IF EXISTS {lookup.qualified(connection, name)}")
        )
    )


def _settled(pace: Pace, name: str, refuse: Callable[[lookup.IndexState], None]) -> lookup.IndexState | None:
    """Return the state of an index after every other server process has stopped building it."""

    def look(connection: sa.Connection) -> lookup.IndexState | None:
        found = lookup.index_state(connection, name)
        if found is not None:
            refuse(found)
        return found

    def building(connection: sa.Connection) -> str | None:
        if not (processes := lookup.index_builders(connection, name)):
            return None
        return f"index {name} is being built by server process {', '.join(map(str, processes))}"

    found = pace.look(look)
    if found is None or found.valid:
        return found
    pace.wait(building)
    return pace.look(look)


def _refuse_other(name: str, found: lookup.IndexState, wanted: lookup.IndexState) -> None:
    # The catalog and a revision spell an expression, or a column with a direction, differently.
    alike = len(found.columns) == len(wanted.columns) and all(
        not there or here == there for here, there in zip(found.columns, wanted.columns, strict=True)
    )
    if not alike or (found.table, found.unique) != (wanted.table, wanted.unique):
        raise MigrationFailed(
            f"The name {name} belongs to another index: {_described(found)}, not {_described(wanted)}.",
            untouched="That index was left as it is.",
            next_step=f"Rename or drop index {name}, then run the command again.",
            index=name,
        )


def _described(index: lookup.IndexState) -> str:
    columns = ", ".join(column or "an expression" for column in index.columns)
    return f"{'unique ' if index.unique else ''}on {index.table} ({columns})"
