"""What `init` prints for a repository in Elixir, put where it says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from diwa_schema.database.url import parse
from diwa_schema.repository.ecto_tasks import TASKS
from diwa_schema.repository.init import MIX, plan
from tests.fixtures_checkout import run

from .checkouts import Checkout
from .mix import ALIASES, MIX_FILE, REPOSITORY, configuration


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


def mix(checkout, *arguments, **variables):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return run(["mix", *arguments], cwd=checkout.root, env={"PATH": path, "LC_ALL": "C.UTF-8", **variables})


def test_what_is_printed_is_all_that_is_missing(elixir):
    before = (elixir.root / MIX).read_text()
    notes = "\n".join(plan(elixir.root).notes)
    assert (elixir.root / MIX).read_text() == before
    for task in TASKS:
        assert f'"{task}": &diwa_schema("{task}", &1),' in notes
    follow(elixir)
    assert not [note for note in plan(elixir.root).notes if note.startswith(MIX)]


@pytest.mark.skipif(not shutil.which("mix"), reason="Elixir is not installed")
def test_mix_itself_hands_on_what_it_was_asked(elixir, cli, postgres):
    follow(elixir)
    parts = dict(parse(postgres).parameters)
    name, password = parts["dbname"], "p@:/ß %"
    elixir.write("lib/repo.ex", REPOSITORY)
    elixir.write(
        "config/config.exs",
        configuration(
            username=parts["user"],
            password=password,
            hostname=parts["host"],
            port=int(parts["port"]),
            database=name,
        ),
    )
    assert mix(elixir, "format", "--check-formatted", MIX).returncode == 0

    blocked = mix(elixir, "ecto.migrate", "-r", "DiwaAgent.Repo", "--step", "1")
    assert (blocked.returncode, "[SAFETY BLOCK]" in blocked.stderr) == (3, True)
    assert f"/{name}" in blocked.stderr
    assert password not in blocked.stderr
    refused = mix(elixir, "ecto.migrate", "--pool-size", "2")
    assert (refused.returncode, "has no option --pool-size" in refused.stderr) == (2, True)

    for name in ("Nope", "nope", "Enum"):
        unknown = mix(elixir, "ecto.migrate", "-r", name)
        assert (unknown.returncode, unknown.stdout.splitlines()[2:]) == (2, [])
        assert unknown.stderr.strip().startswith("** (Mix) ")
        assert f"'{name}' is not a repository of Ecto" in unknown.stderr
        assert len(unknown.stderr.strip().splitlines()) == 1

    # As Phoenix writes it into the alias of `mix test`.
    migrated = mix(elixir, "ecto.migrate", "--quiet", MIX_ENV="test")
    assert (migrated.returncode, migrated.stdout.splitlines()[2:]) == (0, []), migrated.stderr
    assert "nothing to do" in mix(elixir, "ecto.migrations", MIX_ENV="test").stdout
