"""The texts that `init` writes into a repository, or prints for a person to add."""

from __future__ import annotations

from diwa_schema import __version__
from diwa_schema.repository.ecto_tasks import TASKS

HOOK_ID = "diwa-schema-repo-check"
ENVIRONMENT = """\
from diwa_schema.autogenerate import include_name, include_object

    context.configure(
        ...,
        include_name=include_name,
        include_object=include_object,
    )
"""
CHECKOUT = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0"


def shim(name: str, *, runnable: bool) -> str:
    """Return the module that passes migrations on to this package.

    Args:
        name: The repository.
        runnable: Whether the module is started by its file instead of a console script.
    """
    end = '\n\nif __name__ == "__main__":\n    sys.exit(main())\n' if runnable else ""
    return f'''"""`{name}-migrate`: diwa-schema upgrades the shared schema, if its guard lets {name} do it."""

import sys

from diwa_schema.cli import main as diwa_schema


def main() -> int:
    """Upgrade the schema."""
    return diwa_schema(["upgrade", "--repo", "{name}", *sys.argv[1:]])
{end}'''


def settings(name: str) -> str:
    """Return the table of a pyproject.toml that names the repository."""
    return f'[tool.diwa-schema]\nrepo = "{name}"\n'


def mix_aliases() -> dict[str, str]:
    """Return the replacements of mix's own migration tasks."""
    return {task: f'&diwa_schema("{task}", &1)' for task in TASKS}


def mix_functions(name: str) -> str:
    """Return the functions that mix's aliases call; they end mix with the exit code of the command.

    The functions pass Ecto's options on without interpretation, and the command refuses options without a meaning. They
    use only `-r`, because the configuration of a repository of Ecto names its database. The URL goes into the
    environment, where no list of processes shows its password.

    A server or database that the configuration leaves out is the one that Postgrex would take. libpq would take another
    one, such as the database with the name of the user.
    """
    return f"""\
  # The shared schema is changed by diwa-schema alone; its guard decides who may.
  defp diwa_schema(task, options) do
    Mix.Task.run("app.config")
    {{named, options}} = repositories(options)
    every = Application.get_env(Mix.Project.config()[:app], :ecto_repos, [])
    repositories = if named == [], do: every, else: named
    if repositories == [], do: refuse("The configuration lacks :ecto_repos")
    for repository <- repositories, do: ensure_repository(repository)
    for repository <- repositories, do: diwa_schema(task, options, repository)
  end

  defp diwa_schema(task, options, repository) do
    url = database_url(repository.__adapter__(), repository, repository.config())
    variable = if Mix.env() == :test, do: "DIWA_MIGRATION_DATABASE_URL", else: "DATABASE_URL"
    arguments = ["mix", "--repo", "{name}", "--env", "#{{Mix.env()}}", task, "--" | options]
    io = [into: IO.stream(:stdio, :line), env: [{{variable, url}}]]
    python = System.find_executable("python3") || refuse("The PATH has no python3")
    {{_, status}} = System.cmd(python, ["-m", "diwa_schema" | arguments], io)
    if status != 0, do: exit({{:shutdown, status}})
  end

  # As in Ecto's tasks, a mistake is a sentence and no stack trace.
  defp refuse(sentence), do: Mix.raise(sentence, exit_status: 2)

  defp ensure_repository(repository) do
    if not (Code.ensure_loaded?(repository) and function_exported?(repository, :__adapter__, 0)) do
      name = String.replace_prefix("#{{repository}}", "Elixir.", "")
      refuse("'#{{name}}' is not a repository of Ecto")
    end
  end

  defp repositories(["--repo=" <> name | rest]), do: repositories(["--repo", name | rest])

  defp repositories([flag]) when flag in ["-r", "--repo"] do
    refuse("#{{flag}} lacks its value. Write: #{{flag}} REPOSITORY")
  end

  defp repositories([flag, name | rest]) when flag in ["-r", "--repo"] do
    {{named, options}} = repositories(rest)
    {{[Module.concat([name]) | named], options}}
  end

  defp repositories([option | rest]) do
    {{named, options}} = repositories(rest)
    {{named, [option | options]}}
  end

  defp repositories([]), do: {{[], []}}

  defp database_url(Ecto.Adapters.SQLite3, repository, config) do
    path = config[:database] || ""
    if path == "", do: refuse("The configuration of #{{inspect(repository)}} lacks :database")
    if path == ":memory:", do: refuse("#{{inspect(repository)}} is in memory. Give it a file")
    "sqlite:///" <> URI.encode(Path.expand(path), &(&1 == ?/ or URI.char_unreserved?(&1)))
  end

  defp database_url(Ecto.Adapters.Postgres, repository, config) do
    encode = fn value -> URI.encode("#{{value}}", &URI.char_unreserved?/1) end
    database = encode.(config[:database] || System.get_env("PGDATABASE"))
    if database == "", do: refuse("The configuration of #{{inspect(repository)}} lacks :database")
    password = if config[:password], do: ":" <> encode.(config[:password]), else: ""
    login = encode.(config[:username]) <> password
    login = if login == "", do: "", else: login <> "@"
    parameters = server(config) ++ encryption(config)
    query = for {{name, value}} <- parameters, value, do: "#{{name}}=#{{encode.(value)}}"
    "postgresql://#{{login}}/#{{database}}?#{{Enum.join(query, "&")}}"
  end

  defp database_url(adapter, repository, _config) do
    refuse("#{{inspect(repository)}} uses #{{inspect(adapter)}}, which diwa-schema does not know")
  end

  # In the order of Postgrex. The name of a socket ends with its port.
  defp server(config) do
    port = config[:port] || System.get_env("PGPORT") || 5432
    {{socket, endpoints}} = {{config[:socket], config[:endpoints]}}
    several = fn at -> Enum.map_join(endpoints, ",", &elem(&1, at)) end

    cond do
      socket -> [host: Path.dirname(socket), port: socket |> String.split(".") |> List.last()]
      config[:socket_dir] -> [host: config[:socket_dir], port: port]
      endpoints -> [host: several.(0), port: several.(1)]
      true -> [host: config[:hostname] || System.get_env("PGHOST") || "localhost", port: port]
    end
  end

  defp encryption(config) do
    tls = if is_list(config[:ssl]), do: config[:ssl], else: config[:ssl_opts] || []
    authority = if tls[:verify] != :verify_none, do: tls[:cacertfile]
    mode = if authority, do: "verify-full", else: "require"
    files = [sslrootcert: authority, sslcert: tls[:certfile], sslkey: tls[:keyfile]]
    if config[:ssl], do: [{{:sslmode, mode}} | files], else: []
  end
"""


def hook() -> str:
    """Return the hook as an item of a list; the hook runs the package that the repository has installed."""
    return f"""\
  - repo: local
    hooks:
      - id: {HOOK_ID}
        name: no migrations outside of diwa-schema
        entry: python3 -m diwa_schema repo-check
        language: system
        pass_filenames: false
        always_run: true
"""


def workflow() -> str:
    """Return GitHub's workflow: the check of every pull request, with the release that is installed here."""
    return f"""\
# A pull request fails when it adds migrations that diwa-schema does not have.
name: diwa-schema

on:
  pull_request:

permissions: {{}}

concurrency:
  group: ${{{{ github.workflow }}}}-${{{{ github.ref }}}}
  cancel-in-progress: true

jobs:
  repo-check:
    name: No migrations outside of diwa-schema
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          fetch-depth: 0
          persist-credentials: false
      - name: Install
        run: |
          python3 -m venv "$RUNNER_TEMP/diwa-schema"
          "$RUNNER_TEMP/diwa-schema/bin/pip" install --quiet 'diwa-schema=={__version__}'
      - name: Check
        run: |
          "$RUNNER_TEMP/diwa-schema/bin/python" -m diwa_schema repo-check
"""
