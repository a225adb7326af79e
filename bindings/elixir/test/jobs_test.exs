defmodule Honker.JobsTest do
  use Honker.Case, async: true
  alias Honker.Jobs

  defp die(db, queue, error) do
    {:ok, job} = Queue.claim_one(db, queue, "w")
    {:ok, true} = Job.fail(db, job, error)
    job.id
  end

  defp ids(db, filter), do: for(job <- Jobs.stream(db, filter), do: job["id"])

  test "jobs of all states, by what is known of them", %{db: db} do
    :ok = Queue.configure(db, "q", keep_done_s: 600, concurrency_per_key: 1)
    {:ok, dead} = Queue.enqueue(db, "q", 1, metadata: %{tenant: "a", x: "y"})
    ^dead = die(db, "q", "timeout after 5 s")
    {:ok, done} = Queue.enqueue(db, "q", 2)
    {:ok, job} = Queue.claim_one(db, "q", "w")
    :ok = Honker.save_result(db, done, "5")
    {:ok, true} = Job.ack(db, job)
    {:ok, running} = Queue.enqueue(db, "q", 3, concurrency_key: "k")
    {:ok, %Job{id: ^running}} = Queue.claim_one(db, "q", "w")
    {:ok, blocked} = Queue.enqueue(db, "q", 4, concurrency_key: "k")
    {:ok, nil} = Queue.claim_one(db, "q", "w")
    {:ok, due} = Queue.enqueue(db, "q", %{"a" => 5}, unique_key: "u")
    {:ok, delayed} = Queue.enqueue(db, "q", Honker.raw("no JSON"), delay: 500)
    {:ok, other} = Queue.enqueue(db, "other", 7)

    states = [dead: dead, done: done, processing: running, blocked: blocked, due: due, delayed: delayed]
    for {state, id} <- states, do: assert(ids(db, queue: "q", state: state) == [id])
    assert ids(db, []) == [other | Enum.reverse(Keyword.values(states))]
    assert ids(db, state: [:dead, "done"], order: :oldest) == [dead, done]
    assert ids(db, min_id: due, max_id: delayed) == [delayed, due]
    assert ids(db, worker_id: "w") == [running]
    assert ids(db, unique_key: "u") == [due]
    assert ids(db, metadata: %{tenant: "a"}) == [dead]
    assert ids(db, error: "timeout") == [dead]
    now = System.os_time(:second)
    assert ids(db, ended_from: now - 500, ended_to: now + 500, order: :oldest) == [dead, done]
    assert ids(db, created_to: now - 500) == []
    assert ids(db, created_from: now - 500, queue: "other") == [other]

    assert {:ok, {[%{"payload" => %{"a" => 5}, "raw" => ~s({"a":5}), "unique_key" => "u"}], nil}} =
             Jobs.list(db, state: :due, queue: "q")

    assert {:ok, {[%{"payload" => "no JSON", "raw" => "no JSON"}], nil}} = Jobs.list(db, state: :delayed)
    assert {:ok, {[%{"result" => "5", "state" => "done"}], nil}} = Jobs.list(db, state: :done)
    assert [%{"last_error" => "timeout after 5 s", "metadata" => %{"x" => "y"}}] = elem(Jobs.list!(db, state: :dead), 0)
  end

  test "pages, one after the other, and only those that are asked for", %{db: db} do
    {:ok, ids} = Queue.enqueue_many(db, "q", Enum.to_list(1..7))
    assert {:ok, {[_, _], cursor}} = Jobs.list(db, page_size: 2, order: :oldest)
    assert cursor == Enum.at(ids, 1)

    assert {:ok, {[%{"payload" => 3}, %{"payload" => 4}], _}} =
             Jobs.list(db, page_size: 2, order: :oldest, cursor: cursor)

    assert ids(db, page_size: 2) == Enum.reverse(ids)
    assert ids(db, page_size: 3, order: :oldest) == ids
    assert [%{"payload" => 7}, %{"payload" => 6}, %{"payload" => 5}] = db |> Jobs.stream(page_size: 2) |> Enum.take(3)
    assert {:ok, 7} = Honker.transaction(db, fn tx -> tx |> Jobs.stream(page_size: 2) |> Enum.count() end)
  end

  test "actions, a page at a time or to all", %{db: db} do
    {:ok, ids} = Queue.enqueue_many(db, "q", Enum.to_list(1..5), delay: 500)

    assert {:ok, %{"changed" => 2, "conflicts" => 0, "left" => nil, "cursor" => cursor}} =
             Jobs.apply(db, [page_size: 2], :run_now)

    assert {:ok, %{"changed" => 2}} = Jobs.apply(db, [page_size: 2, cursor: cursor], :run_now)

    assert {:ok, %{"changed" => 1, "cursor" => nil, "left" => 0}} =
             Jobs.apply_all(db, [page_size: 2, state: :delayed], :run_now)

    assert %{"changed" => 5} = Jobs.apply_all!(db, [page_size: 2], {:priority, 7})
    assert {:ok, %{"priority" => 7}} = Queue.get_job(db, hd(ids))
    assert {:ok, %{"changed" => 1}} = Jobs.apply(db, [max_id: hd(ids)], {:move, "other"})
    assert {:ok, %{"queue" => "other"}} = Queue.get_job(db, hd(ids))
    assert {:ok, %{"changed" => 1}} = Jobs.apply(db, [queue: "other"], :cancel)
    dead = for _ <- 1..3, do: die(db, "q", "no")
    assert {:ok, %{"changed" => 3, "conflicts" => 0}} = Jobs.apply_all(db, [state: :dead, page_size: 1], :retry)
    assert {:ok, %{"attempts" => 0}} = Queue.get_job(db, hd(dead))

    assert {:error, :no} =
             Honker.transaction(db, fn tx ->
               with({:ok, %{"changed" => 4}} <- Jobs.apply(tx, [], :delete), do: {:error, :no})
             end)

    assert {:ok, %{"changed" => 4}} = Jobs.apply_all(db, [queue: "q", page_size: 3], :delete)
    assert ids(db, []) == []
  end

  test "a conflict is counted", %{db: db} do
    {:ok, _} = Queue.enqueue(db, "q", 1, unique_key: "k")
    id = die(db, "q", "no")
    {:ok, _} = Queue.enqueue(db, "q", 2, unique_key: "k")
    assert {:ok, %{"changed" => 0, "conflicts" => 1}} = Jobs.apply_all(db, [state: :dead], :retry)
    assert ids(db, state: :dead) == [id]
  end

  test "filters and actions that cannot be are errors, and nothing happens", %{db: db} do
    {:ok, id} = Queue.enqueue(db, "q", 1)

    for wrong <- [
          [stat: :dead],
          [state: :ready],
          [page_size: 0],
          [queue: nil],
          [unique_key: ""],
          [page_size: 1001],
          [order: :up],
          [queue: :q],
          [min_id: "x"],
          [state: [nil]],
          %{queue: "q"}
        ] do
      assert {:error, %Error{name: :invalid}} = Jobs.list(db, wrong)
      assert {:error, %Error{name: :invalid}} = Jobs.apply(db, wrong, :delete)
      assert {:error, %Error{name: :invalid}} = Jobs.apply_all(db, wrong, :delete)
      assert_raise Error, fn -> Enum.to_list(Jobs.stream(db, wrong)) end
    end

    for wrong <- [:explode, {:move, 5}, {:move, self()}, {:priority, "high"}, {:queue, "x"}, "retry"] do
      assert {:error, %Error{name: :invalid}} = Jobs.apply(db, [], wrong)
    end

    assert ids(db, []) == [id]
  end

  test "the dead by what they died of", %{db: db} do
    {:ok, _} = Queue.enqueue_many(db, "q", [1, 2, 3])
    {:ok, _} = Queue.enqueue(db, "other", %{"n" => 4})
    die(db, "q", "timeout after 5 s")
    die(db, "q", "timeout after 17 s")
    die(db, "q", "no such address")
    last = die(db, "other", "timeout after 1 s")

    assert {:ok, [%{"error" => "timeout after # s", "count" => 3, "newest" => newest}, %{"count" => 1}]} =
             Queue.dead_groups(db)

    assert %{"id" => ^last, "payload" => %{"n" => 4}, "raw" => _} = newest
    assert {:ok, [%{"count" => 2}, %{"count" => 1}]} = Queue.dead_groups(db, "q")
    assert {:ok, [%{"count" => 1}]} = Queue.dead_groups(Honker.queue(db, "other"))
    assert [] = Queue.dead_groups!(db, "none")
  end
end
