"""A tenant is copied whole, of one moment, or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from datetime import datetime

import psycopg
import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema import models
from diwa_schema.authoring import samples
from diwa_schema.cli import main
from diwa_schema.database.target import Target
from diwa_schema.drift.read import read
from diwa_schema.errors import (
    Blocked,
    DriftFound,
    MigrationFailed,
    NotPersisted,
    SchemaEmpty,
    SchemaOutOfDate,
    SchemaTooNew,
    UsageError,
)
from diwa_schema.fleet import Member, copy
from diwa_schema.migrations.manifest import load
from diwa_schema.models import Base
from diwa_schema.models.types import Embedding, Timestamp
from diwa_schema.run.copy import columns, rows as copied_rows
from diwa_schema.run.settings import Silence
from tests.fleet.tenants import HEAD, execute
from tests.kit import shapes
from tests.kit.rows import term
from tests.run.asking import value

OTHERS = ("diwa_schema_embedding_archive", "diwa_schema_kept_values")


@pytest.fixture(scope="module")
def filled(server, head_template):
    """The name of a database at head with rows in all tables, to be copied and not to be changed."""
    name = f"{head_template}_filled"
    url = server.create(name, head_template)
    with Target.of(url).connect() as link:
        samples.fill(link, read(link))
    yield name
    server.drop(name)


def rows(url, schema="public"):
    """Return all rows of all tables as PostgreSQL shows them."""
    models.load()
    with psycopg.connect(url, autocommit=True) as connection:
        shown = "SELECT to_jsonb(t)::text FROM {} t ORDER BY 1"
        return {
            table: [
                row[0]
                for row in connection.execute(
                    psycopg.sql.SQL(shown).format(psycopg.sql.Identifier(schema, table))
                )
            ]
            for table in (*Base.metadata.tables, *OTHERS)
        }


def there(url, schema):
    return value(url, f"SELECT to_regnamespace('{schema}') IS NOT NULL")


def test_schema_to_schema_keeps_every_value(filled, new_database, capsys, owner_directory):
    """Values that Python has no room for travel too; a rule that rows break waits in the copy."""
    url, name = new_database(filled), 'Ten"ant 9%s'
    some = "id = (SELECT min(id::text)::uuid FROM {})"
    execute(
        url,
        "UPDATE memories SET expires_at = 'infinity', deleted_at = '-infinity', confidence = 'NaN',"
        """ metadata = '{"n": 123456789012345678901234567890.12300, "b": 1e400, "a": [1.50, -0]}',"""
        " tags = ARRAY['', 'NULL', NULL, 'a\"b\\c{},', E'\\t\\n\\\\.', '💧']"
        f" WHERE {some.format('memories')}",
        "UPDATE contexts SET description = E'\\\\.\\n\\\\N\\t\\\\x41', updated_at = '0044-03-15 00:00:00 BC',"
        f" inserted_at = '20260-01-01', conflict_base_threshold = '-Infinity' WHERE {some.format('contexts')}",
        # They continue one another in a circle.
        "UPDATE memories SET parent_id = (SELECT id FROM memories m WHERE m.id <> memories.id ORDER BY id LIMIT 1)",
        # Nobody fills in what was left out there.
        "ALTER TABLE usage_records DISABLE TRIGGER USER",
        "UPDATE usage_records SET organization_id = NULL",
        "ALTER TABLE usage_records ENABLE ALWAYS TRIGGER usage_records_organization_id_filled",
        "ALTER TABLE tasks DROP CONSTRAINT tasks_status_check",
        "UPDATE tasks SET status = 'someday'",
        "DROP INDEX plans_context_id_key",
        "UPDATE plans SET context_id = (SELECT id FROM contexts LIMIT 1)",
        "CREATE TABLE invoices (id int)",
    )
    typed = ["fleet", "copy", url, url, "--target-schema", name, "--no-roles", "--json"]
    assert main(typed) == 0
    done = json.loads(capsys.readouterr().out)
    before = rows(url)
    assert rows(url, name) == before
    assert {one["table"]: one["rows"] for one in done["tables"]} == {
        table: len(found) for table, found in before.items()
    }
    assert done["left"] == ["invoices"]
    assert set(done["waits"]) == {"tasks_status_check", "plans_context_id_key"}
    assert diwa_schema.status(url, schema=name).current
    assert {one.severity for one in diwa_schema.check(url, schema=name)} == {"note"}
    kinds = "SELECT string_agg(DISTINCT kind, ' ') || count(*) FROM {}.diwa_schema_ledger"
    assert value(url, kinds.format('"Ten""ant 9%s"')) == f"copy{len(load().ids)}"
    # What was copied is copied again, with the same digests.
    again = copy(Member(url, name), Member(url, "tenant_2"))
    assert [one._asdict() for one in again.tables] == done["tables"]
    assert main(typed) == 2
    assert f"is at {HEAD}" in json.loads(capsys.readouterr().out)["what"]


@pytest.fixture(scope="module")
def community_file(tmp_path_factory):
    """A SQLite file at head that Ecto has written, with what no constraint keeps out; not to be changed."""
    path = tmp_path_factory.mktemp("community") / "community.db"
    url = f"sqlite:///{path}"
    shapes.write(url, shapes.SHAPES["head_dirty"])
    diwa_schema.adopt(url, repo="diwa-schema")
    diwa_schema.migrate(url, repo="diwa-schema")
    # What the models refuse, and PostgreSQL does too.
    change(
        url, "UPDATE tala_operations SET session_id = NULL, context_id = NULL WHERE length(session_id) <> 36"
    )
    return path


@pytest.fixture
def community(community_file, tmp_path):
    """The URL of such a file."""
    return f"sqlite:///{shutil.copy(community_file, tmp_path)}"


def change(url, *statements):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for statement in statements:
            connection.execute(*(statement if isinstance(statement, tuple) else (statement,)))
    connection.close()


def objects(url, translated=None):
    """Return all rows as the models read them, but for the words of the search."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(schema_translate_map=translated) as connection:
        found = {
            table.name: [
                row._asdict()
                for row in connection.execute(
                    sa.select(*(one for one in table.columns if one.name != "tsv_content")).order_by(
                        *table.primary_key.columns
                    )
                )
            ]
            for table in Base.metadata.tables.values()
        }
    engine.dispose()
    return found


def kept(row, table, *, vectors):
    """Return what PostgreSQL keeps of a row of SQLite: whole seconds, and numbers of single precision."""
    for column in table.columns:
        found = row.get(column.name)
        if found is not None and isinstance(column.type, Timestamp) and column.type.precision == 0:
            row[column.name] = found.replace(microsecond=0)
        if found is not None and isinstance(column.type, Embedding) and vectors:
            row[column.name] = single(found) if isinstance(found, list) and len(found) == 1536 else None
    return row


def single(numbers):
    return list(struct.unpack("<1536f", struct.pack("<1536f", *numbers)))


def test_a_sqlite_file_becomes_a_schema(community, postgres, server, capsys, owner_directory):
    """The whole dirty file of an early agent; what a vector cannot be is in the archive."""
    models.load()
    change(
        community,
        ("UPDATE memories SET embedding = ? WHERE content = ''", (term([0.1, 0.2, 0.3]),)),
        "UPDATE memories SET metadata = '{\"n\": 12345678901234567890.123}', tags = 'one, two' WHERE content = 'same'",
        "UPDATE sessions SET metadata = 'no json'",
        "UPDATE usage_records SET organization_id = NULL",
    )
    assert main(["fleet", "copy", community, postgres, "--target-schema", "t1", "--no-roles", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    before, after = objects(community), objects(postgres, {None: "t1"})
    # The same number, which PostgreSQL writes out and Python then reads as a whole one.
    (large,) = [row for row in after["tala_operations"] if row["params"] == {"n": [15 * 10**299]}]
    large["params"] = {"n": [1.5e300]}
    for table, found in after.items():
        declared = Base.metadata.tables[table]
        wanted = [kept(row, declared, vectors=server.has_vector) for row in before[table]]
        if server.has_vector:
            for row in found:
                if row.get("embedding") is not None:
                    row["embedding"] = single(row["embedding"])
        assert found == wanted, table
    number = value(postgres, "SELECT metadata ->> 'n' FROM t1.memories WHERE content = 'same'")
    assert number == "12345678901234567890.123"
    assert value(postgres, "SELECT count(*) FROM t1.memories WHERE tsv_content @@ 'parent'") == 2
    assert done["archived"] == (1 if server.has_vector else 0)
    if server.has_vector:
        archived = value(postgres, "SELECT value FROM t1.diwa_schema_embedding_archive")
        assert bytes(archived) == term([0.1, 0.2, 0.3])
    assert done["waits"]["tasks_status_check"] == 1
    assert not [
        name for name in done["left"] if "word" in name
    ]  # made for the search, which PostgreSQL does itself
    assert [one for one in diwa_schema.check(postgres, schema="t1") if one.severity == "drift"] == []


class HalfPast(datetime):
    """A clock whose fraction PostgreSQL shows in another spelling."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz).replace(microsecond=500_000)


def test_vectors_become_bytes_and_vectors_again(server, filled, new_database, owner_directory, monkeypatch):
    """The extension has no place in the second database; what a vector cannot be goes to the archive of the third."""
    if not server.has_vector:
        pytest.skip("this server has no vectors")
    monkeypatch.setattr(copied_rows, "datetime", HalfPast)
    url, other = new_database(filled), new_database(filled)
    before = rows(url)
    execute(other, "DROP EXTENSION vector CASCADE")
    copy(url, Member(other, "t1"))
    kinds = "SELECT string_agg(DISTINCT pg_typeof(embedding)::text, ' ') FROM {}.memories"
    assert value(other, kinds.format("t1")) == "bytea"
    assert copy(Member(other, "t1"), Member(url, "t2")).archived == 0
    assert rows(url, "t2") == before
    one = "id = (SELECT min(id::text)::uuid FROM t1.memories)"
    execute(other, f"UPDATE t1.memories SET embedding = '\\x00ff' WHERE {one}")
    again = copy(Member(other, "t1"), Member(url, "t3"))
    assert again.archived == 1
    archived = "SELECT row_id::text || ' ' || value || ' ' || reason FROM t3.diwa_schema_embedding_archive"
    assert "\\x00ff not a list of numbers" in value(url, f"{archived} WHERE reason LIKE 'not%'")


def test_what_is_not_at_head_is_not_copied(tenants, filled, new_database, sqlite, capsys, owner_directory):
    """Behind, ahead, empty, drifted, not there; onto itself, onto rows, onto a file. Nothing is made."""
    head = new_database(filled)
    target = Member(head, "tenant_9")
    with pytest.raises(SchemaOutOfDate, match="2 revisions behind") as behind:
        copy(Member(tenants, "tenant_1"), target)
    assert "upgrade --url" in behind.value.next_step
    assert "--schema tenant_1" in behind.value.next_step
    execute(
        tenants,
        "UPDATE tenant_2.diwa_schema_version SET version_num = '99990101000000'",
        "CREATE SCHEMA bare",
    )
    with pytest.raises(SchemaTooNew, match="99990101000000"):
        copy(Member(tenants, "tenant_2"), target)
    for empty in (Member(tenants, "bare"), sqlite):
        with pytest.raises(SchemaEmpty, match="nothing to copy"):
            copy(empty, target)
    assert main(["fleet", "copy", head, head, "--no-roles"]) == 2
    assert "is both source and target" in capsys.readouterr().err
    with pytest.raises(UsageError, match="is SQLite"):
        copy(head, sqlite)
    for taken in (Member(tenants, "tenant_1"), f"{head}?application_name=x"):
        with pytest.raises(UsageError, match="needs an empty place") as refusal:
            copy(head, taken)
        assert "--target-schema" in refusal.value.next_step
    execute(head, "ALTER TABLE memories ADD COLUMN mood text")
    with pytest.raises(DriftFound, match="mood"):
        copy(head, target)
    assert not there(head, "tenant_9")


def test_a_consumer_copies_nothing(closed, consumer_directory, capsys):
    with pytest.raises(Blocked):
        copy("sqlite:///here.db", closed)
    assert main(["fleet", "copy", closed, closed, "--target-schema", "t", "--repo", "diwa-schema"]) == 3
    assert "hunter2" not in capsys.readouterr().err


UNFIT = {
    "UPDATE memories SET parent_id = 'nobody' WHERE content = ''": r"Row \S{36} of memories, column parent_id",
    "UPDATE tasks SET title = printf('%256s', 'x') || 'y' WHERE rowid = 2": r"Row \S{36} of tasks, column title",
    "UPDATE plans SET notes = 'a' || char(0) WHERE rowid = 1": "of plans, column notes.*zero byte",
    "UPDATE tasks SET title = printf('%-256s', 'x') WHERE rowid = 2": r"of tasks, column title.*256 characters",
    """UPDATE memories SET tags = '["' || printf('%-256s', 'x') || '"]'""": "column tags.*256 characters",
    "UPDATE contexts SET name = x'ff' WHERE rowid = 1": "column name",
    "DELETE FROM panels": "together: .*panel_id",
    "UPDATE ingest_jobs SET stats = '[NaN]'": "column stats.*NaN",
    'UPDATE ingest_jobs SET metadata = \'{"a": "\\u0000"}\'': r"Row \S{36} of ingest_jobs, column metadata",
    "UPDATE plans SET notes = CAST(x'fffe' AS TEXT) WHERE rowid = 1": r"Row \S{36} of plans, column notes.*not a text",
    "UPDATE sessions SET started_at = 'yesterday'": "column started_at",
    "UPDATE usage_records SET tokens_input = 3000000000, total_tokens = NULL": "column tokens_input",
}


def test_a_row_that_cannot_be_there_is_named(community_file, tmp_path, postgres, owner_directory):
    for statement, named in UNFIT.items():
        url = f"sqlite:///{shutil.copy(community_file, tmp_path)}"
        change(url, statement)
        with pytest.raises(MigrationFailed, match=named) as failure:
            copy(url, Member(postgres, "t1"))
        assert failure.value.untouched == "Nothing was copied."
        assert "Failing row" not in str(failure.value)
    assert not there(postgres, "t1")


def test_a_number_of_any_length_stays_a_number(community, postgres, owner_directory):
    digits = "9" * 5_000
    change(community, f"UPDATE ingest_jobs SET stats = '{{\"n\": {digits}}}'")
    copy(community, Member(postgres, "t1"))
    with psycopg.connect(postgres) as connection:
        found = connection.execute("SELECT DISTINCT stats->>'n' FROM t1.ingest_jobs").fetchall()
    assert found == [(digits,)]


def test_a_value_that_changes_on_its_way_is_noticed(filled, new_database, monkeypatch, owner_directory):
    url = new_database(filled)
    monkeypatch.setattr(columns, "_array", lambda _: "{}")
    with pytest.raises(NotPersisted, match=r"\(schema t1\) has 6 rows with digest") as failure:
        copy(url, Member(url, "t1"))
    assert "rolled back" in failure.value.untouched
    assert not there(url, "t1")


class Meanwhile(Silence):
    """Does something once, when the first rows are written."""

    def __init__(self, what):
        self.what = what

    def step(self, *_):
        if self.what is not None:
            what, self.what = self.what, None
            what()


def test_it_is_of_one_moment(filled, new_database, owner_directory):
    """Rows that are written meanwhile are not in it; a table cannot be changed meanwhile, nor a row lost."""
    url, said = new_database(filled), []

    def written():
        execute(url, "UPDATE memory_versions SET content = 'new'", "DELETE FROM memory_checksums")
        try:
            execute(url, "SET lock_timeout = '10ms'", "ALTER TABLE memory_versions DROP COLUMN content")
        except psycopg.errors.LockNotAvailable:
            said.append("held")

    before = rows(url)
    copy(url, Member(url, "t1"), progress=Meanwhile(written))
    assert said == ["held"]
    assert rows(url, "t1") == before != rows(url)


def test_killed_in_the_middle_nothing_is_there_and_it_is_run_again(filled, new_database, owner_directory):
    url, other = new_database(filled), new_database()
    execute(
        url,
        "INSERT INTO secrets (id, key, value_encrypted, inserted_at, updated_at) SELECT gen_random_uuid(), n::text,"
        " decode(repeat('00', 500), 'hex'), now(), now() FROM generate_series(1, 4000) n",
    )
    typed = [sys.executable, "-m", "diwa_schema", "fleet", "copy", url, other, "--target-schema", "t1"]
    run = subprocess.Popen([*typed, "--no-roles"], stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    line = run.stderr.readline()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert "rows" in line
    assert run.returncode == -signal.SIGKILL
    assert not there(other, "t1")
    done = copy(url, Member(other, "t1"))
    assert dict(zip(*list(zip(*done.tables, strict=True))[:2], strict=True))["secrets"] > 4000
    assert rows(other, "t1") == rows(url)


def test_the_roles_have_their_rights_in_the_copy(site, filled, new_database, capsys, owner_directory):
    names = ("--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader)
    assert main(["fleet", "copy", new_database(filled), site.url, "--target-schema", "t1", *names]) == 0
    assert "each compared" in capsys.readouterr().out
    assert site.roles(schema="t1").changes == ()
    assert site.value("SELECT count(*) FROM t1.memories", site.login(site.names.reader)) > 0
