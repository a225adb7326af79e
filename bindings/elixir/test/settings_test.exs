defmodule Honker.SettingsTest do
  # What is set for queues and topics in the file, and what is told of them.
  use Honker.Case, async: true

  test "settings are merged, read, and taken back", %{db: db} do
    assert {:ok, %{"paused" => false, "max_attempts" => 3, "concurrency" => nil}} = Queue.settings(db, "nobody")
    queue = Honker.queue(db, "q")
    assert :ok = Queue.configure(queue, concurrency: 2, rate: [limit: 100, per_s: 60])
    assert :ok = Queue.configure(db, "q", retry: [base_s: 5, factor: 1.5], keep_done_s: 60, keep_dead_s: 3600)
    assert {:ok, set} = Queue.settings(queue)
    assert %{"concurrency" => 2, "rate" => %{"limit" => 100, "per_s" => 60}, "keep_done_s" => 60} = set
    assert %{"retry" => %{"base_s" => 5, "factor" => 1.5, "max_s" => 3600}, "keep_dead_s" => 3600} = set
    assert :ok = Queue.configure!(db, "q", concurrency: nil, rate: nil)
    assert %{"concurrency" => nil, "rate" => nil, "keep_done_s" => 60} = Queue.settings!(db, "q")
    {:ok, _} = Queue.enqueue(db, "a", 1)
    assert {:ok, [%{"queue" => "a", "paused" => false}, %{"queue" => "q", "keep_done_s" => 60}]} = Honker.queues(db)

    # Part of a transaction.
    {:error, :no} = Honker.transaction(db, fn tx -> with :ok <- Queue.pause(tx, "q"), do: {:error, :no} end)
    assert {:ok, %{"paused" => false}} = Queue.settings(db, "q")
  end

  test "settings that cannot be are errors that name them, and nothing is set", %{db: db} do
    wrong = [
      {"concurrency", concurrency: 0},
      {"concurrency", concurrency: "2"},
      {"paused", paused: :yes},
      {"rate", rate: [limit: 1]},
      {"rate", rate: 5},
      {"per_s", rate: [limit: 1, per_s: 0]},
      {"retry", retry: [base: 1]},
      {"jitter", retry: [jitter: 2]},
      {"there is no option :paussed", paussed: true},
      {"encoded", concurrency: self()}
    ]

    for {message, settings} <- wrong do
      assert {:error, %Error{name: :invalid, message: said}} = Queue.configure(db, "q", [keep_done_s: 5] ++ settings)
      assert said =~ message
    end

    assert {:error, %Error{name: :invalid}} = Queue.configure(db, "q", %{paused: true})
    assert {:error, %Error{name: :invalid}} = Queue.pause(db, :q)
    assert {:ok, %{"keep_done_s" => 0}} = Queue.settings(db, "q")
  end

  test "a queue that is paused rests, for workers as well, until it goes on", %{db: db} do
    test = self()
    :ok = Queue.pause(db, "q")
    start_worker(db, fn job -> {:ok, send(test, {:runs, job.payload})} end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    {:ok, _} = Queue.enqueue(db, "other", 1)
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
    assert {:ok, nil} = Queue.next_claim_at(db, "q")
    assert {:ok, %Job{}} = Queue.claim_one(db, "other", "w")
    refute_received {:runs, _}
    :ok = Queue.resume(Honker.queue(db, "q"))
    assert_receive {:runs, 1}, 120_000
  end

  test "the attempts of a queue hold for what does not say, unless this process says", %{db: db} do
    :ok = Queue.configure(db, "q", max_attempts: 7)
    {:ok, one} = Queue.enqueue(db, "q", 1)
    {:ok, own} = Queue.enqueue(db, "q", 1, max_attempts: 2)
    {:ok, here} = Queue.enqueue(Honker.configure_queue(db, "q", max_attempts: 5), "q", 1)
    {:ok, elsewhere} = Queue.enqueue(Honker.configure_queue(db, "q", visibility_timeout_s: 5), "q", 1)
    max = fn id -> Queue.get_job!(db, id)["max_attempts"] end
    assert Enum.map([one, own, here, elsewhere], max) == [7, 2, 5, 7]
  end

  test "limits hold for everybody who claims", %{db: db} do
    :ok = Queue.configure(db, "q", concurrency_per_key: 1)
    {:ok, [first, _]} = Queue.enqueue_many(db, "q", [1, 2], concurrency_key: "k")
    {:ok, other} = Queue.enqueue(db, "q", 3, concurrency_key: "l")
    assert {:ok, [%Job{id: ^first} = job, %Job{id: ^other}]} = Queue.claim_batch(db, "q", "w", 9)
    assert {:ok, {[%{"payload" => 2}], nil}} = Honker.Jobs.list(db, state: :blocked)
    {:ok, true} = Job.ack(db, job)
    assert {:ok, %Job{payload: 2}} = Queue.claim_one(db, "q", "v")

    :ok = Queue.configure(db, "slow", concurrency: 1)
    {:ok, _} = Queue.enqueue_many(db, "slow", [1, 2])
    assert {:ok, [%Job{payload: 1}]} = Queue.claim_batch(db, "slow", "w", 9)
    assert {:ok, nil} = Queue.claim_one(db, "slow", "v")
  end

  test "jobs that this process runs by itself wait as their queue says", %{} do
    db = Honker.Testing.open!()
    test = self()
    :ok = Queue.configure(db, "q", retry: [base_s: 1000, factor: 3, max_s: 2000])
    {:ok, id} = Queue.enqueue(db, "q", 1, max_attempts: 9)
    told = fn failure, _job -> send(test, {:next, failure.next}) end
    run = fn opts -> Honker.Testing.run_due(db, [queue: "q", handler: fn _ -> :error end, on_error: told] ++ opts) end
    wait = fn -> Queue.get_job!(db, id)["run_at"] - System.os_time(:second) end
    assert [{_, {:retry, nil, _}}] = run.([])
    assert wait.() in 900..1000
    assert_receive {:next, 1000}, 120_000
    Honker.Testing.travel(db, 1000)
    assert [_] = run.(retry_base_s: 5)
    assert wait.() in 1900..2000
    Honker.Testing.travel(db, 2000)
    assert [_] = run.(retry_delay_s: 500)
    assert wait.() in 400..500
  end

  test "what is known of queues, in numbers", %{path: path} do
    # Counts are there when the process has closed the file.
    script = """
    {:ok, db} = Honker.open(#{inspect(path)})
    {:ok, _} = Honker.Queue.enqueue_many(db, "q", [1, 2, 3])
    {:ok, job} = Honker.Queue.claim_one(db, "q", "w")
    {:ok, true} = Honker.Job.ack(db, job)
    :ok = Honker.close(db)
    """

    assert output(emulator(script)) == ""
    {:ok, db} = Honker.open(path)
    assert {:ok, [%{"queue" => "q"} = queue]} = Honker.metrics(db)
    assert %{"counts" => %{"enqueued" => 3, "claimed" => 1, "done" => 1}, "depth" => %{"due" => 2, "dead" => 0}} = queue
    assert %{"wait" => %{"buckets" => [%{"up_to_s" => _, "count" => _} | _]}, "run" => %{"sum_s" => _}} = queue
    :ok = Honker.close(db)
    assert {:error, %Error{name: :closed_handle}} = Honker.metrics(db)
  end

  test "what is kept of a topic, and of notifications", %{db: db} do
    {:ok, _} = Honker.Stream.publish(db, "t", 1)
    for n <- 2..5, do: {:ok, _} = Honker.Stream.publish(db, "t", n)
    assert {:ok, 0} = Honker.Stream.trim(db, "t")
    assert :ok = Honker.Stream.configure(db, "t", keep_n: 3)
    assert {:ok, 2} = Honker.Stream.trim(db, "t")
    assert {:ok, true} = Honker.Stream.save_offset(db, "c", "t", 2)
    assert {:ok, 0} = Honker.Stream.trim(db, "t", keep_n: 2)
    assert {:ok, 1} = Honker.Stream.trim(db, "t", keep_n: 2, past_consumers: true)
    assert {:ok, [%{payload: 4}, %{payload: 5}]} = Honker.Stream.read_since(db, "t", 0)
    assert {:error, %Error{name: :invalid}} = Honker.Stream.configure(db, "t", keep_n: -1)
    assert {:error, %Error{name: :invalid}} = Honker.Stream.trim(db, "t", keep: 1)
    assert :ok = Honker.configure_notifications(db, keep_s: 60)
    assert :ok = Honker.configure_notifications(db, keep_s: nil)
    assert {:error, %Error{name: :invalid}} = Honker.configure_notifications(db, keep_s: "60")
  end
end
