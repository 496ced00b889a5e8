"""A writer like Ecto leaves out what the database fills, on a connection that it keeps, while the database learns it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from diwa_schema import api
from diwa_schema.migrations.manifest import load
from tests.kit.postgrex import Repo, ServerError
from tests.kit.rules import CONTEXT, GROUND
from tests.run.asking import execute, value
from tests.run.launcher import Launcher

pytestmark = pytest.mark.usefixtures("owner_directory")

(BEFORE,) = [str(one.down_revision) for one in load() if one.slug == "numbered_versions"]
(AFTER,) = [one.revision for one in load() if one.slug == "organization_slugs"]
LOCKED = "55P03"
NOW = datetime.fromisoformat("2026-03-26T09:00:00")
MEMORY = UUID("00000000-0000-4000-8000-0000000000aa")


class Writer:
    """Inserts as Ecto does: ids from the client, whole seconds, and only the columns that its models know.

    Args:
        url: The database.
    """

    def __init__(self, url: str) -> None:
        self.repo = Repo(f"{url}?options=-clock_timeout%3D100ms")
        self.written = dict.fromkeys(("organizations", "usage_records", "memory_versions"), 0)

    def work(self) -> None:
        at = NOW + timedelta(seconds=sum(self.written.values()))
        self._insert("organizations", at, name="Acme")
        self._insert(
            "usage_records",
            at,
            context_id=UUID(CONTEXT).bytes,
            provider="p",
            model="m",
            operation="embed",
            total_tokens=0,
        )
        self._insert("memory_versions", at, memory_id=MEMORY.bytes, content="c", operation="update")

    def _insert(self, table: str, at: datetime, **values: object) -> None:
        row = {"id": uuid4().bytes, **values, "inserted_at": at, "updated_at": at}
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        try:
            self.repo.query(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', *row.values())
        except ServerError as error:
            # A run that is made to stand still while it has the table; nothing else may fail.
            if error.code != LOCKED:
                raise
        else:
            self.written[table] += 1


def test_a_writer_that_leaves_it_out_goes_on_before_during_and_after(postgres: str, launcher: Launcher):
    api.migrate(postgres, BEFORE, repo="diwa-cloud")
    execute(
        postgres,
        *GROUND,
        "INSERT INTO memories (id, context_id, content, inserted_at, updated_at)"
        f" VALUES ('{MEMORY}', '{CONTEXT}', 'c', now(), now())",
    )
    writer = Writer(postgres)
    with writer.repo:
        writer.work()
        child = launcher.start("upgrade", AFTER, "--url", postgres, how="step")
        for _ in child.steps():
            writer.work()
        assert child.wait().code == 0
        writer.work()
    assert min(writer.written.values()) > 20
    organizations, versions = writer.written["organizations"], writer.written["memory_versions"]
    acme = "SELECT count(DISTINCT slug) FROM organizations WHERE name = 'Acme' AND slug ~ '^acme(-.+)?$'"
    assert value(postgres, acme) == organizations
    assert value(postgres, "SELECT count(*) FROM usage_records WHERE organization_id IS NULL") == 0
    numbers = "SELECT array_agg(version_number ORDER BY inserted_at) FROM memory_versions"
    assert value(postgres, numbers) == list(range(1, versions + 1))
    execute(postgres, f"DELETE FROM contexts WHERE id = '{CONTEXT}'")
    assert value(postgres, "SELECT count(*) FROM usage_records") >= writer.written["usage_records"]
