defmodule DiwaAgent.MixProject do
  use Mix.Project

  def project do
    [
      app: :diwa_agent,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      aliases: aliases(),
      deps: deps()
    ]
  end

  def application do
    [mod: {DiwaAgent.Application, []}, extra_applications: [:logger]]
  end

  defp deps do
    [
      {:ecto_sql, "~> 3.10"},
      {:postgrex, ">= 0.0.0"}
    ]
  end

  defp aliases do
    [
      "ecto.migrate": &diwa_schema("ecto.migrate", &1),
      "ecto.rollback": &diwa_schema("ecto.rollback", &1),
      "ecto.drop": &diwa_schema("ecto.drop", &1),
      "ecto.migrations": &diwa_schema("ecto.migrations", &1),
      "ecto.setup": ["ecto.create", "ecto.migrate"],
      "ecto.reset": ["ecto.drop", "ecto.setup"],
      test: ["ecto.create --quiet", "ecto.migrate --quiet", "test"]
    ]
  end

  # The shared schema is changed by diwa-schema alone; its guard decides who may.
  defp diwa_schema(task, options) do
    Mix.Task.run("app.config")
    {named, options} = repositories(options)
    every = Application.get_env(Mix.Project.config()[:app], :ecto_repos, [])
    repositories = if named == [], do: every, else: named
    if repositories == [], do: Mix.raise("The configuration lacks :ecto_repos", exit_status: 2)
    for repository <- repositories, do: ensure_repository(repository)
    for repository <- repositories, do: diwa_schema(task, options, repository)
  end

  defp diwa_schema(task, options, repository) do
    url = database_url(repository.__adapter__(), repository.config())
    variable = if Mix.env() == :test, do: "DIWA_MIGRATION_DATABASE_URL", else: "DATABASE_URL"
    arguments = ["mix", "--repo", "diwa-agent", "--env", "#{Mix.env()}", task, "--" | options]
    io = [into: IO.stream(:stdio, :line), env: [{variable, url}]]
    {_, status} = System.cmd("python3", ["-m", "diwa_schema" | arguments], io)
    if status != 0, do: exit({:shutdown, status})
  end

  defp ensure_repository(repository) do
    # As Ecto's tasks do: an unknown name is a sentence, not a stack trace.
    if not (Code.ensure_loaded?(repository) and function_exported?(repository, :__adapter__, 0)) do
      name = String.replace_prefix("#{repository}", "Elixir.", "")
      Mix.raise("'#{name}' is not a repository of Ecto", exit_status: 2)
    end
  end

  defp repositories([flag, name | rest]) when flag in ["-r", "--repo"] do
    {named, options} = repositories(rest)
    {[Module.concat([name]) | named], options}
  end

  defp repositories([option | rest]) do
    {named, options} = repositories(rest)
    {named, [option | options]}
  end

  defp repositories([]), do: {[], []}

  defp database_url(Ecto.Adapters.SQLite3, config) do
    "sqlite:///" <> URI.encode(Path.expand(config[:database]))
  end

  defp database_url(_postgres, config) do
    encode = fn value -> URI.encode("#{value}", &URI.char_unreserved?/1) end
    login = for value <- [config[:username], config[:password]], value, do: encode.(value)
    host = config[:socket_dir] || config[:hostname] || "localhost"
    parameters = [host: host, port: config[:port] || 5432]
    parameters = if config[:ssl], do: parameters ++ [sslmode: "require"], else: parameters
    query = for {name, value} <- parameters, do: "#{name}=#{encode.(value)}"
    login = if login == [], do: "", else: Enum.join(login, ":") <> "@"
    "postgresql://#{login}/#{encode.(config[:database])}?#{Enum.join(query, "&")}"
  end
end
