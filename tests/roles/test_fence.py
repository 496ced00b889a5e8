"""The event trigger: it stops owners that are not the migrator, and nobody else."""

from __future__ import annotations

import pytest

import diwa_schema
from diwa_schema.errors import PermissionMissing, SchemaForeign
from diwa_schema.names import quoted
from tests.fixtures_roles import CHANGES, name_of


def test_the_event_trigger_stops_owners_that_are_not_the_migrator(old, refused):
    site, login = old
    site.roles(apply=True, event_trigger=True)
    assert site.roles(event_trigger=True).changes == ()
    refused(login, *(CHANGES[change] for change in CHANGES if change != "TRUNCATE"))
    refused(login, "ALTER TABLE memories DROP COLUMN actor")
    site.run("CREATE TEMP TABLE mine (id int); DROP TABLE mine", login)
    site.run("INSERT INTO idempotency_log SELECT * FROM idempotency_log", login)
    site.run(CHANGES["ALTER"])
    site.run(f"GRANT {site.names.owner} TO {name_of(login)}")
    site.run(CHANGES["COMMENT"], login)
    site.run("DROP EVENT TRIGGER diwa_schema_commands; DROP EVENT TRIGGER diwa_schema_drops")


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
        "ALTER EVENT TRIGGER diwa_schema_commands DISABLE",
        "DROP EVENT TRIGGER diwa_schema_drops",
        f"CREATE OR REPLACE FUNCTION diwa_schema_fence.diwa_schema_refuse_ddl() {nothing}",
        "DELETE FROM diwa_schema_fence.guarded",
        "DROP TABLE diwa_schema_fence.guarded",
        "DROP SCHEMA diwa_schema_fence CASCADE",
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


def test_no_name_ends_the_body_of_the_function(site, owner_directory):
    mark = site.names.owner[-8:]
    site.names = type(site.names)(f"o$body$ {mark}", site.names.app, site.names.reader)
    site.roles(apply=True, event_trigger=True)
    assert site.roles(event_trigger=True).changes == ()


def test_one_event_trigger_guards_all_schemas_that_asked_for_it(old, refused):
    """Dropping one of them, or taking it off the list, leaves the others guarded; who owns one may change that one."""
    site, login = old
    schemas = [f"{'x' * 62}{letter}" for letter in "ab"]
    schemas += ['My "own" Schema', "late"]
    for schema in schemas[:3]:
        site.roles(apply=True, event_trigger=True, schema=schema)
    assert site.value("SELECT count(*) FROM pg_event_trigger") == 2
    site.run("CREATE SCHEMA late")
    for schema in schemas:
        site.run(f"GRANT ALL ON SCHEMA {quoted(schema)} TO {name_of(login)}")

    def may_create(*names: str) -> None:
        for schema in schemas:
            change = f"CREATE TABLE {quoted(schema)}.notes (id int); DROP TABLE {quoted(schema)}.notes"
            if schema in names:
                site.run(change, login)
            else:
                refused(login, change)

    may_create("late")
    site.run("DELETE FROM diwa_schema_fence.guarded WHERE schema_name LIKE 'My%'")
    may_create("late", schemas[2])
    site.run(f"DROP SCHEMA {schemas[0]} CASCADE")
    del schemas[0]
    may_create("late", schemas[1])
    site.roles(apply=True, event_trigger=True, schema="late", owner=name_of(login))
    may_create("late", schemas[1])
    assert len(site.roles(event_trigger=True, schema=schemas[1]).changes) == 1
    refused(login, "DELETE FROM diwa_schema_fence.guarded")
    refused(login, "DROP SCHEMA diwa_schema_fence CASCADE")


def test_event_triggers_of_one_schema_alone_are_replaced(site, owner_directory):
    """As the first releases made them: both schemas were guarded by triggers of their own."""
    site.run("CREATE SCHEMA other")
    for schema in ("public", "other"):
        site.run(
            f"CREATE FUNCTION {schema}.diwa_schema_refuse_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
        )
        for event, part in (("ddl_command_end", "commands"), ("sql_drop", "drops")):
            site.run(
                f"CREATE EVENT TRIGGER diwa_schema_{part}_{schema} ON {event}"
                f" EXECUTE FUNCTION {schema}.diwa_schema_refuse_ddl()"
            )
    site.roles(apply=True, event_trigger=True)
    assert site.roles(event_trigger=True).changes == ()
    assert site.value("SELECT array_agg(evtname::text ORDER BY evtname) FROM pg_event_trigger") == [
        "diwa_schema_commands",
        "diwa_schema_commands_other",
        "diwa_schema_drops",
        "diwa_schema_drops_other",
    ]
    assert site.value("SELECT to_regproc('public.diwa_schema_refuse_ddl') IS NULL")


def test_a_place_for_it_that_somebody_else_has_made_is_refused(old):
    """Who owns the list could take a schema off it."""
    site, login = old
    site.run(f"CREATE SCHEMA diwa_schema_fence AUTHORIZATION {name_of(login)}")
    with pytest.raises(SchemaForeign, match="diwa_schema_fence"):
        site.roles(apply=True, event_trigger=True)
    assert site.value("SELECT count(*) FROM pg_event_trigger") == 0
