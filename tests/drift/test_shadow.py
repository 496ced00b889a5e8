"""The shadow: what is expected at any revision, built beside a live schema that it must not touch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import psycopg
import pytest
from alembic import op

import diwa_schema
from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.drift import check, shadow
from diwa_schema.drift.read import at_head, read
from diwa_schema.errors import DiwaSchemaError, PermissionMissing
from diwa_schema.migrations.manifest import Revision, load
from diwa_schema.migrations.revisions import load as load_module
from tests.fixtures_roles import Site
from tests.sampling import sampled

pytestmark = pytest.mark.usefixtures("owner_directory")

IDS = load().ids
BELOW_HEAD = IDS[-2]
SHADOWS = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'diwa_schema_shadow%'"

PAUSED = """
import sys, time
from diwa_schema.drift import shadow
from diwa_schema.database.target import Target
load, loaded = shadow.load_module, []
def pause(revision):
    loaded.append(revision)
    if len(loaded) == int(sys.argv[2]):
        print("paused", flush=True)
        time.sleep(60)
    return load(revision)
shadow.load_module = pause
with Target.of(sys.argv[1]).connect() as link:
    shadow.expected_at(link, sys.argv[3])
"""


@pytest.mark.parametrize("every", sampled([1, 6], 6))
def test_a_database_is_clean_at_every_revision_on_its_way(database: str, every: int) -> None:
    for revision in IDS[every - 1 :: every]:
        diwa_schema.migrate(database, revision)
        assert diwa_schema.check(database) == [], revision


def test_what_is_missing_below_head_is_found(database: str) -> None:
    diwa_schema.migrate(database, BELOW_HEAD)
    with Target.of(database).connect() as link:
        link.execute("DROP INDEX tasks_status_index")
    (found,) = diwa_schema.check(database)
    assert found.text == "index tasks_status_index is missing on tasks"


def test_the_shipped_catalog_is_what_a_shadow_gives(database: str) -> None:
    diwa_schema.migrate(database)
    with Target.of(database).connect() as link:
        built = shadow.expected_at(link, load().head)
        names = {table.name for table in at_head(link.dialect).tables}
        live = read(link, tables=names)
    assert {table.name for table in built.tables} == names
    assert built.tables == live.tables


def test_it_leaves_nothing_behind(postgres: str, dump: Callable[[str], str]) -> None:
    diwa_schema.migrate(postgres, BELOW_HEAD)
    before = dump(postgres)
    with Target.of(postgres).connect() as link:
        path = link.value("SHOW search_path")
        shadow.expected_at(link, BELOW_HEAD)
        assert link.value("SHOW search_path") == path
        assert link.value("SHOW lock_timeout") == "0"
        assert (
            link.value("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object'")
            == 0
        )
    assert dump(postgres) == before


@pytest.mark.parametrize("revisions", sampled([1, 10, len(IDS) - 1], 10))
def test_it_leaves_nothing_behind_when_it_is_killed(
    postgres: str, dump: Callable[[str], str], revisions: int
) -> None:
    diwa_schema.migrate(postgres, BELOW_HEAD)
    before = dump(postgres)
    command = [sys.executable, "-c", PAUSED, postgres, str(revisions), BELOW_HEAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        with psycopg.connect(postgres, autocommit=True) as connection:
            running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            where = f"{running} AND datname = current_database()"
            assert connection.execute(where).fetchone() == (1,)
            process.kill()
            process.wait()
            give_up = time.monotonic() + 10
            while connection.execute(where).fetchone() != (0,):
                assert time.monotonic() < give_up
                time.sleep(0.02)
            assert connection.execute(SHADOWS).fetchone() == (0,)
    assert dump(postgres) == before


@pytest.fixture
def astray(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the last revision of a shadow run a statement of its own."""

    def lead(statement: str) -> None:
        def module(revision: Revision) -> object:
            if revision.revision == BELOW_HEAD:
                return SimpleNamespace(upgrade=lambda: op.execute(statement))
            return load_module(revision)

        monkeypatch.setattr("diwa_schema.drift.shadow.load_module", module)

    return lead


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE public.tasks ADD COLUMN surprise text",
        "UPDATE public.tasks SET title = 'gone'",
        "CREATE INDEX surprise ON public.tasks (title)",
        "ALTER TABLE plans ADD CONSTRAINT x FOREIGN KEY (context_id) REFERENCES public.contexts (id)",
        "CREATE TABLE public.surprise (id int)",
    ],
)
def test_a_revision_that_reaches_a_live_table_is_refused(
    postgres: str, astray: Callable[[str], None], dump: Callable[[str], str], statement: str
) -> None:
    diwa_schema.migrate(postgres, BELOW_HEAD)
    before = dump(postgres)
    astray(statement)
    with pytest.raises(DiwaSchemaError, match="reached tables outside its shadow"):
        diwa_schema.check(postgres)
    assert dump(postgres) == before


def test_a_revision_that_reaches_a_busy_table_makes_nobody_wait(
    postgres: str, astray: Callable[[str], None]
) -> None:
    diwa_schema.migrate(postgres, BELOW_HEAD)
    astray("ALTER TABLE public.tasks ADD COLUMN surprise text")
    with psycopg.connect(postgres) as busy:
        busy.execute("SELECT * FROM tasks")
        began = time.monotonic()
        with pytest.raises(
            DiwaSchemaError,
            match="reached tables outside its shadow: a table of another session",
        ):
            diwa_schema.check(postgres)
        assert time.monotonic() - began < 10


def test_who_may_only_read_gets_the_comparison_at_head_and_not_below(migrated: Site, reader: str) -> None:
    assert diwa_schema.check(reader) == []
    migrated.run("DROP INDEX tasks_status_index")
    assert [one.object for one in diwa_schema.check(reader)] == ["tasks_status_index"]

    migrated.run(f"UPDATE diwa_schema_version SET version_num = '{BELOW_HEAD}'")
    with pytest.raises(PermissionMissing) as refused:
        diwa_schema.check(reader)
    assert "as a member of the role that owns the tables" in refused.value.next_step
    assert "GRANT" not in refused.value.next_step
    assert "at head the comparison only reads" in refused.value.next_step


def test_where_nothing_can_be_written_below_head_it_says_so(postgres: str) -> None:
    diwa_schema.migrate(postgres, BELOW_HEAD)
    with Target.of(postgres).connect() as link:
        link.execute("SET default_transaction_read_only = on")
        with pytest.raises(PermissionMissing, match="Nothing can be written"):
            check.check(link)


def test_a_schema_other_than_public_is_compared_too(new_database: Callable[..., str]) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "My Schema"')
        connection.execute("CREATE TABLE public.tasks (id int)")
    elsewhere = f"{url}?options=-csearch_path%3D%22My%5C%20Schema%22,public"
    diwa_schema.migrate(elsewhere, BELOW_HEAD)
    assert diwa_schema.check(elsewhere) == []
    with Target.of(elsewhere).connect() as link:
        assert link.value("SELECT current_schema()") == "My Schema"
        link.execute("DROP INDEX tasks_status_index")
        link.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_context_id_fkey")
        found = check.check(link)
        fixed(link)
    assert [one.object for one in found] == ["tasks_status_index", "tasks_context_id_fkey"]
    assert diwa_schema.check(elsewhere) == []


def fixed(link: Link) -> None:
    for difference in check.check(link):
        for statement in difference.fix.statements:
            link.execute(statement)
