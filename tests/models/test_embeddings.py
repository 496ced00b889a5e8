from __future__ import annotations

import asyncio
from array import array
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import bindparam, create_engine, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from diwa_schema.models import EmbeddingCache, Memory, RawEmbedding
from diwa_schema.models.types import Embedding
from diwa_schema.models.types.erlang import encode_floats
from tests.models.conftest import open_async_engine, sqlalchemy_url
from tests.models.rows import MOMENT, NUMBERS, new_row, store

VECTOR_ONLY = pytest.mark.parametrize("storage", ["vector"], indirect=True)
BYTEA_ONLY = pytest.mark.parametrize("storage", ["bytea"], indirect=True)
BYTES_ONLY = pytest.mark.parametrize("storage", ["bytea", "sqlite"], indirect=True)


class Numpyish:
    """What an array of numpy is to us."""

    def tolist(self):
        return NUMBERS


def cached(**attributes: Any) -> Any:
    (row,) = new_row(EmbeddingCache)
    for name, value in attributes.items():
        setattr(row, name, value)
    return row


def roughly(numbers):
    return pytest.approx(numbers, abs=1e-6)


def raw_bytes(engine) -> bytes:
    with engine.connect() as connection:
        return bytes(connection.execute(text("SELECT embedding FROM embedding_cache")).scalar_one())


@pytest.mark.parametrize("value", [NUMBERS, tuple(NUMBERS), array("d", NUMBERS), Numpyish(), range(1536)])
def test_any_sequence_of_numbers_comes_back_as_a_list(engine, value):
    expected = list(range(1536)) if isinstance(value, range) else NUMBERS
    with Session(engine) as session:
        store(session, row := cached(embedding=value))
        assert row.embedding == roughly(expected)
        assert isinstance(row.embedding, list)
        assert type(row.embedding[0]) is float


@pytest.mark.parametrize(
    "value", ["[1,2]", b"\x01\x02", 5, [[1.0]], ["a"], [float("nan")], [float("inf")]], ids=str
)
def test_what_is_no_list_of_finite_numbers_is_refused_before_it_is_sent(engine, value):
    with Session(engine) as session, pytest.raises(StatementError, match=r"embedding|float|finite"):
        store(session, cached(embedding=value))
    with Session(engine) as session:
        assert session.scalars(select(EmbeddingCache)).all() == []


def test_a_row_that_is_not_read_again_takes_a_new_value(engine):
    with Session(engine) as session:
        store(session, row := cached())
        session.expire(row)
        row.embedding = NUMBERS
        session.commit()
        assert row.embedding == roughly(NUMBERS)


@BYTES_ONLY
def test_bytes_are_those_that_elixir_reads(engine):
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))
    assert raw_bytes(engine) == encode_floats(NUMBERS)
    assert raw_bytes(engine)[:7] == bytes([131, 108, 0, 0, 6, 0, 70])


@BYTES_ONLY
@pytest.mark.parametrize(
    "data", [b"[0.1,0.2]", encode_floats(NUMBERS)[:-1], b"", b"\x80\x04K\x01."], ids=repr
)
def test_other_bytes_come_back_raw_and_are_written_back_alike(engine, data):
    with Session(engine) as session:
        store(session, row := cached(embedding=RawEmbedding(data)))
        assert row.embedding == RawEmbedding(data)
        row.embedding = RawEmbedding(row.embedding.data)
        session.commit()
    assert raw_bytes(engine) == data


@BYTEA_ONLY
def test_text_that_bytea_kept_the_characters_of_is_raw(engine):
    with Session(engine) as session:
        store(session, row := cached())
        session.execute(text("UPDATE embedding_cache SET embedding = '[0.1,0.2]'"))
        session.refresh(row)
        assert row.embedding == RawEmbedding(b"[0.1,0.2]")


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_text_in_a_blob_column_is_raw(engine):
    with Session(engine) as session:
        store(session, row := cached())
        session.execute(text("UPDATE embedding_cache SET embedding = '[0.1,0.2]'"))
        session.refresh(row)
        assert row.embedding == RawEmbedding(b"[0.1,0.2]")


@BYTES_ONLY
def test_any_number_of_numbers_fits_into_bytes(engine):
    with Session(engine) as session:
        store(session, row := cached(embedding=[0.25, -1.0]))
        assert row.embedding == [0.25, -1.0]


@VECTOR_ONLY
def test_a_vector_column_takes_its_own_size_only(engine):
    with Session(engine) as session, pytest.raises(DBAPIError, match="expected 1536 dimensions"):
        store(session, cached(embedding=[0.25, -1.0]))


def test_a_number_that_no_vector_can_hold_is_refused_everywhere(engine):
    with Session(engine) as session, pytest.raises(StatementError, match="range"):
        store(session, cached(embedding=[1e300] + [0.0] * 1535))


@BYTES_ONLY
def test_bytes_with_another_number_of_numbers_are_read_and_stay(engine):
    """A database can hold those of a model with 384 numbers; the row can be changed beside them."""
    few = [0.25, -1.0] * 192
    with Session(engine) as session:
        store(session, row := cached(embedding=RawEmbedding(encode_floats(few))))
        session.expire(row)
        assert row.embedding == few
        row.model = "changed"
        session.commit()
        assert row.embedding == few
    assert raw_bytes(engine) == encode_floats(few)


@VECTOR_ONLY
def test_raw_bytes_do_not_fit_into_a_vector_column(engine):
    with Session(engine) as session, pytest.raises(ValueError, match="this column is a vector"):
        store(session, cached(embedding=RawEmbedding(b"x")))


@VECTOR_ONLY
def test_vectors_of_another_size_are_read(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE embedding_cache ALTER embedding TYPE vector(3)"))
    with Session(engine) as session:
        store(session, row := cached(embedding=[1.0, 2.0, 3e-9]))
        assert row.embedding == roughly([1.0, 2.0, 3e-9])


@VECTOR_ONLY
def test_distances_can_be_asked_for(engine):
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))
        distance = EmbeddingCache.embedding.cosine_distance(NUMBERS)
        assert session.scalars(select(distance)).one() == pytest.approx(0, abs=1e-6)
        assert session.scalars(select(EmbeddingCache.embedding.l2_distance([0.0] * 1536))).one() > 1


@VECTOR_ONLY
def test_each_column_is_what_it_is(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE embedding_cache ALTER embedding TYPE bytea USING NULL"))
    *needed, memory = new_row(Memory)
    with Session(engine) as session:
        store(session, *needed, memory, row := cached(embedding=NUMBERS))
        assert memory.embedding == row.embedding == roughly(NUMBERS)
        kinds = text(
            "SELECT pg_typeof(m.embedding), pg_typeof(c.embedding) FROM memories m, embedding_cache c"
        )
        assert [str(kind) for kind in session.execute(kinds).one()] == ["vector", "bytea"]
    assert raw_bytes(engine) == encode_floats(NUMBERS)


@VECTOR_ONLY
def test_a_column_that_was_converted_meanwhile_is_noticed(engine):
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM embedding_cache"))
        connection.execute(text("ALTER TABLE embedding_cache ALTER embedding TYPE bytea USING NULL"))
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))
    assert raw_bytes(engine) == encode_floats(NUMBERS)


@VECTOR_ONLY
def test_a_column_that_is_converted_in_mid_transaction_is_noticed(engine):
    with Session(engine) as session, Session(engine) as other:
        store(session, cached(embedding=NUMBERS))
        session.execute(text("SELECT 1"))
        session.add(cached(embedding=NUMBERS))
        session.flush()
        session.rollback()
        session.execute(text("SELECT 1"))
        other.execute(text("DELETE FROM embedding_cache"))
        other.execute(text("ALTER TABLE embedding_cache ALTER embedding TYPE bytea USING NULL"))
        other.commit()
        session.add(cached(embedding=NUMBERS))
        session.commit()
    assert raw_bytes(engine) == encode_floats(NUMBERS)


class Recording(psycopg.Cursor):
    """Keeps what is sent."""

    sent: ClassVar[list[str]] = []

    def execute(self, query, *arguments, **options):
        self.sent.append(str(query))
        return super().execute(query, *arguments, **options)


@pytest.mark.parametrize("storage", ["vector", "bytea"], indirect=True)
def test_the_catalog_is_asked_once_in_a_transaction(tables_url):
    Recording.sent.clear()
    engine = create_engine(sqlalchemy_url(tables_url), connect_args={"cursor_factory": Recording})
    for _ in range(2):
        with Session(engine) as session:
            store(session, cached(embedding=NUMBERS), *new_row(Memory), cached(embedding=NUMBERS))
    engine.dispose()
    assert sum("pg_attribute" in statement for statement in Recording.sent) == 2
    assert sum("INSERT INTO embedding_cache" in statement for statement in Recording.sent) == 4


@pytest.mark.parametrize("storage", ["vector", "bytea"], indirect=True)
def test_a_cursor_that_puts_values_into_the_text_writes_embeddings_too(tables_url):
    engine = create_engine(sqlalchemy_url(tables_url), connect_args={"cursor_factory": psycopg.ClientCursor})
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))
    assert list(map(list, every(engine))) == [pytest.approx(NUMBERS, abs=1e-6)]
    engine.dispose()


@pytest.mark.parametrize("storage", ["vector", "bytea"], indirect=True)
def test_nothing_is_asked_of_who_only_reads(tables_url):
    Recording.sent.clear()
    engine = create_engine(sqlalchemy_url(tables_url), connect_args={"cursor_factory": Recording})
    with Session(engine) as session:
        session.scalars(select(Memory)).all()
    engine.dispose()
    assert not any("pg_attribute" in statement for statement in Recording.sent)


@BYTEA_ONLY
def test_a_first_write_into_a_table_that_is_not_there_fails_as_any_other(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE embedding_cache RENAME TO elsewhere"))
    with Session(engine) as session, pytest.raises(DBAPIError, match='"embedding_cache" does not exist'):
        store(session, cached(embedding=NUMBERS))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO embedding_cache"))
    with Session(engine) as session:
        store(session, cached(embedding=NUMBERS))


def test_the_question_belongs_to_the_callers_transaction(engine):
    """A column that only this transaction sees is known, and what was written before is not lost."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE embedding_cache DROP embedding"))
    with Session(engine) as session:
        if engine.dialect.name == "postgresql":
            session.execute(text("ALTER TABLE embedding_cache ADD embedding bytea"))
        session.add(cached(embedding=NUMBERS))
        session.flush()
        session.add(cached(embedding=NUMBERS))
        session.commit()
    assert len(every(engine)) == 2


def every(engine):
    with Session(engine) as session:
        return session.scalars(select(EmbeddingCache.embedding)).all()


def test_core_statements_write_one_row_or_many(engine):
    def values(model):
        return {
            "id": uuid4(), "hash": model, "model": model, "embedding": NUMBERS,
            "inserted_at": MOMENT, "updated_at": MOMENT,
        }  # fmt: skip

    table: Any = EmbeddingCache.__table__
    with engine.begin() as connection:
        connection.execute(insert(table).values(values("one")))
        connection.execute(insert(table), [values("two"), values("three")])
        connection.execute(insert(table).values([values("four"), values("five")]))
        returned = connection.execute(
            insert(table).returning(table.c.embedding), [values("six"), values("seven")]
        ).scalars()
        assert list(returned) == [roughly(NUMBERS)] * 2
        connection.execute(
            update(table).where(table.c.hash == bindparam("wanted")).values(embedding=bindparam("new")),
            [{"wanted": "one", "new": NUMBERS[::-1]}, {"wanted": "two", "new": None}],
        )
    found = every(engine)
    assert len(found) == 7
    assert sum(each == roughly(NUMBERS[::-1]) for each in found if each) == 1
    assert found.count(None) == 1


def test_many_objects_at_once(engine):
    with Session(engine) as session:
        session.add_all(cached(embedding=NUMBERS) for _ in range(50))
        session.commit()
    assert every(engine) == [roughly(NUMBERS)] * 50


def test_an_asynchronous_session_writes_and_reads(tables_url):
    async def run():
        engine = open_async_engine(tables_url)
        async with AsyncSession(engine) as session:
            session.add_all([cached(embedding=NUMBERS), cached(embedding=None), cached(embedding=NUMBERS)])
            await session.commit()
            found = (await session.scalars(select(EmbeddingCache.embedding))).all()
        await engine.dispose()
        return found

    found = asyncio.run(run())
    assert found.count(None) == 1
    assert [each for each in found if each] == [roughly(NUMBERS)] * 2


def test_an_unchanged_value_is_not_written_again(engine):
    with Session(engine) as session:
        store(session, row := cached(embedding=NUMBERS))
        row.embedding = array("d", row.embedding)
        assert not session.is_modified(row)


def test_a_type_that_names_no_column_does_not_write():
    with pytest.raises(TypeError, match=r"table\.column"):
        Embedding().process_bind_param(NUMBERS, postgresql.dialect())
