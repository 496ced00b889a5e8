"""The guard in a consumer's tests: open for what the run has created, and for nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict


def test_a_consumer_may_migrate_its_own_test_database_and_no_other(checkout, place, postgres):
    checkout.write(
        f"""
import subprocess
import sys

import diwa_schema
import pytest
from diwa_schema.errors import Blocked

given_up = []


def test_own(diwa_database):
    diwa_schema.downgrade(diwa_database, "-1")
    assert diwa_schema.migrate(diwa_database).applied
    given_up.append(diwa_database)


def test_own_through_an_engine(diwa_engine):
    diwa_schema.downgrade(diwa_engine, "-1")


def test_given_up(diwa_database):
    with pytest.raises(Blocked):
        diwa_schema.migrate(given_up[0])


def test_somebody_else_s(diwa_database):
    with pytest.raises(Blocked):
        diwa_schema.migrate({postgres!r})


def test_own_in_another_process(diwa_database):
    command = [sys.executable, "-m", "diwa_schema", "upgrade", "--url", diwa_database]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "[SAFETY BLOCK]" in done.stderr
"""
    )
    checkout.passes(5, dsn=place)


@pytest.mark.parametrize("way", ["dbname", "service"])
def test_a_database_that_the_url_names_in_another_way_is_not_given_out(
    checkout, dsn, new_database, way, tmp_path, monkeypatch
):
    shared = new_database()
    name = str(conninfo_to_dict(shared)["dbname"])
    given = {**conninfo_to_dict(dsn), "dbname": name}
    (tmp_path / "services").write_text(
        "[shop]\n" + "".join(f"{one}={value}\n" for one, value in given.items())
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    where = f"{dsn}?dbname={name}" if way == "dbname" else "postgresql://?service=shop"
    checkout.write(
        f"""
import diwa_schema
import psycopg
import pytest
import sqlalchemy as sa
from diwa_schema.errors import Blocked


def test_own(diwa_database, diwa_engine, diwa_session):
    with psycopg.connect(diwa_database) as connection:
        named = connection.execute("SELECT current_database()").fetchone()[0]
    assert named.startswith("diwa_copy_")
    assert diwa_session.scalar(sa.text("SELECT current_database()")) == named
    diwa_schema.downgrade(diwa_database, "-1")


def test_shared(diwa_database):
    for url in ({shared!r}, {where!r}):
        with pytest.raises(Blocked):
            diwa_schema.migrate(url)
"""
    )
    checkout.passes(2, dsn=where)
    with psycopg.connect(shared) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)
