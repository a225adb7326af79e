defmodule Honker.WorkerTest do
  use Honker.Case, async: false
  import ExUnit.CaptureLog

  setup :tell_events

  defp job(db) do
    {:ok, rows} = Honker.query(db, "SELECT state, attempts FROM _honker_live ORDER BY id")
    rows
  end

  test "jobs run beside each other, as many as it may", %{db: db} do
    test = self()
    start_worker(db, fn job -> send(test, {:running, self(), job.payload}) && receive(do: (:go -> :ok)) end)
    {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..5))
    first = for _ <- 1..3, do: assert_receive({:running, _, _})
    refute_receive {:running, _, _}, 200
    for {:running, pid, _} <- first, do: send(pid, :go)
    second = for _ <- 1..2, do: assert_receive({:running, _, _})
    for {:running, pid, _} <- second, do: send(pid, :go)
    for _ <- 1..5, do: assert_receive({:event, :stop, %{result: :ack}})
    assert job(db) == []
    assert Enum.sort(for {:running, _, n} <- first ++ second, do: n) == [1, 2, 3, 4, 5]
  end

  test "what the handler returns, raises, throws and dies of decides", %{db: db} do
    start_worker(
      db,
      fn job ->
        case job.payload do
          "ok" -> :whatever
          "error" -> {:error, :because}
          "nil" -> nil
          "raise" -> raise "no"
          "throw" -> throw(:no)
          "exit" -> exit(:no)
          "kill" -> Process.exit(self(), :kill)
          "retry" -> {:retry, 1000, "later"}
          "fail" -> {:fail, "never"}
          "discard" -> {:discard, :never}
          "snooze" -> {:snooze, 999.5}
        end
      end,
      retry_delay_s: 500
    )

    results =
      for payload <- ~w(ok error nil raise throw exit kill retry fail discard snooze), into: %{} do
        {:ok, _} = Queue.enqueue(db, "q", payload)
        assert_receive {:event, :stop, %{job: %Job{payload: ^payload}, result: result}}
        {payload, result}
      end

    assert %{"ok" => :ack, "error" => {:retry, 500, ":because"}, "nil" => {:retry, 500, "it returned nil"}} = results
    assert %{"raise" => {:retry, 500, raised}, "throw" => {:retry, 500, _}, "exit" => {:retry, 500, _}} = results
    assert raised =~ "(RuntimeError) no"

    assert %{"kill" => {:retry, 500, killed}, "retry" => {:retry, 1000, "later"}, "fail" => {:discard, "never"}} =
             results

    assert %{"discard" => {:discard, ":never"}, "snooze" => {:snooze, 1000}} = results
    assert killed =~ "killed"
    assert {:ok, %{"delayed" => 8, "dead" => 2, "pending" => 0}} = Queue.stats(db, "q")
    # A snooze is no attempt.
    assert {:ok, [[0]]} = Honker.query(db, "SELECT attempts FROM _honker_live WHERE payload = '\"snooze\"'")
    {:ok, _} = Queue.enqueue(db, "q", "ok")
    assert_receive {:event, :stop, %{result: :ack}}
  end

  test "what is not known to be success retries", %{db: db} do
    returned = %{
      "float" => {:retry, :math.pow(2, 3) + 0.5, "later"},
      "huge" => {:retry, 1.0e300, "later"},
      "text" => {:retry, "5", "later"},
      "error" => :error,
      "cancel" => {:cancel, "x"},
      "triple" => {:error, 1, 2},
      "empty" => {},
      "ok" => {:ok, 1, 2},
      "true" => true,
      "map" => %{}
    }

    start_worker(db, fn job -> Map.fetch!(returned, job.payload) end, retry_delay_s: 500)

    results =
      for {payload, _} <- returned, into: %{} do
        {:ok, _} = Queue.enqueue(db, "q", payload)
        assert_receive {:event, :stop, %{job: %Job{payload: ^payload}, result: result}}
        {payload, result}
      end

    assert %{"float" => {:retry, 9, "later"}, "huge" => {:retry, _, "later"}} = results
    assert %{"ok" => :ack, "true" => :ack, "map" => :ack} = results

    for payload <- ~w(text error cancel triple empty) do
      assert {:retry, 500, text} = results[payload]
      assert text == "it returned " <> inspect(returned[payload])
    end

    assert {:ok, %{"delayed" => 7, "claimed" => 0}} = Queue.stats(db, "q")
  end

  test "a handler's process that ends normally before it is done has not done its job", %{db: db} do
    start_worker(db, fn job -> if job.attempts == 1, do: Process.exit(self(), :normal), else: :ok end, retry_delay_s: 0)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:event, :stop, %{result: {:retry, 0, text}}}
    assert text =~ "normal"
    assert_receive {:event, :stop, %{result: :ack}}
    assert job(db) == []
  end

  test "a job that is done while the file is locked is settled afterwards, and not done again", %{db: db, path: path} do
    test = self()
    {:ok, hasty} = Honker.open(path, busy_timeout_ms: 0)
    start_worker(hasty, fn _ -> send(test, {:done, self()}) && receive(do: (:go -> :ok)) end, concurrency: 1)
    {:ok, outbox} = Honker.outbox(hasty, "o", fn _ -> send(test, {:done, self()}) && receive(do: (:go -> :ok)) end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    # Not through the hasty one, which the worker uses at the same time.
    {:ok, _} = Honker.Outbox.enqueue(%{outbox | db: db}, 1)
    stop = :counters.new(1, [])
    courier = Task.async(fn -> Honker.Outbox.run(outbox, "w", fn -> :counters.get(stop, 1) > 0 end) end)
    pids = for _ <- 1..2, do: assert_receive({:done, _})
    {:ok, tx} = Transaction.begin(db)
    for {:done, pid} <- pids, do: send(pid, :go)
    Process.sleep(1000)
    refute_received {:event, _, %{result: :ack}}
    :ok = Transaction.rollback(tx)
    assert_receive {:event, :stop, %{result: :ack}}
    assert soon(fn -> job(db) == [] end)
    :counters.add(stop, 1, 1)
    assert :ok = Task.await(courier, 180_000)
    refute_received {:done, _}
    Honker.close(hasty)
  end

  test "stopping it lets running jobs finish, and claims no more", %{db: db} do
    test = self()

    finishes = fn _ ->
      send(test, :running)
      {:links, [worker]} = Process.info(self(), :links)
      # Not before that waits for it.
      assert soon(fn -> within?(worker, :finish) end)
    end

    pid = start_worker(db, finishes, concurrency: 1, shutdown: :infinity)
    {:ok, _} = Queue.enqueue_many(db, "q", [1, 2])
    assert_receive :running
    stop_supervised!({Worker, "q"})
    refute Process.alive?(pid)
    assert_received {:event, :stop, %{result: :ack}}
    assert job(db) == [["pending", 0]]
    refute_received :running
  end

  test "a busy worker is stopped between two turns", %{db: db} do
    test = self()
    for _ <- 1..4, do: {:ok, _} = Queue.enqueue_many(db, "q", Enum.to_list(1..5000))
    Application.delete_env(:honker, :on_event)
    pid = start_worker(db, fn _ -> send(test, :ran) end)
    assert_receive :ran
    stop_supervised!({Worker, "q"})
    refute Process.alive?(pid)
    # A few of them were done meanwhile.
    assert {:ok, %{"pending" => left, "claimed" => 0}} = Queue.stats(db, "q")
    assert left > 10_000
  end

  test "what is finished is settled at the stop, although the file is locked just then", %{db: db, path: path} do
    test = self()
    {:ok, hasty} = Honker.open(path, busy_timeout_ms: 0)

    pid =
      start_worker(hasty, fn _ -> send(test, {:running, self()}) && receive(do: (:go -> :ok)) end,
        concurrency: 1,
        shutdown: 500
      )

    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:running, job}
    {:ok, tx} = Transaction.begin(db)
    send(job, :go)
    stop = Task.async(fn -> Worker.stop(pid) end)
    # The time that the running jobs may take is over then.
    assert soon(fn -> within?(pid, :settle_last) end)
    :ok = Transaction.rollback(tx)
    assert :ok = Task.await(stop, 180_000)
    assert_receive {:event, :stop, %{result: :ack}}
    assert job(db) == []
    Honker.close(hasty)
  end

  test "a settlement that the file refuses neither ends nor stalls the worker", %{db: db} do
    test = self()

    for {name, event, payload} <- [{"a", "DELETE", "no ack"}, {"b", "DELETE", "never"}, {"c", "UPDATE", "never"}] do
      # "never" can be claimed, and nothing else.
      trigger = "CREATE TRIGGER #{name} BEFORE #{event} ON _honker_live WHEN old.payload = '\"#{payload}\"'
                 AND old.state = 'processing' BEGIN SELECT RAISE(ABORT, 'it is cursed'); END"
      {:ok, :ok} = Honker.transaction(db, &Honker.execute(&1, trigger))
    end

    pid = start_worker(db, fn job -> send(test, {:running, job.payload, self()}) && receive(do: (:go -> :ok)) end)
    {:ok, _} = Queue.enqueue_many(db, "q", ["no ack", "never", "fine"])
    pids = for name <- ["no ack", "never", "fine"], do: elem(assert_receive({:running, ^name, _}), 2)
    for job <- pids, do: send(job, :go)
    assert_receive {:event, :stop, %{result: :ack, job: %{payload: "fine"}}}
    assert_receive {:event, :stop, %{result: {:retry, nil, text}, job: %{payload: "no ack"}}}
    assert text =~ "it is cursed"

    assert_receive {:event, :lost, %{reason: :refused, job: %{payload: "never"}, error: %Error{name: :constraint}}}

    {:ok, _} = Queue.enqueue(db, "q", "next")
    assert_receive {:running, "next", job}
    send(job, :go)
    assert_receive {:event, :stop, %{job: %{payload: "next"}}}
    assert Process.alive?(pid)
    # One comes after its pause, the other when its claim is over.
    assert job(db) == [["pending", 1], ["processing", 1]]
  end

  test "what ends while the worker is woken for something else makes room as well", %{db: db} do
    test = self()

    pid =
      start_worker(db, fn job -> send(test, {:running, job.id, self()}) && receive(do: (:go -> :ok)) end, concurrency: 2)

    {:ok, [first, second, third]} = Queue.enqueue_many(db, "q", [1, 2, 3])
    pids = for id <- [first, second], do: elem(assert_receive({:running, ^id, _}), 2)
    waiting = fn n -> soon(fn -> Process.info(pid, :message_queue_len) >= {:message_queue_len, n} end) end
    :sys.suspend(pid)
    # It is told of the loss first, and then of the ends of both.
    {:ok, true} = Queue.cancel(db, first)
    assert waiting.(1)
    for job <- pids, do: send(job, :go)
    assert waiting.(5)
    :sys.resume(pid)
    assert_receive {:running, ^third, job}
    send(job, :go)
    assert soon(fn -> job(db) == [] end)
  end

  test "a worker that is killed takes its jobs along, is started again, and the jobs come back", %{db: db} do
    test = self()
    db = Honker.configure_queue(db, "q", visibility_timeout_s: 1)

    handler = fn job ->
      send(test, {:running, self(), job.attempts})
      if job.attempts == 1, do: Process.sleep(:infinity), else: :ok
    end

    pid = start_worker(db, handler)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:running, job, 1}
    Process.exit(pid, :kill)
    assert soon(fn -> not Process.alive?(job) end)
    assert_receive {:running, _, 2}
    assert_receive {:event, :stop, %{result: :ack}}
  end

  test "a job whose claim was lost is not settled", %{db: db} do
    db = Honker.configure_queue(db, "q", visibility_timeout_s: 300)

    start_worker(db, fn job ->
      {:ok, true} = Queue.cancel(db, job.id)
      :ok
    end)

    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:event, :lost, %{job: %Job{payload: 1}}}
  end

  test "it ends when its database is closed, and does not start on bad options", %{db: db} do
    Process.flag(:trap_exit, true)
    {:ok, pid} = Worker.start_link(db: db, queue: "q", handler: fn _ -> :ok end)
    Honker.close(db)
    assert_receive {:EXIT, ^pid, %Error{name: :closed_handle}}
    assert {:error, %Error{name: :invalid}} = Worker.start_link(db: db, queue: "q", handler: :none)
    assert {:error, %Error{name: :invalid}} = Worker.start_link(db: db, queue: "q", handler: fn _ -> 1 end, speed: 1)

    for delay_s <- [-1, 1.5, 4_000_000_001] do
      opts = [db: db, queue: "q", handler: fn _ -> 1 end, retry_delay_s: delay_s]
      assert {:error, %Error{name: :invalid}} = Worker.start_link(opts)
    end

    assert {:error, %Error{name: :closed_handle}} = Worker.start_link(db: db, queue: "q", handler: fn _ -> 1 end)
  end

  test "an event function that raises changes nothing", %{db: db} do
    test = self()
    Application.put_env(:honker, :on_event, fn _, _, _ -> raise "no" end)
    start_worker(db, fn _ -> send(test, :ran) end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive :ran
    assert soon(fn -> job(db) == [] end)
  end

  test "a job that is lost ends its process, and its place goes to another", %{db: db} do
    test = self()

    start_worker(
      db,
      fn job ->
        send(test, {:running, job.id, self()})
        if job.payload == "long", do: Process.sleep(:infinity), else: :ok
      end,
      concurrency: 1
    )

    {:ok, id} = Queue.enqueue(db, "q", "long")
    assert_receive {:running, ^id, pid}
    monitor = Process.monitor(pid)
    {:ok, true} = Queue.cancel(db, id)
    assert_receive {:DOWN, ^monitor, _, _, {:shutdown, {:honker, :gone}}}
    assert_receive {:event, :lost, %{reason: :gone}}
    {:ok, next} = Queue.enqueue(db, "q", "short")
    assert_receive {:running, ^next, _}
    assert_receive {:event, :stop, %{result: :ack}}
  end

  test "a job that runs too long is retried, and its process ended", %{db: db} do
    test = self()

    start_worker(db, fn job -> send(test, {:running, self(), job.attempts}) && Process.sleep(:infinity) end,
      max_run_s: 1,
      shutdown: 10
    )

    {:ok, id} = Queue.enqueue(db, "q", 1)
    assert_receive {:running, pid, 1}
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, _, _, {:shutdown, {:honker, :timeout}}}
    assert {:ok, %{"state" => "pending", "attempts" => 1}} = Queue.get_job(db, id)
  end

  test "claims are extended while their jobs run", %{db: db, path: path} do
    test = self()
    {:ok, other} = Honker.open(path)

    start_worker(db, fn _ -> send(test, :running) && receive(do: (:go -> :ok)) end,
      visibility_timeout_s: 4,
      shutdown: 10
    )

    {:ok, id} = Queue.enqueue(db, "q", 1)
    assert_receive :running
    {:ok, %{"claim_expires_at" => first}} = Queue.get_job(db, id)

    assert soon(fn ->
             {:ok, %{"claim_expires_at" => at}} = Queue.get_job(db, id)
             at >= first + 5
           end)

    Honker.close(other)
  end

  test "a job that its handler settles itself is not settled again", %{db: db} do
    start_worker(db, fn job ->
      {:ok, {:ok, true}} = Honker.transaction(db, &Job.ack(&1, job))
      :ok
    end)

    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:event, :lost, metadata}
    refute Map.has_key?(metadata, :reason)
    assert job(db) == []
  end

  test "several queues, by order, with a limit for one", %{db: db} do
    test = self()
    {:ok, _} = Queue.enqueue_many(db, "low", [1, 2, 3])
    {:ok, _} = Queue.enqueue_many(db, "high", [1, 2])
    handler = fn job -> send(test, {:running, job.queue, self()}) && receive(do: (:go -> :ok)) end
    queues = [{"high", 0}, {"low", weight: 0, max_in_hand: 1}]
    start_supervised!({Worker, db: db, queues: queues, handler: handler, concurrency: 4, shutdown: 10})
    first = for _ <- 1..3, do: assert_receive({:running, _, _})
    assert Enum.frequencies(for {_, queue, _} <- first, do: queue) == %{"high" => 2, "low" => 1}
    # There is a place, and there are jobs, but not for this queue.
    refute_receive {:running, _, _}, 300
    for {_, "low", pid} <- first, do: send(pid, :go)
    assert_receive {:running, "low", _}
    for {_, "high", pid} <- first, do: send(pid, :go)
    stop_supervised!({Worker, queues})

    Process.flag(:trap_exit, true)

    for wrong <- [[], [{"a", 1}, {"a", 1}], [:a], [{"a", speed: 1}]] do
      assert {:error, %Error{name: :invalid}} = Worker.start_link(db: db, queues: wrong, handler: handler)
    end
  end

  test "jobs that still run when the time for stopping is over are ended and given back", %{db: db} do
    test = self()

    handler = fn job ->
      if job.payload == "stubborn", do: Process.flag(:trap_exit, true)
      send(test, {:running, self()})
      Process.sleep(:infinity)
    end

    start_worker(db, handler, shutdown: 100)
    {:ok, _} = Queue.enqueue_many(db, "q", ["stubborn", "mild"])
    pids = for _ <- 1..2, do: elem(assert_receive({:running, _}), 1)
    stop_supervised!({Worker, "q"})
    refute Enum.any?(pids, &Process.alive?/1)
    assert job(db) == [["pending", 0], ["pending", 0]]
    for _ <- 1..2, do: assert_receive({:event, :stop, %{result: :release}})
  end

  test "a file that was replaced is opened anew, whether the worker has a path or a database; what ran is cancelled",
       context do
    %{db: db, path: path} = context
    test = self()

    handler = fn job ->
      send(test, {:ran, job.payload, self()})
      if job.payload == "old", do: Process.sleep(:infinity), else: :ok
    end

    start_worker(db, handler, concurrency: 1)
    start_supervised!({Worker, path: path, queue: "other", handler: handler})
    {:ok, _} = Queue.enqueue_all(db, [{"q", "old"}, {"other", "old"}])
    pids = for _ <- 1..2, do: elem(assert_receive({:ran, "old", _}), 2)
    for pid <- pids, do: Process.monitor(pid)
    replace(path)
    {:ok, other} = Honker.open(path)
    for _ <- pids, do: assert_receive({:DOWN, _, _, _, {:shutdown, {:honker, :replaced}}})
    for _ <- pids, do: assert_receive({:event, :lost, %{reason: :replaced}})
    assert_receive {:event, :error, %{error: %Error{name: :watcher}}}
    {:ok, _} = Queue.enqueue_all(other, [{"q", "new"}, {"other", "new"}])
    for _ <- pids, do: assert_receive({:ran, "new", _})
    for queue <- ["q", "other"], do: stop_supervised!({Worker, queue})
    assert {:ok, []} = Queue.stats(other)
    # It belongs to who opened it.
    assert :ok = Honker.close(db)
    Honker.close(other)
  end

  test "a worker waits for a file whose folder is not there yet, and says so once", %{directory: directory} do
    test = self()
    path = Path.join(directory, "later/app.db")

    log =
      capture_log(fn ->
        start_supervised!({Worker, path: path, queue: "q", handler: &(send(test, {:ran, &1.payload}) && :ok)})
        Process.sleep(700)
        File.mkdir!(Path.dirname(path))
        {:ok, db} = Honker.open(path)
        {:ok, _} = Queue.enqueue(db, "q", 1)
        assert_receive {:ran, 1}
        assert soon(fn -> {:ok, []} == Honker.query(db, "SELECT 1 FROM _honker_live") end)
        Honker.close(db)
      end)

    assert length(String.split(log, " waits: ")) == 2
    assert length(String.split(log, " works again")) == 2
    Process.flag(:trap_exit, true)
    assert {:error, %Error{name: :invalid}} = Worker.start_link(path: ":memory:", queue: "q", handler: & &1)
  end

  test "a file that is locked when the worker starts, when it claims, and when it extends a claim", %{
    db: db,
    path: path
  } do
    test = self()
    {:ok, tx} = Transaction.begin(db)
    opts = [path: path, open: [busy_timeout_ms: 0], queue: "q", concurrency: 1, visibility_timeout_s: 9]
    handler = fn job -> send(test, {:running, self(), job.payload}) && receive(do: (:go -> :ok)) end
    start_supervised!({Worker, [handler: handler] ++ opts})
    {:ok, _} = Queue.enqueue_tx(tx, "q", 1)
    Process.sleep(300)
    :ok = Transaction.commit(tx)
    assert_receive {:running, pid, 1}

    # A third of the visibility timeout is over in there, and then there is a job to claim.
    {:ok, %{"claim_expires_at" => first}} = Queue.get_job(db, 1)
    {:ok, tx} = Transaction.begin(db)
    {:ok, _} = Queue.enqueue_tx(tx, "q", 2)
    assert_receive {:event, :error, %{error: %Error{name: :busy}}}
    :ok = Transaction.commit(tx)

    assert soon(fn ->
             {:ok, %{"claim_expires_at" => at}} = Queue.get_job(db, 1)
             at > first
           end)

    send(pid, :go)
    assert_receive {:event, :stop, %{result: :ack}}
    assert_receive {:running, pid, 2}
    send(pid, :go)
    assert_receive {:event, :stop, %{result: :ack}}
    refute_received {:event, :lost, _}
  end

  test "a lock is not spoken of before the busy timeout is over", %{db: db, path: path} do
    test = self()
    {:ok, patient} = Honker.open(path, busy_timeout_ms: 120_000)
    start_worker(patient, fn _ -> send(test, {:running, self()}) && receive(do: (:go -> :ok)) end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:running, job}

    log =
      capture_log(fn ->
        {:ok, tx} = Transaction.begin(db)
        send(job, :go)
        Process.sleep(700)
        :ok = Transaction.rollback(tx)
        assert_receive {:event, :stop, %{result: :ack}}
      end)

    refute log =~ "waits"
    refute log =~ "works again"
    refute_received {:event, :error, _}
  end

  test "the end is said in one line", %{db: db} do
    test = self()

    handler = fn job ->
      case job.payload do
        "done" -> :ok
        "snooze" -> {:snooze, 500}
        "retry" -> {:retry, 500, "later"}
        "last" -> :error
        "discard" -> :discard
        _ -> send(test, {:running, self()}) && receive(do: (:go -> :ok))
      end
    end

    start_worker(db, handler, shutdown: 2000)
    # What became of them before the stop counts too.
    {:ok, _} = Queue.enqueue_many(db, "q", ~w(done snooze retry discard))
    {:ok, _} = Queue.enqueue(db, "q", "last", max_attempts: 1)
    assert soon(fn -> match?({:ok, %{"pending" => 0, "delayed" => 2, "dead" => 2}}, Queue.stats(db, "q")) end)
    {:ok, _} = Queue.enqueue_many(db, "q", [1, 2])
    [one, _] = for _ <- 1..2, do: elem(assert_receive({:running, _}), 1)

    log =
      capture_log(fn ->
        Process.send_after(one, :go, 100)
        stop_supervised!({Worker, "q"})
      end)

    assert log =~ "stopped: done=2 snoozed=1 retried=1 dead=2 released=1 running=0"
    assert {:ok, %{"pending" => 1, "delayed" => 2, "claimed" => 0}} = Queue.stats(db, "q")
  end

  test "failures are logged with the job, its attempt, what comes next and the stack, and reported", %{db: db} do
    test = self()

    log =
      capture_log([metadata: [:honker_job, :honker_queue, :honker_attempt]], fn ->
        start_worker(
          db,
          fn job ->
            case job.payload do
              "raise" -> raise ArgumentError, "wrong"
              "return" -> {:error, :because}
              "kill" -> Process.exit(self(), :kill)
              "discard" -> {:discard, "never"}
              "last" -> throw(:ball)
            end
          end,
          retry_base_s: 500,
          on_error: fn failure, job ->
            send(test, {:failure, job.payload, failure, self()})
            raise "the reporter fails"
          end
        )

        for payload <- ~w(raise return kill discard), do: {:ok, _} = Queue.enqueue(db, "q", payload)
        {:ok, _} = Queue.enqueue(db, "q", "last", max_attempts: 1)

        assert_receive {:event, :stop,
                        %{job: %{payload: "raise"}, failure: %Honker.Failure{kind: :error, stacktrace: [_ | _]}}}

        for payload <- ~w(raise return kill discard last) do
          assert_receive {:failure, ^payload, failure, reporter}
          send(test, {:failure, payload, failure})
          monitor = Process.monitor(reporter)
          assert_receive {:DOWN, ^monitor, _, _, _}
        end

        assert soon(fn -> match?({:ok, %{"delayed" => 3, "dead" => 2}}, Queue.stats(db, "q")) end)
      end)

    assert_received {:failure, "raise", %Honker.Failure{kind: :error, reason: %ArgumentError{}, next: 500} = raised}
    assert {Honker.WorkerTest, _, _, _} = hd(raised.stacktrace)
    assert_received {:failure, "return", %Honker.Failure{kind: :returned, reason: {:error, :because}, stacktrace: []}}
    assert_received {:failure, "kill", %Honker.Failure{kind: :exit, reason: :killed}}
    assert_received {:failure, "discard", %Honker.Failure{kind: :returned, next: :dead}}
    assert_received {:failure, "last", %Honker.Failure{kind: :throw, reason: :ball, next: :dead}}

    assert log =~
             ~r/\[warning\] honker job 1 of q failed, attempt 1 of 3, next try in about 500 s: \*\* \(ArgumentError\) wrong/

    assert log =~ "test/worker_test.exs:"
    assert log =~ "[error] honker job 5 of q failed, attempt 1 of 1, it is dead: ** (throw) :ball"
    assert log =~ "the reporter fails"
  end

  test "an exception may say when to try again", %{db: db} do
    defmodule Later do
      defexception message: "later", retry_delay_s: 1234.5
    end

    start_worker(db, fn _ -> raise Later end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert_receive {:event, :stop, %{result: {:retry, 1235, _}}}
  end

  test "functions around jobs and around enqueueing", %{path: path} do
    test = self()
    tenant = fn jobs, next -> next.(for {q, p, o} <- jobs, do: {q, p, Keyword.put(o, :metadata, %{tenant: "t1"})}) end
    refuse = fn jobs, next -> if Enum.any?(jobs, &(elem(&1, 1) == "no")), do: {:error, :no}, else: next.(jobs) end
    {:ok, db} = Honker.open(path, around_enqueue: [tenant, refuse])

    outer = fn job, next ->
      send(test, {:outer, job.metadata["tenant"], Logger.metadata()[:honker_queue]})
      with {:error, :again} <- next.(job), do: {:snooze, 500}
    end

    inner = fn job, next -> next.(%{job | payload: job.payload * 2}) end
    start_worker(db, fn job -> send(test, {:ran, job.payload}) && {:error, :again} end, around_job: [outer, inner])
    {:ok, id} = Queue.enqueue(db, "q", 21)
    assert_receive {:outer, "t1", "q"}
    assert_receive {:ran, 42}
    assert_receive {:event, :stop, %{result: {:snooze, 500}}}
    assert_receive {:event, :enqueue, %{results: [enqueued: ^id], jobs: [{"q", 21, [metadata: %{tenant: "t1"}]}]}}
    assert {:error, :no} = Queue.enqueue(db, "q", "no")
    assert {:error, :no} = Queue.enqueue_many(db, "q", [1, "no"])
    assert {:error, %Error{name: :invalid}} = Honker.open(path, around_enqueue: fn -> 1 end)
    Process.flag(:trap_exit, true)
    opts = [db: db, queue: "q", handler: & &1, around_job: fn _ -> 1 end]
    assert {:error, %Error{name: :invalid}} = Worker.start_link(opts)
    Honker.close(db)
  end
end
