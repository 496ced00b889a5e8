"""The statements of a release's models, recorded at the release and shipped with the package.

On a temporary database, a row of each model is inserted, read, changed and deleted, and each builder of
`diwa_schema.queries` is executed once. The statements that reach the driver are recorded, with matching values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from diwa_schema.authoring import samples
from diwa_schema.database.target import Target
from diwa_schema.generate import ours
from diwa_schema.migrations import manifest
from diwa_schema.models.kinds import Undecided

if TYPE_CHECKING:
    from sqlalchemy import Engine, Select
    from sqlalchemy.orm import Session

PATH = manifest.DIRECTORY / "statements.json"
_PLACE = re.compile(r"%\((\w+)\)s|%%")


class Statement(NamedTuple):
    """A statement with values that fit it.

    Args:
        sql: Its text in PostgreSQL's own protocol: parameters are $1, $2 and so on.
        values: Their values in JSON; a value without a JSON type is the text that PostgreSQL reads.
    """

    sql: str
    values: tuple[Any, ...] = ()


class Recorded(NamedTuple):
    """The statements of the last release.

    Args:
        release: Its version.
        head: The last revision that it contains.
        statements: The statements of its models, in an order that leaves the database unchanged.
    """

    release: str
    head: str
    statements: tuple[Statement, ...]


def load() -> Recorded | None:
    """Return the record of the last release; None before the first one."""
    document = manifest.document(PATH)
    if document["release"] is None:
        return None
    statements = tuple(Statement(one["sql"], tuple(one["values"])) for one in document["statements"])
    return Recorded(document["release"], document["head"], statements)


def render(recorded: Recorded) -> str:
    """Return the text of the file, one statement per line."""
    lines = ",\n".join(f"  {json.dumps(one._asdict())}" for one in recorded.statements)
    head = f'"release": {json.dumps(recorded.release)},\n "head": {json.dumps(recorded.head)}'
    return f'{{\n {head},\n "statements": [\n{lines}\n ]\n}}\n'


def record(url: str) -> tuple[Statement, ...]:
    """Return the statements that the models and the queries send to a PostgreSQL database.

    Args:
        url: A throw-away database at head without rows; the function adds some.
    """
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

    from diwa_schema.models import Base

    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    sent = Sent(engine)
    try:
        with Target.of(url).connect() as link, Session(engine) as session:
            catalog = ours(link)
            samples.fill(link, catalog)
            models = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
            for table, model in ((one, models[one.name]) for one in catalog.tables if one.name in models):
                known = session.scalars(sa.select(model)).all()
                fresh = samples.one_more(link, catalog, table)
                row = (set(session.scalars(sa.select(model))) - set(known)).pop() if fresh else known[-1]
                _live(session, model, row, sent, fresh=fresh)
            with sent.kept():
                for built in _asked(session):
                    session.execute(built)
    finally:
        engine.dispose()
    return tuple(sent.statements.values())


class Sent:
    """The distinct statements that an engine sent within blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables = re.compile(rf"\b({'|'.join(manifest.load().tables)})\b")
        self.statements: dict[str, Statement] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Record the statements of the block."""
        from sqlalchemy import event

        event.listen(self._engine, "after_cursor_execute", self._keep)
        try:
            yield
        finally:
            event.remove(self._engine, "after_cursor_execute", self._keep)

    def _keep(self, _: object, __: object, text: str, values: Any, *___: object) -> None:
        # The engine's own queries, such as for the kind of a column, are not statements of the models.
        if self._tables.search(text) and " FROM (VALUES " not in text:
            statement = _numbered(text, values)
            self.statements.setdefault(statement.sql, statement)


def _live(session: Session, model: type[Any], row: Any, sent: Sent, *, fresh: bool) -> None:
    """Insert a row through the models, read, change and delete it, and leave the table unchanged.

    Args:
        session: The session, without an open transaction.
        model: The model of the row.
        row: An existing row.
        sent: The recorder of the statements.
        fresh: Whether the row is absent when the statements are sent again; otherwise they begin with its deletion.
    """
    import sqlalchemy as sa
    from sqlalchemy.orm import make_transient
    from sqlalchemy.orm.attributes import flag_modified

    mapper = sa.inspect(model)
    identity = mapper.primary_key_from_instance(row)

    def delete() -> None:
        session.delete(session.get_one(model, identity))
        session.commit()

    if fresh:
        delete()
    with sent.kept():
        if not fresh:
            delete()
        make_transient(row)
        for column in mapper.columns:
            # The database fills it if it is omitted, and the restored row has to be equal to the earlier one.
            if fresh and column.server_default is not None and not column.primary_key:
                row.__dict__.pop(mapper.get_property_by_column(column).key, None)
        session.add(row)
        session.commit()
        row = session.get_one(model, identity)
        for column in mapper.columns:
            if column.server_default is None and not column.primary_key:
                flag_modified(row, mapper.get_property_by_column(column).key)
        session.commit()
        if fresh:
            delete()


def _asked(session: Session) -> Iterator[Select[Any]]:
    """Yield the statement of each query builder for usual arguments, including further pages."""
    import sqlalchemy as sa

    from diwa_schema import queries
    from diwa_schema.models import Memory, Task

    memory, task = session.scalars(sa.select(Memory)).first(), session.scalars(sa.select(Task)).first()
    of, now = UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)
    yield queries.newest_memories()
    yield queries.newest_memories(of, before=memory)
    yield queries.count_memories(of)
    yield queries.memories_of_type(of, "decision", before=memory)
    yield queries.memories_tagged(of, "a", before=memory)
    yield queries.memories_containing(of, {"type": "decision"}, before=memory)
    yield queries.memories_alike(of, "x")
    yield queries.rules_of(of)
    yield queries.versions_of(of)
    yield queries.expired_memories(now)
    yield queries.memories_saying(of, "tides and moon")
    yield queries.bound_context("path", "/x")
    yield queries.context_named(of, "x")
    yield queries.ready_to_sync(now)
    yield queries.pending_tasks(of, after=task)
    yield queries.nearest_memories([1.0] + [0.0] * 1535, of)


def _numbered(text: str, values: Mapping[str, Any]) -> Statement:
    """Return a statement of psycopg in the form that the server gets."""
    numbers: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}" if found[1] else "%"

    sql = _PLACE.sub(place, text)
    return Statement(sql, tuple(_plain(values[name]) for name in numbers))


def _plain(value: Any) -> Any:
    """Return a value for JSON."""
    if isinstance(value, Undecided):  # an embedding, before the query for the kind of its column
        return f"[{','.join(f'{number:g}' for number in value.forms.as_vector())}]"
    # psycopg's wrappers for bytes and JSON.
    inner = getattr(value, "obj", value)
    if isinstance(inner, bytes | memoryview):
        return f"\\x{bytes(inner).hex()}"
    if inner is not value:
        return json.dumps(inner)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID | Decimal) else value
