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
    text = (elixir.root / MIX).read_text()
    elixir.write(MIX, text.replace("Path.expand(path)", "path"))
    (note,) = [note for note in plan(elixir.root).notes if note.startswith(MIX)]
    assert "write these functions in place of" in note
    assert "Path.expand(path)" in note


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


PROBE = """\
  defp urls([path]) do
    {asked, _} = Code.eval_file(path)

    for {adapter, config} <- asked do
      IO.puts(
        try do
          database_url(adapter, DiwaAgent.Repo, config)
        rescue
          error in Mix.Error -> "refused: " <> error.message
        end
      )
    end
  end
"""
POSTGRES, LITE, PASSWORD = "Ecto.Adapters.Postgres", "Ecto.Adapters.SQLite3", "p@:/ß %"
LOGIN = {"user": "ada", "password": PASSWORD}
# The configuration of a repository of Ecto, and what libpq is told, or the refusal.
CONFIGURATIONS = {
    'username: "ada", password: "p@:/ß %", database: "a b"': {
        **LOGIN,
        "host": "pg",
        "port": "7",
        "dbname": "a b",
    },
    # libpq would take the first part of a login for the user, and show it.
    'password: "p@:/ß %", database: "a"': {"password": PASSWORD, "host": "pg", "port": "7", "dbname": "a"},
    # libpq would take the database with the name of the user.
    'username: "ada", password: "x"': "lacks :database",
    'username: "ada", database: ""': "lacks :database",
    'hostname: "b", port: 8, database: "a"': {"host": "b", "port": "8", "dbname": "a"},
    'hostname: "b", socket_dir: "/run/pg", database: "a"': {"host": "/run/pg", "port": "7", "dbname": "a"},
    'hostname: "b", socket: "/run/pg/.s.PGSQL.9", database: "a"': {
        "host": "/run/pg",
        "port": "9",
        "dbname": "a",
    },
    'endpoints: [{"b", 1}, {"c", 2}], database: "a"': {"host": "b,c", "port": "1,2", "dbname": "a"},
    'database: "a", ssl: true': {"host": "pg", "port": "7", "dbname": "a", "sslmode": "require"},
    'database: "a", ssl: [cacertfile: "/c a", certfile: "/b", keyfile: "/k"]': {
        "host": "pg",
        "port": "7",
        "dbname": "a",
        "sslmode": "verify-full",
        "sslrootcert": "/c a",
        "sslcert": "/b",
        "sslkey": "/k",
    },
    'database: "a", ssl: true, ssl_opts: [verify: :verify_none, cacertfile: "/c"]': {
        "host": "pg",
        "port": "7",
        "dbname": "a",
        "sslmode": "require",
    },
}
FILES = {
    'database: "/a b?c#d%20.db"': Path("/a b?c#d%20.db"),
    'database: ":memory:"': "in memory",
    "database: nil": "lacks :database",
}


@pytest.mark.skipif(not shutil.which("mix"), reason="Elixir is not installed")
def test_the_database_is_that_of_the_application(elixir):
    follow(elixir)
    text = (elixir.root / MIX).read_text().replace('"ecto.migrate"]', '"ecto.migrate"],\n      urls: &urls/1')
    elixir.write(MIX, f"{text.rstrip().removesuffix('end')}\n{PROBE}end\n")
    asked = [
        *((POSTGRES, config) for config in CONFIGURATIONS),
        *((LITE, config) for config in FILES),
        ("Ecto.Adapters.MyXQL", 'database: "a"'),
    ]
    elixir.write("asked.exs", f"[{', '.join(f'{{{adapter}, [{config}]}}' for adapter, config in asked)}]")
    told = mix(elixir, "urls", "asked.exs", PGHOST="pg", PGPORT="7", PGDATABASE="")
    assert told.returncode == 0, told.stderr
    expected = [*CONFIGURATIONS.values(), *FILES.values(), "Ecto.Adapters.MyXQL"]
    for line, right, (_, config) in zip(told.stdout.splitlines(), expected, asked, strict=True):
        if isinstance(right, str):
            assert line.startswith("refused: "), config
            assert right in line, config
        elif isinstance(right, Path):
            assert parse(line).file == str(right), config
        else:
            assert dict(parse(line).parameters) == right, config
