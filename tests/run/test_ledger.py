"""The ledger's own number: given by the database to every writer, on Citus too, and as well where it is the older kind."""

from __future__ import annotations

import psycopg
import pytest

import diwa_schema
from diwa_schema.fleet import Member, copy, create, drop
from diwa_schema.migrations.manifest import load
from tests.run.asking import execute, value

HEAD, BELOW = load().ids[-1], load().ids[-2]

IDENTITY = (
    "SELECT attidentity <> '' FROM pg_attribute"
    " WHERE attrelid = '{}.diwa_schema_ledger'::regclass AND attname = 'id'"
)
SEQUENCE = "SELECT pg_get_serial_sequence('{}.diwa_schema_ledger', 'id')"
ENTRY = (
    "INSERT INTO diwa_schema_ledger"
    " (run_id, direction, kind, outcome, started_at, database_role, package_version)"
    " VALUES (gen_random_uuid(), 'upgrade', 'migrate', 'applied', now(), current_user, '1') RETURNING id"
)


def with_identity(url: str, schema: str = "public") -> None:
    """Give the ledger the column that development versions made."""
    table = f"{schema}.diwa_schema_ledger"
    execute(
        url,
        f"ALTER TABLE {table} ALTER id DROP DEFAULT",
        f"DROP SEQUENCE {schema}.diwa_schema_ledger_id_seq",
        f"ALTER TABLE {table} ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        f"SELECT setval('{schema}.diwa_schema_ledger_id_seq', (SELECT max(id) FROM {table}))",
    )


def test_a_ledger_has_no_identity_which_citus_never_takes_back(postgres, cli, psql, owner_directory):
    diwa_schema.migrate(postgres)
    assert diwa_schema.check(postgres) == []
    script = cli("upgrade", load().ids[0], "--sql", check=0).stdout
    execute(postgres, "CREATE SCHEMA printed")
    assert psql(f"{postgres}?options=-csearch_path%3Dprinted", "-c", script).returncode == 0
    for schema in ("public", "printed"):
        assert value(postgres, IDENTITY.format(schema)) is False
        # It goes with its table, wherever that goes.
        assert value(postgres, SEQUENCE.format(schema)) == f"{schema}.diwa_schema_ledger_id_seq"


def test_two_writers_at_once_wait_for_nobody_and_get_two_numbers(postgres, owner_directory):
    diwa_schema.migrate(postgres)
    with psycopg.connect(postgres) as one, psycopg.connect(postgres, options="-c lock_timeout=2s") as other:
        numbers = [connection.execute(ENTRY.encode()).fetchall()[0][0] for connection in (one, other)]
        assert numbers[0] < numbers[1]
        one.rollback()
    assert len(diwa_schema.history(postgres)) > 1
    assert value(postgres, "SELECT count(*) = count(DISTINCT id) FROM diwa_schema_ledger")


@pytest.mark.parametrize("identity", [False, True], ids=["a default", "an identity of a development version"])
def test_either_kind_is_written_read_copied_granted_and_dropped(site, identity, owner_directory):
    site.roles(apply=True)
    owner = site.login(site.names.owner, acts_as=site.names.owner)
    diwa_schema.migrate(owner, BELOW)
    if identity:
        with_identity(site.url)
    assert site.value(IDENTITY.format("public")) is identity

    diwa_schema.migrate(owner)
    diwa_schema.downgrade(owner)
    diwa_schema.migrate(owner)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        site.run(ENTRY, site.login(site.names.app))
    assert site.roles(apply=True).changes == ()
    assert diwa_schema.check(owner) == []
    written = diwa_schema.history(owner)
    assert [entry["id"] for entry in written] == sorted(entry["id"] for entry in written)
    assert [entry["revision"] for entry in written[-3:]] == [HEAD] * 3

    copy(Member(site.url, "public"), Member(site.url, "tenant_1"))
    assert site.value(IDENTITY.format("tenant_1")) is False
    assert diwa_schema.status(site.url, schema="tenant_1").current
    diwa_schema.drop(owner, confirm=site.url.rpartition("/")[2])
    assert diwa_schema.history(owner)[-1]["kind"] == "drop"


def test_a_tenant_of_a_development_version_goes_in_one_piece(postgres, owner_directory):
    for name in ("one", "two"):
        create(postgres, name)
    with_identity(postgres, "one")
    drop(postgres, "one", confirm="one")
    assert value(postgres, "SELECT to_regnamespace('one') IS NULL")
    assert diwa_schema.status(postgres, schema="two").current
