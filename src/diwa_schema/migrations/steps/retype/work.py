"""The work of changing an embedding column's type: batches, concurrently written rows, and the swap."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from diwa_schema.errors import MigrationFailed, command
from diwa_schema.migrations import characters
from diwa_schema.migrations.steps import batches, lookup
from diwa_schema.migrations.steps.indexes import build_index
from diwa_schema.migrations.steps.lookup import qualified, quoted
from diwa_schema.migrations.steps.pace import Ground
from diwa_schema.migrations.steps.retype import archive
from diwa_schema.migrations.steps.retype.archive import Kept
from diwa_schema.migrations.steps.retype.carried import Carried, indexes, successors
from diwa_schema.migrations.steps.retype.column import Replacement
from diwa_schema.migrations.steps.retype.conversion import as_bytes, as_vector
from diwa_schema.migrations.temporary import POSITION
from diwa_schema.models.kinds import accept_vectors
from diwa_schema.names import amount

Kind = Literal["vector", "bytes"]

COLUMN = characters.COLUMN

# A value takes some forty times the work of a row without one: reading, converting, storing in the new column.
_WEIGHT = 40
# The swap excludes everybody else, so it transfers no more rows than fit into this time, and a few in any case.
_SWAP = 0.02  # seconds
_IN_SWAP = 5
# The maximum number of attempts to swap, if more rows were written since the last batch, and the maximum time without
# any approach.
_ROUNDS = 200
_PATIENCE = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Retyping:
    """One change of an embedding column.

    Args:
        on: The environment of the step.
        replacement: The column and its successor.
        to: The new kind of the column.
    """

    on: Ground
    replacement: Replacement
    to: Kind

    def run(self) -> None:
        """Change the column unless it is of that kind, and leave no auxiliary object."""
        pace, replacement = self.on.pace, self.replacement
        kind = pace.look(self._kind)
        if kind == plain_name(replacement.type):
            if pace.look(lambda connection: _interrupted(connection, replacement)):
                pace.short(lambda connection: abandon(connection, replacement.table))
        else:
            pace.look(replacement.refuse_dependents)
            self._definitions()
            pace.short(self._prepare)
            before, total = batches.extent(pace, replacement.table, self._name)
            label = f"{replacement.table}.{COLUMN} to {self.to}"
            pace.batches(self._convert_next, total, label, before=before)
            self._swap()
        if self.to == "bytes":
            self._tidy_archive()

    @property
    def _name(self) -> str:
        return _name(self.replacement.table, self.to)

    def _kind(self, connection: sa.Connection) -> str:
        kind = lookup.column_types(connection, self.replacement.table).get(COLUMN, "absent")
        if plain_name(kind).partition("(")[0] in ("bytea", "vector"):
            return plain_name(kind)
        raise MigrationFailed(
            f"{self.replacement.table}.{COLUMN} has the type {kind}, which is neither bytea nor vector.",
            untouched="The run did not change the table.",
            next_step=f"Run: {command('check')}",
        )

    def _prepare(self, connection: sa.Connection) -> None:
        beside = lookup.column_types(connection, self.replacement.table).get(self.replacement.new)
        if beside is not None and plain_name(beside) != plain_name(self.replacement.type):
            abandon(connection, self.replacement.table)
        self.replacement.prepare(connection, live=self.on.live)
        batches.begin(connection, self._name, self.replacement.table)

    def _convert_next(self, connection: sa.Connection, size: int) -> int:
        reached = batches.read(connection, self._name)
        last, taken = self._window(connection, reached, size)
        if not taken:
            return 0
        table = self.replacement.table
        self._write(
            connection,
            connection.execute(
                sa.text(
                    f"SELECT t.id, {self._values(connection)} FROM {qualified(connection, table)} t WHERE"
                    f" {batches.between(connection, table, 'id', reached)} AND {self._filled(connection)}"
                ),
                {"reached": reached, "last": last, "table": table},
            ),
            self._kind(connection),
        )
        batches.move(connection, self._name, last)
        return taken

    def _window(self, connection: sa.Connection, reached: str | None, size: int) -> tuple[str, int]:
        """Return the last key of the next rows and their number: at most `size` rows, with few values among them."""
        table = qualified(connection, self.replacement.table)
        after = "" if reached is None else "WHERE id > CAST(:reached AS uuid)"
        last, taken = connection.execute(
            sa.text(
                "SELECT CAST((array_agg(id ORDER BY id DESC))[1] AS text), count(*) FROM (SELECT id,"
                " count(*) FILTER (WHERE filled) OVER (ORDER BY id) - CAST(filled AS int) AS before"
                f" FROM (SELECT t.id, {self._filled(connection)} AS filled FROM {table} t {after}"
                " ORDER BY t.id LIMIT :size) AS s) AS n"
                " WHERE before < :values"
            ),
            {
                "reached": reached,
                "size": size,
                "values": max(1, size // _WEIGHT),
                "table": self.replacement.table,
            },
        ).one()
        return last, taken

    def _filled(self, connection: sa.Connection) -> str:
        """Return SQL that tells whether row `t` has a value to convert or to restore."""
        if self._brings_back(connection):
            return f"(t.{COLUMN} IS NOT NULL OR {archive.newest('t.id')} IS NOT NULL)"
        return f"(t.{COLUMN} IS NOT NULL)"

    def _values(self, connection: sa.Connection, *, bring_back: bool = True) -> str:
        """Return SQL for a row's value as read, and for the archived value of a row without one."""
        text = self._kind(connection) != "bytea"
        value = f"CAST(t.{COLUMN} AS text)" if text else f"t.{COLUMN}"
        if bring_back and self._brings_back(connection):
            return f"{value}, CASE WHEN t.{COLUMN} IS NULL THEN {archive.newest('t.id')} END"
        return f"{value}, CAST(NULL AS bytea)"

    def _brings_back(self, connection: sa.Connection) -> bool:
        return self.to == "bytes" and lookup.table_exists(connection, archive.TABLE)

    def _write(
        self,
        connection: sa.Connection,
        rows: Iterable[Sequence[Any]],
        kind: str,
    ) -> None:
        """Store the rows' values in the new column, and impossible ones in the archive."""
        written: dict[UUID, list[float] | bytes | None] = {}
        kept: list[Kept] = []
        for row, value, from_archive in rows:
            if self.to == "bytes":
                written[row] = as_bytes(value) if isinstance(value, str) else from_archive
            else:
                written[row], reason = as_vector(value)
                if reason and value is not None:
                    kept.append(Kept(row, kind, as_bytes(value), reason))
        archive.put(connection, self.replacement.table, kept)
        self._store(connection, written)

    def _store(self, connection: sa.Connection, written: dict[UUID, list[float] | bytes | None]) -> None:
        if not written:
            return
        from pgvector import Vector  # which loads numpy in its earlier releases

        table, new = qualified(connection, self.replacement.table), quoted(self.replacement.new)
        if self.to == "vector":
            oid = connection.scalar(
                sa.text(f"SELECT CAST(pg_typeof(CAST(NULL AS {self.replacement.type})) AS oid)")
            )
            accept_vectors(connection.connection.driver_connection.adapters, oid)  # type: ignore[union-attr]
        stored = connection.execute(
            sa.text(
                f"UPDATE {table} SET {new} = CAST(:value AS {self.replacement.type}) WHERE id = CAST(:row AS uuid)"
                f" AND ({new} IS NOT NULL OR CAST(:value AS {self.replacement.type}) IS NOT NULL)"
            ),
            [
                {"row": row, "value": Vector(value) if isinstance(value, list) else value}
                for row, value in written.items()
            ],
        ).rowcount
        with_value = [row for row, value in written.items() if value is not None]
        if stored >= len(with_value):
            return
        # Rows may have been deleted since the read. An existing row without its value is a different case.
        missed = connection.scalar(
            sa.text(f"SELECT count(*) FROM {table} WHERE id = ANY(CAST(:rows AS uuid[])) AND {new} IS NULL"),
            {"rows": with_value},
        )
        if missed:
            raise MigrationFailed(
                f"{amount(missed, 'row')} of {self.replacement.table} got no value: a trigger of that table stops"
                " updates.",
                untouched="The run did not change the column and its values.",
                next_step="Disable the trigger, run the command again, then enable it.",
            )

    def _catch_up(self, connection: sa.Connection, limit: int) -> int:
        """Transfer rows that were written behind the batches; first lock the rows, then delete their notes."""
        noted = self.replacement.noted(connection, limit)
        if not noted:
            return 0
        self._write(
            connection,
            connection.execute(
                sa.text(
                    f"SELECT t.id, {self._values(connection, bring_back=False)}"
                    f" FROM {qualified(connection, self.replacement.table)} t"
                    " WHERE t.id = ANY(CAST(:rows AS uuid[])) ORDER BY t.id FOR NO KEY UPDATE"
                ),
                {"rows": noted},
            ).all(),
            self._kind(connection),
        )
        self.replacement.forget(connection, noted)
        return len(noted)

    def _definitions(self) -> tuple[tuple[Carried, ...], dict[str, str]]:
        """Return the indexes for the new column, and their definitions on it.

        Raises:
            MigrationFailed: One of them is impossible on a column of the new type.
        """
        pace = self.on.pace
        found = pace.look(lambda connection: indexes(connection, self.replacement))
        if not found:
            return (), {}
        definitions, unfit = pace.short(lambda connection: successors(connection, self.replacement, found))
        if unfit:
            pace.look(lambda connection: self.replacement.refuse_dependents(connection, unfit))
        return found, definitions

    def _swap(self) -> None:
        """Replace the old column by the new one as soon as few enough rows are left for the swap to transfer."""
        fewest, since = inf, time.monotonic()
        for _ in range(_ROUNDS):
            found, definitions = self._definitions()
            for index in found:
                self._build(index, definitions[index.name])
            left, limit = self._catch_up_once()
            if self.on.pace.short(lambda connection: self._try_swap(connection, found, limit)):  # noqa: B023
                return
            if left < fewest:
                fewest, since = left, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                break
        raise MigrationFailed(
            f"The application writes embeddings of {self.replacement.table} faster than the run converts them.",
            untouched="The column is unchanged; the run keeps the converted values beside it.",
            next_step="Run the command again when there is less traffic: it resumes there.",
        )

    def _build(self, index: Carried, definition: str) -> None:
        def build(connection: sa.Connection, concurrently: bool) -> None:
            table = qualified(connection, self.replacement.table)
            create = index.create(table, index.built, definition, concurrently=concurrently)
            connection.execute(sa.text(create))

        build_index(self.on, index.built, build)

    def _catch_up_once(self) -> tuple[int, int]:
        """Transfer as many rows as are noted now; later writes wait for the next round.

        Returns:
            The number of noted rows, and the number that the swap may transfer at the measured speed.
        """
        noted = left = self.on.pace.long(self.replacement.count_noted)
        limit = _IN_SWAP

        def batch(connection: sa.Connection, size: int) -> int:
            nonlocal left, limit
            if left <= 0:
                return 0
            began = time.monotonic()
            taken = self._catch_up(connection, max(1, size // _WEIGHT))
            # The last batch of a round is small, and most of its time is the same for one row or for many.
            limit = max(limit, int(taken * _SWAP / (time.monotonic() - began)))
            left -= taken
            return taken

        self.on.pace.batches(batch, left, f"{self.replacement.table}: rows written meanwhile")
        return noted, limit

    def _try_swap(self, connection: sa.Connection, built: Sequence[Carried], limit: int) -> bool:
        """Swap, unless too many rows were written meanwhile for one transfer, or a new index appeared."""
        self.replacement.lock(connection)
        if self.on.live and not self.replacement.noting(connection):
            raise MigrationFailed(
                f"The triggers that note writes to {self.replacement.table} were dropped or disabled during the run, so"
                " that it may have missed values.",
                untouched="The column and its values were left as they were.",
                next_step="Run the command again: it converts the column again from its first row.",
            )
        if len(self.replacement.noted(connection, limit + 1)) > limit:
            return False
        if indexes(connection, self.replacement) != built:
            return False
        # Check again under the lock: after this check nothing can change.
        self.replacement.refuse_dependents(connection)
        self._catch_up(connection, limit)
        self.replacement.swap(connection, built)
        if self.to == "bytes":
            # In the same transaction: earlier writes were vectors, so no bytes are ever without the check.
            self._refuse_characters(connection)
        batches.end(connection, self._name)
        return True

    def _refuse_characters(self, connection: sa.Connection) -> None:
        table = self.replacement.table
        connection.execute(sa.text(f"ALTER TABLE {qualified(connection, table)} {characters.refusal(table)}"))

    def _tidy_archive(self) -> None:
        """Delete from the archive the values that the column holds again, and drop an empty archive."""
        archive.forget_restored(self.on.pace, self.replacement.table, COLUMN)
        self.on.pace.short(archive.drop_empty)


def abandon(connection: sa.Connection, table: str) -> None:
    """Remove the remains of an interrupted change, in either direction, beside a table's embeddings."""
    Replacement(table, COLUMN, "").abandon(connection)
    for to in ("vector", "bytes"):
        batches.end(connection, _name(table, to))


def _interrupted(connection: sa.Connection, replacement: Replacement) -> bool:
    """Return whether there are remains for `abandon` to remove."""
    return replacement.left(connection) or lookup.table_exists(connection, POSITION)


def plain_name(kind: str) -> str:
    """Return a type without its schema."""
    return kind.rpartition(".")[2]


def _name(table: str, to: str) -> str:
    return f"retype {table}.{COLUMN} to {to}"
