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
    {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..2000))
    assert line(port) =~ ~r/^\d+$/
    terminate(port)
    {status, said} = ended(port)
    assert status == 0
    assert said =~ ~r/stopped: done=\d+ snoozed=0 retried=0 dead=0 released=0 running=0/
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
    assert said =~ "stopped: done=0 snoozed=0 retried=0 dead=0 released=1 running=0"
    assert {:ok, [["pending", 0]]} = Honker.query(db, "SELECT state, attempts FROM _honker_live")
  end

  # Not before its worker waits for it: otherwise that would claim another one.
  @finishes """
  {:links, [worker]} = Process.info(self(), :links)
  finishes = fn finishes ->
    {_, stack} = Process.info(worker, :current_stacktrace)
    Enum.any?(stack, &match?({Honker.Worker, :finish, _, _}, &1)) || (Process.sleep(10) && finishes.(finishes))
  end
  finishes.(finishes)
  """

  for {name, finish, shutdown, claimed, pending} <- [
        {"what runs is finished", @finishes, 120_000, 0, 8},
        {"what does not end in time is given back", "Process.sleep(:infinity)", 1000, 0, 10}
      ] do
    test "the end of a script stops its workers: #{name}", %{db: db, path: path} do
      {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..10))

      # The application's tree outlives the script.
      port =
        emulator("""
        script = self()
        spawn(fn ->
          handler = fn _ ->
            send(script, :running)
            #{unquote(finish)}
          end

          {:ok, _} = Supervisor.start_link([
            {Honker, name: Script, path: #{inspect(path)}, queue: "q", concurrency: 2, handler: handler,
             shutdown: #{unquote(shutdown)}}
          ], strategy: :one_for_one)

          Process.sleep(:infinity)
        end)
        for _ <- 1..2, do: receive(do: (:running -> :ok))
        """)

      {0, _said} = ended(port)
      assert {:ok, %{"claimed" => unquote(claimed), "pending" => unquote(pending)}} = Queue.stats(db, "q")
      assert {:ok, [[0]]} = Honker.query(db, "SELECT sum(attempts) FROM _honker_live")
    end
  end

  test "the end of a script gives back what outboxes have in hand, and the lead of a scheduler", %{db: db, path: path} do
    for queue <- ["_outbox:named", "_outbox:run"], do: {:ok, _} = Queue.enqueue(db, queue, 1)

    port =
      emulator("""
      script = self()
      deliver = fn _ -> send(script, :running) && Process.sleep(:infinity) end

      spawn(fn ->
        {:ok, _} = Honker.start_link(name: Script, path: #{inspect(path)}, outboxes: [{"named", deliver}], schedules: [])
        Process.sleep(:infinity)
      end)

      spawn(fn ->
        {:ok, db} = Honker.open(#{inspect(path)})
        {:ok, outbox} = Honker.outbox(db, "run", deliver)
        Honker.Outbox.run(outbox, "w")
      end)

      for _ <- 1..2, do: receive(do: (:running -> :ok))
      leads = fn leads -> with [] <- Honker.query!(Script, "SELECT 1 FROM _honker_locks"), do: leads.(leads) end
      leads.(leads)
      """)

    {0, said} = ended(port)
    assert length(String.split(said, "stopped: done=0 snoozed=0 retried=0 dead=0 released=1 running=0")) == 3
    # Nor does a scheduler keep its lead.
    assert {:ok, []} = Honker.query(db, "SELECT owner FROM _honker_locks")
    assert {:ok, [["pending", 0], ["pending", 0]]} = Honker.query(db, "SELECT state, attempts FROM _honker_live")
  end

  test "the tests of a script, which ExUnit runs at its exit, still have their worker", %{path: path} do
    port =
      emulator("""
      ExUnit.start()

      defmodule ScriptTest do
        use ExUnit.Case

        test "a job" do
          {:ok, _} = Honker.Queue.enqueue(Script, "q", 1)
          Process.register(self(), :script_test)
          assert_receive :ran, 120_000
        end
      end

      handler = fn _ -> send(:script_test, :ran) && :ok end
      spawn(fn ->
        {:ok, _} = Honker.start_link(name: Script, path: #{inspect(path)}, queue: "q", handler: handler, retry_delay_s: 0)
        Process.sleep(:infinity)
      end)
      # The supervisor has its name before it has opened the file.
      wait = fn again -> match?({:ok, _}, Honker.query(Script, "SELECT 1")) || (Process.sleep(10) && again.(again)) end
      wait.(wait)
      """)

    assert {0, said} = ended(port)
    assert said =~ "1 test, 0 failures"
    assert said =~ "stopped: done=1 "
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
                          {:ok, true} <- Honker.Job.ack(tx, job) do
                       :ok
                     else
                       {:ok, false} -> {:error, :lost}
                       error -> error
                     end end), do: :ok
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
    assert soon(fn -> {:ok, [[0]]} == Honker.query(db, "SELECT count(*) FROM _honker_live") end)
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
        assert said =~ "running=0"
      end

      soak(db, path, handler, until, enqueued + 200, turn + 1)
    end
  end
end
