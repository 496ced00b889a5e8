"""What a caller may name as a database, and that it is left in the mode it came in."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema.database.target import Target
from diwa_schema.errors import ConnectionInUse, DatabaseUnreachable, InvalidDatabase


def alchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_a_url_an_engine_and_a_connection_reach_the_same_database(database):
    engine = sa.create_engine(alchemy_url(database))
    question = (
        "SELECT current_database()"
        if engine.dialect.name == "postgresql"
        else "SELECT file FROM pragma_database_list"
    )
    with engine.connect() as connection:
        answers = set()
        for named in (database, sa.make_url(database), engine, connection):
            with Target.of(named).work() as link:
                answers.add(link.value(question))
    engine.dispose()
    assert len(answers) == 1


def test_a_full_pool_does_not_stop_a_run(postgres):
    engine = sa.create_engine(alchemy_url(postgres), pool_size=1, max_overflow=0, pool_timeout=1)
    with engine.connect(), Target.of(engine).work() as link:
        assert link.value("SELECT 1") == 1
    engine.dispose()


def test_a_callers_connection_is_handed_back_in_its_mode(database):
    engine = sa.create_engine(alchemy_url(database))
    with engine.connect() as connection:
        with Target.of(connection).work() as link, link.transaction():
            link.execute("CREATE TABLE made (n integer)")
        connection.execute(sa.text("INSERT INTO made VALUES (1)"))
        connection.rollback()
        assert connection.scalar(sa.text("SELECT count(*) FROM made")) == 0
    engine.dispose()


def test_a_connection_in_a_transaction_is_refused(database):
    engine = sa.create_engine(alchemy_url(database))
    with engine.connect() as connection, connection.begin():
        with pytest.raises(ConnectionInUse) as caught:
            Target.of(connection)
        assert caught.value.exit_code == 2
    engine.dispose()


def test_an_unreachable_server_is_said_without_the_password():
    with pytest.raises(DatabaseUnreachable) as caught:
        Target.of("postgresql://app:topsecret@127.0.0.1:9/diwa").connect()
    assert "topsecret" not in str(caught.value)
    assert "***" in str(caught.value)
    assert "topsecret" not in repr(caught.value.as_dict())


def test_a_directory_is_no_sqlite_database(tmp_path):
    with pytest.raises(InvalidDatabase):
        Target.of(f"sqlite:///{tmp_path}").connect()


def test_reading_does_not_make_a_file(sqlite, tmp_path):
    with Target.of(sqlite).connect(create=False) as link:
        assert link.rows("SELECT * FROM sqlite_master") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("thing", [3, b"sqlite://", object()])
def test_anything_else_is_refused(thing):
    with pytest.raises(InvalidDatabase):
        Target.of(thing)


def test_a_failed_transaction_leaves_nothing(database):
    with Target.of(database).connect() as link:
        with pytest.raises((psycopg.Error, Exception), match="(?i)syntax|near"), link.transaction():
            link.execute("CREATE TABLE made (n integer)")
            link.execute("SELEC 1")
        with pytest.raises(Exception, match="made"):
            link.rows("SELECT * FROM made")
