"""The source of a copy's rows: one snapshot of a database, unaffected by writes and table changes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.database import bookkeeping
from diwa_schema.database.failures import explain, is_driver_error
from diwa_schema.database.state import LEDGER, PROTECTION, RELEASES, VERSION, State, refuse_unknown
from diwa_schema.drift.check import check
from diwa_schema.drift.rules import violations, waiting
from diwa_schema.errors import DriftFound, SchemaEmpty, SchemaOutOfDate, command
from diwa_schema.migrations.manifest import load
from diwa_schema.models import searched
from diwa_schema.models.rules import KEPT
from diwa_schema.names import amount, qualified

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target
    from diwa_schema.run.copy.columns import Kind

_SHOWN = 3
_LOCK_TIMEOUT = "5s"

_TABLES = {
    "postgresql": "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1",
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    " ORDER BY 1",
}
_KIND = (
    "SELECT CASE t.typname WHEN 'bytea' THEN 'bytea' ELSE 'vector' END FROM pg_attribute a"
    " JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = to_regclass(%s) AND a.attname = 'embedding'"
    " AND NOT a.attisdropped"
)


class Source(NamedTuple):
    """The database whose rows are copied, in one snapshot.

    Args:
        link: The connection, in the transaction of that snapshot.
        state: Its state.
        shown: The masked URL and the schema.
        left: Tables and views of the schema that are not copied.
        waits: The broken rules about rows, with the number of rows.
    """

    link: Link
    state: State
    shown: str
    left: tuple[str, ...]
    waits: dict[str, int]

    @property
    def lite(self) -> bool:
        """Whether it is SQLite."""
        return self.link.dialect == "sqlite"

    @property
    def tables(self) -> tuple[str, ...]:
        """The copied tables; referenced tables come first."""
        history = load()
        more = sorted(history.leftovers - set(history.tables))
        return tuple(name for name in (*history.tables, *more) if name in self.state.tables)

    def kind(self, table: str) -> Kind:
        """Return the kind of a table's embeddings."""
        if self.lite:
            return "blob"
        return kind_of(self.link, self.state.schema, table)

    def about(self, tables: Sequence[str]) -> int:
        """Return the approximate number of rows: SQLite counts them, PostgreSQL estimates."""
        schema = self.state.schema
        if self.lite:
            return sum(
                int(self.link.value(f"SELECT count(*) FROM {qualified(schema, name)}")) for name in tables
            )
        names = [qualified(schema, name) for name in tables]
        estimate = "SELECT sum(greatest(reltuples, 0)) FROM pg_class WHERE oid = ANY(%s::regclass[])"
        return int(self.link.value(estimate, (names,)) or 0)

    def rows(self, table: str, expressions: Sequence[str]) -> Generator[tuple[Any, ...], None, None]:
        """Yield the rows of a table, with only a few in memory at a time.

        Raises:
            DiwaSchemaError: The source cannot be read.
        """
        query = f"SELECT {', '.join(expressions)} FROM {qualified(self.state.schema, table)}"
        with explained(self.shown):
            if self.lite:
                self.link.raw.text_factory = _text
                yield from self.link.raw.execute(query)
            else:
                yield from streamed(self.link, query)


def _text(value: bytes) -> str | bytes:
    """Return a text of SQLite; its bytes if they are no UTF-8, so that the error can name the row and the column."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def streamed(link: Link, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query to PostgreSQL, each value in the server's text form."""
    with link.raw.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT".encode()) as rows:
        yield from rows.rows()


def kind_of(link: Link, schema: str, table: str) -> Kind:
    """Return the kind of the embeddings in a table of PostgreSQL."""
    return "bytea" if link.value(_KIND, (qualified(schema, table),)) == "bytea" else "vector"


@contextmanager
def opened(target: Target) -> Iterator[Source]:
    """Yield the source of a copy in one snapshot; nothing is written to it.

    Its tables cannot change meanwhile: a change waits, or gives up. New rows can be written, and are not copied.

    Raises:
        SchemaEmpty: The database contains no part of this schema.
        SchemaOutOfDate: It is behind the installed package.
        DriftFound: It differs from the schema at head, and the copy would lose the differences.
        DatabaseRefused: It is ahead, is not adopted, or belongs to another tool.
    """
    with target.connect(create=False) as link, explained(target.shown):
        state = bookkeeping.look(link)
        _refuse_other_than_head(state, target.shown)
        with _held(link, state):
            state = bookkeeping.look(link)  # another run may have ended before the lock of the tables
            _refuse_other_than_head(state, target.shown)
            _refuse_drift(link, target.shown)
            yield Source(link, state, target.shown, _left(link, state), _waits(link, state))


@contextmanager
def explained(shown: str) -> Iterator[None]:
    """Translate an error of the source's driver in the block into one of this package."""
    try:
        yield
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise explain(error, shown, "reading", "Nothing was copied.") from error


@contextmanager
def _held(link: Link, state: State) -> Iterator[None]:
    """Read everything in the block in one snapshot, taken after the tables are locked against changes."""
    if link.dialect == "sqlite":
        link.execute("BEGIN")
        try:
            yield
        finally:
            link.abandon()
        return
    names = sorted(state.tables & {*load().tables, *load().leftovers, VERSION})
    with link.settled(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        *(f"SET LOCAL {name} = 0" for name in link.limits),
        f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'",
        f"LOCK TABLE {', '.join(qualified(state.schema, name) for name in names)} IN ACCESS SHARE MODE",
    ):
        yield


def _refuse_other_than_head(state: State, shown: str) -> None:
    history = load()
    refuse_unknown(state, history, shown)
    if state.revision is None:
        raise SchemaEmpty(
            f"{shown} has no revision of this schema, so there is nothing to copy.",
            untouched="Nothing was copied.",
            next_step="Name the intended database.",
        )
    if state.revision != history.head:
        pending = len(history.ids) - history.position(state.revision)
        raise SchemaOutOfDate(
            f"{shown} is at {state.revision}, {amount(pending, 'revision')} behind; a copy"
            " needs a source at head.",
            untouched="Nothing was copied.",
            next_step=f"Run: {command('upgrade')}",
            revision=state.revision,
            head=history.head,
        )


def _refuse_drift(link: Link, shown: str) -> None:
    found = [one.text for one in check(link) if one.severity == "drift"]
    if found:
        more = f"; and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
        raise DriftFound(
            f"{shown} differs from the schema at head, and the copy would not have these differences:"
            f" {'; '.join(found[:_SHOWN])}{more}.",
            untouched="Nothing was copied.",
            next_step=f"Run: {command('check')}",
            differences=found,
        )


def _left(link: Link, state: State) -> tuple[str, ...]:
    """Return the uncopied tables of the schema: foreign ones, and those that an adoption set aside."""
    there = link.rows(_TABLES[link.dialect], () if link.dialect == "sqlite" else (state.schema,))
    copied = {*load().tables, *load().leftovers}
    # The copy has its own ledger and notes, and PostgreSQL keeps the search words in a column.
    own = {VERSION, LEDGER, PROTECTION, RELEASES, *searched.TABLES}
    return tuple(name for (name,) in there if name not in copied | own and not searched.is_shadow(name))


def _waits(link: Link, state: State) -> dict[str, int]:
    names = {one.rule for one in waiting(link, state.schema)}
    rules = KEPT if link.dialect == "sqlite" else [rule for rule in KEPT if rule.name in names]
    return {one.rule: one.total for one in violations(link, state.schema, rules, 1)} if rules else {}
