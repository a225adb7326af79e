defmodule Honker.BatchTest do
  use Honker.Case, async: true
  alias Honker.Batch

  defmodule Report do
    use Honker.Job, queue: "reports", max_attempts: 4

    @impl true
    def perform(_job), do: :ok
  end

  defp finish(db, queue) do
    {:ok, jobs} = Queue.claim_batch(db, queue, "w", 99)
    for job <- jobs, do: {:ok, true} = Job.ack(db, job)
    length(jobs)
  end

  test "it is sealed at the end of the block, and what it says is enqueued after the last", %{db: db} do
    says = [
      on_finished: {"finished", %{of: 1}, priority: 5, metadata: %{a: "b"}},
      on_success: Report.new(%{n: 1}),
      keep_s: 60
    ]

    assert {:ok, id} =
             Honker.batch(db, says, fn batch ->
               {:ok, _} = Queue.enqueue(db, "q", 1, batch: batch)
               {:ok, [_, _]} = Queue.enqueue_many(Honker.queue(db, "r"), [1, 2], batch: batch)
               # Not before it is sealed.
               assert finish(db, "r") == 2
               assert {:ok, %{"sealed" => false, "pending" => 1}} = Batch.get(db, batch)
             end)

    assert {:ok, %{"total" => 3, "pending" => 1, "done" => 2, "sealed" => true, "finished_at" => nil}} =
             Batch.get(db, id)

    assert {:ok, {[%{"payload" => 1}], nil}} = Honker.Jobs.list(db, batch: id, state: :due)
    assert {:error, %Error{name: :invalid, message: sealed}} = Queue.enqueue(db, "q", 2, batch: id)
    assert sealed =~ "sealed"
    assert {:ok, false} = Batch.seal(db, id)
    assert {:ok, nil} = Queue.claim_one(db, "finished", "w")
    assert finish(db, "q") == 1
    assert {:ok, %{"done" => 3, "pending" => 0, "finished_at" => at}} = Batch.get(db, id)
    assert is_integer(at)
    text = to_string(id)

    assert {:ok, %Job{payload: %{"of" => 1}, metadata: %{"a" => "b", "batch_id" => ^text}}} =
             Queue.claim_one(db, "finished", "w")

    assert {:ok, %Job{max_attempts: 4, payload: %{"__honker_task__" => %{"kwargs" => %{"n" => 1}}}}} =
             Queue.claim_one(db, "reports", "w")
  end

  test "one that failed has no success", %{db: db} do
    id =
      Honker.batch!(db, [on_success: {"yes", nil}, on_finished: {"end", nil}], &Queue.enqueue!(db, "q", 1, batch: &1))

    {:ok, job} = Queue.claim_one(db, "q", "w")
    {:ok, true} = Job.fail(db, job, "no")
    assert %{"dead" => 1, "done" => 0} = Batch.get!(db, id)
    assert {:ok, %Job{}} = Queue.claim_one(db, "end", "w")
    assert {:ok, nil} = Queue.claim_one(db, "yes", "w")
  end

  test "a block that fails seals nothing, and in a transaction leaves nothing", %{db: db} do
    test = self()

    fail = fn on, how ->
      Honker.batch(on, [on_finished: {"end", nil}], fn batch ->
        send(test, {:batch, batch})
        {:ok, _} = Queue.enqueue(on, "q", 1, batch: batch)
        how.()
      end)
    end

    assert {:error, :no} = fail.(db, fn -> {:error, :no} end)
    assert_received {:batch, id}
    assert {:ok, %{"sealed" => false, "pending" => 1}} = Batch.get(db, id)
    assert_raise RuntimeError, fn -> fail.(db, fn -> raise "no" end) end
    assert_received {:batch, id}
    assert {:ok, %{"sealed" => false, "pending" => 1}} = Batch.get(db, id)
    # It is open still.
    {:ok, _} = Queue.enqueue(db, "q", 2, batch: id)
    assert {:ok, true} = Batch.seal(db, id)
    assert finish(db, "q") == 3
    assert {:ok, %Job{}} = Queue.claim_one(db, "end", "w")

    assert {:error, :no} = Honker.transaction(db, fn tx -> fail.(tx, fn -> {:error, :no} end) end)
    assert_received {:batch, id}
    assert {:ok, nil} = Batch.get(db, id)
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
  end

  test "an empty one is over at once", %{db: db} do
    assert {:ok, id} = Honker.batch(db, [on_success: {"yes", nil}], fn _batch -> :ok end)
    assert {:ok, %{"total" => 0, "finished_at" => at}} = Batch.get(db, id)
    assert is_integer(at)
    assert {:ok, %Job{}} = Queue.claim_one(db, "yes", "w")
    assert {:ok, _} = Honker.batch(db, fn _batch -> nil end)
  end

  test "a running member adds to its batch, and nobody else", %{db: db} do
    test = self()

    start_worker(db, fn
      %Job{payload: "first"} = job ->
        added = [
          Queue.enqueue(db, "q", "more", member: job),
          Queue.enqueue(db, "q", "more", batch: job.payload, member: job)
        ]

        {:ok, send(test, {:added, added})}

      %Job{payload: "more"} ->
        :ok
    end)

    id = Honker.batch!(db, [on_success: {"yes", nil}], &Queue.enqueue!(db, "q", "first", batch: &1, delay: 500))
    {:ok, %{"changed" => 1}} = Honker.Jobs.apply(db, [batch: id], :run_now)
    assert_receive {:added, [{:ok, _}, {:error, %Error{name: :invalid}}]}, 120_000
    {:ok, listener} = Queue.worker(db, "yes", "w")
    assert {:ok, [%Job{}]} = Consumer.next(listener, 120_000)
    assert {:ok, %{"total" => 2, "done" => 2}} = Batch.get(db, id)

    {:ok, _} = Queue.enqueue(db, "plain", 1)
    {:ok, plain} = Queue.claim_one(db, "plain", "w")
    assert {:error, %Error{name: :invalid, message: message}} = Queue.enqueue(db, "plain", 1, member: plain)
    assert message =~ "in no batch"
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "plain", 1, member: plain, batch: id)
  end

  test "what cannot be is an error, and there is no batch", %{db: db} do
    fun = fn _ -> raise "it is not called" end
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finish: {"q", 1}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: "q"], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: {:q, 1}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: {"q", self()}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: {"q", 1, batch: 1}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: {"q", 1, unique_for_s: 5}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [on_finished: {"q", 1, delay: "x"}], fun)
    assert {:error, %Error{name: :invalid}} = Honker.batch(db, [keep_s: -1], fun)
    assert {:error, %Error{name: :invalid}} = Batch.seal(db, 99)
    assert {:ok, nil} = Batch.get(db, 99)
    assert {:ok, [[0]]} = Honker.query(db, "SELECT count(*) FROM _honker_batches")
  end
end
