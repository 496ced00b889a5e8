"""The database's own guard: what each of its roles may do, whatever asks."""

from __future__ import annotations

import sys

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import diwa_schema
from diwa_schema.errors import PermissionMissing, SchemaEmpty
from diwa_schema.migrations.manifest import load
from tests.examples.test_examples import EXAMPLES, path_of
from tests.fixtures_checkout import checkout, run
from tests.fixtures_roles import CHANGES, Site

FURTHER = {
    "RENAME": "ALTER TABLE memories RENAME TO mine",
    "TRIGGER": "CREATE TRIGGER t BEFORE UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION"
    " suppress_redundant_updates_trigger()",
    "FUNCTION": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "TYPE": "CREATE TYPE mood AS ENUM ('fine')",
    "SCHEMA": "CREATE SCHEMA mine",
    "DROP SCHEMA": "DROP SCHEMA public CASCADE",
    "SET ROLE": "SET ROLE postgres",
    "version": "UPDATE diwa_schema_version SET floor = NULL",
    "no version": "DELETE FROM diwa_schema_version",
    "ledger": "DELETE FROM diwa_schema_ledger",
    "new ledger entry": "INSERT INTO diwa_schema_ledger DEFAULT VALUES",
}


def test_the_application_cannot_change_the_schema(migrated, app, refused, dump):
    before = dump(migrated.url)
    refused(app, *CHANGES.values(), *FURTHER.values())
    assert dump(migrated.url) == before


def test_what_is_refused_is_refused_for_want_of_the_right(migrated):
    migrator = migrated.login(migrated.names.owner, acts_as=migrated.names.owner)
    for statement in CHANGES.values():
        migrated.run(f"BEGIN; {statement}; ROLLBACK", migrator)


def test_the_reader_cannot_even_write_rows(reader, migrated, refused):
    tables = load().tables
    refused(reader, *CHANGES.values(), *(f"DELETE FROM {table}" for table in tables))
    refused(reader, *(f"INSERT INTO {table} DEFAULT VALUES" for table in tables))
    assert migrated.value("SELECT count(*) FROM memories", reader) == 0


def test_psql_is_refused_as_well(app, psql):
    for statement in CHANGES.values():
        done = psql(app, "-v", "VERBOSITY=sqlstate", "-c", statement)
        assert done.returncode == 1
        assert done.stderr.split() == ["ERROR:", "42501"]


def test_every_model_is_read_and_written_by_the_application(app):
    from tests.models.rows import mappers, new_row

    engine = create_engine(app.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    seen = 0
    for mapper in mappers():
        with Session(engine) as session:
            session.add_all(rows := new_row(mapper.class_))
            session.commit()
            kept = session.scalars(select(mapper.class_)).all()
            assert rows[-1] in kept
            column = next(iter(mapper.local_table.columns))
            session.execute(update(mapper.local_table).values({column: column}))  # type: ignore[arg-type]
            session.delete(rows[-1])
            session.commit()
            assert rows[-1] not in session.scalars(select(mapper.class_)).all()
            seen += 1
    assert seen == len(load().tables)


def test_the_start_up_check_holds_for_application_and_reader(app, reader):
    for url in (app, reader):
        diwa_schema.ensure_current(url)
        assert diwa_schema.status(url).current


def test_the_start_up_check_says_when_the_version_cannot_be_read(migrated):
    stranger = migrated.login()
    with pytest.raises(PermissionMissing, match="diwa_schema_version"):
        diwa_schema.ensure_current(stranger)


def test_a_table_of_a_later_revision_is_covered(migrated, app, reader, refused):
    migrator = migrated.login(migrated.names.owner, acts_as=migrated.names.owner)
    migrated.run("CREATE TABLE later (id serial PRIMARY KEY, word text)", migrator)
    migrated.run("INSERT INTO later (word) VALUES ('here'); UPDATE later SET word = 'there'", app)
    assert migrated.value("SELECT word FROM later", reader) == "there"
    assert migrated.value("DELETE FROM later RETURNING word", app) == "there"
    refused(app, "TRUNCATE later", "ALTER TABLE later ADD x int", "CREATE INDEX ON later (word)")
    refused(reader, "INSERT INTO later (word) VALUES ('no')")


def test_a_protection_set_later_cannot_be_taken_away_by_the_application(migrated, app, refused):
    diwa_schema.protect(migrated.login(migrated.names.owner, acts_as=migrated.names.owner))
    assert diwa_schema.status(app).protected
    refused(app, "DELETE FROM diwa_schema_protection", "UPDATE diwa_schema_protection SET reason = 'none'")


def test_a_printed_upgrade_leaves_the_version_to_the_owner(site, cli, psql, refused, owner_directory):
    site.roles(apply=True)
    script = cli("upgrade", load().ids[0], "--sql", check=0).stdout
    migrator = site.login(site.names.owner, acts_as=site.names.owner)
    assert psql(migrator, "-v", "ON_ERROR_STOP=1", "-c", script).returncode == 0
    app = site.login(site.names.app)
    site.run(
        "INSERT INTO organizations (id, name, inserted_at, updated_at)"
        " VALUES (gen_random_uuid(), 'a', now(), now())",
        app,
    )
    refused(app, "DELETE FROM diwa_schema_version", "DELETE FROM diwa_schema_ledger")


def test_the_agent_passes_its_tests_as_the_application(migrated, app):
    example = EXAMPLES / "diwa-agent"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    env = path_of("diwa-agent") | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(command, cwd=example, env=env | {"DATABASE_URL": app}, check=0)
    assert "1 passed" in done.stdout
    stranger = run(command, cwd=example, env=env | {"DATABASE_URL": migrated.login()}, check=1)
    assert "PermissionMissing" in stranger.stdout


def lacks_a_right(done) -> bool:
    assert done.returncode == 7, done.stderr
    assert "[SAFETY BYPASS]" in done.stderr
    assert "The database role lacks a right" in done.stderr
    assert "diwa-schema roles" in done.stderr
    return "Traceback" not in done.stderr


@pytest.fixture
def bypassing(cli, tmp_path):
    """The command line in a consumer's checkout, with the bypass on."""
    agent = checkout(tmp_path, "diwa-agent")
    return lambda *args: cli(*args, cwd=agent, env={"ALLOW_CORE_MIGRATION": "true"})


@pytest.mark.parametrize(
    "command",
    [
        ("upgrade",),
        ("downgrade",),
        ("stamp", "head", "--force"),
        ("protect",),
        ("roles", "--apply"),
    ],
    ids=" ".join,
)
def test_the_bypass_ends_at_the_database(migrated, app, bypassing, dump, command):
    diwa_schema.downgrade(migrated.url, confirm=migrated.url.rpartition("/")[2])
    before = dump(migrated.url)
    if command[0] == "roles":
        command = (*command, "--owner", migrated.names.owner, "--app", "diwa_test_nobody")
    assert lacks_a_right(bypassing(*command, "--url", app))
    assert dump(migrated.url) == before


def test_the_bypass_converts_no_embeddings_as_the_application(migrated, app, bypassing, dump, server):
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    migrated.run("CREATE EXTENSION vector")
    before = dump(migrated.url)
    assert lacks_a_right(bypassing("enable-vector", "--url", app))
    assert dump(migrated.url) == before


def test_the_bypass_adopts_nothing_as_the_application(site, legacy, bypassing, dump, owner_directory):
    old = Site(legacy("ecto_no_vector"), site.names)
    try:
        old.roles(apply=True)
        before = dump(old.url)
        done = bypassing("adopt", "--url", old.login(site.names.app))
        assert (done.returncode, "The role may not" in done.stderr) == (7, True), done.stderr
        assert "Traceback" not in done.stderr
        assert dump(old.url) == before
    finally:
        old.forget()


def test_an_empty_database_says_so_to_the_application(site, owner_directory):
    site.roles(apply=True)
    app = site.login(site.names.app)
    with pytest.raises(SchemaEmpty):
        diwa_schema.ensure_current(app)
    with pytest.raises(PermissionMissing):
        diwa_schema.migrate(app)
    assert site.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
