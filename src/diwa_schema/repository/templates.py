"""The texts that `init` writes into a repository, or prints for a person to add."""

from __future__ import annotations

from diwa_schema import __version__

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
    """Return the module that hands migrations over.

    Args:
        name: The repository.
        runnable: Whether it is started by its file and not by a console script.
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
    """Return the table of a pyproject.toml that says which repository it is."""
    return f'[tool.diwa-schema]\nrepo = "{name}"\n'


def mix_aliases() -> dict[str, str]:
    """Return what mix's own migration tasks become."""
    commands = {"ecto.migrate": "upgrade", "ecto.rollback": "rollback", "ecto.drop": "drop"}
    return {task: f'&diwa_schema("{command}", &1)' for task, command in commands.items()}


def mix_function(name: str) -> str:
    """Return the function that mix's aliases call; it ends mix with the exit code of the command.

    Ecto's options mean something else to this package or nothing at all, so none is handed on. `--quiet` is the one
    that Phoenix writes into its `test` alias, and nothing depends on it.
    """
    return f"""\
  # The shared schema is changed by diwa-schema alone; its guard decides who may.
  defp diwa_schema(command, options) do
    if options -- ["--quiet"] != [] do
      Mix.shell().error(
        "Ecto's options are not handed on: #{{Enum.join(options, " ")}}. Nothing was changed.\\n" <>
          "Run: python3 -m diwa_schema #{{command}} --help"
      )

      exit({{:shutdown, 2}})
    end

    arguments = ["-m", "diwa_schema", command, "--repo", "{name}"]
    {{_, status}} = System.cmd("python3", arguments, into: IO.stream(:stdio, :line))
    if status != 0, do: exit({{:shutdown, status}})
  end
"""


def hook() -> str:
    """Return the hook as an item of a list, run by the package that the repository has installed."""
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
    """Return GitHub's workflow: the check of every pull request, by the release that is installed here."""
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
