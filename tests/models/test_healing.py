"""Engines whose connections were open while a migration changed types under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import create_engine, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from diwa_schema import DiwaSchemaError, ensure_current
from diwa_schema.errors import UsageError
from diwa_schema.models import EmbeddingCache, Memory, TalaOperation, arenewed, heal, renewed
from tests.models.conftest import open_async_engine
from tests.models.rows import MOMENT, NUMBERS, new_row
from tests.sampling import sampled

VECTOR_ONLY = pytest.mark.parametrize("storage", ["vector"], indirect=True)
CLIENTS = pytest.mark.parametrize(
    ("client", "threshold"),
    [("psycopg", 0), ("psycopg", 5), ("psycopg_async", 5), ("asyncpg", None)],
)
SESSION = str(UUID(int=7))
CONNECTIONS = 2
OFTEN = 6  # psycopg prepares what it has sent five times

CHANGES = [
    ["ALTER TABLE embedding_cache ALTER embedding TYPE bytea USING NULL"],
    ["ALTER TABLE tala_operations ALTER session_id TYPE varchar"],
    [
        "ALTER TABLE embedding_cache ADD successor vector(1536)",
        "ALTER TABLE embedding_cache DROP embedding",
        "ALTER TABLE embedding_cache RENAME successor TO embedding",
    ],
    ["ALTER TABLE tala_operations ALTER session_id TYPE uuid USING session_id::uuid"],
    ["ALTER TABLE embedding_cache ALTER hash TYPE varchar(300)"],
    ["ALTER TABLE embedding_cache ADD added text"],
]


def cached() -> dict[str, object]:
    word = str(uuid4())
    return {"hash": word, "model": word, "embedding": NUMBERS, "inserted_at": MOMENT, "updated_at": MOMENT}


def by_object(session):
    session.add_all(new_row(EmbeddingCache))
    session.flush()


def by_class(session):
    for row in session.scalars(select(EmbeddingCache).where(EmbeddingCache.embedding.is_not(None)).limit(1)):
        assert row.embedding == pytest.approx(NUMBERS, abs=1e-6)


def by_operation(session):
    session.add(TalaOperation(session_id=SESSION, tool_name="x"))
    session.flush()


REQUESTS: dict[str, Callable[[Session], object]] = {
    "object": by_object,
    "class": by_class,
    "star": lambda session: session.execute(text("SELECT * FROM embedding_cache LIMIT 1")).all(),
    "returning": lambda session: session.execute(
        insert(EmbeddingCache).values(cached()).returning(EmbeddingCache.embedding)
    ).all(),
    "update": lambda session: session.execute(
        update(EmbeddingCache).where(EmbeddingCache.model == "x").values(embedding=NUMBERS),
        execution_options={"synchronize_session": False},
    ),
    "many": lambda session: session.connection().execute(
        insert(EmbeddingCache), [{"id": uuid4(), **cached()} for _ in range(2)]
    ),
    "buffered": by_operation,
    "of a session": lambda session: session.scalars(
        select(TalaOperation).where(TalaOperation.session_id == SESSION)
    ).all(),
}


@pytest.fixture(params=sampled(["transactions", "AUTOCOMMIT"], "transactions"))
def isolation(request) -> str:
    return str(request.param)


@pytest.fixture
def open_connections(tables_url, client, threshold, isolation, engine_for) -> Iterator[list[Session]]:
    """Sessions of one engine, each with a connection of its own, which has prepared every statement."""
    options: dict[str, Any] = {"isolation_level": isolation} if isolation == "AUTOCOMMIT" else {}
    if client == "asyncpg":
        pytest.importorskip("asyncpg")
    else:
        options["connect_args"] = {"prepare_threshold": threshold}
    engine = engine_for(tables_url, client, pool_size=CONNECTIONS, max_overflow=0, **options)
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(engine)) for _ in range(CONNECTIONS)]
        for _ in range(OFTEN):
            for session in sessions:
                assert not failed(session, "SELECT 1")
        yield sessions


def failed(session: Session, *before: str) -> list[str]:
    """Send every request in a transaction of its own, and name those that failed."""
    found = []
    for name, request in REQUESTS.items():
        try:
            for statement in before:
                session.execute(text(statement))
            request(session)
            session.commit()
        except DBAPIError:
            session.rollback()
            found.append(name)
    return found


def change(url: str, statements: list[str]) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@VECTOR_ONLY
@CLIENTS
def test_a_request_that_begins_with_a_statement_never_fails(open_connections, tables_url):
    for statements in CHANGES:
        change(tables_url, statements)
        assert [failed(session) for session in open_connections] == [[]] * CONNECTIONS, statements


@VECTOR_ONLY
@CLIENTS
def test_in_the_middle_of_a_transaction_at_most_one_request_of_a_connection_fails(
    open_connections, tables_url, isolation
):
    for statements in CHANGES:
        change(tables_url, statements)
        failures = [failed(session, "SELECT 1") for session in open_connections]
        assert max(map(len, failures)) <= (0 if isolation == "AUTOCOMMIT" else 1), (statements, failures)
        assert [failed(session, "SELECT 1") for session in open_connections] == [[]] * CONNECTIONS


@VECTOR_ONLY
@CLIENTS
def test_once_a_change_was_noticed_the_other_connections_know(open_connections, tables_url):
    for statements in CHANGES:
        change(tables_url, statements)
        assert not failed(open_connections[0])
        assert [failed(session, "SELECT 1") for session in open_connections[1:]] == [[]], statements


MISTAKES = {
    "42883": "SELECT 1 FROM embedding_cache WHERE id = 'x'::text",
    "42804": "UPDATE embedding_cache SET inserted_at = 1",
    "22P02": "SELECT 'x'::uuid",
}


@VECTOR_ONLY
@CLIENTS
def test_a_mistake_is_raised_as_it_is_and_keeps_the_connection(open_connections):
    session = open_connections[0]
    pid = session.scalar(text("SELECT pg_backend_pid()"))
    session.rollback()
    for state, mistake in [*MISTAKES.items()] * 2:
        for before in ([], ["SELECT 1"]):
            for statement in before:
                session.execute(text(statement))
            with pytest.raises(DBAPIError) as caught:
                session.execute(text(mistake))
            assert getattr(caught.value.orig, "sqlstate", None) == state
            assert not caught.value.connection_invalidated
            session.rollback()
    assert session.scalar(text("SELECT pg_backend_pid()")) == pid
    session.rollback()
    assert not failed(session)


@VECTOR_ONLY
@CLIENTS
def test_nothing_is_done_twice(open_connections, tables_url):
    """What a transaction has done before a statement failed is the caller's to repeat."""
    session = open_connections[0]
    session.execute(text("TRUNCATE tala_operations"))
    session.commit()
    by_operation(session)
    session.commit()
    change(tables_url, CHANGES[1])
    by_operation(session)
    session.commit()
    assert session.scalar(text("SELECT count(*) FROM tala_operations")) == 2


PROCEDURE = (
    "CREATE PROCEDURE work() LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO t VALUES ('1'); COMMIT; RAISE EXCEPTION USING ERRCODE = '42804'; END $$"
)


@pytest.mark.parametrize(
    ("statement", "state", "rows"),
    [
        (" call work()", "42804", 1),
        ("/* of a page */ CALL work()", "42804", 1),
        ("-- of a page\nCALL work()", "42804", 1),
        ("/* of /* a */ SELECT */ CALL work()", "42804", 1),
        ("INSERT INTO t VALUES ('1'); COMMIT; SELECT 'x'::uuid", "22P02", 1),
        # It leaves an index behind that is invalid, and could not be created a second time.
        ("CREATE INDEX CONCURRENTLY ON t ((a::uuid))", "22P02", 0),
        ("CREATE INDEX CONCURRENTLY t_a ON t ((a::uuid))", "22P02", 0),
    ],
)
def test_what_may_have_committed_a_part_is_not_sent_again(postgres, engine_for, statement, state, rows):
    engine = engine_for(postgres, isolation_level="AUTOCOMMIT")
    heal(engine)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (a text)"))
        connection.execute(text(PROCEDURE))
        if not rows:
            connection.execute(text("INSERT INTO t VALUES ('x')"))
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(statement)
        assert getattr(caught.value.orig, "sqlstate", None) == state
        assert connection.scalar(text("SELECT count(*) FROM t WHERE a = '1'")) == rows
        assert connection.scalar(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == (not rows)


@VECTOR_ONLY
@pytest.mark.parametrize("client", ["psycopg", "asyncpg"])
@pytest.mark.parametrize(("first", "sends"), [(True, False), (False, False), (False, True)])
def test_the_application_s_own_listeners_are_called(tables_url, client, engine_for, first, sends):
    """One that was added later may send the statement itself, and gets what the driver can send."""
    engine = engine_for(tables_url, client)
    heard = []

    def listener(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        heard.append(statement)
        if sends:
            context.dialect.do_execute(cursor, statement, parameters, context)
        return bool(sends)

    if not first:
        heal(engine)
    event.listen(engine, "do_execute", listener)
    with Session(engine) as session:
        by_object(session)
        session.commit()
    assert [statement for statement in heard if statement.startswith("INSERT INTO embedding_cache")]


@VECTOR_ONLY
@pytest.mark.parametrize("client", ["psycopg", "asyncpg"])
def test_an_engine_that_sends_only_text_is_healed_when_told(tables_url, client, engine_for):
    engine = engine_for(tables_url, client, isolation_level="AUTOCOMMIT")
    heal(engine)
    with engine.connect() as connection:
        for _ in range(OFTEN):
            connection.execute(text("SELECT * FROM memories")).all()
        change(tables_url, ["ALTER TABLE memories ADD added text"])
        connection.execute(text("SELECT * FROM memories")).all()


@pytest.mark.parametrize("as_connection", [True, False])
def test_an_engine_that_was_checked_at_start_up_is_healed(postgres, engine_for, as_connection):
    engine = engine_for(postgres, isolation_level="AUTOCOMMIT", connect_args={"prepare_threshold": 0})
    with engine.connect() as connection:
        with pytest.raises(DiwaSchemaError, match="is empty"):
            ensure_current(connection if as_connection else engine)
        connection.execute(text("CREATE TABLE t (a int)"))
        connection.execute(text("SELECT * FROM t"))
        change(postgres, ["ALTER TABLE t ADD b int"])
        connection.execute(text("SELECT * FROM t"))


@VECTOR_ONLY
def test_an_asynchronous_session_is_healed(tables_url):
    async def run() -> None:
        engine = open_async_engine(tables_url, "asyncpg")
        heal(engine)
        async with engine.connect() as connection:
            for _ in range(2):
                await connection.execute(select(Memory))
                await connection.rollback()
            change(tables_url, ["ALTER TABLE memories ALTER embedding TYPE bytea USING NULL"])
            await connection.execute(select(Memory))
        await engine.dispose()

    pytest.importorskip("asyncpg")
    asyncio.run(run())


@pytest.mark.parametrize("cached", [True, False])
def test_an_engine_without_a_cache_also_ends_what_a_pooler_has_prepared(postgres, cached):
    """PgBouncer from 1.21 on keeps statements for all its clients; an engine with a cache still has its own."""

    async def run() -> int:
        size = 100 if cached else 0
        engine = open_async_engine(
            postgres,
            "asyncpg",
            connect_args={"prepared_statement_cache_size": size, "statement_cache_size": size},
        )
        heal(engine)
        async with engine.connect() as connection:
            await connection.exec_driver_sql("PREPARE pooled AS SELECT 1")
            await connection.commit()
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT 1 FROM pg_class WHERE oid = CAST('x' AS text)"))
            await connection.rollback()
            left = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'pooled'"
            found = (await connection.exec_driver_sql(left)).scalar_one()
        await engine.dispose()
        return int(found)

    pytest.importorskip("asyncpg")
    assert asyncio.run(run()) == cached


@VECTOR_ONLY
@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("threshold", [0, 5])
def test_psycopg_alone_needs_two_lines(tables_url, autocommit, threshold):
    query = "SELECT * FROM embedding_cache WHERE hash = %s"
    with psycopg.connect(tables_url, autocommit=autocommit, prepare_threshold=threshold) as connection:

        def ask(question: str) -> list[tuple[object, ...]]:
            try:
                return connection.execute(question.encode(), ["x"]).fetchall()
            except psycopg.Error as error:
                if not renewed(connection, error):
                    raise
                return connection.execute(question.encode(), ["x"]).fetchall()

        for _ in range(OFTEN):
            ask(query)
            connection.commit()
        for statements in CHANGES:
            change(tables_url, statements)
            for _ in range(OFTEN):
                assert ask(query) == []
                connection.commit()
        with pytest.raises(psycopg.errors.UndefinedFunction):
            ask("SELECT 1 FROM embedding_cache WHERE id = %s::text")
        connection.rollback()
        with pytest.raises(psycopg.errors.UndefinedColumn):
            ask("SELECT nothing FROM embedding_cache WHERE hash = %s")


class Alone:
    """A connection of an asynchronous driver without SQLAlchemy, and the two lines."""

    def __init__(self, connection: Any, errors: tuple[type[Exception], ...]) -> None:
        self.connection = connection
        self.errors = errors
        self.numbered = not isinstance(connection, psycopg.AsyncConnection)

    @classmethod
    async def open(cls, url: str, driver: str) -> Alone:
        if driver == "asyncpg":
            asyncpg = pytest.importorskip("asyncpg")
            return cls(await asyncpg.connect(url), (asyncpg.PostgresError, asyncpg.InterfaceError))
        autocommit = driver == "psycopg, AUTOCOMMIT"
        connection = await psycopg.AsyncConnection.connect(url, autocommit=autocommit, prepare_threshold=0)
        return cls(connection, (psycopg.Error,))

    async def send(self, question: str, value: str) -> None:
        if self.numbered:
            await self.connection.fetch(question.format("$1"), value)
        else:
            await self.connection.execute(question.format("%s").encode(), [value])

    async def ask(self, question: str, value: str) -> None:
        try:
            await self.send(question, value)
        except self.errors as error:
            if not await arenewed(self.connection, error):
                raise
            await self.send(question, value)
        if not self.numbered:
            await self.connection.commit()

    async def state_of(self, mistake: str) -> str | None:
        """Send a mistake, and return its SQLSTATE."""
        with pytest.raises(self.errors) as caught:
            await self.ask(mistake, "1")
        if not self.numbered:
            await self.connection.rollback()
        return getattr(caught.value, "sqlstate", None)


@VECTOR_ONLY
@pytest.mark.parametrize("alone", ["psycopg", "psycopg, AUTOCOMMIT", "asyncpg"])
def test_asynchronous_connections_without_an_engine_need_two_lines_as_well(tables_url, alone):
    write = "INSERT INTO tala_operations (id, session_id, inserted_at) VALUES (gen_random_uuid(), {}, now())"

    async def run() -> None:
        application = await Alone.open(tables_url, alone)
        for statements in ([], *CHANGES):
            change(tables_url, statements)
            for _ in range(2):
                await application.ask("SELECT * FROM embedding_cache WHERE hash = {}", "x")
                await application.ask("SELECT * FROM tala_operations WHERE session_id = {}", SESSION)
                await application.ask(write, SESSION)
        assert await application.state_of("SELECT 1 FROM embedding_cache WHERE id = {}::text") == "42883"
        assert await application.state_of("SELECT nothing, {}") == "42703"
        await application.connection.close()

    asyncio.run(run())


def test_a_connection_that_has_to_be_awaited_is_refused_by_the_function_that_does_not(postgres):
    async def run() -> None:
        connection = await psycopg.AsyncConnection.connect(postgres)
        with pytest.raises(psycopg.Error) as caught:
            await connection.execute("SELECT 'x'::uuid")
        with pytest.raises(UsageError, match="await arenewed"):
            renewed(connection, caught.value)
        await connection.close()

    asyncio.run(run())


@VECTOR_ONLY
def test_psycopg_that_prepares_nothing_needs_no_line(tables_url):
    with psycopg.connect(tables_url, autocommit=True, prepare_threshold=None) as connection:
        for statements in [[], *CHANGES]:
            change(tables_url, statements)
            for _ in range(OFTEN):
                connection.execute("SELECT * FROM embedding_cache WHERE hash = %s", ["x"]).fetchall()


@pytest.mark.parametrize("storage", ["bytea"], indirect=True)
@pytest.mark.parametrize("name", ["pg8000", "psycopg2"])
def test_a_driver_that_cannot_carry_the_types_is_refused(tables_url, name):
    pytest.importorskip(name)
    engine = create_engine(tables_url.replace("postgresql://", f"postgresql+{name}://"))
    with pytest.raises(UsageError, match=rf"driver {name} .*postgresql\+psycopg://|driver {name}"):
        heal(engine)
    with Session(engine) as session, pytest.raises(UsageError, match=f"driver {name}"):
        session.add_all(new_row(EmbeddingCache))
        session.commit()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM embedding_cache")) == 0
    engine.dispose()


def test_a_connection_that_is_detached_from_its_pool_works_with_the_models(engine):
    with engine.connect() as connection:
        own = connection.connection.dbapi_connection
        connection.detach()
        connection.execute(insert(EmbeddingCache).values(cached()))
        assert connection.scalars(select(EmbeddingCache.embedding)).one() == pytest.approx(NUMBERS, abs=1e-6)
    own.close()  # nobody else closes a connection of an asynchronous driver
