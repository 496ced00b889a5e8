"""The exported Ecto schemas compile, and say of each table what the models say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from diwa_schema.export import export
from diwa_schema.export.description import describe
from diwa_schema.export.ecto import EMBEDDINGS
from diwa_schema.migrations.manifest import load
from tests.fixtures_checkout import run

STUB = Path(__file__).parents[1] / "kit" / "elixir" / "ecto_schema.ex"
Made = tuple[str, str, list[list[str]]]
# Prints a line of a table, a line of each field, and one of each association, parted by tabs.
LIST = """
for {module, _} <- :code.all_available() |> Enum.map(fn {name, file, _} -> {List.to_atom(name), file} end),
    String.starts_with?(Atom.to_string(module), "Elixir.NAMESPACE."),
    Code.ensure_loaded?(module), function_exported?(module, :__schema__, 1) do
  source = module.__schema__(:source)
  IO.puts(Enum.join(["table", source, inspect(module)], "\\t"))
  for {name, type, options} <- module.__schema__(:fields) do
    shown = [inspect(type), inspect(options[:default]), inspect(!!options[:primary_key])]
    IO.puts(Enum.join(["field", source, name | shown], "\\t"))
  end
  for {kind, name, target, key} <- module.__schema__(:associations) do
    true = Code.ensure_loaded?(target)
    IO.puts(Enum.join([kind, source, name, target.__schema__(:source), key], "\\t"))
  end
end
"""


def compiled(folder: Path, namespace: str, **options: Any) -> list[list[str]]:
    """What the compiled modules say of themselves."""
    if shutil.which("elixirc") is None:
        pytest.skip("elixir is not installed")
    sources = []
    for name, text in export("ecto", namespace=namespace, **options).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sources.append(str(path))
    beams = folder / "beams"
    beams.mkdir()
    locale = {"LC_ALL": "C.UTF-8", "ELIXIR_ERL_OPTIONS": "+fnu"}
    made = run(
        ["elixirc", "--warnings-as-errors", "-o", str(beams), str(STUB), *sources], env=locale, check=0
    )
    assert "warning" not in made.stdout + made.stderr
    script = folder / "list.exs"
    script.write_text(LIST.replace("NAMESPACE", namespace), encoding="utf-8")
    told = run(["elixir", "-pa", str(beams), str(script)], env=locale, check=0)
    return [line.split("\t") for line in told.stdout.splitlines()]


@pytest.fixture(scope="module", params=zip(EMBEDDINGS, ("DiwaSchema", "Some.Space"), strict=True))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The kind of embeddings, the namespace, and what the modules say."""
    embedding, namespace = request.param
    return embedding, namespace, compiled(tmp_path_factory.mktemp("ecto"), namespace, embedding=embedding)


def test_the_schemas_compile_and_say_what_the_models_say(made):
    embedding, _, lines = made
    fields = {(line[1], line[2]): line[3:] for line in lines if line[0] == "field"}
    columns = {
        (table.name, column.name): column
        for table in describe()
        for column in table.columns
        if column.kind != "search"
    }
    assert set(fields) == set(columns)
    vector = "Pgvector.Ecto.Vector" if embedding == "vector" else ":binary"
    types = {
        "uuid": ":binary_id",
        "integer": ":integer",
        "float": ":float",
        "boolean": ":boolean",
        "decimal": ":decimal",
        "bytes": ":binary",
        "strings": "{:array, :string}",
        "embedding": vector,
    }
    for name, column in columns.items():
        kind, default, key = fields[name]
        time = f":{column.time}" if column.kind == "time" else ""
        document = "{:array, :map}" if column.many else ":map"
        expected = time or (document if column.kind == "document" else types.get(column.kind, ":string"))
        assert (kind, key) == (expected, str(column.primary_key).lower()), name
        written = {"nil": None, "%{}": {}}.get(default, default)
        assert (json.loads(written) if isinstance(written, str) else written) == column.value, name


def test_associations_lead_to_the_tables_that_the_models_name(made):
    _, namespace, lines = made
    found = {tuple(line) for line in lines if line[0] not in ("table", "field")}
    assert found == {
        (one.kind, table.name, one.name, one.target, one.column)
        for table in describe()
        for one in table.associations
    }
    assert ("belongs_to", "memories", "context", "contexts", "context_id") in found
    assert ("has_one", "memories", "checksum", "memory_checksums", "memory_id") in found
    names = {line[1]: line[2] for line in lines if line[0] == "table"}
    assert names["contexts"] == f"{namespace}.Core.Context"
    assert names["sync_queue"] == f"{namespace}.Core.SyncQueue"
    assert names["organizations"] == f"{namespace}.Enterprise.Organization"
    assert set(names) == set(load().tables)


def test_the_types_are_those_of_the_models_upstream():
    """Fields of the Elixir models that have a column keep their types, so that code on them goes on working."""
    shared = {
        "core/context.ex": [
            "field :health_score, :integer, default: 100",
            "timestamps(type: :utc_datetime_usec)",
        ],
        "core/memory.ex": ["field :tags, {:array, :string}, default: []", "field :confidence, :float"],
        "core/memory_version.ex": ["timestamps(type: :naive_datetime)"],
        "team/task.ex": ['field :priority, :string, default: "Medium"'],
        "enterprise/secret.ex": ["field :value_encrypted, :binary, redact: true"],
        "enterprise/organization.ex": ["timestamps(type: :utc_datetime)"],
        "enterprise/memory_checksum.ex": ["@primary_key false", "foreign_key: :memory_id, primary_key: true"],
        "team/message.ex": ["foreign_key: :panel_id, type: :string"],
        "core/tala_operation.ex": ["timestamps(type: :naive_datetime, updated_at: false)"],
        "team/checkpoint.ex": [
            "timestamps(type: :naive_datetime, inserted_at: :created_at, updated_at: false)",
            "field :buffer_snapshot, {:array, :map}",
        ],
    }
    files = export("ecto")
    for name, lines in shared.items():
        for line in lines:
            assert line in files[name], name


# Answers of a repository by the name of the module, and what the check of it ends with.
CHECKS = """
defmodule Answers do
  def rows(rows), do: {:ok, %{rows: rows}}
end

for {name, answer} <- [
      current: Answers.rows([["HEAD", nil]]),
      later: Answers.rows([["29990101000000", "HEAD"]]),
      behind: Answers.rows([["20260101000000", nil]]),
      beyond: Answers.rows([["29990101000000", "29990101000000"]]),
      empty: Answers.rows([]),
      failed: {:error, %RuntimeError{message: "no such table."}}
    ] do
  repo = Module.concat(["Repo", Macro.camelize(Atom.to_string(name))])
  Module.create(repo, quote(do: def(query(_, []), do: unquote(Macro.escape(answer)))), Macro.Env.location(__ENV__))
  said =
    try do
      {module, :start_link, arguments} = DiwaSchema.Check.child_spec(repo).start
      inspect(apply(module, :start_link, arguments))
    rescue
      error -> Exception.message(error)
    end

  IO.puts("#{name}\t#{said}")
end
"""


def test_the_check_lets_an_application_start_on_its_schema_alone(tmp_path):
    if shutil.which("elixir") is None:
        pytest.skip("elixir is not installed")
    script = tmp_path / "check.exs"
    check = export("ecto")["check.ex"]
    script.write_text(check + CHECKS.replace("HEAD", load().head), encoding="utf-8")
    told = run(["elixir", str(script)], env={"LC_ALL": "C.UTF-8"}, check=0)
    assert "warning" not in told.stderr
    said = dict(line.split("\t") for line in told.stdout.splitlines())
    assert said["current"] == said["later"] == ":ignore"
    assert f"The schema is at 20260101000000, and this application needs {load().head}." in said["behind"]
    assert "Install a newer release" in said["beyond"]
    assert "diwa-schema status" in said["empty"]
    assert "no such table." in said["failed"]
