"""Writing the rows of a copy, and verifying that they equal the rows of the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from diwa_schema.database.failures import brief, cause, connection_lost, is_driver_error, sqlstate
from diwa_schema.errors import ROLLED_BACK, MigrationFailed, NotPersisted
from diwa_schema.migrations.steps import kept_values
from diwa_schema.migrations.steps.retype import archive
from diwa_schema.migrations.steps.retype.conversion import as_vector
from diwa_schema.models import load as load_models
from diwa_schema.models.base import Base
from diwa_schema.models.types import Embedding
from diwa_schema.names import amount, qualified, quoted
from diwa_schema.run.copy.columns import Misfit, Travelling, moment, raw_bytes, travelling
from diwa_schema.run.copy.source import Source, kind_of, streamed

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.run.copy.columns import Kind

_REMEMBERED = 100_000  # keys of the last sent rows: the server names a row some time later
_TOLD = 1_000
_DIGITS = 16
_NAMES_A_KEY = (
    "23503",
    "23505",
)  # the detail of these errors is a key; the detail of others is the whole row


class Moved(NamedTuple):
    """The copied part of a table.

    Args:
        table: Its name.
        rows: The number of copied rows.
        digest: 16 characters that change with any value of any row; they do not depend on the order of the rows.
    """

    table: str
    rows: int
    digest: str


Rows = Generator[tuple[Any, ...], None, None]


@dataclass
class Sum:
    """A checksum of rows, independent of their order."""

    rows: int = 0
    total: int = 0

    def add(self, values: Sequence[str | None]) -> None:
        """Add a row, by the compared texts of its values."""
        digest = sha256(repr(tuple(values)).encode("utf-8", "surrogatepass")).digest()
        self.total = (self.total + int.from_bytes(digest)) % (1 << 256)
        self.rows += 1

    @property
    def digest(self) -> str:
        """The sum, shortened."""
        return sha256(self.total.to_bytes(32)).hexdigest()[:_DIGITS]


@dataclass
class Loading:
    """The transfer of rows from a source into new tables, in the transaction that created them.

    Args:
        source: The source of the rows.
        link: The connection of that transaction.
        schema: The schema of the tables.
        told: Called with the number of written rows.
    """

    source: Source
    link: Link
    schema: str
    told: Callable[[int], None]
    sums: dict[str, Sum] = field(default_factory=dict)
    archived: dict[str, int] = field(default_factory=dict)
    done: int = 0

    def load(self) -> None:
        """Write all rows of all tables.

        Raises:
            MigrationFailed: PostgreSQL does not allow a value of a row; the message names its key and its column.
        """
        tables = [name for name in self.source.tables if name != archive.TABLE]
        for table in tables:
            self._write(table, self.columns(table), self._read(table))
        # The embeddings that did not fit are known by now; they are read again instead of kept in memory.
        if archive.TABLE in self.source.tables or self.archived:
            self._write(archive.TABLE, self.columns(archive.TABLE), self._to_archive())

    def prove(self) -> tuple[Moved, ...]:
        """Read all tables back, and return the copied rows by table.

        Raises:
            NotPersisted: A table differs from the source.
        """
        moved = []
        for table, wanted in self.sums.items():
            columns, found = self.columns(table), Sum()
            query = f"SELECT {', '.join(one.shown for one in columns)} FROM {qualified(self.schema, table)}"
            for row in streamed(self.link, query):
                found.add(_compared(columns, row))
            if found != wanted:
                raise NotPersisted(
                    f"Table {table} of {self.link.shown} has {amount(found.rows, 'row')} with digest {found.digest}."
                    f" The copy read {amount(wanted.rows, 'row')} with digest {wanted.digest} from"
                    f" {self.source.shown}.",
                    untouched=f"{ROLLED_BACK} The source is unchanged.",
                    next_step="Report this message: the copy changed a value.",
                    table=table,
                )
            moved.append(Moved(table, found.rows, found.digest))
        return tuple(moved)

    def columns(self, table: str) -> list[Travelling]:
        """Return the transfers of a table's columns, in one order for reads and writes."""
        declared = declared_columns(table)
        kinds: tuple[Kind, Kind] = ("blob", "bytea")
        if any(isinstance(one.type, Embedding) for one in declared):
            kinds = self.source.kind(table), kind_of(self.link, self.schema, table)
        found = (travelling(one, lite=self.source.lite, kinds=kinds) for one in declared)
        return [one for one in found if one is not None]

    def _read(self, table: str) -> Rows:
        return self.source.rows(table, [one.asked for one in self.columns(table)])

    def _write(self, table: str, columns: list[Travelling], rows: Rows) -> None:
        summed = self.sums[table] = Sum()
        keyed = [at for at, one in enumerate(columns) if one.name in _key(table)]
        sent: deque[tuple[Any, ...]] = deque(maxlen=_REMEMBERED)
        names = ", ".join(quoted(one.name) for one in columns)
        into = f"COPY {qualified(self.schema, table)} ({names}) FROM STDIN"
        try:
            with closing(rows), self.link.raw.cursor() as cursor, cursor.copy(into.encode()) as copy:
                for row in rows:
                    key = tuple(row[at] for at in keyed)
                    sent.append(key)
                    texts = self._texts(table, columns, row, key)
                    copy.write_row(
                        [
                            one.sent(text) if one.sent is not None and text is not None else text
                            for one, text in zip(columns, texts, strict=True)
                        ]
                    )
                    summed.add(_compared(columns, texts))
                    self.done += 1
                    if self.done % _TOLD == 0:
                        self.told(self.done)
        except Exception as error:
            if not is_driver_error(error) or connection_lost(error):
                raise
            raise self._refused(table, error, summed.rows, sent) from error
        self.told(self.done)

    def _texts(
        self, table: str, columns: list[Travelling], row: tuple[Any, ...], key: tuple[Any, ...]
    ) -> list[str | None]:
        texts: list[str | None] = []
        for one, value in zip(columns, row, strict=True):
            try:
                texts.append(value if one.read is None or value is None else one.read(value))
            except Misfit:
                self.archived[table] = self.archived.get(table, 0) + 1
                texts.append(None)
            except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError) as error:
                raise self._unfit(table, key, one.name, str(error)) from error
        return texts

    def _to_archive(self) -> Rows:
        """Yield the rows of the source's archive, then the embeddings that did not fit."""
        kept: set[tuple[str, str]] = set()
        names = [one.name for one in self.columns(archive.TABLE)]
        if archive.TABLE in self.source.tables:
            at = names.index("row_id"), names.index("digest")
            for row in self._read(archive.TABLE):
                if self.archived:
                    kept.add((str(row[at[0]]), str(row[at[1]])))
                yield row
        now = moment(datetime.now(UTC))
        for table in self.archived:
            kind = self.source.kind(table)
            for key, value in self.source.rows(table, [quoted("id"), quoted("embedding")]):
                data = None if value is None else raw_bytes(value, kind)
                reason = as_vector(data)[1]
                if data is None or not reason:
                    continue
                digest = sha256(data).hexdigest()
                if (str(key), digest) not in kept:
                    told = {
                        "table_name": table,
                        "row_id": key,
                        "digest": digest,
                        "kind": "bytea",
                        "value": data if kind == "blob" else value,
                        "reason": reason,
                        "archived_at": now,
                    }
                    yield tuple(told[name] for name in names)

    def _refused(
        self, table: str, error: BaseException, count: int, sent: deque[tuple[Any, ...]]
    ) -> MigrationFailed:
        """Describe a refused row, without the server's detail, which contains its values."""
        said = getattr(cause(error), "diag", None)
        line, column = _place(getattr(said, "context", None))
        behind = count - (line or 0)
        key = sent[-1 - behind] if line and 0 <= behind < len(sent) else None
        what = getattr(said, "message_primary", None) or brief(error)
        return self._unfit(table, key, column, what, sqlstate(error))

    def _unfit(
        self, table: str, key: tuple[Any, ...] | None, column: str | None, why: str, state: str | None = None
    ) -> MigrationFailed:
        named = "A row" if key is None else f"Row {', '.join(map(str, key))}"
        place = f", column {column}" if column else ""
        return MigrationFailed(
            f"{named} of {table}{place}, of {self.source.shown}, does not fit into PostgreSQL: {why}.",
            untouched="Nothing was copied.",
            next_step="Fix the row in the source, then run the command again.",
            table=table,
            column=column,
            sqlstate=state,
        )


def finished(error: BaseException, source: Source) -> MigrationFailed:
    """Describe the refusal of an index or a foreign key after the copy of all rows."""
    said = getattr(cause(error), "diag", None)
    what = getattr(said, "message_primary", None) or brief(error)
    detail = getattr(said, "message_detail", None) if sqlstate(error) in _NAMES_A_KEY else None
    return MigrationFailed(
        f"The rows of {source.shown} do not fit into PostgreSQL together: {what}{f'. {detail}' if detail else '.'}",
        untouched="Nothing was copied.",
        next_step="Fix the rows in the source, then run the command again.",
        sqlstate=sqlstate(error),
        constraint=getattr(said, "constraint_name", None),
    )


def declared_columns(table: str) -> list[sa.Column[Any]]:
    """Return the columns of a copied table, from the models or the steps."""
    own = {archive.TABLE: archive.columns, kept_values.KEPT: kept_values.columns}
    if table in own:
        return own[table]()
    load_models()
    return list(Base.metadata.tables[table].columns)


def _key(table: str) -> tuple[str, ...]:
    if table in (archive.TABLE, kept_values.KEPT):
        return ("table_name", "row_id")
    return tuple(one.name for one in Base.metadata.tables[table].primary_key.columns)


def _compared(columns: Sequence[Travelling], texts: Sequence[str | None]) -> list[str | None]:
    return [
        text if one.compared is None or text is None else one.compared(text)
        for one, text in zip(columns, texts, strict=True)
    ]


def _place(context: str | None) -> tuple[int | None, str | None]:
    """Return line and column of "COPY memories, line 2, column tags: …", which the server may translate.

    The line may follow another one, which shows the part of a document.
    """
    import re

    found = re.search(r"^COPY \w+, \D*(\d+)(?:, \w+ (\w+))?", context or "", re.MULTILINE)
    return (int(found[1]), found[2]) if found else (None, None)
