defmodule DiwaCloud.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _arguments) do
    children = [
      DiwaCloud.Repo,
      # In place of a migration at the start, whose failure nobody sees: on another schema the application stays down.
      {DiwaSchema.Check, DiwaCloud.Repo}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: DiwaCloud.Supervisor)
  end
end
