"""A project in Elixir, as `mix new` writes it, less its comments."""

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
