defmodule Honker.Case do
  @moduledoc false
  # A directory and an open database for each test; and what several of them need.

  use ExUnit.CaseTemplate

  using do
    quote do
      import Honker.Case
      alias Honker.{Consumer, Error, Job, Queue, Transaction, Worker}
    end
  end

  setup do
    directory = Path.join(System.tmp_dir!(), "honker-elixir-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(directory)
    path = Path.join(directory, "app.db")
    {:ok, db} = Honker.open(path)

    on_exit(fn ->
      Honker.close(db)
      File.rm_rf!(directory)
    end)

    {:ok, db: db, path: path, directory: directory}
  end

  @doc "Sends what is told of workers to the test, as `{:event, name, metadata}`: a setup."
  def tell_events(_context) do
    test = self()

    Application.put_env(:honker, :on_event, fn event, _, metadata ->
      send(test, {:event, List.last(event), metadata})
    end)

    on_exit(fn -> Application.delete_env(:honker, :on_event) end)
  end

  @doc "A worker of the queue q, under the test's supervisor."
  def start_worker(db, handler, opts \\ []) do
    start_supervised!({Honker.Worker, Keyword.merge([db: db, queue: "q", handler: handler, concurrency: 3], opts)})
  end

  @doc "Whether `fun` returns true within `ms`."
  def soon(ms \\ 120_000, fun) do
    cond do
      fun.() -> true
      ms <= 0 -> false
      true -> Process.sleep(10) && soon(ms - 10, fun)
    end
  end

  def threads, do: length(File.ls!("/proc/self/task"))

  @doc "Without those of databases, of which libhonker keeps some for the next time: closing one would drop locks."
  def descriptors do
    links = for name <- File.ls!("/proc/self/fd"), do: File.read_link("/proc/self/fd/" <> name)
    Enum.count(links, &(match?({:ok, _}, &1) and not String.ends_with?(elem(&1, 1), ".db")))
  end

  @doc "The file is somewhere else, and its place free."
  def replace(path) do
    # The file last: who waits for that makes another at once, whose log would be taken along.
    for more <- ["-wal", "-shm"], do: File.rename(path <> more, path <> ".old" <> more)
    File.rename!(path, path <> ".old")
  end

  @doc "Whether the process is within this function of Honker.Worker: `:finish` while it waits for what runs at its end."
  def within?(pid, function) do
    {:current_stacktrace, stack} = Process.info(pid, :current_stacktrace)
    Enum.any?(stack, &match?({Honker.Worker, ^function, _, _}, &1))
  end

  @doc "Runs a script in an emulator of its own, as a port that gives lines."
  def emulator(script, environment \\ []) do
    ebins =
      for path <- :code.get_path(), path = to_string(path), path =~ ~r{/(honker|jiffy)[^/]*/ebin$}, do: ["-pa", path]

    # It ends with this test, however that ends: its standard input is closed then.
    setup = """
    spawn(fn -> IO.read(:line) == :eof && System.halt(1) end)
    Application.put_env(:honker, :json, Honker.Test.JSON)
    """

    arguments = List.flatten(ebins) ++ ["-e", setup <> script]
    environment = for {name, value} <- environment, do: {to_charlist(name), value && to_charlist(value)}
    environment = for {name, value} <- environment, do: {name, value || false}

    Port.open({:spawn_executable, System.find_executable("elixir")}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      line: 10_000,
      args: arguments,
      env: environment
    ])
  end

  @doc "The next line of it."
  def line(port) do
    receive do
      {^port, {:data, {_, line}}} -> line
      {^port, {:exit_status, status}} -> {:exit_status, status}
    after
      120_000 -> raise "the emulator says nothing"
    end
  end

  @doc "Everything that it says until it ends."
  def output(port, lines \\ []) do
    case line(port) do
      {:exit_status, _} -> Enum.join(Enum.reverse(lines), "\n")
      line -> output(port, [line | lines])
    end
  end

  @doc "kill -9"
  def kill(port) do
    {:os_pid, pid} = Port.info(port, :os_pid)
    System.cmd("kill", ["-9", to_string(pid)])
    {:exit_status, _} = line(port)
  end
end
