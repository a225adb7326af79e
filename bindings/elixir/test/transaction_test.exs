defmodule Honker.TransactionTest do
  use Honker.Case, async: true

  setup %{db: db} do
    {:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE t (v)"))
    :ok
  end

  defp count(db) do
    {:ok, [[n]]} = Honker.query(db, "SELECT count(*) FROM t")
    n
  end

  test "what was done is committed together", %{db: db} do
    assert {:ok, {:ok, id}} =
             Honker.transaction(db, fn tx ->
               Honker.execute(tx, "INSERT INTO t VALUES (1)")
               Queue.enqueue_tx(tx, "q", 1, [], max_attempts: 1)
             end)

    assert count(db) == 1
    assert {:ok, %{"max_attempts" => 1}} = Queue.get_job(db, id)
  end

  test "errors, exceptions, throws and exits roll back", %{db: db} do
    insert = &Honker.execute(&1, "INSERT INTO t VALUES (1)")
    assert {:error, :no} = Honker.transaction(db, fn tx -> insert.(tx) && {:error, :no} end)
    assert_raise RuntimeError, fn -> Honker.transaction(db, fn tx -> insert.(tx) && raise("no") end) end
    assert catch_throw(Honker.transaction(db, fn tx -> insert.(tx) && throw(:no) end)) == :no
    assert catch_exit(Honker.transaction(db, fn tx -> insert.(tx) && exit(:no) end)) == :no
    assert count(db) == 0
    assert {:ok, _} = Queue.enqueue(db, "q", 1)
  end

  test "one that is over can do nothing any more", %{db: db} do
    {:ok, tx} = Transaction.begin(db)
    assert :ok = Transaction.commit(tx)
    assert {:error, %Error{name: :misuse, message: "the transaction is over"}} = Honker.execute(tx, "DELETE FROM t")
    assert {:error, %Error{name: :misuse}} = Queue.enqueue_tx(tx, "q", 1)
    assert {:error, %Error{name: :misuse}} = Transaction.commit(tx)
  end

  test "SQL cannot end one", %{db: db} do
    assert {:error, %Error{name: :invalid}} = Honker.transaction(db, &Honker.execute(&1, "COMMIT"))
    assert {:ok, _} = Queue.enqueue(db, "q", 1)
  end

  test "a process does not wait for itself", %{db: db} do
    {:ok, tx} = Transaction.begin(db)
    assert {:error, %Error{name: :misuse}} = Queue.enqueue(db, "q", 1)
    assert {:error, %Error{name: :misuse}} = Transaction.begin(db)
    assert {:ok, nil} = Honker.get_result(db, 1)
    assert :ok = Transaction.rollback(tx)
    assert {:ok, _} = Queue.enqueue(db, "q", 1)
  end

  test "it is rolled back when its process is killed, promptly", %{db: db} do
    test = self()

    pid =
      spawn(fn ->
        {:ok, tx} = Transaction.begin(db)
        :ok = Honker.execute(tx, "INSERT INTO t VALUES (1)")
        send(test, :begun)
        Process.sleep(:infinity)
      end)

    assert_receive :begun
    Process.exit(pid, :kill)
    # Before the busy timeout is over.
    assert {:ok, _} = Queue.enqueue(%{db | busy_timeout_ms: 120_000}, "q", 1)
    assert count(db) == 0
  end

  test "it is rolled back when a process is killed in the middle of a statement, which is interrupted", %{db: db} do
    test = self()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    pid =
      spawn(fn ->
        Honker.transaction(db, fn tx ->
          :ok = Honker.execute(tx, "INSERT INTO t VALUES (1)")
          send(test, :begun)
          Transaction.query(tx, endless)
        end)
      end)

    assert_receive :begun
    Process.sleep(100)
    Process.exit(pid, :kill)
    # It waits for as long as the busy timeout, and the statement would never end.
    assert {:ok, _} = Queue.enqueue(%{db | busy_timeout_ms: 120_000}, "q", 1)
    assert count(db) == 0
  end

  test "its owner can always commit, however many wait", %{db: db} do
    # Far more than the ten threads on which calls wait.
    {:ok, tx} = Transaction.begin(db)
    # If it had to wait for them, they would wait in vain.
    patient = %{db | busy_timeout_ms: 120_000}
    waiting = for i <- 1..100, do: Task.async(fn -> Queue.enqueue(patient, "q", i) end)
    Process.sleep(300)
    Enum.each(1..20, fn i -> :ok = Honker.execute(tx, "INSERT INTO t VALUES (?)", [i]) end)
    :ok = Transaction.commit(tx)
    assert Enum.all?(Task.await_many(waiting, 180_000), &match?({:ok, _}, &1))
    assert {:ok, %{"pending" => 100}} = Queue.stats(db, "q")
  end

  test "with transactions of a hundred processes none waits in vain", %{db: db} do
    patient = %{db | busy_timeout_ms: 120_000}

    1..100
    |> Task.async_stream(
      fn i ->
        Honker.transaction(patient, fn tx ->
          {:ok, [[n]]} = Transaction.query(tx, "SELECT count(*) FROM t")
          :ok = Honker.execute(tx, "INSERT INTO t VALUES (?)", [n])
          i
        end)
      end,
      max_concurrency: 100,
      timeout: 180_000
    )
    |> Enum.each(fn result -> assert {:ok, {:ok, _}} = result end)

    assert {:ok, [[100, 99]]} = Honker.query(db, "SELECT count(DISTINCT v), max(v) FROM t")
  end

  test "the busy timeout is kept, by the clock", %{path: path, db: db} do
    {:ok, other} = Honker.open(path, busy_timeout_ms: 300)
    {:ok, tx} = Transaction.begin(db)
    {time, result} = :timer.tc(fn -> Queue.enqueue(other, "q", 1) end)
    assert {:error, %Error{name: :busy}} = result
    assert time >= 300_000
    # Of the same database, by another process, when many wait.
    impatient = %{db | busy_timeout_ms: 200}
    results = Task.await_many(for(_ <- 1..20, do: Task.async(fn -> Queue.enqueue(impatient, "q", 1) end)), 180_000)
    assert Enum.all?(results, &match?({:error, %Error{name: :busy}}, &1))
    Transaction.rollback(tx)
    Honker.close(other)
  end

  test "an interrupt ends those who wait for the lock", %{db: db} do
    {:ok, tx} = Transaction.begin(db)
    patient = %{db | busy_timeout_ms: 120_000}
    waiting = for _ <- 1..30, do: Task.async(fn -> Queue.enqueue(patient, "q", 1) end)
    # Some may not wait yet.
    assert soon(fn -> Honker.interrupt(db) == :ok and not Enum.any?(waiting, &Process.alive?(&1.pid)) end)
    assert Enum.all?(Task.await_many(waiting), &match?({:error, %Error{name: :interrupted}}, &1))
    Transaction.rollback(tx)
  end

  test "operations within see and join it", %{db: db} do
    {:ok, :done} =
      Honker.transaction(db, fn tx ->
        {:ok, id} = Queue.enqueue(tx, "q", 1)
        {:ok, %Job{id: ^id} = job} = Queue.claim_one(tx, "q", "w")
        :ok = Honker.save_result(tx, id, "r")
        {:ok, "r"} = Honker.get_result(tx, id)
        {:ok, true} = Job.ack(tx, job)
        {:ok, _} = Honker.Stream.publish_tx(tx, "t", 1)
        {:ok, true} = Honker.Stream.save_offset_tx(tx, "c", "t", 1)
        {:ok, _} = Honker.notify_tx(tx, "c", 1)
        {:ok, true} = Honker.try_rate_limit(tx, "r", 1, 60)
        :done
      end)

    assert {:ok, 1} = Honker.Stream.get_offset(db, "c", "t")
  end

  test "the README's both or neither is neither when its statement fails", %{db: db} do
    readme = File.read!(Path.join(__DIR__, "../README.md"))
    [sample] = Regex.run(~r/both or neither:\n\n```elixir\n(.*?)^```$/ms, readme, capture: :all_but_first)
    {result, _} = Code.eval_string(sample, db: db)
    assert {:error, %Error{name: :sql}} = result
    assert {:ok, %{"pending" => 0}} = Queue.stats(db, "emails")
    :ok = setup_orders(db)
    assert {{:ok, {:ok, _id}}, _} = Code.eval_string(sample, db: db)
    assert {:ok, %{"pending" => 1}} = Queue.stats(db, "emails")
  end

  defp setup_orders(db) do
    sql = "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)"
    with {:ok, :ok} <- Honker.transaction(db, &Transaction.execute(&1, sql)), do: :ok
  end
end
