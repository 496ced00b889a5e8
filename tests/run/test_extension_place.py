"""Where pgvector lives: in no schema that somebody may drop with a tenant, and found wherever it is."""

from __future__ import annotations

import re
import shlex

import psycopg
import pytest

from diwa_schema import api
from diwa_schema.database.target import Target
from diwa_schema.drift.optional import OPTIONAL
from diwa_schema.errors import DatabaseRefused
from diwa_schema.migrations import pgvector
from diwa_schema.run.settings import Settings, Silence
from tests.run.asking import execute, value

pytestmark = pytest.mark.usefixtures("owner_directory")

PLACE = (
    "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    " WHERE extname = 'vector'"
)
KIND = (
    "SELECT t.typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
    " WHERE a.attrelid = '{}.embedding_cache'::regclass AND a.attname = 'embedding'"
)
ROW = (
    "INSERT INTO {}.embedding_cache (id, hash, model, embedding, inserted_at, updated_at)"
    " VALUES (gen_random_uuid(), 'h', 'm', {}, now(), now())"
)
LOW = "20251231080526"  # the tables with embeddings are there
NUMBERS = f"'[{','.join(['0.5'] * pgvector.DIMENSIONS)}]'"


class Heard(Silence):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def url(postgres, server):
    if not server.has_vector:
        pytest.skip("needs pgvector")
    return postgres


def tenants(url: str, *names: str, replay: bool = False) -> list[str]:
    """Make schemas at head, and return what the runs said of pgvector."""
    heard = Heard()
    for name in names:
        execute(url, f"CREATE SCHEMA IF NOT EXISTS {name}")
        api.migrate(
            url, LOW if replay else "head", schema=name, settings=Settings(replay=replay), progress=heard
        )
    return [line for line in heard.lines if pgvector.BYTES in line]


@pytest.mark.parametrize("replay", [False, True], ids=["snapshot", "replay"])
def test_dropping_the_first_tenant_leaves_the_embeddings_of_the_second(url, replay):
    assert tenants(url, "one", "two", replay=replay) == []
    assert value(url, PLACE) == "public"
    execute(url, ROW.format("two", NUMBERS), "DROP SCHEMA one CASCADE")
    assert value(url, "SELECT count(embedding) FROM two.embedding_cache") == 1
    assert replay or api.check(url, schema="two") == []


def test_a_schema_for_extensions_comes_before_public_and_need_not_be_on_the_path(url):
    execute(url, "CREATE SCHEMA extensions")
    tenants(url, "one", "two")
    assert value(url, PLACE) == "extensions"
    for index in OPTIONAL:
        if index.extension == "vector":
            api.enable_index(index.index.name, url, schema="two")
    # Both ways go past an index of it.
    api.disable_vector(url, schema="two")
    assert (value(url, KIND.format("one")), value(url, KIND.format("two"))) == ("vector", "bytea")
    api.enable_vector(url, schema="two")
    api.enable_index("memories_embedding_idx", url, schema="two")
    assert value(url, KIND.format("two")) == "vector"
    assert api.check(url, schema="two") == []
    api.downgrade(url, "-2", schema="two")
    api.migrate(url, schema="two")
    assert api.check(url, schema="two") == []


def test_a_second_tenant_finds_it_in_public_where_another_has_its_tables(url):
    api.migrate(url)
    assert value(url, PLACE) == "public"
    assert api.check(url) == []
    assert tenants(url, "one") == []
    assert value(url, KIND.format("one")) == "vector"


def test_it_is_created_in_no_schema_with_our_tables_and_the_run_says_so(url):
    """Public has tables, so it may be dropped as any other tenant: the extension has no place."""
    execute(url, "CREATE TABLE memories (id int)")
    said = tenants(url, "one") + tenants(url, "two", replay=True)
    assert [line[:27] for line in said] == ["pgvector is not usable here"] * 2
    assert value(url, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0
    assert {value(url, KIND.format(name)) for name in ("one", "two")} == {"bytea"}
    assert api.check(url, schema="one") == []
    with pytest.raises(DatabaseRefused) as refused:
        api.enable_vector(url, schema="one")
    (found,) = (one for one in api.doctor(url, schema="one") if one.code == "pgvector-not-installed")
    way = refused.value.next_step.removeprefix("As a superuser: ").partition(" Then: ")[0]
    assert found.command.startswith(way)
    execute(url, *way.rstrip(";").split(";"))
    api.enable_vector(url, schema="one")
    assert (value(url, PLACE), value(url, KIND.format("one"))) == ("extensions", "vector")


def test_without_the_right_to_create_it_a_second_tenant_keeps_bytes(url):
    name, password = "diwa_test_place", "p"
    execute(url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'", f"CREATE SCHEMA one AUTHORIZATION {name}")
    execute(url, f"CREATE SCHEMA two AUTHORIZATION {name}")
    try:
        as_role = url.replace("://postgres@", f"://{name}:{password}@").replace(
            "://postgres:", f"://{name}:{password}:"
        )
        assert value(as_role, "SELECT current_user::text") == name
        assert [line[:27] for line in tenants_of(as_role, "one", "two")] == [
            "pgvector is not usable here"
        ] * 2
        assert value(url, KIND.format("two")) == "bytea"
        with pytest.raises(DatabaseRefused, match="CREATE EXTENSION vector SCHEMA public"):
            api.enable_vector(as_role, schema="two")
        execute(url, "CREATE EXTENSION vector SCHEMA public")
        api.enable_vector(as_role, schema="two")
        assert (value(url, KIND.format("one")), value(url, KIND.format("two"))) == ("bytea", "vector")
    finally:
        execute(url, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def tenants_of(url: str, *names: str) -> list[str]:
    heard = Heard()
    for name in names:
        api.migrate(url, schema=name, progress=heard)
    return [line for line in heard.lines if pgvector.BYTES in line]


@pytest.mark.parametrize("public", [False, True], ids=["public is free", "public is a tenant"])
def test_check_and_doctor_say_what_moves_it_out_of_a_tenant(url, cli, public):
    """As the first releases left it; what they say to run leaves every value and index where it was."""
    execute(url, "CREATE SCHEMA one", "CREATE EXTENSION vector SCHEMA one")
    if public:
        api.migrate(url)
    tenants(url, "one", "two")
    execute(url, ROW.format("two", f"{NUMBERS}::one.vector"))
    api.enable_index("memories_embedding_idx", url, schema="two")
    shown = cli("check", "--url", url, "--schema", "two", check=0).stdout
    assert "note: extension vector is in schema one" in shown
    for schema in ("one", "two"):
        (found,) = (one for one in api.doctor(url, schema=schema) if one.code == "pgvector-in-tenant")
    files = (
        "SELECT array_agg(relfilenode ORDER BY oid) FROM pg_class WHERE relnamespace = 'two'::regnamespace"
    )
    before = value(url, files)
    for statement in filter(None, found.command.split(";")):
        assert statement.strip() in shown
        execute(url, statement)
    assert value(url, files) == before
    assert api.check(url, schema="two") == []
    execute(url, "DROP SCHEMA one CASCADE")
    assert value(url, PLACE) == ("extensions" if public else "public")
    assert value(url, "SELECT count(embedding) FROM two.embedding_cache") == 1
    assert not {one.code for one in api.doctor(url, schema="two")} & {"pgvector-in-tenant", "drift"}
    api.migrate(url, schema="two")


def test_a_drop_moves_it_out_first_where_another_schema_uses_it(url):
    execute(url, "CREATE SCHEMA one", "CREATE EXTENSION vector SCHEMA one")
    tenants(url, "one")
    with Target.of(url).connect() as link:
        pgvector.move_out(link, "one")
        assert value(url, PLACE) == "one"
        tenants(url, "two")
        pgvector.move_out(link, "two")
        assert value(url, PLACE) == "one"
        pgvector.move_out(link, "one")
    execute(url, "DROP SCHEMA one CASCADE")
    assert value(url, KIND.format("two")) == "vector"


def test_the_sql_of_the_history_keeps_to_the_same_place(url, cli):
    script = cli("upgrade", LOW, "--sql", "--url", url, check=0).stdout
    execute(url, "CREATE SCHEMA one")
    with psycopg.connect(f"{url}?options=-csearch_path%3Done,public", autocommit=True) as connection:
        connection.execute(script.encode())
    assert (value(url, PLACE), value(url, KIND.format("one"))) == ("public", "vector")


@pytest.fixture
def lodged(url):
    """A database whose extension is in the tenant t9, as the first releases left it."""
    execute(url, "CREATE SCHEMA t9", "CREATE EXTENSION vector SCHEMA t9")
    tenants(url, "t9")
    return url


WAY = "ALTER EXTENSION vector SET SCHEMA public;"


def test_a_tenant_whose_embeddings_would_hang_on_another_is_told_at_its_birth(lodged, cli):
    made = cli("fleet", "create", "t10", "--url", lodged, "--no-roles", check=0)
    assert "extension vector is in schema t9" in made.stderr
    assert WAY in made.stderr
    copied = cli(
        *("fleet", "copy", lodged, lodged, "--source-schema", "t10", "--target-schema", "t11", "--no-roles"),
        check=0,
    )
    assert WAY in copied.stderr
    execute(lodged, "CREATE SCHEMA t12")
    assert WAY in cli("upgrade", "--url", lodged, "--schema", "t12", check=0).stderr
    execute(lodged, WAY)
    assert "extension" not in cli("fleet", "create", "t13", "--url", lodged, "--no-roles", check=0).stderr


def test_a_fleet_is_told_of_it_once(lodged, cli):
    tenants(lodged, "t10", "t11")
    fleet = ("fleet", "check", "--url", lodged, "--schemas", "t*")
    told = cli(*fleet, check=0).stdout
    assert told.count("extension vector is in schema t9, which has tables of this schema") == 1
    run = re.search(r"run: diwa-schema (check .+)", told)
    assert run is not None
    assert WAY in cli(*shlex.split(run[1]), check=0).stdout
    execute(lodged, WAY)
    assert "extension" not in cli(*fleet, check=0).stdout


def test_no_drop_of_the_tenant_offers_to_take_the_embeddings_of_others(lodged, cli):
    tenants(lodged, "t10")
    execute(lodged, ROW.format("t10", f"{NUMBERS}::t9.vector"))
    whole = ("fleet", "drop", "t9", "--url", lodged, "--confirm", "t9")
    refused = cli(*whole, check=7).stderr
    assert "embeddings of t10" in refused
    assert WAY in refused
    assert "CASCADE" not in refused
    emptied = cli("drop", "--url", lodged, "--schema", "t9", "--confirm", "t9", check=0)
    assert "t10" in emptied.stderr
    assert WAY in emptied.stderr
    refused = cli(*whole, check=1).stderr
    assert "CASCADE" not in refused
    # What is said is what can be run, and it takes nothing of another one.
    said = refused.partition("as its owner: ")[2].strip()
    assert said.startswith(WAY)
    execute(lodged, *said.rstrip(";").split(";"))
    assert value(lodged, "SELECT to_regnamespace('t9') IS NULL")
    assert value(lodged, "SELECT count(embedding) FROM t10.embedding_cache") == 1
    assert api.check(lodged, schema="t10") == []


def test_a_tenant_that_has_the_extension_for_itself_alone_is_told_the_way_as_well(lodged):
    from diwa_schema.fleet import drop

    with pytest.raises(DatabaseRefused, match="extension vector") as refused:
        drop(lodged, "t9", confirm="t9")
    assert "embeddings of" not in refused.value.what
    execute(lodged, *refused.value.next_step.partition(": ")[2].partition(";")[:1])
    drop(lodged, "t9", confirm="t9")
    assert value(lodged, PLACE) == "public"
