"""An interruption tells what has happened at its moment: nothing, a step that was rolled back, or a complete change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from diwa_schema.database.lock import keys
from diwa_schema.migrations.manifest import load
from tests.run.asking import execute, value
from tests.run.launcher import Child, Launcher

IDS = load().ids
(BUILDS,) = (one.revision for one in load() if one.slug == "one_plan_per_context")
AGAIN, RESUMES = "Run the command again.", "Run the command again; it resumes where this run stopped."
NOTHING = "Nothing was changed."


def ended(run: Child, number: signal.Signals = signal.SIGTERM) -> tuple[str, str, str]:
    """Interrupt a run and return what, untouched and next step of its document."""
    os.kill(run.pid, number)
    done = run.wait()
    assert done.code == 128 + number, done.err
    assert "Traceback" not in done.err
    document = json.loads(done.out)
    return document["what"], document["untouched"], document["next_step"]


@pytest.fixture
def at_moment(
    launcher: Launcher, new_database: Callable[..., str], head_template: str
) -> Callable[..., tuple[str, str, str]]:
    """What interrupts a command of a database at head before a statement, and returns what it says."""

    def interrupt(words: list[str], match: str, before: str = "", at: int = 1) -> tuple[str, str, str]:
        url = new_database(head_template)
        if before:
            execute(url, before)
        run = launcher.start(*words, "--json", "--url", url, how="pause", match=match, at=at).pauses()
        return ended(run)

    return interrupt


def test_while_it_connects(launcher: Launcher):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:secret@127.0.0.1:{silent.getsockname()[1]}/d"
        run = launcher.start("upgrade", "--json", "--url", url)
        talk, _ = silent.accept()
        what, untouched, following = ended(run)
        talk.close()
    assert (what, untouched, following) == (
        "Interrupted by SIGTERM before the run changed anything.",
        NOTHING,
        AGAIN,
    )


@pytest.mark.parametrize(
    "words", [["upgrade"], ["downgrade", "-1"], ["stamp", IDS[-2], "--force"]], ids=lambda one: one[0]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_it_waits_for_the_lock(
    launcher: Launcher,
    new_database: Callable[..., str],
    head_template: str,
    words: list[str],
    number: signal.Signals,
):
    url = new_database() if words == ["upgrade"] else new_database(head_template)
    with psycopg.connect(url, autocommit=True, application_name="somebody") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (keys("public")[0],))
        run = launcher.start(*words, "--json", "--url", url).says("waiting for the migration lock")
        what, untouched, following = ended(run, number)
    assert "while waiting for the migration lock, held by pid" in what
    assert "application 'somebody'" in what
    assert untouched == NOTHING
    assert following.startswith(
        "Let that run end, then run the command again. To see it, run: diwa-schema status"
    )


def test_while_it_waits_for_the_lock_of_a_file(launcher: Launcher, head_file: Path, tmp_path: Path):
    url = f"sqlite:///{shutil.copy(head_file, tmp_path / 'head.db')}"
    first = launcher.start(
        "downgrade", "-1", "--url", url, how="pause", match="BEGIN IMMEDIATE", at=1
    ).pauses()
    second = launcher.start("downgrade", "-1", "--json", "--url", url).says("waiting for the migration lock")
    what, untouched, _ = ended(second)
    assert "while waiting for the migration lock" in what
    assert untouched == NOTHING
    first.go().wait()


INSERT = 'INSERT INTO "public"."diwa_schema_ledger"'
PROOF = r'^SELECT .* count\(\*\) FROM "public"."diwa_schema_ledger" WHERE run_id'


@pytest.mark.parametrize(
    ("words", "match", "told"),
    [
        pytest.param(
            ["stamp", IDS[-2], "--force"],
            INSERT,
            ("in its only transaction", "The run rolled it back: nothing was changed.", AGAIN),
            id="in the transaction of a stamp",
        ),
        pytest.param(
            ["stamp", IDS[-2], "--force"],
            PROOF,
            ("after the last change", "The change is complete.", "Run: diwa-schema status"),
            id="after the commit",
        ),
        pytest.param(
            ["validate"],
            "VALIDATE CONSTRAINT",
            ("in its work", "The finished parts stay, and the same command finishes the work.", AGAIN),
            id="in pieces",
        ),
    ],
)
def test_at_work(
    at_moment: Callable[..., tuple[str, str, str]], words: list[str], match: str, told: tuple[str, str, str]
):
    dropped = "ALTER TABLE tasks DROP CONSTRAINT tasks_status_check"
    what, untouched, following = at_moment(words, match, dropped if words == ["validate"] else "")
    during, effect, command = told
    assert what.startswith(f"Interrupted by SIGTERM {during}")
    assert untouched.startswith(effect)
    assert following.startswith(command)


def test_in_a_build_beside_the_traffic_and_in_a_copy(launcher: Launcher, new_database: Callable[..., str]):
    url = new_database()
    run = launcher.start(
        "upgrade",
        "--replay",
        "--json",
        "--url",
        url,
        how="pause",
        match="CREATE UNIQUE INDEX CONCURRENTLY",
        at=1,
    ).pauses()
    what, untouched, following = ended(run)
    inside = value(url, "SELECT revision FROM diwa_schema_ledger ORDER BY id DESC LIMIT 1")
    assert f"in revision {inside} (" in what
    done = value(url, "SELECT count(*) FROM diwa_schema_ledger WHERE outcome = 'applied'")
    assert untouched == (
        f"The finished parts of the revision stay, and the next run finishes it. {done} revisions stay applied."
    )
    assert following == RESUMES
    assert launcher.run("upgrade", "--url", url).code == 0
    target = new_database()
    words = ["fleet", "copy", url, target, "--no-roles", "--json"]
    run = launcher.start(*words, how="pause", match="^ANALYZE", at=1).pauses()
    what, untouched, following = ended(run)
    assert (what, untouched, following) == (
        "Interrupted by SIGTERM in its only transaction.",
        "The run rolled it back: nothing was changed.",
        AGAIN,
    )
    assert value(target, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
