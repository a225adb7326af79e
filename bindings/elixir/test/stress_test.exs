defmodule Honker.StressTest do
  use Honker.Case, async: false

  # Processes that do anything with anybody's handles, and are killed in the middle of it.
  test "processes are killed at any moment, and the file goes on", %{db: db, directory: directory} do
    other = Path.join(directory, "other.db")
    shared = :ets.new(:shared, [:public])

    actor = fn actor ->
      case :rand.uniform(9) do
        1 ->
          Honker.transaction(db, fn tx -> Queue.enqueue(tx, "q", 1) && Process.sleep(:rand.uniform(5)) end)

        2 ->
          Queue.enqueue(db, "q", 1, priority: 1)

        3 ->
          with {:ok, %Job{} = job} <- Queue.claim_one(db, "q", "w"), do: Job.ack(db, job)

        4 ->
          with {:ok, worker} <- Queue.worker(db, "q", "w"),
               do: :ets.insert(shared, {:consumer, worker}) && Consumer.next(worker, 5)

        5 ->
          with {:ok, listener} <- Honker.listener(db, "c"),
               do: :ets.insert(shared, {:consumer, listener}) && Consumer.next(listener, 20)

        6 ->
          for {_, consumer} <- :ets.lookup(shared, :consumer),
              do: apply(Consumer, Enum.random([:wake, :close]), [consumer])

        7 ->
          with {:ok, tx} <- Transaction.begin(db), do: :ets.insert(shared, {:tx, tx}) && Queue.enqueue(tx, "q", 2)

        8 ->
          for {_, tx} <- :ets.lookup(shared, :tx),
              do: Enum.random([&Transaction.commit/1, &Queue.enqueue(&1, "q", 3)]).(tx)

        9 ->
          with {:ok, db} <- Honker.open(other),
               do:
                 Queue.enqueue(db, "q", 1) &&
                   Enum.random([fn -> Honker.close(db) end, fn -> Honker.interrupt(db) end]).()
      end

      actor.(actor)
    end

    stress(actor, for(_ <- 1..30, do: spawn(fn -> actor.(actor) end)), 500)
    assert {:ok, _} = Queue.enqueue(%{db | busy_timeout_ms: 120_000}, "q", "after")
    assert {:ok, [["ok"]]} = Honker.query(db, "PRAGMA integrity_check")
    assert {:ok, [_ | _]} = Queue.claim_batch(db, "q", "w", -1)
  end

  test "who is in the middle of a call when the database is closed is told so", %{directory: directory} do
    for round <- 1..100 do
      {:ok, db} = Honker.open(Path.join(directory, "closed#{rem(round, 5)}.db"))
      listeners = for _ <- 1..4, do: Honker.listener!(db, "c")

      calls = fn listener ->
        [
          fn -> Queue.enqueue(db, "q", 1) end,
          fn -> Queue.stats(db) end,
          fn -> Honker.status(db) end,
          fn -> Honker.updates(db) end,
          fn -> with :timeout <- Consumer.next(listener, 0), do: {:ok, nil} end
        ]
      end

      again = fn again, call -> with {:ok, _} <- call.(), do: again.(again, call) end
      calling = for listener <- listeners, call <- calls.(listener), do: Task.async(fn -> again.(again, call) end)
      Process.sleep(rem(round, 4))
      :ok = Honker.close(db)
      for told <- Task.await_many(calling, 180_000), do: assert({:error, %Error{name: :closed_handle}} = told)
    end
  end

  defp stress(_actor, actors, 0), do: Enum.each(actors, &Process.exit(&1, :kill))

  defp stress(actor, [victim | others], kills) do
    Process.sleep(:rand.uniform(8))
    Process.exit(victim, :kill)
    stress(actor, others ++ [spawn(fn -> actor.(actor) end)], kills - 1)
  end
end
