"""A project in Elixir, as `mix new` writes it, less its comments."""

import json

MIX_FILE = """\
defmodule DiwaAgent.MixProject do
  use Mix.Project

  def project do
    [
      app: :diwa_agent,
      version: "0.1.0"
    ]
  end
end
"""
ALIASES = """
  defp aliases do
    [
      "ecto.setup": ["ecto.create", "ecto.migrate"]
    ]
  end
end
"""

# The parts of Ecto that the aliases ask: which repositories there are, and what each is connected to.
REPOSITORY = """\
defmodule Ecto.Adapters.Postgres do
end

defmodule DiwaAgent.Repo do
  def __adapter__, do: Ecto.Adapters.Postgres
  def config, do: Application.fetch_env!(:diwa_agent, __MODULE__)
end
"""


def configuration(**fields: object) -> str:
    """Return a `config.exs` whose one repository is connected to that database."""
    said = ", ".join(
        f"{name}: {value if isinstance(value, int) else json.dumps(value)}" for name, value in fields.items()
    )
    return f"""\
import Config
config :diwa_agent, ecto_repos: [DiwaAgent.Repo]
config :diwa_agent, DiwaAgent.Repo, {said}
"""
