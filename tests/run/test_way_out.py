"""Every way out of a takeover is open: down to base, and a drop, from each shape that Ecto left, and in again."""

from __future__ import annotations

from pathlib import Path

import pytest

from diwa_schema import api
from diwa_schema.database import bookkeeping
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.run.losses import tables
from diwa_schema.run.session import Look
from tests.kit import shapes
from tests.sampling import sampled

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD = load().head
OURS = {"diwa_schema_version", "diwa_schema_ledger", "diwa_schema_releases", "schema_migrations"}
POSTGRESQL = ("agent_local", "both_marked_bytes", "head_organization_bytes", "stuck_31", "agent_v1")
LITE = ("agent_local", "both_marked", "head_organization", "agent_v1", "agent_release")
CASES = [
    *((name, False, "base") for name in POSTGRESQL),
    *((name, True, "base") for name in LITE),
    *((name, lite, "drop") for name in ("both_marked_bytes", "agent_v1") for lite in (False, True)),
    *((name, lite, "adopted to base") for name in ("agent_local", "agent_v1") for lite in (False, True)),
]


def left(url: str) -> set[str]:
    with Target.of(url).connect() as link:
        return set(tables(Look(link, bookkeeping.look(link)))) - OURS


def name_of(url: str) -> str:
    return Path(url.partition("?")[0]).name


def again(url: str) -> None:
    """Go up on what is left, and be taken over once more after Ecto has been there again."""
    assert left(url) == set()
    assert api.migrate(url).after == HEAD
    assert api.migrate(url).kind == "nothing"
    assert api.check(url) == []
    with Target.of(url).connect() as link:
        assert link.value("SELECT count(*) FROM tala_operations") == 0
        if link.rows("SELECT version FROM schema_migrations"):
            # The agent's first lineage stayed in the list, so that is about this schema again.
            with pytest.raises(Exception, match="kept by diwa-schema"):
                link.execute("DELETE FROM schema_migrations")


# Each way once on each kind of database.
ALWAYS = (
    ("agent_v1", False, "base"),
    ("head_organization_bytes", False, "base"),
    ("agent_local", True, "base"),
    ("both_marked_bytes", False, "drop"),
    ("agent_v1", True, "drop"),
    ("agent_local", False, "adopted to base"),
    ("agent_v1", True, "adopted to base"),
)


@pytest.mark.parametrize(("shape", "lite", "way"), sampled(CASES, *ALWAYS))
def test_every_shape_has_a_way_out(legacy, shape, lite, way):
    url = legacy(shape, lite=lite, rows=shape != "agent_release")
    api.adopt(url)
    if way != "adopted to base":
        assert api.migrate(url).after == HEAD

    def leave(confirm: str | None = None) -> None:
        if way == "drop":
            api.drop(url, confirm=confirm)
        else:
            api.downgrade(url, "base", confirm=confirm)

    if shape != "agent_release":
        with pytest.raises(UsageError, match="would be lost"):
            leave()
    leave(name_of(url))
    again(url)


@pytest.mark.parametrize("lite", [False, True])
def test_the_buffer_is_counted_before_it_is_lost(legacy, lite):
    url = legacy("agent_local", lite=lite)
    api.adopt(url)
    api.migrate(url)
    with Target.of(url).connect() as link:
        rows = link.value("SELECT count(*) FROM tala_operations")
        assert rows > 0
    with pytest.raises(UsageError, match=f"{rows} in tala_operations"):
        api.downgrade(url, "base")
    api.downgrade(url, str(shapes.FIRST_RELEASE), confirm=name_of(url))
    with Target.of(url).connect() as link:
        assert link.value("SELECT count(*) FROM tala_operations") == rows
        assert link.value("SELECT count(*) FROM idempotency_log") > 0
    assert api.migrate(url).after == HEAD
    with Target.of(url).connect() as link:
        assert link.value("SELECT count(*) FROM tala_operations") == rows


@pytest.mark.matrix
def test_ecto_may_begin_again_after_base_and_is_taken_over_again(legacy, postgres, server):
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    shapes.write(postgres, shapes.SHAPES["agent_local"], rows=False)
    api.adopt(postgres)
    api.migrate(postgres)
    api.downgrade(postgres, "base")
    with Target.of(postgres).connect() as link:
        assert link.rows("SELECT version FROM schema_migrations") == []
        link.execute("DROP TABLE schema_migrations")
        link.execute("DROP FUNCTION IF EXISTS uuid_generate_v4()")
    shapes.write(postgres, shapes.SHAPES["agent_local"])
    assert api.adopt(postgres).after == str(shapes.JANUARY)
    assert api.migrate(postgres).after == HEAD
    assert [one for one in api.check(postgres) if one.severity == "drift"] == []
