"""The event trigger: it stops owners that are not the migrator, and nobody else."""

from __future__ import annotations

import pytest

import diwa_schema
from diwa_schema.errors import (
    PermissionMissing,
)
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


def test_no_name_ends_the_body_of_the_function(site, owner_directory):
    mark = site.names.owner[-8:]
    site.names = type(site.names)(f"o$body$ {mark}", site.names.app, site.names.reader)
    site.roles(apply=True, event_trigger=True)
    assert site.roles(event_trigger=True).changes == ()


def test_long_schemas_have_event_triggers_of_their_own(site, owner_directory):
    alike = "x" * 62
    for schema in (f"{alike}a", f"{alike}b"):
        site.roles(apply=True, event_trigger=True, schema=schema)
    for schema in (f"{alike}a", f"{alike}b"):
        assert site.roles(event_trigger=True, schema=schema).changes == ()
