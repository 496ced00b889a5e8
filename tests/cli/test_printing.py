"""A result that cannot be printed says nothing about the database: what was done is told, and is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import diwa_schema
from diwa_schema.cli import inspect
from diwa_schema.migrations.manifest import load
from diwa_schema.run.plan import Plan

pytestmark = pytest.mark.usefixtures("owner_directory")

FULL = Path("/dev/full")
COMMAND = [sys.executable, "-m", "diwa_schema"]


def revision(url: str) -> str:
    return str(diwa_schema.status(url).revision)


def process(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, text=True, **options)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk(sqlite, options):
    with FULL.open("w") as full:
        done = process(
            [*COMMAND, "upgrade", *options, "--url", sqlite],
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert revision(sqlite) != "None"
    assert done.returncode == 0
    assert "could not be printed: [Errno 28] No space left on device" in done.stderr
    assert f"base -> {revision(sqlite)}" in done.stderr
    assert "rolled back" not in done.stderr


def test_a_result_that_cannot_be_printed_is_not_there(sqlite):
    with FULL.open("w") as full:
        done = process([*COMMAND, "history"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "could not be printed" in done.stderr


def test_a_closed_pipe(sqlite):
    words = " ".join([*COMMAND, "upgrade", "--url", sqlite])
    done = process(
        ["bash", "-c", f"{words} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
    )
    assert f"base -> {revision(sqlite)}" in done.stderr
    assert "rolled back" not in done.stderr
    assert done.returncode == 0
    done = process(
        ["bash", "-c", f"{' '.join(COMMAND)} history | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
    )
    assert (done.returncode, done.stderr) in ((141, ""), (0, ""))


def test_a_run_goes_on_where_nobody_hears_of_its_progress(sqlite):
    with FULL.open("w") as full:
        done = process(
            [*COMMAND, "upgrade", "--replay", "--url", sqlite],
            stderr=full,
            stdout=subprocess.PIPE,
        )
    assert done.returncode == 0
    assert revision(sqlite) in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_the_shell_has_closed(sqlite, closed):
    done = process(
        ["bash", "-c", f"{' '.join(COMMAND)} upgrade --url {sqlite} {closed}"],
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert revision(sqlite) != "None"


@pytest.mark.parametrize("command", ["upgrade", "status"])
def test_a_terminal_that_knows_ascii_only(tmp_path, command):
    url = f"sqlite:///{tmp_path}/kärnten.db"
    diwa_schema.migrate(url)
    done = process(
        [*COMMAND, command, "--url", url],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "k\\xe4rnten.db" in done.stdout


def test_a_plan_says_where_there_is_no_way_back():
    last = load().get(load().head)
    plan = Plan("upgrade", last.down_revision, last.revision, (last._replace(irreversible="it merges rows"),))
    assert "(NO WAY BACK: it merges rows)" in inspect._plan_lines(plan)[0]
    assert "NO WAY BACK" not in inspect._plan_lines(plan._replace(revisions=(last,)))[0]
