defmodule Honker.QueueTest do
  use Honker.Case, async: true

  test "jobs for several queues, each with its options, in one commit or none", %{db: db} do
    {:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE t (v)"))

    jobs = [
      {"emails", %{to: "alice"}},
      {"reports", 2, delay: 500, max_attempts: 7},
      {"emails", nil, priority: 5, metadata: %{"tenant" => "grüß", "n" => "1"}}
    ]

    assert {:ok, [enqueued: first, enqueued: second, enqueued: third]} = Queue.enqueue_all(db, jobs)
    assert {:ok, [%Job{id: ^third} = job, %Job{id: ^first} = plain]} = Queue.claim_batch(db, "emails", "w", 9)
    assert job.metadata == %{"tenant" => "grüß", "n" => "1"}
    assert plain.metadata == %{} and plain.max_attempts == 3
    assert {:ok, %{"max_attempts" => 7, "state" => "pending"} = row} = Queue.get_job(db, second)
    refute Map.has_key?(row, "metadata")
    assert {:ok, []} = Queue.enqueue_all(db, [])

    wrong = [{"emails", 1}, {"emails", 1, metadata: %{n: 1}}]
    assert {:error, %Error{name: :invalid, message: message}} = Queue.enqueue_all(db, wrong)
    assert message =~ "metadata must be a JSON object of texts"
    assert {:error, %Error{name: :invalid}} = Queue.enqueue_all(db, [{"emails", 1, [max_attempts: "x"]}])
    assert {:error, %Error{name: :invalid}} = Queue.enqueue_all(db, [{"emails", 1}, :none])
    assert {:error, %Error{name: :invalid}} = Queue.enqueue_all(db, :none)
    assert {:ok, nil} = Queue.claim_one(db, "emails", "w")

    assert {:error, :no} =
             Honker.transaction(db, fn tx ->
               {:ok, [enqueued: _]} = Queue.enqueue_all(tx, [{"emails", 1}])
               {:error, :no}
             end)

    assert {:ok, nil} = Queue.claim_one(db, "emails", "w")
  end

  test "a queue stands in place of a database and a name, and of a database", %{db: db} do
    for queue <- [Honker.queue(db, "q"), Honker.queue(db, "q", max_attempts: 7)] do
      {:ok, one} = Queue.enqueue(queue, 1)
      {:ok, _} = Queue.enqueue(queue, 2, priority: 1)
      {:ok, [_, _]} = Queue.enqueue_many(queue, [3, 4])
      {:ok, [_]} = Queue.enqueue_many(queue, [5], delay: 500)
      assert {:ok, [enqueued: other]} = Queue.enqueue_all(queue, [{"other", 1}])
      assert {:ok, %{"queue" => "q", "pending" => 4, "delayed" => 1}} = Queue.stats(queue)
      assert {:ok, at} = Queue.next_claim_at(queue)
      assert is_integer(at)
      assert {:ok, %Job{payload: 2} = job} = Queue.claim_one(queue, "w")
      assert {:ok, true} = Job.fail(queue, job, "no")
      assert {:ok, [%{"id" => dead}]} = Queue.dead(queue)
      assert {:ok, []} = Queue.dead(queue, 0)
      assert {:ok, true} = Queue.requeue_dead(queue, dead)
      assert {:ok, 0} = Queue.purge_dead(queue, 500)
      assert {:ok, %{"max_attempts" => max}} = Queue.get_job(queue, one)
      assert max == (queue.db.queues["q"].max_attempts || 3)
      assert {:ok, [_, _] = jobs} = Queue.claim_batch(queue, "w", 2)
      assert {:ok, 2} = Queue.ack_batch(queue, jobs, "w")
      {:ok, worker} = Queue.worker(queue, "w")
      assert {:ok, [_, _] = jobs} = Consumer.next(worker, 120_000, 9)
      assert {:ok, 2} = Queue.ack_batch(queue, jobs, "w")
      assert {:ok, 0} = Queue.sweep_expired(queue)
      assert {:ok, true} = Queue.cancel(queue, other)
      {:ok, _} = Honker.transaction(db, &Transaction.execute(&1, "DELETE FROM _honker_live"))
    end
  end

  test "metadata comes back with the job, also with a dead one", %{db: db} do
    {:ok, id} = Queue.enqueue(db, "q", 1, metadata: %{traceparent: "00-1"}, max_attempts: 1)
    assert {:ok, %{"metadata" => %{"traceparent" => "00-1"}}} = Queue.get_job(db, id)
    {:ok, worker} = Queue.worker(db, "q", "w")
    assert {:ok, [%Job{metadata: %{"traceparent" => "00-1"}, max_attempts: 1} = job]} = Consumer.next(worker, 5000)
    {:ok, true} = Job.fail(db, job, "no")
    assert {:ok, [%{"metadata" => %{"traceparent" => "00-1"}}]} = Queue.dead(db, "q")
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", 1, metadata: [a: "b"])
    long = String.duplicate("x", 9000)
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", 1, metadata: %{a: long})
    {:ok, many} = Queue.enqueue_many(db, "q", [1, 2], metadata: %{a: "b"})
    assert {:ok, jobs} = Queue.claim_batch(db, "q", "w", 9)
    assert many == Enum.map(jobs, & &1.id)
    assert Enum.all?(jobs, &(&1.metadata == %{"a" => "b"}))
  end

  test "a job that is released comes again, and the attempt does not count", %{db: db} do
    {:ok, _} = Queue.enqueue(db, "q", 1)
    {:ok, job} = Queue.claim_one(db, "q", "w")
    assert {:ok, true} = Job.release(db, job)
    assert {:ok, false} = Job.release(db, job)
    assert {:ok, %Job{attempts: 1} = job} = Queue.claim_one(db, "q", "w")
    assert {:ok, {:ok, true}} = Honker.transaction(db, &Job.release(&1, job, 500))
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
    assert {:ok, %{"delayed" => 1}} = Queue.stats(db, "q")
  end

  test "the status of a database", %{db: db, path: path} do
    {:ok, version} = Honker.version()
    assert {:ok, %{"versions" => %{"honker" => ^version}, "watcher" => nil, "file" => file}} = Honker.status(db)
    assert inspect(file) =~ Path.basename(path)
    {:ok, _} = Honker.updates(db)
    assert {:ok, %{"watcher" => %{"state" => _, "warnings" => []}}} = Honker.status(db)
    :ok = Honker.close(db)
    assert {:error, %Error{name: :closed_handle}} = Honker.status(db)
  end
end
