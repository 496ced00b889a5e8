"""How roles come to be as they should be: the difference, its reasons, and all of it or nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import diwa_schema
from diwa_schema.database import lock
from diwa_schema.database.target import Target
from diwa_schema.errors import (
    Blocked,
    DatabaseProtected,
    MigrationLockBusy,
    PermissionMissing,
    SchemaForeign,
    UsageError,
)
from diwa_schema.migrations.manifest import load
from diwa_schema.privileges.existing import RoleNames
from tests.findings import found
from tests.fixtures_roles import CHANGES, name_of


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


def test_tables_of_others_are_reported_and_left(old):
    site, login = old
    found = site.roles(apply=True)
    owned = [change for change in found.by_hand if "OWNER TO" in change.sql]
    # Version, ledger, notes, archive and kept values, and four functions that fill columns.
    assert len(owned) == len(load().tables) + 5 + 4
    assert site.roles().by_hand == found.by_hand
    site.run("ALTER TABLE memories ADD COLUMN mood text", login)


def test_tables_of_others_are_handed_over_when_asked(old, refused):
    site, login = old
    site.roles(apply=True, take_ownership=True)
    assert site.roles(take_ownership=True) == site.roles()
    assert (site.roles().changes, site.roles().by_hand) == ((), ())
    refused(login, "ALTER TABLE memories ADD COLUMN mood text")
    # The application that owned the tables goes on working.
    site.run("SELECT 1 FROM memories; DELETE FROM memories", login)
    diwa_schema.ensure_current(login)
    refused(login, "DELETE FROM diwa_schema_version")


def test_what_the_package_keeps_for_itself_is_handed_over_as_well(old):
    site, login = old
    note = "CREATE FUNCTION diwa_schema_note_plans() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
    site.run(f"CREATE TABLE diwa_schema_kept_tasks (id int); {note} AS 'BEGIN RETURN NULL; END'", login)
    site.roles(apply=True, take_ownership=True)
    left = (
        "SELECT count(*) FROM (SELECT relowner FROM pg_class WHERE relkind = 'r' UNION ALL"
        f" SELECT proowner FROM pg_proc) t (owner) WHERE pg_get_userbyid(owner) = '{name_of(login)}'"
    )
    assert site.value(left) == 0
    assert site.roles().changes == ()


def test_a_takeover_by_a_superuser_is_handed_over_whole(site, legacy, owner_directory):
    """The documented way: a superuser adopts, the roles come, and the migrator upgrades."""
    url = legacy("ecto_no_vector")
    diwa_schema.adopt(url)
    other = replace(site, url=url)
    other.roles(apply=True)
    migrator = other.login(site.names.owner, acts_as=site.names.owner)
    with pytest.raises(PermissionMissing) as caught:
        diwa_schema.migrate(migrator)
    assert "roles --take-ownership --apply" in str(caught.value.next_step)
    assert "roles --take-ownership --apply" in " ".join(one.command for one in diwa_schema.doctor(migrator))
    other.roles(apply=True, take_ownership=True)
    other.run("ALTER FUNCTION diwa_schema_keep_versions() OWNER TO CURRENT_USER")
    assert "diwa_schema_keep_versions" in found(migrator)["not-owned"].reason
    again = other.roles(apply=True, take_ownership=True)
    assert [one.what.split()[1] for one in again.changes] == ["diwa_schema_keep_versions"]
    assert "not-owned" not in found(migrator)
    assert diwa_schema.plan(migrator).obstacles == ()
    diwa_schema.migrate(migrator)
    other.forget()


def test_who_owns_no_table_is_not_offered_the_right_to_create(site, owner_directory):
    site.roles(apply=True)
    diwa_schema.migrate(site.login(site.names.owner, acts_as=site.names.owner), "20260228000500")
    for role in (site.names.app, site.names.reader):
        url = site.login(role)
        with pytest.raises(PermissionMissing) as caught:
            diwa_schema.migrate(url)
        said = [str(caught.value.next_step), *(one.command for one in diwa_schema.doctor(url))]
        assert not [one for one in said if "GRANT" in one and "CREATE" in one]
        assert "Connect as a member of the role that owns the tables" in said[0]


def test_an_application_role_that_owned_the_tables_keeps_its_rows(old, refused):
    site, login = old
    options = {"app": name_of(login), "apply": True, "take_ownership": True}
    site.roles(**options)
    assert site.roles(**options).changes == ()
    site.run("DELETE FROM memories", login)
    refused(login, "ALTER TABLE memories ADD COLUMN mood text")


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


def test_json_has_every_statement_with_its_reason(site, cli, owner_directory):
    named = ("--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader)
    document = json.loads(cli("roles", "--url", site.url, *named, "--json", check=0).stdout)
    assert document["names"]["app"] == site.names.app
    assert {frozenset(change) for change in document["changes"]} == {frozenset({"kind", "what", "sql"})}
    assert document["applied"] is False
