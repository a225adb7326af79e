defmodule Honker.SignalsTest do
  # Emulators of their own, which are stopped and killed.
  use Honker.Case, async: false

  defp terminate(port, signal \\ "TERM") do
    {:os_pid, pid} = Port.info(port, :os_pid)
    {_, 0} = System.cmd("kill", ["-#{signal}", to_string(pid)])
  end

  defp worker(path, handler, opts \\ "") do
    port =
      emulator("""
      Logger.configure(level: :info)

      # An application, whose tree is stopped when the emulator is.
      defmodule Soak.App do
        use Application

        def start(_, _) do
          Supervisor.start_link([
            {Honker, name: Soak, path: #{inspect(path)}, queue: "q", concurrency: 8, visibility_timeout_s: 2, retry_delay_s: 0,
             handler: #{handler} #{opts}}
          ], strategy: :one_for_one)
        end
      end

      :ok = :application.load({:application, :soak, [mod: {Soak.App, []}, applications: [:kernel, :stdlib], modules: [], registered: []]})
      :ok = Application.start(:soak)
      IO.puts("ready")
      Process.sleep(:infinity)
      """)

    ready(port)
    port
  end

  # Jobs may run, and fail, before.
  defp ready(port) do
    case line(port) do
      "ready" -> :ok
      {:exit_status, status} -> flunk("the emulator ended with #{status}")
      _log -> ready(port)
    end
  end

  # All that it says until it ends: with status 0.
  defp ended(port, lines \\ []) do
    case line(port) do
      {:exit_status, status} -> {status, Enum.join(Enum.reverse(lines), "\n")}
      line -> ended(port, [line | lines])
    end
  end

  test "SIGTERM: what runs is finished, nothing more is claimed, and the end is said", %{db: db, path: path} do
    port = worker(path, "fn job -> IO.puts(job.id) && Process.sleep(300) end")
    {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..200))
    assert line(port) =~ ~r/^\d+$/
    terminate(port)
    {status, said} = ended(port)
    assert status == 0
    assert said =~ ~r/stopped; jobs finished: \d, given back: 0, left to their claims: 0/
    assert {:ok, %{"claimed" => 0, "pending" => left}} = Queue.stats(db, "q")
    assert left > 100
    assert {:ok, [[0]]} = Honker.query(db, "SELECT sum(attempts) FROM _honker_live")
  end

  test "a second SIGTERM: what runs is given back at once", %{db: db, path: path} do
    port = worker(path, "fn _ -> IO.puts(:running) && Process.sleep(:infinity) end", ", shutdown: :infinity")
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert line(port) == "running"
    terminate(port)
    # It waits without end.
    refute_receive {^port, {:exit_status, _}}, 1500
    terminate(port)
    {0, said} = ended(port)
    assert said =~ "stopped; jobs finished: 0, given back: 1, left to their claims: 0"
    assert {:ok, [["pending", 0]]} = Honker.query(db, "SELECT state, attempts FROM _honker_live")
  end

  # Half of the jobs are acknowledged with what they do, in one transaction; some handlers fail, exit, are killed.
  # HONKER_SOAK_S: for how long. Ten minutes have been run.
  @seconds String.to_integer(System.get_env("HONKER_SOAK_S", "6"))
  @tag timeout: (@seconds + 120) * 1000
  test "stops and kills at any moment lose no job, and acknowledge none twice", %{db: db, path: path} do
    {:ok, _} =
      Honker.transaction(db, fn tx ->
        :ok = Honker.execute(tx, "CREATE TABLE once (id INTEGER PRIMARY KEY)")
        :ok = Honker.execute(tx, "CREATE TABLE often (id INTEGER)")
      end)

    handler = """
      fn job ->
        case :rand.uniform(20) do
          1 -> raise "no"
          2 -> Process.exit(self(), :kill)
          3 -> exit(:normal)
          4 -> {:snooze, 0}
          5 -> :error
          _ -> if rem(job.id, 2) == 0 do
              with {:ok, _} <- Honker.transaction(Soak, fn tx ->
                     with :ok <- Honker.execute(tx, "INSERT INTO once VALUES (?)", [job.id]),
                          {:ok, false} <- Honker.Job.ack(tx, job), do: {:error, :lost} end), do: :ok
            else
              {:ok, _} = Honker.transaction(Soak, &Honker.execute(&1, "INSERT INTO often VALUES (?)", [job.id]))
              :ok
            end
        end
      end
    """

    until = System.monotonic_time(:millisecond) + @seconds * 1000
    enqueued = soak(db, path, handler, until, 0, 0)
    # To the end.
    port = worker(path, handler)
    assert soon(60_000, fn -> {:ok, [[0]]} == Honker.query(db, "SELECT count(*) FROM _honker_live") end)
    terminate(port)
    assert {0, _} = ended(port)
    assert {:ok, []} = Queue.dead(db)
    odd = div(enqueued + 1, 2)
    assert {:ok, [[once]]} = Honker.query(db, "SELECT count(*) FROM once")
    assert {:ok, [[^odd]]} = Honker.query(db, "SELECT count(DISTINCT id) FROM often")
    assert once == enqueued - odd
    assert {:ok, [["ok"]]} = Honker.query(db, "PRAGMA integrity_check")
    if @seconds > 60, do: IO.puts("soak: #{enqueued} jobs, #{div(enqueued, 200)} stops and kills")
  end

  defp soak(db, path, handler, until, enqueued, turn) do
    if System.monotonic_time(:millisecond) > until do
      enqueued
    else
      port = worker(path, handler)
      {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..200), max_attempts: 1_000_000)
      Process.sleep(:rand.uniform(700))

      if rem(turn, 2) == 0 do
        terminate(port, "KILL")
        assert {137, _} = ended(port)
      else
        terminate(port)
        assert {0, said} = ended(port)
        assert said =~ "left to their claims: 0"
      end

      soak(db, path, handler, until, enqueued + 200, turn + 1)
    end
  end
end
