defmodule Honker.HostileTest do
  # What should not be, and is: numbers, payloads, handlers, disks.
  use Honker.Case, async: false

  setup :tell_events

  test "ten thousand jobs side by side, and none", %{db: db} do
    test = self()

    start_worker(db, fn job -> send(test, {:running, job.id, self()}) && receive(do: (:go -> :ok)) end,
      concurrency: 10_000
    )

    {:ok, ids} = Queue.enqueue_many(db, "q", Enum.to_list(1..3000))
    pids = for id <- ids, do: elem(assert_receive({:running, ^id, _}), 2)
    assert {:ok, %{"claimed" => 3000}} = Queue.stats(db, "q")
    for pid <- pids, do: send(pid, :go)
    assert soon(fn -> {:ok, [[0]]} == Honker.query(db, "SELECT count(*) FROM _honker_live") end)
    Process.flag(:trap_exit, true)

    for n <- [0, -1, 1.5, nil, :many, 4_000_000_001] do
      opts = [db: db, queue: "q", handler: & &1, concurrency: n]
      assert {:error, %Error{name: :invalid}} = Worker.start_link(opts)
    end
  end

  test "names with NUL, and that are no text, are refused at the start", %{db: db} do
    Process.flag(:trap_exit, true)

    for queue <- ["a\0b", <<255>>, :q, 5] do
      assert {:error, %Error{}} = Worker.start_link(db: db, queue: queue, handler: & &1)
    end

    assert {:error, %Error{}} = Worker.start_link(db: db, queue: "q", handler: & &1, worker_id: "a\0b")
    assert {:error, %Error{}} = Worker.start_link(db: db, queue: "q", handler: & &1, max_run_s: "x")
    assert {:error, %Error{}} = Worker.start_link(db: db, queue: "q", handler: & &1, retry_base_s: self())
  end

  test "payloads of 10 MB, and that are no JSON; errors of 10 MB, and that are no text", %{db: db} do
    test = self()
    large = String.duplicate("ä", 5_000_000)

    start_worker(db, fn job ->
      case job.payload do
        "long" -> {:discard, large}
        "bytes" -> {:discard, <<0, 255, 0>>}
        "text" -> raise "wide \0 and " <> <<255>>
        payload -> send(test, {:ran, payload}) && :ok
      end
    end)

    {:ok, _} = Queue.enqueue(db, "q", large)
    assert_receive {:ran, ^large}
    {:ok, _} = Queue.enqueue(db, "q", Honker.raw("{not JSON"))
    assert_receive {:ran, "{not JSON"}
    for payload <- ["long", "bytes", "text"], do: {:ok, _} = Queue.enqueue(db, "q", payload, max_attempts: 1)
    assert soon(fn -> match?({:ok, %{"dead" => 3}}, Queue.stats(db, "q")) end)
    {:ok, dead} = Queue.dead(db, "q")

    errors = Map.new(dead, &{&1["payload"], &1["last_error"]})
    # Not `==`: a failure would print all of it.
    assert String.starts_with?(errors["long"], "ää") and byte_size(errors["long"]) == 65_536
    assert errors["bytes"] == "???"
    assert errors["text"] =~ "(RuntimeError) wide ? and ?"
  end

  test "a handler that acks twice, and one that settles otherwise than it says", %{db: db} do
    test = self()

    start_worker(db, fn job ->
      answers = for _ <- 1..2, do: Job.ack(db, job)
      send(test, {:answers, answers})
      if job.payload == 1, do: :ok, else: raise("after the ack")
    end)

    for n <- 1..2 do
      {:ok, _} = Queue.enqueue(db, "q", n)
      assert_receive {:answers, [ok: true, ok: false]}
      assert_receive {:event, :lost, _}
    end

    assert {:ok, []} = Queue.stats(db)
  end

  test "handlers that spawn, link, send rubbish and use up their heap end nobody but themselves", %{db: db} do
    test = self()

    pid =
      start_worker(
        db,
        fn job ->
          [worker | _] = Process.get(:"$ancestors") || [nil]

          case job.payload do
            "link" ->
              spawn_link(fn -> exit(:boom) end) && Process.sleep(:infinity)

            "rubbish" ->
              for(
                m <- [:x, {:EXIT, self(), :no}, {:honker_wait, make_ref(), :ready}, {:honker_result, self(), 1, 2}],
                do: send(worker || test, m)
              ) && :ok

            "heap" ->
              Process.flag(:max_heap_size, 10_000) && Enum.to_list(1..1_000_000) |> Enum.sum()

            "fine" ->
              send(test, :fine) && :ok
          end
        end,
        retry_base_s: 500
      )

    for payload <- ~w(link rubbish heap fine), do: {:ok, _} = Queue.enqueue(db, "q", payload)
    assert_receive :fine

    for m <- [
          :x,
          {:EXIT, make_ref(), :no},
          {:honker_wait, make_ref(), :ready},
          {:honker_result, self(), :ok, nil},
          :honker_turn
        ],
        do: send(pid, m)

    assert soon(fn -> match?({:ok, %{"delayed" => 2, "claimed" => 0}}, Queue.stats(db, "q")) end)
    assert Process.alive?(pid)
    {:ok, _} = Queue.enqueue(db, "q", "fine")
    assert_receive :fine
  end

  test "a handler that hears that it has to end, and says that it failed, has not failed", %{db: db} do
    test = self()

    start_worker(
      db,
      fn _ ->
        Process.flag(:trap_exit, true)
        send(test, :running)
        receive(do: ({:EXIT, _, {:shutdown, {:honker, :stop}}} -> {:error, :cancelled}))
      end,
      shutdown: 100
    )

    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive :running
    stop_supervised!({Worker, "q"})
    assert {:ok, [["pending", 0]]} = Honker.query(db, "SELECT state, attempts FROM _honker_live")
  end

  test "a second signal that comes before the worker is stopped", %{db: db} do
    test = self()
    pid = start_worker(db, fn _ -> send(test, :running) && Process.sleep(:infinity) end, shutdown: :infinity)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive :running
    send(pid, :honker_stop_now)
    stop_supervised!({Worker, "q"})
    assert {:ok, [["pending", 0]]} = Honker.query(db, "SELECT state, attempts FROM _honker_live")
  end

  test "a full disk: it is said once, and what is finished is settled when there is room", %{directory: directory} do
    disk = Path.join(directory, "disk")
    File.mkdir!(disk)

    case System.cmd("mount", ["-t", "tmpfs", "-o", "size=3m", "none", disk], stderr_to_stdout: true) do
      {_, 0} ->
        on_exit(fn -> System.cmd("umount", ["-l", disk]) end)
        full_disk(disk)

      {said, _} ->
        IO.puts("\nSKIPPED elixir: a full disk: no file system can be mounted: #{String.trim(said)}")
    end
  end

  defp full_disk(disk) do
    test = self()
    {:ok, db} = Honker.open(Path.join(disk, "app.db"))
    handler = fn job -> send(test, {:running, self(), job.payload}) && receive(do: (:go -> :ok)) end
    start_worker(db, handler)
    {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..3))
    pids = for _ <- 1..3, do: elem(assert_receive({:running, _, _}), 1)
    fill(Path.join(disk, "ballast"))
    # What is enqueued until it fails uses up the log's room as well.
    assert {:error, %Error{name: name}} =
             Enum.find_value(1..10_000, fn _ ->
               with {:ok, _} <- Queue.enqueue(db, "x", String.duplicate("x", 5000)), do: nil
             end)

    assert name in [:full, :io]
    for pid <- pids, do: send(pid, :go)
    assert_receive {:event, :error, %{error: %Error{name: name}}}
    assert name in [:full, :io]
    refute_receive {:event, :stop, _}, 1000
    refute_received {:event, :error, _}
    File.rm!(Path.join(disk, "ballast"))
    for _ <- pids, do: assert_receive({:event, :stop, %{result: :ack}})
    {:ok, _} = Queue.enqueue(db, "q", 4)
    assert_receive {:running, pid, 4}
    send(pid, :go)
    assert_receive {:event, :stop, %{result: :ack}}
    stop_supervised!({Worker, "q"})
    Honker.close(db)
  end

  defp fill(path) do
    {:ok, file} = File.open(path, [:append, :raw])
    Enum.find(Stream.cycle([65_536, 4096, 512]), fn size -> match?({:error, :enospc}, write(file, size)) end)
    :file.close(file)
  end

  # Until this size does not fit any more; the error of the smallest.
  defp write(file, size) do
    case :file.write(file, :binary.copy(<<0>>, size)) do
      :ok -> write(file, size)
      error -> if size == 512, do: error, else: :more
    end
  end
end
