"""What `init` adds to a repository in Elixir."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from diwa_schema.repository.init import MIX, PYPROJECT, apply, plan

from .checkouts import Checkout
from .mix import ALIASES, MIX_FILE


@pytest.fixture
def elixir(tmp_path):
    made = Checkout(tmp_path / "agent", "")
    made.write(MIX, MIX_FILE)
    return made


@pytest.mark.parametrize(
    "aliases", ["", ALIASES, ALIASES.replace('"ecto.setup": ["ecto.create", "ecto.migrate"]', "")]
)
def test_mix_gets_aliases_that_call_the_command(elixir, aliases):
    if aliases:
        wanted = MIX_FILE.replace('"0.1.0"', '"0.1.0",\n      aliases: aliases()')
        elixir.write(MIX, wanted.removesuffix("end\n") + aliases)
    apply(plan(elixir.root))
    text = (elixir.root / MIX).read_text()
    for task, command in {
        "ecto.migrate": "upgrade",
        "ecto.rollback": "rollback",
        "ecto.drop": "drop",
    }.items():
        assert text.count(f'"{task}": &diwa_schema(["{command}" | &1])') == 1
    assert text.count("aliases: aliases()") == 1
    assert text.count("defp aliases do") == 1
    assert text.count("defp diwa_schema(arguments) do") == 1
    assert tomllib.loads((elixir.root / PYPROJECT).read_text()) == {
        "tool": {"diwa-schema": {"repo": "diwa-agent"}}
    }
    assert not plan(elixir.root).additions


@pytest.mark.skipif(not shutil.which("mix"), reason="Elixir is not installed")
@pytest.mark.parametrize("aliases", ["", ALIASES])
def test_mix_itself_shows_the_same_text_and_exit_code(elixir, cli, aliases):
    if aliases:
        wanted = MIX_FILE.replace('"0.1.0"', '"0.1.0",\n      aliases: aliases()')
        elixir.write(MIX, wanted.removesuffix("end\n") + aliases)
    apply(plan(elixir.root))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    url = "postgresql://u@127.0.0.1:1/x"
    for task, command in (("ecto.migrate", "upgrade"), ("ecto.rollback", "rollback"), ("ecto.drop", "drop")):
        mix = subprocess.run(
            ["mix", task, "--url", url],
            cwd=elixir.root,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )
        plain = cli(command, "--repo", "diwa-agent", "--url", url, cwd=elixir.root, check=3)
        assert (mix.returncode, mix.stderr) == (3, plain.stderr)
    formatted = subprocess.run(["mix", "format", "--check-formatted", MIX], cwd=elixir.root, check=False)
    assert formatted.returncode == 0


@pytest.mark.parametrize(
    "mix",
    [
        MIX_FILE.replace('"0.1.0"', '"0.1.0",\n      aliases: ["ecto.migrate": "cmd true"]'),
        MIX_FILE.replace('"0.1.0"', '"0.1.0",\n      aliases: Shared.aliases()'),
        "app = [app: :diwa_agent]\n",
    ],
)
def test_aliases_in_another_form_are_left_to_a_person(elixir, mix):
    elixir.write(MIX, mix)
    wanted = plan(elixir.root)
    assert MIX not in [addition.path for addition in wanted.additions]
    assert any(note.startswith(f"{MIX}, by hand: ") and "diwa_schema" in note for note in wanted.notes)
