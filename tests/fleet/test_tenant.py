"""A tenant is born at head in one transaction, and goes in pieces."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.errors import (
    Blocked,
    DatabaseProtected,
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    UsageError,
)
from diwa_schema.fleet import Fleet, Schemas, create, drop
from diwa_schema.run.pace import Pace
from diwa_schema.run.verbs import tenant
from tests.fixtures_roles import name_of
from tests.fleet.tenants import HEAD, TENANTS, execute, revisions
from tests.run.asking import value


def schemas(url):
    return value(
        url, "SELECT array_agg(nspname::text ORDER BY 1) FROM pg_namespace WHERE nspname LIKE 'tenant%'"
    )


def test_a_tenant_is_born_at_head_with_its_roles(site, capsys, owner_directory):
    names = ("--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader)
    assert main(["fleet", "create", "tenant_1", "--url", site.url, *names]) == 0
    assert f"tenant tenant_1 is at {HEAD}" in capsys.readouterr().out
    assert diwa_schema.status(site.url, schema="tenant_1").current
    assert diwa_schema.check(site.url, schema="tenant_1") == []
    assert site.roles(schema="tenant_1").changes == ()
    app = site.login(site.names.app)
    assert site.value("SELECT count(*) FROM tenant_1.memories", app) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        site.run("DROP TABLE tenant_1.memories", app)


def test_an_existing_schema_is_refused(tenants):
    execute(tenants, "CREATE SCHEMA tenant_empty")
    for name in ("tenant_1", "tenant_empty"):
        with pytest.raises(UsageError, match="already exists") as refusal:
            create(tenants, name, repo="diwa-schema")
        assert f"--schema {name}" in refusal.value.next_step


def test_a_consumer_makes_and_drops_none(closed, consumer_directory, monkeypatch):
    with pytest.raises(Blocked):
        create(closed, "tenant_1")
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    with pytest.raises(Blocked):
        drop(closed, "tenant_1", confirm="tenant_1")


def test_nothing_is_made_where_not_all_of_it_can_be(site, owner_directory):
    login = site.login()
    with pytest.raises(PermissionMissing, match="create a schema"):
        create(login, "tenant_1", roles=site.names)
    site.run(
        f"GRANT CREATE ON DATABASE {site.value('SELECT current_database()')} TO {login.split('/')[2].split(':')[0]}"
    )
    with pytest.raises(PermissionMissing, match="--no-roles"):
        create(login, "tenant_1", roles=site.names)
    assert schemas(site.url) is None
    create(login, "tenant_1")
    assert schemas(site.url) == ["tenant_1"]


def test_who_is_no_superuser_but_owns_the_database_makes_one_with_its_roles(site, owner_directory):
    """As the administrator of a managed server does."""
    admin = site.login(attributes="CREATEROLE")
    site.run(f"ALTER DATABASE {site.url.rpartition('/')[2]} OWNER TO {name_of(admin)}")
    create(admin, "tenant_1", roles=site.names)
    assert site.roles(admin, schema="tenant_1", take_ownership=True).changes == ()


def test_of_two_tenants_that_need_the_same_new_role_both_are_made(site, owner_directory):
    with psycopg.connect(site.url) as other:
        other.execute(f'CREATE ROLE "{site.names.app}"'.encode())
        with ThreadPoolExecutor(1) as thread:
            made = thread.submit(create, site.url, "tenant_1", roles=site.names)
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            while not site.value(waits) and not made.done():
                pass
            other.commit()
            made.result(timeout=30)
    assert site.roles(schema="tenant_1").changes == ()


def test_a_tenant_goes_and_the_others_stay(tenants, capsys, owner_directory):
    assert main(["fleet", "drop", "tenant_1", "--url", tenants]) == 2
    assert "--confirm tenant_1" in capsys.readouterr().err
    with pytest.raises(UsageError, match="is not its name"):
        drop(tenants, "tenant_1", confirm="tenant_2")
    assert schemas(tenants) == list(TENANTS)
    assert main(["fleet", "drop", "tenant_1", "--url", tenants, "--confirm", "tenant_1"]) == 0
    assert schemas(tenants) == ["tenant_2", "tenant_3"]
    assert sorted(revisions(tenants)) == ["tenant_2", "tenant_3"]


def test_no_piece_holds_more_locks_than_those_of_two_tables(tenants, monkeypatch, owner_directory):
    """One transaction would hold them all: the most that any piece of the drop holds is counted in the piece."""
    most = []
    count = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
    short = Pace.short

    def counted(self, work, **options):
        def piece(connection):
            work(connection)
            most.append(self._link.value(count))

        return short(self, piece, **options)

    monkeypatch.setattr(Pace, "short", counted)
    drop(tenants, "tenant_1", confirm="tenant_1")
    assert len(most) > 50
    assert max(most) < 100


def test_a_protected_tenant_stays_whoever_asks(tenants, owner_directory):
    diwa_schema.protect(tenants, schema="tenant_1")
    with pytest.raises(DatabaseProtected, match="protected") as refusal:
        drop(tenants, "tenant_1", confirm="tenant_1")
    assert "unprotect --url" in refusal.value.next_step
    assert schemas(tenants) == list(TENANTS)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (("CREATE TABLE tenant_1.invoices (id int)",), "table invoices"),
        (("CREATE VIEW tenant_1.mine AS SELECT 1 AS one",), "view mine"),
        (("CREATE FUNCTION tenant_1.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",), "function f"),
        (("CREATE TYPE tenant_1.mood AS ENUM ('good')",), "type mood"),
        (("CREATE VIEW public.all_memories AS SELECT id FROM tenant_1.memories",), "view all_memories"),
        (("CREATE TABLE public.a (id uuid REFERENCES tenant_1.memories)",), "refer to these tables"),
    ],
)
def test_what_is_not_ours_keeps_a_tenant_from_going(statements, named, tenants, owner_directory):
    execute(tenants, *statements)
    before = value(tenants, "SELECT count(*) FROM pg_class WHERE relnamespace = 'tenant_1'::regnamespace")
    with pytest.raises(SchemaForeign, match=named):
        drop(tenants, "tenant_1", confirm="tenant_1")
    assert (
        value(tenants, "SELECT count(*) FROM pg_class WHERE relnamespace = 'tenant_1'::regnamespace")
        == before
    )


def test_an_extension_in_a_tenant_keeps_it_from_going(tenants, server, owner_directory):
    if not server.has_vector:
        pytest.skip("this server has no extension to move")
    execute(tenants, "ALTER EXTENSION vector SET SCHEMA tenant_1")
    with pytest.raises(SchemaForeign, match="extension vector"):
        drop(tenants, "tenant_1", confirm="tenant_1")


def test_an_empty_public_goes_by_the_printed_statements(tenants, owner_directory):
    """The extension cannot move to the schema that is to go."""
    with pytest.raises(SchemaEmpty) as refusal:
        drop(tenants, "public", confirm="public")
    execute(tenants, *filter(None, refusal.value.next_step.partition(": ")[2].split("; ")))
    assert value(tenants, "SELECT to_regnamespace('public')") is None


def test_what_is_no_tenant_is_not_dropped(tenants, owner_directory):
    execute(tenants, "CREATE SCHEMA tenant_4")
    with pytest.raises(SchemaEmpty, match="not a tenant"):
        drop(tenants, "tenant_4", confirm="tenant_4")
    with pytest.raises(UsageError, match="does not exist"):
        drop(tenants, "tenant_5", confirm="tenant_5")


def test_a_drop_that_was_ended_is_finished_by_the_same_command(tenants, monkeypatch, owner_directory):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tenant, "_finish", killed)
    with pytest.raises(KeyboardInterrupt):
        drop(tenants, "tenant_1", confirm="tenant_1")
    monkeypatch.undo()
    assert schemas(tenants) == list(TENANTS)
    (one,) = Fleet(Schemas(tenants, "tenant_1")).status().outcomes
    assert one.exit_code == 1
    ended = diwa_schema.status(tenants, schema="tenant_1").ended or {}
    assert (ended["kind"], ended["outcome"]) == ("drop", "interrupted")
    drop(tenants, "tenant_1", confirm="tenant_1", repo="diwa-schema")
    assert schemas(tenants) == ["tenant_2", "tenant_3"]


def test_of_two_that_make_the_same_tenant_one_is_told(tenants, owner_directory):
    ended: list[str | None] = []

    def make():
        try:
            ended.append(create(tenants, "tenant_9", repo="diwa-schema").after)
        except UsageError as error:
            ended.append(error.what)

    both = [threading.Thread(target=make) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert HEAD in ended
    assert any("already exists" in str(one) for one in ended)
    assert diwa_schema.check(tenants, schema="tenant_9") == []
