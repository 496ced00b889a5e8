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
    """
    return f"""\
  # The shared schema is changed by diwa-schema alone; its guard decides who may.
  defp diwa_schema(task, options) do
    Mix.Task.run("app.config")
    {{named, options}} = repositories(options)
    every = Application.get_env(Mix.Project.config()[:app], :ecto_repos, [])
    repositories = if named == [], do: every, else: named
    if repositories == [], do: Mix.raise("The configuration lacks :ecto_repos", exit_status: 2)
    for repository <- repositories, do: ensure_repository(repository)
    for repository <- repositories, do: diwa_schema(task, options, repository)
  end

  defp diwa_schema(task, options, repository) do
    url = database_url(repository.__adapter__(), repository.config())
    variable = if Mix.env() == :test, do: "DIWA_MIGRATION_DATABASE_URL", else: "DATABASE_URL"
    arguments = ["mix", "--repo", "{name}", "--env", "#{{Mix.env()}}", task, "--" | options]
    io = [into: IO.stream(:stdio, :line), env: [{{variable, url}}]]
    {{_, status}} = System.cmd("python3", ["-m", "diwa_schema" | arguments], io)
    if status != 0, do: exit({{:shutdown, status}})
  end

  defp ensure_repository(repository) do
    # As Ecto's tasks do: an unknown name is a sentence, not a stack trace.
    if not (Code.ensure_loaded?(repository) and function_exported?(repository, :__adapter__, 0)) do
      name = String.replace_prefix("#{{repository}}", "Elixir.", "")
      Mix.raise("'#{{name}}' is not a repository of Ecto", exit_status: 2)
    end
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

  defp database_url(Ecto.Adapters.SQLite3, config) do
    "sqlite:///" <> URI.encode(Path.expand(config[:database]))
  end

  defp database_url(_postgres, config) do
    encode = fn value -> URI.encode("#{{value}}", &URI.char_unreserved?/1) end
    login = for value <- [config[:username], config[:password]], value, do: encode.(value)
    host = config[:socket_dir] || config[:hostname] || "localhost"
    parameters = [host: host, port: config[:port] || 5432]
    parameters = if config[:ssl], do: parameters ++ [sslmode: "require"], else: parameters
    query = for {{name, value}} <- parameters, do: "#{{name}}=#{{encode.(value)}}"
    login = if login == [], do: "", else: Enum.join(login, ":") <> "@"
    "postgresql://#{{login}}/#{{encode.(config[:database])}}?#{{Enum.join(query, "&")}}"
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
