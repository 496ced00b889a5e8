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
    if repositories == [], do: refuse("The configuration lacks :ecto_repos")
    for repository <- repositories, do: ensure_repository(repository)
    for repository <- repositories, do: diwa_schema(task, options, repository)
  end

  defp diwa_schema(task, options, repository) do
    url = database_url(repository.__adapter__(), repository, repository.config())
    variable = if Mix.env() == :test, do: "DIWA_MIGRATION_DATABASE_URL", else: "DATABASE_URL"
    arguments = ["mix", "--repo", "diwa-agent", "--env", "#{Mix.env()}", task, "--" | options]
    io = [into: IO.stream(:stdio, :line), env: [{variable, url}]]
    python = System.find_executable("python3") || refuse("The PATH has no python3")
    {_, status} = System.cmd(python, ["-m", "diwa_schema" | arguments], io)
    if status != 0, do: exit({:shutdown, status})
  end

  # As in Ecto's tasks, a mistake is a sentence and no stack trace.
  defp refuse(sentence), do: Mix.raise(sentence, exit_status: 2)

  defp ensure_repository(repository) do
    if not (Code.ensure_loaded?(repository) and function_exported?(repository, :__adapter__, 0)) do
      name = String.replace_prefix("#{repository}", "Elixir.", "")
      refuse("'#{name}' is not a repository of Ecto")
    end
  end

  defp repositories(["--repo=" <> name | rest]), do: repositories(["--repo", name | rest])

  defp repositories([flag]) when flag in ["-r", "--repo"] do
    refuse("#{flag} lacks its value. Write: #{flag} REPOSITORY")
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

  defp database_url(Ecto.Adapters.SQLite3, repository, config) do
    path = config[:database] || ""
    if path == "", do: refuse("The configuration of #{inspect(repository)} lacks :database")
    if path == ":memory:", do: refuse("#{inspect(repository)} is in memory. Give it a file")
    "sqlite:///" <> URI.encode(Path.expand(path), &(&1 == ?/ or URI.char_unreserved?(&1)))
  end

  defp database_url(Ecto.Adapters.Postgres, repository, config) do
    encode = fn value -> URI.encode("#{value}", &URI.char_unreserved?/1) end
    database = encode.(config[:database] || System.get_env("PGDATABASE"))
    if database == "", do: refuse("The configuration of #{inspect(repository)} lacks :database")
    password = if config[:password], do: ":" <> encode.(config[:password]), else: ""
    login = encode.(config[:username]) <> password
    login = if login == "", do: "", else: login <> "@"
    parameters = server(config) ++ encryption(config)
    query = for {name, value} <- parameters, value, do: "#{name}=#{encode.(value)}"
    "postgresql://#{login}/#{database}?#{Enum.join(query, "&")}"
  end

  defp database_url(adapter, repository, _config) do
    refuse("#{inspect(repository)} uses #{inspect(adapter)}, which diwa-schema does not know")
  end

  # In the order of Postgrex. The name of a socket ends with its port.
  defp server(config) do
    port = config[:port] || System.get_env("PGPORT") || 5432
    {socket, endpoints} = {config[:socket], config[:endpoints]}
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
    if config[:ssl], do: [{:sslmode, mode} | files], else: []
  end
end
