"""A scene for each error: it makes the error in a real run and returns what was printed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy import create_engine

import diwa_schema
from diwa_schema import api
from diwa_schema.database import lock
from diwa_schema.database.target import Target
from tests.kit import shapes
from tests.pages.stage import Stage

Scene = Callable[[Stage], str]


def out_of_date(stage: Stage) -> str:
    url = stage.file(like=stage.older)
    return stage.call(f'ensure_current("{url}")', lambda: diwa_schema.ensure_current(url))


def empty(stage: Stage) -> str:
    url = stage.file()
    return stage.call(f'ensure_current("{url}")', lambda: diwa_schema.ensure_current(url))


def drift(stage: Stage) -> str:
    url = stage.file("DROP TABLE tasks", like=stage.head)
    return stage.call(f'ensure_current("{url}")', lambda: diwa_schema.ensure_current(url))


def usage(stage: Stage) -> str:
    return stage.command("upgrade --to 20260228010000")


def no_database(stage: Stage) -> str:
    return stage.command("status")


def invalid(stage: Stage) -> str:
    return stage.command("status --url mysql://db/diwa")


def unknown_revision(stage: Stage) -> str:
    return stage.command(f"upgrade 2099 --url {stage.file(like=stage.head)}")


def in_use(stage: Stage) -> str:
    engine = create_engine(stage.file(like=stage.head))
    with engine.connect() as connection, connection.begin():
        said = stage.call("migrate(connection)", lambda: diwa_schema.migrate(connection))
    engine.dispose()
    return said


def blocked(stage: Stage) -> str:
    with stage.patch.context() as context:
        context.chdir(stage.folder / "diwa-agent")
        return stage.command("upgrade --url postgresql://owner@db/diwa")


def unreachable(stage: Stage) -> str:
    return stage.command("status --url postgresql://owner@127.0.0.1:1/diwa")


def file_locked(stage: Stage) -> str:
    url = stage.file(like=stage.head)
    with closing(sqlite3.connect("app.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        return stage.command(f"status --url '{url}?timeout=0.1'")


def lock_busy(stage: Stage) -> str:
    url = stage.file()
    held = lock.acquire(Target.of(url), "main", 0, print)
    try:
        return stage.command(f"upgrade --lock-wait 0 --url {url}")
    finally:
        held.release()


def lock_lost(stage: Stage) -> str:
    """The run that holds the lock looks at it before each change: here, after somebody has replaced its file."""
    url = stage.file()
    held = lock.acquire(Target.of(url), "main", 0, print)
    (path,) = Path().glob("*.migration-lock")
    path.unlink()
    path.touch()
    try:
        return stage.call(f'migrate("{url}")', held.prove)
    finally:
        held.release()
        path.unlink(missing_ok=True)


def failed(stage: Stage) -> str:
    url = stage.file(like=stage.older)
    with closing(sqlite3.connect("app.db")) as connection, connection:
        connection.execute("CREATE VIEW idempotency_log AS SELECT 1")
    return stage.command(f"upgrade +1 --url {url}")


def bug(stage: Stage) -> str:
    def fail(**_: object) -> None:
        raise ValueError("something that nobody expected")

    with stage.patch.context() as context:
        context.setattr(api, "status", fail)
        return stage.command("status --url sqlite:///app.db")


def no_database_file(stage: Stage) -> str:
    Path("notes.txt").write_text("not a database, but long enough to look like one" * 20)
    return stage.command("upgrade --url sqlite:///notes.txt")


def tampered(stage: Stage) -> str:
    url = stage.file(
        "UPDATE diwa_schema_ledger SET checksum = 'other' WHERE revision = '20251227042000'", like=stage.head
    )
    return stage.command(f"upgrade --url {url}")


def foreign(stage: Stage) -> str:
    return stage.command(f"upgrade --url {stage.file('CREATE TABLE memories (id integer)')}")


def too_new(stage: Stage) -> str:
    url = stage.file(
        "UPDATE diwa_schema_version SET version_num = '99990101000000', floor = '99990101000000'",
        like=stage.head,
    )
    return stage.command(f"upgrade --url {url}")


def not_adopted(stage: Stage) -> str:
    Path("app.db").unlink(missing_ok=True)
    shapes.write("sqlite:///app.db", shapes.SHAPES["head_fresh"], rows=False)
    return stage.command("upgrade --url sqlite:///app.db")


def protected(stage: Stage) -> str:
    url = stage.file(like=stage.head)
    api.protect(url)
    return stage.command(
        f"downgrade --repo diwa-agent --url {url}", variables={"ALLOW_CORE_MIGRATION": "true"}
    )


def read_only(stage: Stage) -> str:
    stage.file(like=stage.older)
    return stage.command("upgrade --url 'sqlite:///file:app.db?mode=ro&uri=true'")


def loss(stage: Stage) -> str:
    row = "('00000000-0000-4000-8000-000000000001', 'Acme', 'acme', '2026-02-28 23:00:00', '2026-02-28 23:00:00')"
    url = stage.file(
        f"INSERT INTO organizations (id, name, slug, inserted_at, updated_at) VALUES {row}", like=stage.head
    )
    return stage.command(f"drop --url {url}")


SCENES: dict[str, tuple[Scene, ...]] = {
    "SchemaOutOfDate": (out_of_date,),
    "SchemaEmpty": (empty,),
    "DriftFound": (drift,),
    "UsageError": (usage, loss),
    "NoDatabase": (no_database,),
    "InvalidDatabase": (invalid,),
    "UnknownRevision": (unknown_revision,),
    "ConnectionInUse": (in_use,),
    "Blocked": (blocked,),
    "DatabaseUnreachable": (unreachable,),
    "LockNotObtained": (file_locked,),
    "MigrationLockBusy": (lock_busy,),
    "DiwaSchemaError": (bug,),
    "MigrationFailed": (failed,),
    "MigrationLockLost": (lock_lost,),
    "DatabaseRefused": (no_database_file,),
    "SchemaTampered": (tampered,),
    "SchemaForeign": (foreign,),
    "SchemaTooNew": (too_new,),
    "NotAdopted": (not_adopted,),
    "DatabaseProtected": (protected,),
    "DatabaseReadOnly": (read_only,),
}


def table_busy(stage: Stage, url: str) -> str:
    name = url.rpartition("/")[2]
    with psycopg.connect(url, application_name="memory-service") as application:
        application.execute("SELECT FROM usage_records")
        return stage.command(f"drop --confirm {name} --lock-budget 1 --url {url}")


def no_right(stage: Stage, url: str) -> str:
    return stage.command(f"downgrade -1 --url '{url}?options=-crole%3Dpg_read_all_data'")


SERVER_SCENES: dict[str, Callable[[Stage, str], str]] = {
    "TableLockBusy": table_busy,
    "PermissionMissing": no_right,
}

# Why there is no run of an error here; the page shows its message from the source.
UNSTAGED = {
    "CheckFailed": "Only the commands of a contributor end with it, in a checkout of diwa-schema.",
    "ApplicationStalled": "The run stops within milliseconds of the wait.",
    "NotPersisted": "A proxy between the run and the server has to lose a commit.",
    "ReleaseConnected": "No released revision is a contract yet.",
    "TransactionPooler": "It needs PgBouncer in transaction mode.",
}
