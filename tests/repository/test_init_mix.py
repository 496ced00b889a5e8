"""What `init` prints for a repository in Elixir, put where it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diwa_schema.repository.init import MIX, plan

from .checkouts import Checkout
from .mix import ALIASES, MIX_FILE

TASKS = (("ecto.migrate", "upgrade"), ("ecto.rollback", "rollback"), ("ecto.drop", "drop"))
URL = "postgresql://u@127.0.0.1:1/x"


@pytest.fixture
def elixir(tmp_path):
    made = Checkout(tmp_path / "agent", "")
    made.write(
        MIX, MIX_FILE.replace('"0.1.0"', '"0.1.0",\n      aliases: aliases()').removesuffix("end\n") + ALIASES
    )
    return made


def follow(checkout):
    """Do what the notes say, as a person would."""
    aliases, function = (note for note in plan(checkout.root).notes if note.startswith(MIX))
    assert "add at the start of the list of aliases" in aliases
    assert "add before the last `end` of the module" in function
    listed, called = (note.partition(":\n\n")[2] for note in (aliases, function))
    text = (checkout.root / MIX).read_text()
    text = text.replace("  defp aliases do\n    [\n", f"  defp aliases do\n    [\n{listed}")
    checkout.write(MIX, f"{text.rstrip().removesuffix('end')}\n{called}end\n")


def mix(checkout, *arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["mix", *arguments],
        cwd=checkout.root,
        env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_printed_is_all_that_is_missing(elixir):
    before = (elixir.root / MIX).read_text()
    notes = "\n".join(plan(elixir.root).notes)
    assert (elixir.root / MIX).read_text() == before
    for task, command in TASKS:
        assert f'"{task}": &diwa_schema("{command}", &1),' in notes
    follow(elixir)
    assert not [note for note in plan(elixir.root).notes if note.startswith(MIX)]


@pytest.mark.skipif(not shutil.which("mix"), reason="Elixir is not installed")
class TestMixItself:
    def test_it_shows_the_same_text_and_exit_code(self, elixir, cli, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", URL)
        follow(elixir)
        for task, command in TASKS:
            done = mix(elixir, task)
            plain = cli(command, "--repo", "diwa-agent", cwd=elixir.root, check=3)
            assert (done.returncode, done.stderr) == (3, plain.stderr)
        assert mix(elixir, "format", "--check-formatted", MIX).returncode == 0

    @pytest.mark.parametrize(
        "options", [["--all"], ["--step", "1"], ["-n", "1"], ["--to", "20260101000000"], ["--quiet", "--all"]]
    )
    def test_ectos_own_options_are_not_handed_on(self, elixir, monkeypatch, options):
        monkeypatch.setenv("DATABASE_URL", URL)
        follow(elixir)
        done = mix(elixir, "ecto.migrate", *options)
        assert done.returncode == 2
        assert "Ecto's options are not handed on" in done.stderr
        assert "python3 -m diwa_schema upgrade --help" in done.stderr
        assert "SAFETY BLOCK" not in done.stderr

    def test_the_test_alias_of_phoenix_still_works(self, elixir, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", URL)
        follow(elixir)
        assert "[SAFETY BLOCK]" in mix(elixir, "ecto.migrate", "--quiet").stderr
