"""In the middle of a revision nothing advises to drop the revision's own objects: the run goes on, or the next one does."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

import diwa_schema
from diwa_schema.migrations.manifest import load
from tests.fixtures_server import Server
from tests.run import seeds
from tests.run.asking import execute
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


def bytes_instead_of_vectors(url: str) -> None:
    for table in ("memories", "embedding_cache"):
        execute(url, f"ALTER TABLE {table} ALTER COLUMN embedding TYPE bytea USING NULL")


@pytest.mark.parametrize(
    ("words", "before", "statement"),
    [
        pytest.param(
            ["enable-vector"], bytes_instead_of_vectors, r"embedding_cache\W+ ADD COLUMN", id="enable-vector"
        ),
        pytest.param(
            ["disable-vector"], lambda _: None, r"embedding_cache\W+ ADD COLUMN", id="disable-vector"
        ),
        pytest.param(
            ["index", "enable", "memories_embedding_idx"],
            lambda _: None,
            "CREATE INDEX CONCURRENTLY",
            id="index",
        ),
        pytest.param(
            ["validate"],
            lambda url: execute(url, "ALTER TABLE tasks DROP CONSTRAINT tasks_status_check"),
            "VALIDATE CONSTRAINT",
            id="validate",
        ),
        pytest.param(  # everything is done but the record of it
            ["validate"],
            lambda url: execute(url, "ALTER TABLE tasks DROP CONSTRAINT tasks_status_check"),
            "SET outcome = 'applied'",
            id="validate-before-the-record",
        ),
    ],
)
def test_a_killed_change_without_a_revision_leaves_its_start(
    launcher: Launcher,
    server: Server,
    new_database: Callable[..., str],
    head_template: str,
    words: list[str],
    before: Callable[[str], object],
    statement: str,
):
    if not server.has_vector:
        pytest.skip("this server does not have pgvector")
    url = new_database(head_template)
    before(url)
    # Before the second table: the first one is whole, and no object of a step is there.
    assert launcher.run(*words, "--url", url, match=statement, at=1).code == KILLED
    again = " ".join(words).replace("memories_embedding_idx", "NAME")
    (found,) = (each for each in diwa_schema.doctor(url) if each.code == "revision-unfinished")
    assert f"a run was interrupted in {again.removesuffix(' NAME')}, begun at" in found.reason.lower()
    assert f"diwa-schema {again}" in found.command
    assert any(each.kind == "revision" for each in diwa_schema.check(url))
    assert [one["kind"] for one in diwa_schema.status(url).unfinished] == [
        diwa_schema.history(url)[-1]["kind"]
    ]
    stopped = launcher.run("status", "--url", url).out
    assert "it did not finish; the same command continues there" in stopped
    resumed = launcher.run(*words, "--url", url)
    assert resumed.code == 0, resumed.err
    assert "inside its work" in resumed.err
    assert diwa_schema.check(url) == []
    assert [one["outcome"] for one in diwa_schema.history(url)[-2:]] == ["interrupted", "applied"]
    assert "revision-unfinished" not in {each.code for each in diwa_schema.doctor(url)}
