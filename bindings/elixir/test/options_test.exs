defmodule Honker.OptionsTest do
  # What enqueueing and schedules take beyond the plain: unique jobs, keys, the time a job may run.
  use Honker.Case, async: true
  alias Honker.Scheduler

  defmodule Invoice do
    use Honker.Job, queue: "invoices", unique_until: :claimed, max_run_s: 60

    @impl true
    def unique_key(%{customer: id}), do: id && "customer:#{id}"
    @impl true
    def concurrency_key(args), do: args[:region]
    @impl true
    def perform(_job), do: :ok
  end

  test "what has come of a unique job", %{db: db} do
    queue = Honker.queue(db, "q")
    assert {:ok, {:enqueued, id}} = Queue.enqueue_one(db, {"q", 1, unique_key: "k"})
    assert {:ok, {:exists, ^id}} = Queue.enqueue_one(queue, {"q", 2, unique_key: "k"})
    assert {:exists, ^id} = Queue.enqueue_one!(db, {"q", 2, unique_key: "k", on_conflict: :keep})
    assert {:ok, ^id} = Queue.enqueue(queue, 2, unique_key: "k")
    assert {:ok, {:replaced, ^id}} = Queue.enqueue_one(db, {"q", 3, unique_key: "k", on_conflict: :replace})
    assert {:ok, {:enqueued, plain}} = Queue.enqueue_one(db, {"q", 4})

    jobs = [
      {"q", 5, unique_key: "k"},
      {"q", 6, unique_key: "l"},
      {"q", 7, unique_key: "l"},
      {"other", 8, unique_key: "k"}
    ]

    assert {:ok, [exists: ^id, enqueued: l, exists: l, enqueued: _]} = Queue.enqueue_all(db, jobs)
    assert {:ok, [^l, ^l]} = Queue.enqueue_many(db, "q", [1, 2], unique_key: "l")
    assert {:ok, [%Job{id: ^id, payload: 3} = job, %Job{id: ^plain}, %Job{id: ^l}]} = Queue.claim_batch(db, "q", "w", 9)

    # It is settled, and the key free.
    assert {:ok, {:exists, ^id}} = Queue.enqueue_one(db, {"q", 1, unique_key: "k", on_conflict: :replace})
    {:ok, true} = Job.ack(db, job)
    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(db, {"q", 1, unique_key: "k"})

    # With the transaction it is gone.
    assert {:error, :no} =
             Honker.transaction(db, fn tx ->
               {:ok, {:enqueued, _}} = Queue.enqueue_one(tx, {"q", 1, unique_key: "m"})
               {:ok, {:exists, _}} = Queue.enqueue_one(tx, {"q", 1, unique_key: "m"})
               {:error, :no}
             end)

    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(db, {"q", 1, unique_key: "m"})
  end

  test "until when a job has its key", %{db: db} do
    claimed = {"q", 1, unique_key: "k", unique_until: :claimed}
    assert {:ok, {:enqueued, first}} = Queue.enqueue_one(db, claimed)
    assert {:ok, {:exists, ^first}} = Queue.enqueue_one(db, claimed)
    {:ok, %Job{id: ^first}} = Queue.claim_one(db, "q", "w")
    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(db, claimed)

    test = Honker.Testing.open!()
    throttled = {"q", 1, unique_key: "k", unique_for_s: 100}
    assert {:ok, {:enqueued, id}} = Queue.enqueue_one(test, throttled)
    {:ok, job} = Queue.claim_one(test, "q", "w")
    {:ok, true} = Job.ack(test, job)
    assert {:ok, {:exists, ^id}} = Queue.enqueue_one(test, throttled)
    Honker.Testing.travel(test, 100)
    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(test, throttled)
  end

  test "a dead job whose key another one has stays dead", %{db: db} do
    {:ok, id} = Queue.enqueue(db, "q", 1, unique_key: "k")
    {:ok, job} = Queue.claim_one(db, "q", "w")
    {:ok, true} = Job.fail(db, job, "no")
    {:ok, other} = Queue.enqueue(db, "q", 2, unique_key: "k")
    assert {:ok, false} = Queue.requeue_dead(db, id)
    assert {:ok, true} = Queue.cancel(db, other)
    assert {:ok, true} = Queue.requeue_dead(db, id)
  end

  test "options that cannot be are errors that name them, and nothing is enqueued", %{db: db} do
    wrong = [
      {"unique_key", unique_key: ""},
      {"unique_key", unique_key: :k},
      {"unique_until has to be :settled or :claimed", unique_key: "k", unique_until: "claimed"},
      {"on_conflict has to be :keep or :replace", unique_key: "k", on_conflict: :raise},
      {"unique_for_s", unique_key: "k", unique_for_s: 0},
      {"unique_for_s", unique_key: "k", unique_for_s: 0x8000000000000000},
      {"unique_until is given without unique_key", unique_until: :claimed},
      {"on_conflict is given without unique_key", on_conflict: :keep},
      {"concurrency_key", concurrency_key: ""},
      {"concurrency_key", concurrency_key: 7},
      {"max_run_s", max_run_s: 0},
      {"max_run_s", max_run_s: 1.5},
      {"batch", batch: "1"},
      {"batch", batch: 0},
      {"member", batch: 1, member: 5},
      {"there is no option :unique", unique: true}
    ]

    for {message, opts} <- wrong do
      assert {:error, %Error{name: :invalid, message: said}} = Queue.enqueue(db, "q", 1, opts)
      assert said =~ message
      assert {:error, %Error{name: :invalid}} = Queue.enqueue_one(db, {"q", 1, opts})
      assert {:error, %Error{name: :invalid}} = Queue.enqueue_many(db, "q", [1, 2], opts)
    end

    assert {:error, %Error{name: :utf8}} = Queue.enqueue(db, "q", 1, unique_key: <<255>>)
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", 1, batch: 12_345)
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
    # nil is not given.
    assert {:ok, _} =
             Queue.enqueue(db, "q", 1, unique_key: nil, unique_until: nil, batch: nil, member: nil, max_run_s: nil)
  end

  test "one connection's SQL cannot do them", %{db: db} do
    assert {:error, %Error{name: :invalid, message: message}} = Honker.SQL.enqueue("q", 1, unique_key: "k")
    assert message =~ "unique_key has a table of its own"
    assert {:error, %Error{name: :invalid}} = Honker.SQL.enqueue(Invoice.new(%{customer: 1}))
    assert {:ok, {sql, params}} = Honker.SQL.enqueue("q", 1, unique_key: nil)
    assert {:ok, {:ok, [[_id]]}} = Honker.transaction(db, &Transaction.query(&1, sql, params))
  end

  test "a module makes keys of its arguments, and has the rest as defaults", %{db: db} do
    {:ok, id} = Invoice.enqueue(db, %{customer: 1, region: "eu"})
    assert {:ok, {:exists, ^id}} = Queue.enqueue_one(db, Invoice.new(%{customer: 1}))
    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(db, Invoice.new(%{customer: 2}))
    assert {:ok, {:enqueued, own}} = Queue.enqueue_one(db, Invoice.new(%{customer: 1}, unique_key: "own"))
    # Without a key, what the module says of it does not matter.
    assert {:ok, none} = Invoice.enqueue(db, %{customer: nil})
    assert {:ok, also} = Invoice.enqueue(db, %{customer: 1}, unique_key: nil)
    assert {:error, %Error{}} = Invoice.enqueue(db, %{customer: nil}, unique_for_s: 5)

    keys = for job <- Honker.Jobs.stream(db, order: :oldest), do: {job["id"], job["unique_key"], job["concurrency_key"]}
    assert {id, "customer:1", "eu"} in keys
    assert {own, "own", nil} in keys
    assert {none, nil, nil} in keys
    assert {also, nil, nil} in keys
    assert %{"id" => ^id} = Honker.Testing.assert_enqueued(db, job: Invoice, args: %{region: "eu"})
    {:ok, _} = Queue.claim_batch(db, "invoices", "w", 9)
    assert {:ok, {:enqueued, _}} = Queue.enqueue_one(db, Invoice.new(%{customer: 1}))
  end

  test "schedules: what else is said of their jobs, and what boundaries do while one is live", %{db: db} do
    every = [queue: "q", schedule: "@every 60s"]
    :ok = Scheduler.add(db, [name: "skips", overlap: :skip, metadata: %{a: "b"}, delay: 1000] ++ every)
    :ok = Scheduler.add(db, [name: "unique", unique_key: "k", concurrency_key: "c"] ++ every)
    :ok = Scheduler.add(db, [name: "replaces", unique_key: "r", on_conflict: :replace] ++ every)
    :ok = Scheduler.add(db, [name: "allows", overlap: :allow] ++ every)
    :ok = Scheduler.add(db, name: "job", schedule: "@every 60s", job: Invoice, args: %{customer: 7})
    {:ok, fires} = Scheduler.tick(db, System.os_time(:second) + 180)
    of = fn name -> for %{name: ^name} = fire <- fires, do: {fire.status, fire.job_id} end
    assert [{:enqueued, id}, {:skipped, nil} | _] = of.("skips")
    assert [{:enqueued, unique}, {:exists, unique} | _] = of.("unique")
    assert [{:enqueued, replaced}, {:replaced, replaced} | _] = of.("replaces")
    assert [{:enqueued, one}, {:enqueued, other} | _] = of.("allows")
    assert one != other
    assert [{:enqueued, job}, {:exists, job} | _] = of.("job")
    assert {:ok, %{"metadata" => %{"a" => "b"}}} = Queue.get_job(db, id)
    assert {:ok, {[%{"state" => "delayed"}], nil}} = Honker.Jobs.list(db, min_id: id, max_id: id)
    assert {:ok, {[%{"concurrency_key" => "c"}], _}} = Honker.Jobs.list(db, unique_key: "k")

    for wrong <- [[overlap: :maybe], [unique_key: ""], [member: %Job{id: 1, queue: "q", worker_id: "w"}], [metadata: 1]] do
      assert {:error, %Error{name: :invalid}} = Scheduler.add(db, [name: "wrong"] ++ wrong ++ every)
    end

    {:ok, schedules} = Scheduler.list(db)
    refute Enum.any?(schedules, &(&1["name"] == "wrong"))
  end

  test "events count what was added, and tell the rest", %{path: path} do
    port =
      emulator("""
      Application.put_env(:honker, :on_event, fn event, %{count: n}, %{results: results} ->
        IO.puts(inspect({List.last(event), n, Keyword.keys(results)}))
      end)
      {:ok, db} = Honker.open(#{inspect(path)})
      {:ok, _} = Honker.Queue.enqueue_many(db, "q", [1, 2], unique_key: "k")
      """)

    assert output(port) == "{:enqueue, 1, [:enqueued, :exists]}"
  end

  test "a job's own time to run ends its handler, and it is tried again", %{db: db} do
    test = self()

    start_worker(db, fn job ->
      send(test, {:runs, job.attempts})
      if job.attempts == 1, do: Process.sleep(:infinity), else: :ok
    end)

    {:ok, id} = Queue.enqueue(db, "q", 1, max_run_s: 1)
    assert_receive {:runs, 1}, 120_000
    assert soon(fn -> match?({:ok, %{"attempts" => 1, "state" => "pending"}}, Queue.get_job(db, id)) end)
    {:ok, %{"changed" => 1}} = Honker.Jobs.apply(db, [min_id: id, max_id: id], :run_now)
    assert_receive {:runs, 2}, 120_000
    assert soon(fn -> match?({:ok, nil}, Queue.get_job(db, id)) end)
  end
end
