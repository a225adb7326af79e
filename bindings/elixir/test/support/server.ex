defmodule Honker.Test.Server do
  @moduledoc false
  # Databases of their own on the Postgres server that tests/run starts, and connections of p1_pgsql to them. That driver knows
  # TCP alone, and the server a Unix socket: between them is a relay.

  @doc "Why there is none; nil if there is."
  def missing do
    cond do
      System.get_env("HONKER_POSTGRES_URL") in [nil, ""] -> "there is no server (HONKER_POSTGRES_URL)"
      match?({:error, _}, :code.lib_dir(:p1_pgsql)) -> "p1_pgsql, a driver, is not installed"
      true -> nil
    end
  end

  @doc "The URL of a new database, by TCP, and what drops it."
  def create do
    name = "elixir_#{System.pid()}_#{System.unique_integer([:positive])}"
    uri = URI.parse(System.fetch_env!("HONKER_POSTGRES_URL"))
    given = URI.decode_query(uri.query || "")
    user = given["user"] || uri.userinfo
    {host, port} = address(given["host"] || uri.host, String.to_integer(given["port"] || to_string(uri.port || 5432)))
    url = &"postgresql://#{user}@#{host}:#{port}/#{&1}"
    administer(url.("postgres"), "CREATE DATABASE #{name}")
    {url.(name), fn -> administer(url.("postgres"), "DROP DATABASE #{name} WITH (FORCE)") end}
  end

  defp address("/" <> _ = folder, port) do
    {:ok, listening} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    path = "#{folder}/.s.PGSQL.#{port}"
    pid = spawn(fn -> receive(do: (:go -> relay(listening, path))) end)
    :ok = :gen_tcp.controlling_process(listening, pid)
    send(pid, :go)
    {:ok, port} = :inet.port(listening)
    {"127.0.0.1", port}
  end

  defp address(host, port), do: {host, port}

  defp relay(listening, path) do
    {:ok, near} = :gen_tcp.accept(listening)

    pid =
      spawn(fn ->
        receive(do: (:go -> :ok))
        {:ok, far} = :gen_tcp.connect({:local, to_charlist(path)}, 0, [:binary, active: true])
        :ok = :inet.setopts(near, active: true)
        pass(near, far)
      end)

    :ok = :gen_tcp.controlling_process(near, pid)
    send(pid, :go)
    relay(listening, path)
  end

  defp pass(near, far) do
    receive do
      {:tcp, ^near, data} -> :gen_tcp.send(far, data) && pass(near, far)
      {:tcp, ^far, data} -> :gen_tcp.send(near, data) && pass(near, far)
      {:tcp_closed, _one} -> {:gen_tcp.close(near), :gen_tcp.close(far)}
    end
  end

  defp administer(url, sql) do
    connection = connect(url)
    {:ok, _} = driver(:squery, [connection, sql])
    driver(:terminate, [connection])
  end

  def connect(url) do
    %URI{host: host, port: port, userinfo: user, path: "/" <> database} = URI.parse(url)
    options = [host: to_charlist(host), port: port, user: user, password: "", database: database]
    {:ok, connection} = driver(:connect, [options])
    connection
  end

  @doc "The rows of one statement that has some. (This driver waits for ever for one that has none, or fails.)"
  def query(connection, sql, params \\ []) do
    {:ok, _command, _status, _columns, rows} =
      driver(:pquery, [connection, sql, Enum.map(params, &if(&1 == nil, do: :null, else: &1))])

    {:ok, for(row <- rows, do: for({_type, value} <- row, do: value))}
  end

  @doc "Any statements, by the simple protocol, with parameters as literals: `{:ok, rows}` of the last, or `{:error, fields}`."
  def execute(connection, sql, params \\ []) do
    literals = params |> Enum.with_index(1) |> Map.new(fn {value, n} -> {"$#{n}", literal(value)} end)
    {:ok, results} = driver(:squery, [connection, Regex.replace(~r/\$\d+/, sql, &literals[&1])])

    case List.last(results) do
      {:error, fields} -> {:error, fields}
      {_command, _columns, rows} -> {:ok, for(row <- rows, do: Enum.map(row, &to_string/1))}
      _command -> {:ok, []}
    end
  end

  # Not known when this is compiled.
  defp driver(function, arguments), do: apply(:pgsql, function, arguments)

  defp literal(nil), do: "NULL"
  defp literal(number) when is_integer(number), do: to_string(number)
  defp literal(text), do: "'" <> String.replace(text, "'", "''") <> "'"
end
