"""The stand-in for Ecto's client fails, and recovers, as the real one was seen to do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.kit.postgrex import ClientError, Migrator, Repo, ServerError


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def table(postgres: str) -> str:
    run(postgres, "CREATE TABLE t (id varchar(255), note varchar(10))", "INSERT INTO t VALUES ('a', 'b')")
    return postgres


def test_a_changed_result_fails_once_for_all_connections(table):
    with Repo(table, 3) as repo:
        read = "SELECT t0.note FROM t AS t0"
        for _ in range(6):
            assert repo.query(read) == [("b",)]
        run(table, "ALTER TABLE t ALTER note TYPE varchar(20)")
        with pytest.raises(ServerError) as caught:
            repo.query(read)
        assert caught.value.code == "0A000"
        for _ in range(6):
            assert repo.query(read) == [("b",)]


def test_a_transaction_that_meets_it_is_lost(table):
    with Repo(table, 1) as repo:
        insert = "INSERT INTO t (id, note) VALUES ($1, $2) RETURNING note"
        assert repo.query(insert, "c", "d") == [("d",)]
        run(table, "ALTER TABLE t ALTER note TYPE varchar(20)")
        with pytest.raises(ServerError, match="0A000"), repo.transaction() as connection:
            connection.query("DELETE FROM t")
            connection.query(insert, "e", "f")
        assert repo.query("SELECT count(*) FROM t") == [(2,)]
        assert repo.query(insert, "e", "f") == [("f",)]


def test_a_statement_that_is_gone_is_prepared_anew(table):
    with Repo(table, 1) as repo:
        repo.query("SELECT t0.id FROM t AS t0")
        repo.query("DEALLOCATE ALL")
        with pytest.raises(ServerError, match="26000"):
            repo.query("SELECT t0.id FROM t AS t0")
        assert repo.query("SELECT t0.id FROM t AS t0") == [("a",)]


def test_a_changed_parameter_fails_for_ever(table):
    """From text to uuid: who bound text meets 42804, who bound 16 bytes met 22021 before and meets it still."""
    run(table, "TRUNCATE t")
    insert, of_bytes = "INSERT INTO t (id) VALUES ($1)", "INSERT INTO t (id, note) VALUES ($1, 'x')"
    raw = UUID("00000000-0000-4000-8000-0000000000ff").bytes
    with Repo(table, 2) as repo:
        for _ in range(4):
            repo.query(insert, str(uuid4()))
            with pytest.raises(ServerError, match="22021"):
                repo.query(of_bytes, raw)
        run(table, "ALTER TABLE t ALTER id TYPE uuid USING id::uuid")
        for _ in range(10):
            with pytest.raises(ServerError, match="42804"):
                repo.query(insert, str(uuid4()))
            with pytest.raises(ServerError, match="22021"):
                repo.query(of_bytes, raw)
        assert len(repo.query("SELECT t0.id FROM t AS t0")) == 4
    with Repo(table, 1) as renewed:
        renewed.query(of_bytes, raw)
        with pytest.raises(ClientError, match="does not fit"):
            renewed.query(insert, str(uuid4()))


def test_values_are_sent_and_read_in_binary(postgres):
    values = {
        "uuid": uuid4().bytes,
        "timestamp": datetime.fromisoformat("2026-01-02T03:04:05.678901"),
        "timestamp(0)": datetime.fromisoformat("1999-12-31T23:59:59"),
        "jsonb": {"größe": [1, None, True, "x"]},
        "bytea": bytes(range(256)),
        "varchar(255)[]": ["a, b", "", "ö"],
        "text[]": [],
        "numeric(10,6)": Decimal("9999.000001"),
        "boolean": True,
        "integer": -7,
        "bigint": 20260228010000,
        "float8": 0.1,
        "text": "it's",
    }
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(values))
    run(postgres, f"CREATE TABLE v ({columns})")
    with Repo(postgres) as repo:
        marks = ", ".join(f"${n + 1}" for n in range(len(values)))
        insert = f"INSERT INTO v VALUES ({marks}) RETURNING *"
        assert repo.query(insert, *values.values()) == [tuple(values.values())]
        assert repo.query(insert, *[None] * len(values)) == [(None,) * len(values)]


def test_a_vector_is_read_with_its_types_only(postgres, server):
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    run(postgres, "CREATE EXTENSION vector", "CREATE TABLE m (id integer, embedding vector(2))")
    with Repo(postgres, vectors=True) as repo:
        repo.query("INSERT INTO m VALUES (1, $1)", [0.5, -2.0])
        assert repo.query("SELECT embedding FROM m") == [([0.5, -2.0],)]
    with Repo(postgres) as repo, pytest.raises(ClientError, match="vector"):
        repo.query("SELECT m0.id, m0.embedding FROM m AS m0")


def test_the_pool_keeps_its_connections(postgres):
    seen = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    with Repo(postgres, 3) as repo:
        before = {row[0] for row in repo.query(seen)}
        for _ in range(6):
            with pytest.raises(ServerError, match="22012"):
                repo.query("SELECT 1 / 0")
        assert {row[0] for row in repo.query(seen)} == before
        assert len(before) == 3


@pytest.mark.parametrize("advisory", [False, True])
def test_a_migration_is_recorded_under_a_lock(postgres, advisory):
    held = "SELECT l.mode FROM pg_locks l WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND "
    held += (
        "l.locktype = 'advisory'"
        if advisory
        else "l.relation = 'schema_migrations'::regclass AND l.mode LIKE 'Share%'"
    )
    modes = []

    def work(connection):
        modes.extend(connection.query(held))
        connection.query("CREATE TABLE made (id integer)")

    with Repo(postgres, 2) as repo:
        migrator = Migrator(repo, advisory=advisory)
        migrator.up(20260301000000, work)
        assert modes == [("ExclusiveLock" if advisory else "ShareUpdateExclusiveLock",)]
        assert migrator.versions() == [20260301000000]
        with pytest.raises(ServerError, match="42P07"):
            migrator.up(20260302000000, work)
        assert migrator.versions() == [20260301000000]
        migrator.down(20260301000000, lambda connection: connection.query("DROP TABLE made"))
        assert migrator.versions() == []
        assert repo.query(held) == []


def test_a_second_migrator_does_not_pass_the_lock(postgres):
    with Repo(postgres, 2) as repo, Repo(postgres, 2) as other:
        with Migrator(repo).lock(), other.checkout() as connection:
            connection.query("SET lock_timeout = '50ms'")
            with pytest.raises(ServerError, match="55P03"), connection.transaction():
                connection.query("LOCK TABLE schema_migrations IN SHARE UPDATE EXCLUSIVE MODE")
        with (
            Migrator(repo, advisory=True).lock(),
            pytest.raises(ClientError, match="another"),
            Migrator(other, advisory=True).lock(),
        ):
            pass
