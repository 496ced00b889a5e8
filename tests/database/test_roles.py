"""The database's own guard: what its roles may do, and how they come to be that way."""

from __future__ import annotations

import json
import sys

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import diwa_schema
from diwa_schema.database import lock
from diwa_schema.database.role_names import RoleNames
from diwa_schema.database.target import Target
from diwa_schema.errors import (
    Blocked,
    DatabaseProtected,
    MigrationLockBusy,
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    UsageError,
)
from diwa_schema.migrations.manifest import load
from tests.examples.test_examples import EXAMPLES, path_of
from tests.fixtures_checkout import checkout, run
from tests.fixtures_roles import Site, name_of

CHANGES = {
    "ALTER": "ALTER TABLE memories ADD COLUMN mood text",
    "CREATE": "CREATE TABLE notes (id int)",
    "DROP": "DROP TABLE idempotency_log",
    "TRUNCATE": "TRUNCATE idempotency_log",
    "CREATE INDEX": "CREATE INDEX ON memories (content)",
    "COMMENT": "COMMENT ON TABLE memories IS 'mine'",
}
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


def test_roles_come_with_their_reasons_and_once_only(site, owner_directory):
    found = site.roles()
    assert {change.kind for change in found.changes} == {"missing"}
    assert not found.applied
    assert site.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{site.names.app}'") == 0
    done = site.roles(apply=True)
    assert done.changes == found.changes
    assert done.applied
    assert site.roles().changes == ()
    assert site.roles(apply=True).changes == ()
    logins = (
        f"SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname = ANY('{{{','.join(site.names)}}}')"
    )
    assert site.value(logins) == 0


def test_the_printed_script_does_the_same(site, cli, psql, owner_directory):
    named = ("--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader)
    script = cli("roles", "--url", site.url, *named, "--event-trigger", check=0).stdout
    assert site.roles().changes
    assert psql(site.url, "-v", "ON_ERROR_STOP=1", "-c", script).returncode == 0
    again = cli("roles", "--url", site.url, *named, "--event-trigger", check=0).stdout
    assert "The roles are as they should be." in again


EXCESS = {
    "table": "GRANT TRUNCATE, REFERENCES, TRIGGER ON memories TO {app}",
    "version": "GRANT UPDATE ON diwa_schema_version TO {app}",
    "column": "GRANT UPDATE (version_num) ON diwa_schema_version TO {app}",
    "sequence": "GRANT UPDATE ON SEQUENCE diwa_schema_ledger_id_seq TO {app}",
    "schema": "GRANT CREATE ON SCHEMA public TO {app}",
    "database": "GRANT CREATE ON DATABASE {database} TO {reader}",
    "rows": "GRANT INSERT ON memories TO {reader}",
    "everybody's schema": "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "everybody's table": "GRANT DELETE ON memories TO PUBLIC",
    "handing on": "GRANT SELECT ON memories TO {app} WITH GRANT OPTION",
    "future": "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT TRUNCATE ON TABLES TO {app}",
    "future everywhere": "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT ALL ON TABLES TO {app}",
    "everybody's future": "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT INSERT ON TABLES TO PUBLIC",
    "member": "GRANT {owner} TO {app}",
    "reader of the application": "GRANT {app} TO {reader}",
    "writer of everything": "GRANT pg_write_all_data TO {reader}",
}


def test_what_is_too_much_is_shown_and_revoked(migrated):
    names = {"owner": migrated.names.owner, "app": migrated.names.app, "reader": migrated.names.reader}
    assert migrated.roles().changes == ()
    for excess in EXCESS.values():
        migrated.run(excess.format(**names, database=migrated.url.rpartition("/")[2]))
        found = migrated.roles()
        assert [change.kind for change in found.changes] == ["too much"], excess
        assert found.changes == migrated.roles(apply=True).changes
        assert migrated.roles().changes == (), excess


def test_what_another_role_granted_is_revoked_in_its_name(migrated):
    other = name_of(migrated.login())
    migrated.run(f"GRANT TRUNCATE ON memories TO {other} WITH GRANT OPTION")
    migrated.run(f"SET ROLE {other}; GRANT TRUNCATE ON memories TO {migrated.names.app}")
    assert len(migrated.roles(apply=True).changes) == 1
    assert migrated.roles().changes == ()
    assert migrated.value(f"SELECT has_table_privilege('{other}', 'memories', 'TRUNCATE')")


def test_rights_of_other_roles_and_on_other_tables_are_left_alone(migrated):
    other = name_of(migrated.login())
    migrated.run("CREATE TABLE jobs (id int)")
    migrated.run(f"GRANT ALL ON memories TO {other}; GRANT ALL ON jobs TO {migrated.names.app}, PUBLIC")
    assert migrated.roles(apply=True).changes == ()
    assert migrated.value(f"SELECT has_table_privilege('{other}', 'memories', 'TRUNCATE')")
    assert migrated.value(f"SELECT has_table_privilege('{migrated.names.app}', 'jobs', 'TRUNCATE')")


def test_powers_that_no_privilege_limits_are_left_to_a_person(migrated):
    names = migrated.names
    between = name_of(migrated.login(names.owner))
    migrated.run(f"GRANT {between} TO {names.app}; ALTER ROLE {names.reader} CREATEROLE")
    found = migrated.roles()
    assert found.changes == ()
    assert [change.sql for change in found.by_hand] == [
        f'ALTER ROLE "{names.reader}" NOCREATEROLE',
        f'REVOKE "{names.owner}" FROM "{between}"',
    ]
    for change in found.by_hand:
        migrated.run(change.sql)
    assert migrated.roles().by_hand == ()


def test_an_application_that_owns_the_database_is_reported(migrated, refused):
    names, database = migrated.names, migrated.url.rpartition("/")[2]
    migrated.run(f"ALTER DATABASE {database} OWNER TO {names.app}")
    app = migrated.login(names.app)
    migrated.run("CREATE TABLE notes (id int)", app)
    (change,) = migrated.roles().by_hand
    assert "owns the database" in change.what
    migrated.run(change.sql)
    refused(app, "CREATE TABLE more_notes (id int)")
    assert migrated.roles().by_hand == ()


@pytest.fixture
def old(site: Site, owner_directory: object) -> tuple[Site, str]:
    """A database whose application has made the tables and owns them."""
    login = site.login(attributes="CREATEDB")
    site.run(f"GRANT CREATE ON SCHEMA public TO {name_of(login)}")
    diwa_schema.migrate(login)
    return site, login


def test_tables_of_others_are_reported_and_left(old):
    site, login = old
    found = site.roles(apply=True)
    owned = [change for change in found.by_hand if "OWNER TO" in change.sql]
    assert len(owned) == len(load().tables) + 2
    assert site.roles().by_hand == found.by_hand
    site.run("ALTER TABLE memories ADD COLUMN mood text", login)


def test_tables_of_others_are_handed_over_when_asked(old, refused):
    site, login = old
    site.roles(apply=True, take_ownership=True)
    assert site.roles(take_ownership=True) == site.roles()
    assert (site.roles().changes, site.roles().by_hand) == ((), ())
    refused(login, "ALTER TABLE memories ADD COLUMN mood text", "SELECT 1 FROM memories")
    site.run(f"GRANT {site.names.app} TO {name_of(login)}")
    diwa_schema.ensure_current(login)
    refused(login, "DELETE FROM diwa_schema_version")


def test_an_application_role_that_owned_the_tables_keeps_its_rows(old, refused):
    site, login = old
    options = {"app": name_of(login), "apply": True, "take_ownership": True}
    site.roles(**options)
    assert site.roles(**options).changes == ()
    site.run("DELETE FROM memories", login)
    refused(login, "ALTER TABLE memories ADD COLUMN mood text")


def test_the_event_trigger_stops_owners_that_are_not_the_migrator(old, refused):
    site, login = old
    site.roles(apply=True, event_trigger=True)
    assert site.roles(event_trigger=True).changes == ()
    refused(login, *(CHANGES[change] for change in CHANGES if change != "TRUNCATE"))
    refused(login, "ALTER TABLE memories DROP COLUMN content")
    site.run("CREATE TEMP TABLE mine (id int); DROP TABLE mine", login)
    site.run("INSERT INTO idempotency_log SELECT * FROM idempotency_log", login)
    site.run(CHANGES["ALTER"])
    site.run(f"GRANT {site.names.owner} TO {name_of(login)}")
    site.run(CHANGES["COMMENT"], login)
    site.run("DROP EVENT TRIGGER diwa_schema_commands_public; DROP EVENT TRIGGER diwa_schema_drops_public")


def test_the_event_trigger_asks_who_logged_in(old, refused):
    """A setting or a role that a session can choose for itself would open it to everybody."""
    site, login = old
    site.roles(apply=True, event_trigger=True)
    site.run(f"GRANT {name_of(login)} TO {site.names.owner}")
    migrator = site.login(site.names.owner)
    site.run(f"SET ROLE {name_of(login)}; {CHANGES['COMMENT']}", migrator)
    refused(login, CHANGES["COMMENT"])


def test_a_concurrent_build_that_the_event_trigger_stopped_is_found(old, refused):
    site, login = old
    site.roles(apply=True, event_trigger=True)
    refused(login, "CREATE INDEX CONCURRENTLY stopped ON memories (content)")
    assert "Index stopped of memories" in "".join(one.reason for one in diwa_schema.doctor(login))


def test_the_event_trigger_leaves_other_schemas_alone(old):
    site, login = old
    site.run(f"CREATE SCHEMA other AUTHORIZATION {name_of(login)}")
    site.roles(apply=True, event_trigger=True)
    site.run("CREATE TABLE other.notes (id int); DROP TABLE other.notes", login)


def test_the_event_trigger_is_put_right_again(site, owner_directory):
    site.roles(apply=True, event_trigger=True)
    nothing = "RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
    for weakened in (
        "ALTER EVENT TRIGGER diwa_schema_commands_public DISABLE",
        "DROP EVENT TRIGGER diwa_schema_drops_public",
        f"CREATE OR REPLACE FUNCTION diwa_schema_refuse_ddl() {nothing}",
    ):
        site.run(weakened)
        assert len(site.roles(event_trigger=True).changes) == 1
        site.roles(apply=True, event_trigger=True)
        assert site.roles(event_trigger=True).changes == ()


def test_the_event_trigger_needs_a_superuser(site, owner_directory):
    login = site.login(attributes="CREATEROLE")
    (left,) = site.roles(login, event_trigger=True).by_hand
    assert "superuser" in left.what
    with pytest.raises(PermissionMissing, match="superuser"):
        site.roles(login, apply=True, event_trigger=True)
    assert len(site.roles().changes) == len(site.roles(event_trigger=True).changes) - 1


def test_who_is_no_superuser_but_owns_the_database_can_apply(site, owner_directory):
    """As the administrator of a managed server does."""
    admin = site.login(attributes="CREATEROLE")
    site.run(f"ALTER DATABASE {site.url.rpartition('/')[2]} OWNER TO {name_of(admin)}")
    site.roles(admin, apply=True)
    assert site.roles(admin).changes == ()
    assert site.roles().changes == ()


def test_nothing_is_changed_where_not_all_can_be(site, dump, owner_directory):
    diwa_schema.migrate(site.url)
    login = site.login(attributes="CREATEROLE")
    before = dump(site.url)
    with pytest.raises(PermissionMissing):
        site.roles(login, apply=True)
    assert dump(site.url) == before
    assert site.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{site.names.app}'") == 0


def test_a_warning_of_the_server_is_not_taken_for_success(migrated, dump):
    """Who has some right on a table is only warned when granting a right it may not hand on."""
    migrated.run(f"REVOKE INSERT ON memories FROM {migrated.names.app}")
    helper = migrated.login(migrated.names.owner)
    migrated.run("CREATE TABLE moved (id int)")
    migrated.run("ALTER TABLE memories OWNER TO CURRENT_USER")
    migrated.run(f"GRANT SELECT ON memories TO {name_of(helper)}")
    before = dump(migrated.url)
    with pytest.raises(PermissionMissing, match=f"{migrated.names.app} lacks INSERT on table memories"):
        migrated.roles(helper, apply=True)
    assert dump(migrated.url) == before


def test_tables_of_another_tool_are_left_alone(site, dump, owner_directory):
    site.run("CREATE TABLE organizations (id int); GRANT ALL ON organizations TO PUBLIC")
    before = dump(site.url)
    with pytest.raises(SchemaForeign):
        site.roles(apply=True)
    assert dump(site.url) == before


def test_names_that_need_quotes_are_quoted(site, owner_directory):
    mark = site.names.app[-8:]
    site.names = RoleNames(*(f'{role} "{mark}"; DROP TABLE x --\n' for role in ("Ow", "Äpp", "Re")))
    schema = 'My "own" Schema\n'
    site.roles(schema=schema, apply=True, event_trigger=True)
    assert site.roles(schema=schema, event_trigger=True).changes == ()
    assert site.value("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'My%'") == schema
    assert site.value("SHOW search_path") == '"$user", public'


def test_odd_names_stay_in_their_comments(site, cli, psql, owner_directory):
    mark = site.names.app[-8:]
    site.made.append(odd := f"app {mark}\nCREATE TABLE oops ();")
    named = ("--owner", site.names.owner, "--app", odd, "--reader", site.names.reader)
    script = cli("roles", "--url", site.url, *named, check=0).stdout
    assert psql(site.url, "-v", "ON_ERROR_STOP=1", "-c", script).returncode == 0
    assert site.value("SELECT to_regclass('oops')") is None
    assert cli("roles", "--url", site.url, *named, check=0).stdout.endswith("as they should be.\n")


def test_another_schema_can_be_named(site, refused, owner_directory):
    site.roles(apply=True, schema="diwa")
    path = "?options=-csearch_path%3Ddiwa%2Cpublic"
    diwa_schema.migrate(site.login(site.names.owner, acts_as=site.names.owner) + path)
    app = site.login(site.names.app) + path
    diwa_schema.ensure_current(app)
    site.run("DELETE FROM memories", app)
    refused(app, *CHANGES.values())
    assert site.roles(schema="diwa").changes == ()
    site.roles(apply=True, schema="diwa")
    site.run(f"GRANT TRUNCATE ON diwa.memories TO {site.names.app}")
    site.roles(apply=True, schema="diwa")
    assert diwa_schema.history(app)[-1]["kind"] == "roles"


@pytest.mark.parametrize(
    "names",
    [
        {"app": ""},
        {"app": "pg_app"},
        {"reader": "public"},
        {"reader": "x" * 64},
        {"owner": "a\0b"},
        {"app": "diwa_owner"},
    ],
    ids=repr,
)
def test_names_that_no_role_can_have_are_refused(postgres, owner_directory, names):
    for apply in (False, True):
        with pytest.raises(UsageError):
            diwa_schema.roles(postgres, apply=apply, **names)


def test_sqlite_has_no_roles(sqlite, cli, owner_directory):
    done = cli("roles", "--url", sqlite, check=2)
    assert "has no roles" in done.stderr


def test_a_consumer_may_look_and_not_apply(site, consumer_directory):
    assert site.roles().changes
    with pytest.raises(Blocked):
        site.roles(apply=True)
    assert site.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{site.names.app}'") == 0


def test_a_bypassed_change_of_roles_is_seen_by_others(migrated, cli, consumer_directory, monkeypatch):
    migrated.run(f"GRANT TRUNCATE ON memories TO {migrated.names.app}")
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    monkeypatch.setenv("ALLOW_CORE_MIGRATION_REASON", "at night")
    migrated.roles(apply=True)
    (run,) = diwa_schema.status(migrated.url).bypassed
    assert (run["kind"], run["repository"], run["bypass_reason"]) == ("roles", "diwa-agent", "at night")


def test_the_bypass_does_not_reach_a_protected_database(migrated, consumer_directory, monkeypatch):
    migrated.run(f"GRANT TRUNCATE ON memories TO {migrated.names.app}")
    migrated.run("CREATE TABLE diwa_schema_protection (protected_at text, protected_by text, reason text)")
    migrated.run("INSERT INTO diwa_schema_protection VALUES ('now')")
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    with pytest.raises(DatabaseProtected):
        migrated.roles(apply=True)


def test_one_at_a_time(migrated):
    migrated.run(f"GRANT TRUNCATE ON memories TO {migrated.names.app}")
    held = lock.acquire(Target.of(migrated.url), "public", 0, print)
    try:
        with pytest.raises(MigrationLockBusy):
            migrated.roles(apply=True, settings=diwa_schema.Settings(lock_wait=0))
    finally:
        held.release()
    assert migrated.roles().changes


def test_an_empty_database_says_so_to_the_application(site, owner_directory):
    site.roles(apply=True)
    app = site.login(site.names.app)
    with pytest.raises(SchemaEmpty):
        diwa_schema.ensure_current(app)
    with pytest.raises(PermissionMissing):
        diwa_schema.migrate(app)
    assert site.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


def test_json_has_every_statement_with_its_reason(site, cli, owner_directory):
    named = ("--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader)
    document = json.loads(cli("roles", "--url", site.url, *named, "--json", check=0).stdout)
    assert document["names"]["app"] == site.names.app
    assert {frozenset(change) for change in document["changes"]} == {frozenset({"kind", "what", "sql"})}
    assert document["applied"] is False
