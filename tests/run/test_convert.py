"""Vectors and optional indexes: made when somebody asks, while the tables are used, and no drift either way."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from diwa_schema import api
from diwa_schema.errors import DatabaseRefused, UsageError
from diwa_schema.models import Memory
from diwa_schema.models.types.erlang import encode_floats
from tests.sampling import sampled

pytestmark = pytest.mark.usefixtures("owner_directory")


@pytest.fixture
def with_vector(postgres, server):
    if not server.has_vector:
        pytest.skip("needs pgvector")
    return postgres


@pytest.fixture
def bytes_first(with_vector):
    """A database at head whose embeddings are bytes, because pgvector came later; one is a vector, one is not."""
    url = with_vector
    api.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE memories ALTER COLUMN embedding TYPE bytea USING NULL")
        connection.execute("ALTER TABLE embedding_cache ALTER COLUMN embedding TYPE bytea USING NULL")
        connection.execute("DROP EXTENSION vector")
        connection.execute(
            "INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES (gen_random_uuid(), 'o', now(), now())"
        )
        connection.execute(
            "INSERT INTO contexts (organization_id, name, inserted_at, updated_at) SELECT id, 'c', now(), now() FROM organizations"
        )
        for content, value in (("whole", encode_floats([0.5] * 1536)), ("short", encode_floats([1.0, 2.0]))):
            connection.execute(
                "INSERT INTO memories (context_id, content, embedding, inserted_at, updated_at)"
                " SELECT id, %s, %s, now(), now() FROM contexts",
                (content, value),
            )
    assert api.check(url) == []
    return url


def test_vectors_are_enabled_later_without_a_loss(bytes_first):
    report = api.enable_vector(bytes_first)
    assert (report.kind, report.before) == ("convert", report.after)
    with psycopg.connect(bytes_first) as connection:
        assert connection.execute("SELECT content FROM memories WHERE embedding IS NOT NULL").fetchall() == [
            ("whole",)
        ]
        kept = connection.execute("SELECT value FROM diwa_schema_embedding_archive").fetchall()
        kind = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 'embedding_cache'::regclass AND attname = 'embedding'"
        ).fetchone()
    assert kept == [(encode_floats([1.0, 2.0]),)]
    assert kind == ("vector(1536)",)
    assert api.check(bytes_first) == []
    assert api.history(bytes_first)[-1]["kind"] == "convert"
    api.enable_vector(bytes_first)


def test_vectors_become_bytes_again_without_a_loss(bytes_first, cli):
    cli("enable-vector", "--url", bytes_first, check=0)
    cli("disable-vector", "--url", bytes_first, check=0)
    with psycopg.connect(bytes_first) as connection:
        rows: dict[str, bytes] = dict(
            connection.execute("SELECT content, embedding FROM memories").fetchall()
        )
    assert rows == {"whole": encode_floats([0.5] * 1536), "short": encode_floats([1.0, 2.0])}
    assert api.check(bytes_first) == []
    api.disable_vector(bytes_first)
    api.enable_vector(bytes_first)
    assert api.check(bytes_first) == []


REFUSED = "The server refuses them: SQLSTATE 23514."


def characters_refused(url: str) -> set[str]:
    """Return the tables that have the check which refuses characters."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE conname LIKE '%embedding_not_text'"
        ).fetchall()
    return {table for (table,) in found}


def cached(connection: psycopg.Connection, value: object) -> None:
    connection.execute(
        "INSERT INTO embedding_cache (hash, model, expires_at, embedding, inserted_at, updated_at)"
        " VALUES (gen_random_uuid()::text, 'm', now(), %s, now(), now())",
        (value,),
    )


def test_after_the_way_back_the_server_refuses_characters_and_nothing_else(bytes_first, cli):
    api.enable_vector(bytes_first)
    text = f"[{','.join(['0.5'] * 1536)}]"
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        # A client that sends untyped text, as it does all the time.
        connection.execute("UPDATE memories SET embedding = %s", (text,))
        cached(connection, text)
        ended = cli("disable-vector", "--url", bytes_first, check=0).stdout
        assert ended.rstrip().endswith(REFUSED)
        assert "would now write characters into embedding_cache and memories." in ended
        with pytest.raises(psycopg.errors.CheckViolation, match="memories_embedding_not_text"):
            connection.execute("UPDATE memories SET embedding = %s", (text,))
        with pytest.raises(psycopg.errors.CheckViolation, match="embedding_cache_embedding_not_text"):
            cached(connection, "[1,2,3]")
        erlang = encode_floats([0.25] * 1536)
        for value in (erlang, None, b"", b"[", b"]", b"[1,2", b"1,2]", b"[" + bytes(20), bytes(20) + b"]"):
            connection.execute("UPDATE memories SET embedding = %s", (value,))
            cached(connection, value)
        assert api.check(bytes_first) == []
        for table in ("memories", "embedding_cache"):
            connection.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_embedding_not_text")
        assert api.check(bytes_first) == []
        cli("disable-vector", "--url", bytes_first, check=0)
        assert characters_refused(bytes_first) == {"memories", "embedding_cache"}
    cli("enable-vector", "--url", bytes_first, check=0)
    assert characters_refused(bytes_first) == set()
    assert api.check(bytes_first) == []


def test_bytes_that_never_were_vectors_get_no_check(bytes_first, cli):
    assert REFUSED not in cli("disable-vector", "--url", bytes_first, check=0).stdout
    assert characters_refused(bytes_first) == set()


def test_another_check_of_that_name_is_drift(bytes_first):
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE memories ADD CONSTRAINT memories_embedding_not_text CHECK (octet_length(embedding) > 0)"
        )
    (found,) = api.check(bytes_first)
    assert found.object == "memories_embedding_not_text"


def test_characters_that_are_there_go_to_the_archive_and_stay_there(bytes_first, cli):
    """Were they brought back, no other column of their row could be changed any more."""
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        connection.execute("UPDATE memories SET embedding = '[1,2,3]' WHERE content = 'whole'")
        ended = cli("enable-vector", "--url", bytes_first, check=0).stdout
        assert "1 value in diwa_schema_embedding_archive is not a list of numbers." in ended
        assert (
            "1 value in diwa_schema_embedding_archive is not a list of 1536 numbers that a vector can hold."
            in ended
        )
        ended = cli("disable-vector", "--url", bytes_first, check=0).stdout
        assert "1 value in diwa_schema_embedding_archive is the characters of a list." in ended
        connection.execute("UPDATE memories SET content = upper(content)")
        rows = connection.execute("SELECT content, embedding FROM memories ORDER BY 1").fetchall()
        kept = connection.execute("SELECT value FROM diwa_schema_embedding_archive").fetchall()
    assert rows == [("SHORT", encode_floats([1.0, 2.0])), ("WHOLE", None)]
    assert kept == [(b"[1,2,3]",)]
    again = api.enable_vector(bytes_first)
    assert "1 value in diwa_schema_embedding_archive is not a list of numbers." in again.notes


def test_a_downgrade_to_bytes_says_it_and_an_upgrade_takes_the_check_away(with_vector, cli):
    below = "20260228000500"
    api.migrate(with_vector)
    assert api.downgrade(with_vector, "20260228010000").notes == ()
    ended = cli("downgrade", below, "--url", with_vector, check=0).stdout
    assert ended.rstrip().endswith(REFUSED)
    assert "would now write characters into memories." in ended
    assert characters_refused(with_vector) == {"memories"}
    assert api.check(with_vector) == []
    api.migrate(with_vector)
    assert characters_refused(with_vector) == set()
    assert api.check(with_vector) == []
    api.downgrade(with_vector, below)
    assert api.downgrade(with_vector, "base").notes == ()


def test_the_printed_way_back_refuses_characters_too(with_vector, cli):
    below, above = "20260228000500", "20260228010000"
    api.migrate(with_vector, above)

    def run_printed(direction: str, span: str) -> None:
        printed = cli(direction, span, "--sql", "--url", with_vector, check=0).stdout
        with psycopg.connect(with_vector, autocommit=True) as connection:
            connection.execute(printed.encode())

    run_printed("downgrade", f"{above}:{below}")
    assert characters_refused(with_vector) == {"memories"}
    assert api.check(with_vector) == []
    run_printed("upgrade", f"{below}:{above}")
    assert characters_refused(with_vector) == set()
    assert api.check(with_vector) == []


def test_what_stands_in_the_way_is_said_before_the_first_table(bytes_first, cli, dump):
    view = "CREATE VIEW mine AS SELECT id, embedding FROM embedding_cache"
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        connection.execute(view)
    before = dump(bytes_first)
    refused = cli("enable-vector", "--url", bytes_first, check=7)
    assert "view mine (on embedding_cache.embedding)" in refused.stderr
    assert dump(bytes_first) == before
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        connection.execute("DROP VIEW mine")
        api.enable_vector(bytes_first)
        connection.execute(view)
        before = dump(bytes_first)
        assert "view mine" in cli("disable-vector", "--url", bytes_first, check=7).stderr
        assert dump(bytes_first) == before
        connection.execute("DROP VIEW mine")
        connection.execute("CREATE ROLE diwa_test_converts")
        try:
            connection.execute("ALTER TABLE embedding_cache OWNER TO diwa_test_converts")
            connection.execute("CREATE ROLE diwa_test_memories")
            connection.execute("ALTER TABLE memories OWNER TO diwa_test_memories")
            as_one = f"{bytes_first}?options=-crole%3Ddiwa_test_memories"
            connection.execute("GRANT CREATE ON SCHEMA public TO diwa_test_memories")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO diwa_test_memories")
            refused = cli("disable-vector", "--url", as_one, check=7)
            assert "table embedding_cache belongs to diwa_test_converts" in refused.stderr
        finally:
            for role in ("diwa_test_converts", "diwa_test_memories"):
                connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")


def test_without_pgvector_it_says_what_to_install(postgres, server):
    if server.has_vector:
        pytest.skip("needs a server without pgvector")
    api.migrate(postgres)
    with pytest.raises(DatabaseRefused, match="CREATE EXTENSION vector"):
        api.enable_vector(postgres)


def test_an_optional_index_is_no_drift_there_or_not(with_vector, cli):
    api.migrate(with_vector)
    cli("index", "enable", "memories_embedding_idx", "--url", with_vector, check=0)
    assert api.check(with_vector) == []
    with psycopg.connect(with_vector) as connection:
        found = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'memories_embedding_idx'"
        ).fetchone()
    assert found is not None
    assert "hnsw" in found[0]
    cli("index", "enable", "memories_embedding_idx", "--url", with_vector, check=0)
    assert "(there)" in cli("index", "list", "--url", with_vector, check=0).stdout
    cli("index", "disable", "memories_embedding_idx", "--url", with_vector, check=0)
    assert api.check(with_vector) == []
    again = cli("index", "disable", "memories_embedding_idx", "--url", with_vector, check=0).stdout
    assert "was not there" in again
    assert "(there)" not in cli("index", "list", "--url", with_vector, check=0).stdout


def test_an_index_of_vectors_is_refused_on_bytes(with_vector):
    api.migrate(with_vector)
    api.disable_vector(with_vector)
    with pytest.raises(DatabaseRefused, match="are bytes") as caught:
        api.enable_index("memories_embedding_idx", with_vector)
    assert "enable-vector" in str(caught.value.next_step)
    # The check that refuses texts stays unvalidated on purpose.
    assert "constraint-not-validated" not in {one.code for one in api.doctor(with_vector)}


def test_any_other_index_is_refused(postgres, cli):
    api.migrate(postgres)
    with pytest.raises(UsageError, match="memories_embedding_idx"):
        api.enable_index("tasks_status_index", postgres)
    assert "memories_embedding_idx" in cli("index", "list", check=0).stdout
    assert cli("index", "enable", "--url", postgres).returncode == 2


def test_a_consumer_is_blocked(consumer_directory, cli):
    for words in (("enable-vector",), ("disable-vector",), ("index", "enable", "memories_embedding_idx")):
        done = cli(*words, "--url", "postgresql://app@127.0.0.1:9/diwa", cwd=consumer_directory)
        assert done.returncode == 3


SOURCES = 40  # memories that nobody writes; clients without models copy their embeddings, of whatever type
COPY = (
    "UPDATE memories SET embedding = (SELECT s.embedding FROM memories s WHERE s.content = {}) WHERE id = {}"
)


def numbers(number: float) -> list[float]:
    return [number + 0.5] * 1536


class Turns:
    """What one client is to write, a row and a number, until it is told to stop; a turn is over with the next one."""

    def __init__(self, rows: Sequence[UUID]) -> None:
        self.rows = rows
        self.written: dict[UUID, int] = {}
        self.ready, self.over = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[tuple[UUID, int]]:
        chance = random.Random(self.rows[0].int)
        while not self.over.wait(0.05):
            row, number = chance.choice(self.rows), chance.randrange(SOURCES)
            yield row, number
            self.written[row] = number
            self.ready.set()  # the connection is open, and has prepared what it sends


def by_psycopg(url: str, turns: Turns, *, autocommit: bool) -> None:
    with psycopg.connect(url, autocommit=autocommit, prepare_threshold=0) as connection:
        for row, number in turns:
            connection.execute(COPY.format("%s", "%s"), (f"source {number}", row))
            connection.commit()


def by_models(url: str, turns: Turns) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    for row, number in turns:
        with Session(engine) as session:
            session.get_one(Memory, row).embedding = numbers(number)
            session.commit()
    engine.dispose()


def by_asyncpg(url: str, turns: Turns) -> None:
    asyncpg = pytest.importorskip("asyncpg")

    async def work() -> None:
        connection = await asyncpg.connect(url)
        for row, number in turns:
            await connection.execute(COPY.format("$1", "$2"), f"source {number}", row)
        await connection.close()

    asyncio.run(work())


def by_models_and_asyncpg(url: str, turns: Turns) -> None:
    async def work() -> None:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        for row, number in turns:
            async with AsyncSession(engine) as session:
                (await session.get_one(Memory, row)).embedding = numbers(number)
                await session.commit()
        await engine.dispose()

    asyncio.run(work())


CLIENTS: tuple[Callable[[str, Turns], None], ...] = (
    partial(by_psycopg, autocommit=True),
    partial(by_psycopg, autocommit=False),
    by_models,
    by_asyncpg,
    by_models_and_asyncpg,
)


@pytest.mark.parametrize(("memories", "embeddings"), sampled([(2_000, 200), (60_000, 5_000)], (2_000, 200)))
def test_every_embedding_arrives_that_five_clients_write_meanwhile(bytes_first, memories, embeddings):
    with psycopg.connect(bytes_first, autocommit=True) as connection:
        insert = (
            "INSERT INTO memories (context_id, content, embedding, inserted_at, updated_at)"
            " SELECT c.id, %s, CASE WHEN n <= %s THEN %s END, now(), now() FROM contexts c,"
            " generate_series(1, %s) n RETURNING id"
        )
        for number in range(SOURCES):
            connection.execute(insert, (f"source {number}", 1, encode_floats(numbers(number)), 1))
        given = connection.execute(insert, ("written", embeddings, encode_floats(numbers(-1)), memories))
        rows = [row for (row,) in given.fetchall()]
    parts = [Turns(rows[part :: len(CLIENTS)]) for part in range(len(CLIENTS))]
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        clients = [
            pool.submit(client, bytes_first, turns) for client, turns in zip(CLIENTS, parts, strict=True)
        ]
        try:
            assert all(turns.ready.wait(30) for turns in parts), [client.exception(0) for client in clients]
            before = sum(len(turns.written) for turns in parts)
            api.enable_vector(bytes_first)
            during = sum(len(turns.written) for turns in parts)
        finally:
            for turns in parts:
                turns.over.set()
        assert [client.exception() for client in clients] == [None] * len(CLIENTS)
    assert during > before
    expected: dict[UUID, float | None] = {
        row: -1 + 0.5 if number < embeddings else None for number, row in enumerate(rows)
    }
    for part in parts:
        expected |= {row: number + 0.5 for row, number in part.written.items()}
    with psycopg.connect(bytes_first) as connection:
        found = connection.execute(
            "SELECT id, (embedding::real[])[1], (embedding::real[])[1536] FROM memories WHERE content = 'written'"
        ).fetchall()
    assert {row: (first, last) for row, first, last in found} == {
        row: (number, number) for row, number in expected.items()
    }
    assert api.check(bytes_first) == []
