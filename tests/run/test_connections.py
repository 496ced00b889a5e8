"""Connections that are open while a change runs: who is told, who is renewed, and what is refused beforehand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import psycopg
import psycopg.sql
import pytest
import sqlalchemy as sa

import diwa_schema
from benchmarks import open_connections
from benchmarks.bench import Bench
from diwa_schema import errors
from diwa_schema.database import bookkeeping
from diwa_schema.database.target import Target
from diwa_schema.migrations import revisions
from diwa_schema.migrations.manifest import Revision, load
from diwa_schema.migrations.steps.dependents import retyped
from diwa_schema.run import preflight
from diwa_schema.testing.address import Address
from tests.fixtures_roles import Site, name_of
from tests.run.asking import execute, until, value
from tests.run.poolers import Pooler
from tests.sampling import sampled

BEFORE, IDS, AFTER = "20260302000200", "20260302000300", load().head
VERSION = "SELECT version_num FROM diwa_schema_version"
TYPES = (
    "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
    " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
    " AND a.attnum > 0 AND NOT a.attisdropped"
)
CHANGED = f"Revision {IDS} changed the type of tala_operations.session_id: character varying(255) -> uuid."


@pytest.fixture
def before(postgres: str, owner_directory: object) -> str:
    """A database one step before its buffer's ids become uuids."""
    diwa_schema.migrate(postgres, BEFORE)
    return postgres


@contextmanager
def connected(url: str, name: str, count: int = 1) -> Iterator[list[psycopg.Connection[tuple[object, ...]]]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(psycopg.connect(url, autocommit=True, application_name=name))
            for _ in range(count)
        ]


def test_the_plan_and_the_end_of_a_run_say_whose_result_changes_and_who_is_connected(launcher, before):
    with connected(before, "tell's app", 2), connected(before, ""):
        planned = launcher.run("plan", "--url", before)
        document = json.loads(launcher.run("plan", "--json", "--url", before).out)
        done = launcher.run("upgrade", "--url", before)
    assert CHANGED.replace("changed", "changes") in planned.out
    for said in (planned.out, done.out):
        assert (
            "Open connections: 2 of 'tell's app' (user postgres), 1 of an unnamed application (user postgres)."
            in said
        )
        assert "fail on their prepared statements" in said
        assert "diwa-schema'" not in said
    steps = {step["revision"]: step["retypes"] for step in document["revisions"]}
    assert list(steps)[-1] == AFTER
    retypes = {revision: columns for revision, columns in steps.items() if columns}
    assert retypes == {IDS: ["tala_operations.session_id", "tala_operations.context_id"]}
    assert document["connections"]["clients"][0] == {
        "application": "tell's app",
        "user": "postgres",
        "count": 2,
    }
    assert done.code == 0
    assert CHANGED in done.out
    # The command that is offered changes nothing more, and says nothing more.
    assert f"diwa-schema upgrade {AFTER} --renew postgres --url" in done.out
    again = launcher.run("upgrade", "--json", "--url", before)
    assert json.loads(again.out)["connections"] is None


def test_the_way_back_says_so_too(before):
    """Ids become texts again where some were kept that are no uuids."""
    execute(
        before,
        "INSERT INTO tala_operations (id, session_id, tool_name, inserted_at)"
        " VALUES (gen_random_uuid(), 'no uuid', 'x', now())",
    )
    diwa_schema.migrate(before)
    with connected(before, "app"):
        report = diwa_schema.downgrade(before, BEFORE)
    assert report.connections is not None
    assert {(one.revision, one.column, one.before, one.after) for one in report.connections.retypes} == {
        (IDS, f"tala_operations.{name}", "uuid", "character varying(255)")
        for name in ("session_id", "context_id")
    }
    assert f"run: diwa-schema upgrade {BEFORE} --renew postgres" in "\n".join(report.told)


def test_where_nobody_is_connected_nothing_is_said(launcher, before):
    planned = launcher.run("plan", "--url", before)
    assert "prepared" not in planned.out
    assert "Open connections" not in planned.out
    assert diwa_schema.migrate(before).connections is None


def test_where_the_type_is_there_already_nothing_is_said(postgres, server, owner_directory):
    """Both revisions declare embeddings, and on this database they are what they are to be."""
    if not server.has_vector:
        pytest.skip("needs pgvector")
    diwa_schema.migrate(postgres, "20260302000000")
    assert load().get(BEFORE).retypes
    with connected(postgres, "app"):
        planned = diwa_schema.plan(postgres, BEFORE)
        report = diwa_schema.migrate(postgres, BEFORE)
    assert planned.connections is not None
    assert planned.connections.retypes == ()
    assert (report.connections, report.told) == (None, ())


def test_vectors_on_request_are_told_as_well(postgres, server, owner_directory):
    if not server.has_vector:
        pytest.skip("needs pgvector")
    diwa_schema.migrate(postgres)
    execute(postgres, "ALTER TABLE memories ALTER COLUMN embedding TYPE bytea USING NULL")
    with connected(postgres, "app"):
        told = diwa_schema.enable_vector(postgres).told
        back = diwa_schema.disable_vector(postgres, renew="postgres")
    assert told[0] == "The type of memories.embedding changed: bytea -> vector(1536)."
    assert back.connections is not None
    assert {one.column for one in back.connections.retypes} == {
        "memories.embedding",
        "embedding_cache.embedding",
    }
    assert back.told[-2] == "Renewed postgres: 1 idle session ended."
    assert back.told[-1].endswith("The server refuses them: SQLSTATE 23514.")


def test_a_run_that_fails_later_says_what_it_has_changed(launcher, before):
    execute(before, "CREATE TABLE context_registry_context_id_index (a int)")
    with connected(before, "app"):
        failed = launcher.run("upgrade", "--url", before)
    assert failed.code != 0
    assert value(before, VERSION) == IDS
    assert CHANGED in failed.err
    assert "Open connections: 1 of 'app' (user postgres)." in failed.err


def undeclared(revision: Revision, before: dict[str, str], after: dict[str, str], *, back: bool) -> set[str]:
    """Return the columns to which a revision gives another type without saying so."""
    changed = {name for name in before if name in after and after[name] != before[name]}
    return changed - set(revision.retypes_back if back else revision.retypes)


def step(
    connection: sa.Connection, link, revision: Revision, *, back: bool
) -> tuple[set[str], set[str], Callable[..., set[str]]]:
    """Run one revision in the open transaction; return what was foreseen, what changed, and the judge of both."""

    def types() -> dict[str, str]:
        return {row[0]: row[1] for row in connection.exec_driver_sql(TYPES)}

    before = types()
    foreseen = {one.column for one in retyped(link, [revision], back=back)}
    module = revisions.load(revision)
    with revisions.operations(connection, {"shadow": True}):
        (module.downgrade if back else module.upgrade)()
    after = types()
    changed = {name for name in before if name in after and after[name] != before[name]}
    return foreseen, changed, lambda one: undeclared(one, before, after, back=back)


@pytest.mark.parametrize("kind", ["vector", "bytes"])
def test_every_change_of_a_type_is_declared_and_foreseen(postgres, server, kind):
    """Over every revision, up and down, on databases whose embeddings are vectors from the first, or bytes for long."""
    from diwa_schema.database.alchemy import connection_over

    if not server.has_vector:
        pytest.skip("needs pgvector")
    if kind == "vector":
        execute(postgres, "CREATE EXTENSION vector")
    seen: dict[str, set[str]] = {}
    with Target.of(postgres).connect() as link, connection_over(link) as connection:
        link.execute("BEGIN")
        texts = "INSERT INTO tala_operations (id, session_id, inserted_at) VALUES (gen_random_uuid(), 'no uuid', now())"
        for back in (False, True):
            for revision in reversed(load().revisions) if back else load().revisions:
                if kind == "bytes" and revision.revision == "20260302000100" and not back:
                    link.execute("CREATE EXTENSION vector")
                if revision.revision == IDS and not back:
                    link.execute(texts)  # so that the ids become texts again on the way back
                foreseen, changed, judge = step(connection, link, revision, back=back)
                assert judge(revision) == set(), (
                    f"{revision.slug} is {revision.phase} and does not declare it"
                )
                if kind == "vector" or revision.revision != "20260228010000" or back:
                    assert foreseen == changed, revision.slug
                if changed:
                    seen[f"{'back ' if back else ''}{revision.revision}"] = changed
                    # The judge can find something: the same revision without its declaration is refused.
                    assert judge(revision._replace(retypes=(), retypes_back=())) == changed
        link.execute("ROLLBACK")
    ids = {"tala_operations.session_id", "tala_operations.context_id"}
    assert seen[IDS] == ids
    assert seen[f"back {IDS}"] == ids
    assert ("20260302000100" in seen) == (kind == "bytes")


@pytest.mark.parametrize("shape", sampled(["both_marked_bytes", "head_fresh"], "both_marked_bytes"))
def test_of_a_database_that_ecto_made_the_plan_foresees_what_the_run_does(legacy, owner_directory, shape):
    url = legacy(shape)
    diwa_schema.adopt(url)
    with connected(url, "app"):
        planned = diwa_schema.plan(url)
        report = diwa_schema.migrate(url)
    assert planned.connections is not None
    done = report.connections.retypes if report.connections else ()
    assert planned.connections.retypes == done


@pytest.fixture
def roles(site: Site, before: str) -> tuple[str, str]:
    """The URL of the database as an application's role, and the role's name."""
    url = site.login()
    return url, name_of(url)


def test_idle_sessions_of_one_role_are_ended_and_no_others(before, roles):
    url, name = roles
    with (
        connected(url, "idle", 3) as idle,
        connected(url, "in a transaction") as (pausing,),
        connected(before, "of another role") as (other,),
        connected(url, "busy") as (busy,),
        ThreadPoolExecutor(1) as pool,
    ):
        pausing.execute("BEGIN")
        pausing.execute("SELECT 1")
        working = pool.submit(busy.execute, "SELECT pg_sleep(60)")
        until(
            before,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active')",
        )
        # Not to head: an index that is built concurrently would wait for both.
        report = diwa_schema.migrate(before, IDS, renew=name)
        assert report.connections is not None
        renewal = report.connections.renewal
        assert renewal is not None
        assert (renewal.role, renewal.ended, renewal.busy, renewal.refused) == (name, 3, 2, 0)
        for connection in idle:
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        pausing.execute("SELECT 1")
        other.execute("SELECT 1")
        assert value(before, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy'") == 1
        assert "3 idle sessions ended" in report.told[-2]
        assert {client.application for client in report.connections.clients} == {
            "in a transaction",
            "of another role",
            "busy",
        }
        busy.cancel()
        assert isinstance(working.exception(), psycopg.errors.QueryCanceled)


def test_it_is_done_where_everything_else_is_done_already(launcher, before, roles):
    url, name = roles
    diwa_schema.migrate(before)
    with connected(url, "app") as (application,):
        done = launcher.run("upgrade", AFTER, "--renew", name, "--url", before)
        assert done.code == 0, done.err
        assert f"Renewed {name}: 1 idle session ended." in done.out
        with pytest.raises(psycopg.OperationalError):
            application.execute("SELECT 1")


@pytest.mark.parametrize("through", [False, True], ids=["directly", "through another role"])
def test_the_logins_that_were_granted_the_role_are_renewed(site: Site, before, owner_directory, through):
    """The role itself cannot log in; a superuser that nobody granted it stays, though it may do all that the role may."""
    site.run(f"CREATE ROLE {site.names.app} NOLOGIN", before)
    group = site.names.app
    if through:
        group = site.names.reader
        site.run(f"CREATE ROLE {group} NOLOGIN; GRANT {site.names.app} TO {group}", before)
    app = urlsplit(before)._replace(netloc=urlsplit(site.login(group)).netloc).geturl()
    with connected(app, "app", 2) as sessions, connected(before, "superuser") as (other,):
        report = diwa_schema.migrate(before, IDS, renew=site.names.app)
        assert report.connections is not None
        assert report.connections.renewal is not None
        assert report.connections.renewal.ended == 2
        for session in sessions:
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        other.execute("SELECT 1")


def test_the_command_that_is_offered_works_for_a_role_of_any_name(launcher, site: Site, before):
    name = '-o\'dd "ü" %s'
    site.made.append(name)
    role = psycopg.sql.Identifier(name)
    site.run(psycopg.sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(role), before)
    with psycopg.connect(before, user=name, autocommit=True, application_name="app") as application:
        done = launcher.run("upgrade", IDS, "--url", before)
        words = shlex.split(done.out.partition("run: diwa-schema ")[2].splitlines()[0])
        again = launcher.run(*words)
        assert again.code == 0, again.err
        assert f"Renewed {name}: 1 idle session ended." in again.out
        with pytest.raises(psycopg.OperationalError):
            application.execute("SELECT 1")


def test_what_a_role_may_not_end_is_said(site: Site, owner_directory):
    app, migrator = site.login(), site.login()
    site.run(f"GRANT CREATE, USAGE ON SCHEMA public TO {name_of(migrator)}")
    diwa_schema.migrate(migrator, BEFORE)
    role = name_of(app)
    with connected(app, "app") as (application,):
        report = diwa_schema.migrate(migrator, renew=role)
        application.execute("SELECT 1")
    assert report.connections is not None
    assert report.connections.renewal is not None
    assert (report.connections.renewal.ended, report.connections.renewal.refused) == (0, 1)
    assert "pg_signal_backend" in report.told[-1]


def test_a_role_that_is_not_there_is_refused_before_anything_is_changed(launcher, before, sqlite):
    refused = launcher.run("upgrade", "--renew", "nobody_of_that_name", "--url", before)
    assert refused.code == 2
    assert "no role 'nobody_of_that_name'" in refused.err
    assert value(before, VERSION) == BEFORE
    diwa_schema.migrate(sqlite)
    with pytest.raises(errors.UsageError, match="no sessions"):
        diwa_schema.migrate(sqlite, renew="app")


def test_a_view_on_a_column_that_is_to_change_is_refused_before_the_first_revision(
    launcher, postgres, dump, owner_directory
):
    diwa_schema.migrate(postgres, "20260302000100")
    execute(postgres, "CREATE VIEW mine AS SELECT session_id FROM tala_operations")
    before = dump(postgres)
    planned = launcher.run("plan", "--url", postgres)
    assert (
        f"IN THE WAY of {IDS}: rule _RETURN on view mine depends on tala_operations.session_id" in planned.out
    )
    refused = launcher.run("upgrade", "--url", postgres)
    assert refused.code == 7, refused.err
    assert "rule _RETURN on view mine" in refused.err
    assert dump(postgres) == before
    document = json.loads(launcher.run("plan", "--json", "--url", postgres).out)
    assert [one["column"] for one in document["dependents"]] == ["tala_operations.session_id"]
    execute(postgres, "DROP VIEW mine")
    assert launcher.run("upgrade", "--url", postgres).code == 0


def test_a_missing_right_to_create_is_told_by_the_plan_and_refused(launcher, site, before):
    url = site.login()
    owner = name_of(url)
    execute(
        before,
        f"""DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        LOOP EXECUTE format('ALTER TABLE %I OWNER TO "{owner}"', t); END LOOP; END $$""",
    )
    planned = launcher.run("plan", "--url", url)
    assert planned.code == 0
    assert "IN THE WAY: " in planned.out
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 7
    for said in (planned.out, refused.err):
        assert 'lacks a right: CREATE on schema "public"' in said
        assert f'GRANT USAGE, CREATE ON SCHEMA "public" TO "{owner}"' in said
    assert value(before, VERSION) == BEFORE
    execute(before, f'GRANT CREATE ON SCHEMA public TO "{owner}"')
    assert launcher.run("upgrade", "--url", url).code == 0


def test_a_server_that_is_too_old_is_refused_before_the_first_revision(before, monkeypatch):
    monkeypatch.setattr(preflight, "OLDEST_SERVER", 99)
    with pytest.raises(errors.DatabaseRefused, match="needs 99 or newer"):
        diwa_schema.migrate(before)
    assert value(before, VERSION) == BEFORE
    with Target.of(before).connect() as link:
        assert bookkeeping.look(link).revision == BEFORE


SAMPLE = {
    "psycopg, autocommit, threshold 0",
    "psycopg, autocommit, `renewed`",
    "models, psycopg, AUTOCOMMIT",
    "models, psycopg",
    "models, asyncpg",
    "asyncpg, `arenewed`",
    "asyncpg, transactions, `arenewed`",
}


def test_clients_that_work_on_recover_or_do_not_as_the_table_says(before):
    """One change of the table that `benchmarks.open_connections` prints."""
    pytest.importorskip("asyncpg")
    chosen = [one for one in open_connections.APPLICATIONS if one.name in SAMPLE]
    change = open_connections.measured(
        IDS, before, before, chosen, lambda: open_connections.diwa("upgrade", IDS, url=before)
    )
    assert {client.application.name for client in change.clients} == SAMPLE
    assert [client.unfit for client in change.clients if client.unfit] == []
    assert open_connections.broken(change) == []
    alone = change.clients[0].seen
    assert "tala_operations" in alone["SELECT *"].lost
    assert alone["SELECT *"].errors == {"42883"}


def test_behind_a_pooler_the_models_recover(before):
    pytest.importorskip("asyncpg")
    names = {"PgBouncer: models, nothing prepared", "PgBouncer: models, asyncpg, nothing prepared"}
    chosen = [one for one in open_connections.APPLICATIONS if one.name in names]
    pooler = Pooler(before, "transaction")
    try:
        change = open_connections.measured(
            IDS,
            before,
            pooler.url(urlsplit(before).path[1:]),
            chosen,
            lambda: open_connections.diwa("upgrade", IDS, url=before),
        )
    finally:
        pooler.close()
    assert [client.unfit for client in change.clients] == [None, None]
    assert open_connections.broken(change) == []


@pytest.mark.matrix
def test_every_change_leaves_the_models_working(server, tmp_path):
    pytest.importorskip("asyncpg")
    found = list(
        open_connections.changes(Bench(Address(server.admin_url), tmp_path), open_connections.APPLICATIONS)
    )
    assert [line for change in found for line in open_connections.broken(change)] == []
