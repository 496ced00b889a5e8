"""In the middle of a revision nothing advises to drop the revision's own objects: the run goes on, or the next one does."""

from __future__ import annotations

import psycopg
import pytest

import diwa_schema
from diwa_schema.migrations.manifest import load
from tests.fixtures_server import Server
from tests.run import seeds
from tests.run.launcher import KILLED, Launcher

pytestmark = pytest.mark.usefixtures("owner_directory")

RETYPE = ("20260228010000", r"UPDATE .*embedding_retyped", "trigger diwa_schema_note of memories")
INHERIT = ("20260307000000", r"VALIDATE CONSTRAINT", "column organization_id of memories")


def begin(launcher: Launcher, url: str, revision: str) -> None:
    down = load().get(revision).down_revision
    assert down is not None
    assert launcher.run("upgrade", down, "--url", url, "--replay").code == 0
    seeds.fill(url, 60)


def told(url: str) -> str:
    """Return what `check` says, which is one difference, and assert that no statement is offered anywhere."""
    (one,) = (each for each in diwa_schema.check(url) if each.severity == "drift")
    assert (one.kind, one.statement, one.losing) == ("revision", "", "")
    drops = [each for each in diwa_schema.doctor(url) if "DROP" in each.command or "REINDEX" in each.command]
    assert drops == []
    (found,) = (each for each in diwa_schema.doctor(url) if each.code == "revision-unfinished")
    assert found.command == one.fix.caution
    assert "drift" not in {each.code for each in diwa_schema.doctor(url)}
    return f"{one.text}. {one.fix.caution}"


@pytest.mark.parametrize("which", [RETYPE, INHERIT], ids=["retype", "inherited"])
def test_an_interrupted_revision_is_named_with_its_objects(
    launcher: Launcher, server: Server, postgres: str, which: tuple[str, str, str]
):
    if not server.has_vector:
        pytest.skip("this server does not have pgvector")
    revision, statement, part = which
    begin(launcher, postgres, revision)
    active = launcher.start(
        "upgrade", revision, "--url", postgres, how="pause", match=statement, at=1
    ).pauses()
    said = told(postgres)
    assert f"a run is active in revision {revision}" in said
    assert part in said
    assert "Wait for the run to end" in said
    active.go().wait()
    assert diwa_schema.check(postgres) == []


def test_a_killed_one_offers_the_next_run(launcher: Launcher, server: Server, postgres: str):
    if not server.has_vector:
        pytest.skip("this server does not have pgvector")
    revision, statement, _ = RETYPE
    begin(launcher, postgres, revision)
    assert launcher.run("upgrade", revision, "--url", postgres, match=statement, at=1).code == KILLED
    with psycopg.connect(postgres, autocommit=True) as other:
        other.execute("DROP INDEX tasks_status_index")
    others = [each for each in diwa_schema.check(postgres) if each.kind != "revision"]
    assert [each.object for each in others] == ["tasks_status_index"]
    with psycopg.connect(postgres, autocommit=True) as other:
        other.execute("CREATE INDEX tasks_status_index ON tasks (status)")
    said = told(postgres)
    assert f"a run was interrupted in revision {revision}" in said
    assert "diwa-schema upgrade" in said
    assert launcher.run("upgrade", revision, "--url", postgres).code == 0
    assert diwa_schema.check(postgres) == []
