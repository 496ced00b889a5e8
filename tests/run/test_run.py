"""Runs from beginning to end, through the public functions, on a real server and a real file."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema import api
from diwa_schema.database.target import Target
from diwa_schema.errors import (
    ConnectionInUse,
    DatabaseProtected,
    DatabaseRefused,
    NotAdopted,
    SchemaForeign,
    SchemaTampered,
    SchemaTooNew,
    UnknownRevision,
    UsageError,
)
from diwa_schema.migrations.manifest import checksum, load
from diwa_schema.run import integrity

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD = load().head
LAST_OF_ECTO = "20260228010000"
REPLAY = diwa_schema.Settings(replay=True)


def execute(url: str, *statements: str) -> None:
    with Target.of(url).connect() as link:
        for statement in statements:
            link.execute(statement)


def value(url: str, statement: str) -> object:
    with Target.of(url).connect() as link:
        return link.value(statement)


@pytest.mark.parametrize("replay", [False, True])
def test_an_empty_database_comes_to_head(database, replay):
    report = api.migrate(database, settings=diwa_schema.Settings(replay=replay))
    assert (report.before, report.after) == (None, HEAD)
    assert report.kind == ("migrate" if replay else "snapshot")
    assert [step.revision for step in report.applied] == list(load().ids)
    entries = api.history(database)
    assert [entry["revision"] for entry in entries] == list(load().ids)
    assert {entry["outcome"] for entry in entries} == {"applied"}
    assert {entry["kind"] for entry in entries} == {report.kind}
    assert {entry["run_id"] for entry in entries} == {report.run_id}
    assert api.status(database).current


def test_a_second_run_has_nothing_to_do(database, dump):
    api.migrate(database)
    before = dump(database)
    report = api.migrate(database)
    assert (report.kind, report.applied) == ("nothing", ())
    assert dump(database) == before


def test_up_to_a_revision_and_from_there_to_head(database):
    assert api.migrate(database, "20251226000").after == "20251226000000"
    with pytest.raises(UnknownRevision):
        api.migrate(database, "2025122")
    assert api.migrate(database, "+2").after == load().ids[4]
    assert api.migrate(database).after == HEAD


def test_down_to_base_and_up_again(database):
    api.migrate(database)
    assert api.downgrade(database, "base").after is None
    assert api.status(database).revision is None
    assert api.migrate(database, settings=REPLAY).after == HEAD
    directions = [entry["direction"] for entry in api.history(database)]
    assert directions.count("downgrade") == len(load().ids)


def test_a_downgrade_reverses_one_step_by_default(database):
    api.migrate(database)
    assert api.downgrade(database).after == load().ids[-2]


def test_a_loss_is_counted_and_asks_for_the_name(database, dump):
    api.migrate(database)
    execute(
        database,
        "INSERT INTO workspaces (id, name, inserted_at, updated_at) VALUES"
        " ('6b1f3f0c-0000-4000-8000-000000000001', 'kept', '2026-01-01', '2026-01-01')",
    )
    before = dump(database)
    with pytest.raises(UsageError) as caught:
        api.downgrade(database, "20260117075000")
    assert caught.value.facts["lost"] == {"workspaces": 1}
    with pytest.raises(UsageError, match="not its name"):
        api.downgrade(database, "20260117075000", confirm="another")
    assert dump(database) == before
    report = api.downgrade(database, "20260117075000", confirm=caught.value.facts["confirm"])
    assert report.after == "20260117075000"


def test_drop_touches_the_tables_of_the_models_only(database):
    api.migrate(database)
    execute(database, "CREATE TABLE neighbour (n integer)", "INSERT INTO neighbour VALUES (1)")
    assert api.drop(database).kind == "drop"
    assert value(database, "SELECT n FROM neighbour") == 1
    assert api.status(database).kind == "empty"
    assert api.history(database)[-1]["kind"] == "drop"
    assert api.migrate(database).after == HEAD


def test_drop_of_rows_asks_for_the_name(database, dump):
    api.migrate(database)
    execute(
        database,
        "INSERT INTO secrets (id, key, inserted_at, updated_at, value_encrypted) VALUES"
        " ('6b1f3f0c-0000-4000-8000-000000000001', 'k', '2026-01-01', '2026-01-01', 'x')",
    )
    before = dump(database)
    with pytest.raises(UsageError) as caught:
        api.drop(database)
    assert dump(database) == before
    api.drop(database, confirm=caught.value.facts["confirm"])
    assert api.status(database).kind == "empty"


def test_a_callers_engine_and_connection(database):
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    assert api.migrate(engine, "20251226010000").after == "20251226010000"
    with engine.connect() as connection:
        assert api.migrate(connection).after == HEAD
        diwa_schema.ensure_current(connection)
        assert not connection.in_transaction()
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(ConnectionInUse):
            api.migrate(connection)
    engine.dispose()


def test_sqlite_in_memory_of_a_caller():
    engine = sa.create_engine("sqlite://")
    assert api.migrate(engine).after == HEAD
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM memories")) == 0
    engine.dispose()


def test_foreign_keys_of_a_callers_sqlite_connection_stay_enforced(sqlite):
    engine = sa.create_engine(sqlite)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.commit()
        api.migrate(connection)
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("released", "sha256", "what", "step"),
    [
        ("0.1.0", "other", "is not that of release 0.1.0: somebody edited it.", "git checkout v0.1.0 -- "),
        (None, "other", "is not what the manifest lists", "python -m diwa_schema.generate"),
        ("0.1.0", None, "with other contents than release 0.1.0 has.", "history --applied"),
        (None, None, "with other contents than the checkout has now.", "create it again"),
    ],
)
def test_the_advice_for_an_edited_revision_is_that_for_its_kind(released, sha256, what, step):
    """A released file is never listed anew; one that was applied otherwise is not cured by installing it again."""
    head = load().get(HEAD)
    head = head._replace(released=released, sha256=sha256 or head.sha256)
    error = integrity.tampered(head, checksum(head.path))
    assert what in str(error)
    assert step in str(error)
    assert ("python -m diwa_schema.generate" in str(error)) == (released is None and sha256 is not None)


def test_an_edited_applied_revision_stops_every_further_run(database, dump):
    api.migrate(database, LAST_OF_ECTO)
    execute(database, f"UPDATE diwa_schema_ledger SET checksum = 'other' WHERE revision = '{load().ids[3]}'")
    before = dump(database)
    with pytest.raises(SchemaTampered) as caught:
        api.migrate(database)
    assert load().revisions[3].file in str(caught.value)
    assert caught.value.exit_code == 7
    assert dump(database) == before


@pytest.mark.parametrize(
    ("revision", "error"),
    [("99990101000000", SchemaTooNew), ("abc", SchemaForeign), ("20251224044224", SchemaForeign)],
)
def test_an_unknown_revision_is_refused(database, dump, revision, error):
    api.migrate(database)
    execute(database, f"UPDATE diwa_schema_version SET version_num = '{revision}'")
    before = dump(database)
    for call in (api.migrate, api.downgrade, api.drop):
        with pytest.raises(error):
            call(database)
    assert dump(database) == before


def test_tables_of_another_tool_are_refused(database, dump):
    execute(database, "CREATE TABLE memories (id integer)", "CREATE TABLE tasks (id integer)")
    before = dump(database)
    for call in (api.migrate, api.drop):
        with pytest.raises(SchemaForeign, match="memories"):
            call(database)
    assert dump(database) == before


def test_tables_of_a_neighbour_are_no_obstacle(database):
    execute(database, "CREATE TABLE invoices (id integer)")
    assert api.migrate(database).after == HEAD


def test_a_database_of_ecto_asks_for_adopt(legacy, dump):
    url = legacy("sqlite_head")
    before = dump(url)
    with pytest.raises(NotAdopted, match="adopt"):
        api.migrate(url)
    assert dump(url) == before


def test_a_protected_database_is_out_of_the_bypass_reach(
    database, owner_directory, monkeypatch, consumer_directory
):
    monkeypatch.chdir(owner_directory)
    api.migrate(database, LAST_OF_ECTO)
    api.protect(database, reason="production")
    assert api.status(database).protected
    monkeypatch.chdir(consumer_directory)
    with pytest.raises(DatabaseProtected):
        api.migrate(database, allow_core_migration=True)
    monkeypatch.chdir(owner_directory)
    assert api.migrate(database).after == HEAD
    api.unprotect(database)
    assert not api.status(database).protected


def test_a_bypass_is_in_the_ledger_and_the_status(database, consumer_directory, monkeypatch, owner_directory):
    monkeypatch.chdir(consumer_directory)
    monkeypatch.setenv("ALLOW_CORE_MIGRATION", "true")
    monkeypatch.setenv("ALLOW_CORE_MIGRATION_REASON", "a fix at night")
    report = api.migrate(database, LAST_OF_ECTO)
    assert report.bypass
    entries = api.history(database)
    assert {(entry["bypass_reason"], entry["repository"]) for entry in entries} == {
        ("a fix at night", "diwa-agent")
    }
    assert len(api.status(database).bypassed) == 1
    monkeypatch.chdir(owner_directory)
    monkeypatch.delenv("ALLOW_CORE_MIGRATION")
    api.migrate(database)
    assert api.status(database).bypassed == ()


def test_threads_migrate_two_databases_of_one_process(new_database, tmp_path):
    urls = [
        new_database(),
        new_database(),
        f"sqlite:///{tmp_path / 'one.db'}",
        f"sqlite:///{tmp_path / 'two.db'}",
    ]
    reports: dict[str, object] = {}

    def run(url: str) -> None:
        reports[url] = api.migrate(url, settings=REPLAY)

    threads = [threading.Thread(target=run, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.after for report in reports.values()] == [HEAD] * 4  # type: ignore[attr-defined]


def test_a_stamp_is_refused_where_something_is_missing(database, dump):
    before = dump(database)
    with pytest.raises(DatabaseRefused, match="it has no table"):
        api.stamp(database, HEAD)
    assert dump(database) == before
    api.migrate(database, "20260107203000")
    before = dump(database)
    with pytest.raises(DatabaseRefused, match="table tala_operations"):
        api.stamp(database, "20260117075000")
    execute(database, "ALTER TABLE contexts DROP COLUMN conflict_domain")
    with pytest.raises(DatabaseRefused, match="column contexts.conflict_domain"):
        api.stamp(database, "20251229230000")


def test_a_stamp_records_what_is_there(database):
    api.migrate(database)
    execute(database, "DELETE FROM diwa_schema_version")
    report = api.stamp(database)
    assert (report.after, report.kind) == (HEAD, "stamp")
    assert api.history(database)[-1]["kind"] == "stamp"
    assert api.migrate(database).kind == "nothing"


def test_a_stamp_lists_and_records_the_revisions_that_were_not_recorded_before(database):
    history = load()
    before, skipped = history.ids[-3], history.ids[-2:]
    api.migrate(database, before)
    recorded = len(api.history(database))
    for revision, expected in ((HEAD, skipped), (before, [before]), (HEAD, skipped)):
        report = api.stamp(database, revision, force=True)
        assert [step.revision for step in report.applied] == list(expected)
        entries = api.history(database)[recorded:]
        assert [(one["revision"], one["kind"]) for one in entries] == [(each, "stamp") for each in expected]
        recorded += len(entries)


def test_a_stamp_of_an_unrecorded_database_records_every_revision(sqlite):
    report = api.stamp(sqlite, HEAD, force=True)
    assert [step.revision for step in report.applied] == list(load().ids)
    assert len(api.history(sqlite)) == len(load().ids)


def test_a_forced_stamp_is_recorded_as_forced(database):
    api.stamp(database, "20251226000000", force=True)
    assert {entry["forced"] for entry in api.history(database)} <= {True}
    assert api.status(database).revision == "20251226000000"
