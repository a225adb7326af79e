defmodule Honker.ProcessesTest do
  use Honker.Case, async: true

  test "an emulator that is killed loses nothing and leaks nothing", %{db: db, path: path} do
    {:ok, _} = Queue.enqueue_many(db, "q", [1, 2])

    port =
      emulator("""
      {:ok, db} = Honker.open(#{inspect(path)})
      {:ok, %{payload: 1}} = Honker.Queue.claim_one(db, "q", "dies")
      {:ok, tx} = Honker.Transaction.begin(db)
      {:ok, _} = Honker.Queue.enqueue_tx(tx, "q", 3)
      IO.puts("ready")
      Process.sleep(:infinity)
      """)

    assert line(port) == "ready"
    kill(port)
    assert {:ok, [%Job{payload: 2}]} = Queue.claim_batch(db, "q", "w", 9)
    {:ok, worker} = Queue.worker(db, "q", "w")
    lapses = "UPDATE _honker_live SET claim_expires_at = unixepoch() + 1 WHERE payload = '1'"
    {:ok, :ok} = Honker.transaction(db, &Honker.execute(&1, lapses))
    # The claim lapses, and is noticed without a commit.
    assert {:ok, [%Job{payload: 1, attempts: 2}]} = Consumer.next(worker, 120_000, 9)
    assert {:ok, [[0]]} = Honker.query(db, "SELECT count(*) FROM _honker_live WHERE payload = '3'")
  end

  test "another process is waited for, and waited with", %{db: db, path: path, directory: directory} do
    go = Path.join(directory, "go")

    port =
      emulator("""
      {:ok, db} = Honker.open(#{inspect(path)})
      {:ok, tx} = Honker.Transaction.begin(db)
      IO.puts("begun")
      wait = fn wait -> File.exists?(#{inspect(go)}) || (Process.sleep(10) && wait.(wait)) end
      wait.(wait)
      {:ok, _} = Honker.notify_tx(tx, "c", "committed")
      :ok = Honker.Transaction.commit(tx)
      """)

    {:ok, listener} = Honker.listener(db, "c")
    assert line(port) == "begun"
    waiting = Task.async(fn -> Queue.enqueue(%{db | busy_timeout_ms: 120_000}, "q", 1) end)
    assert Task.yield(waiting, 300) == nil
    File.write!(go, "")
    assert {:ok, _} = Task.await(waiting, 180_000)
    assert {:ok, %{payload: "committed"}} = Consumer.next(listener, 120_000)
    assert output(port) == ""
  end
end
