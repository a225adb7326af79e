defmodule Honker.SQLTest do
  use Honker.Case, async: true

  defmodule SendEmail do
    use Honker.Job, queue: "emails"
    @impl true
    def perform(_job), do: :ok
  end

  @driver :code.lib_dir(:p1_sqlite3)
  if not match?({:error, _}, @driver) do
    @skip_driver false
  else
    @skip_driver true
    IO.puts("\nSKIPPED elixir: p1_sqlite3, another driver of SQLite, is not installed")
  end

  # exqlite and Ecto are not among Debian's packages; what they are given is the same statement and parameters.
  if not Code.ensure_loaded?(Ecto),
    do: IO.puts("\nSKIPPED elixir: Ecto over exqlite is not installed; p1_sqlite3 stands for it")

  # A worker in another process, which tells what it ran.
  defp worker(path) do
    port =
      emulator("""
      {:ok, _} = Honker.Worker.start_link(path: #{inspect(path)}, queues: ["emails", "q"], signals: false,
        handler: fn job -> IO.puts("ran \#{job.queue} \#{job.raw}") end)
      IO.puts("ready")
      Process.sleep(:infinity)
      """)

    assert line(port) == "ready"
    port
  end

  @tag skip: @skip_driver
  test "in a transaction of another driver, which is rolled back or committed, beside this package's and a worker's",
       context do
    %{db: db, path: path} = context
    {:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    port = worker(path)
    name = :"other_#{System.unique_integer([:positive])}"
    {:ok, other} = :sqlite3.open(name, file: to_charlist(path))
    :ok = sql(other, "PRAGMA busy_timeout = 5000", []) |> elem(0)

    insert = fn job ->
      {sql, params} = Honker.SQL.enqueue!(job)
      {:ok, [[id]]} = sql(other, sql, params)
      id
    end

    sql(other, "BEGIN", [])
    sql(other, "INSERT INTO orders VALUES (1)", [])
    insert.(SendEmail.new(%{to: "nobody"}))
    sql(other, "ROLLBACK", [])

    sql(other, "BEGIN", [])
    sql(other, "INSERT INTO orders VALUES (2)", [])
    id = insert.(SendEmail.new(%{to: "älice"}))
    delayed = insert.({"q", 1, delay: 500, expires: 900, priority: 3, max_attempts: 7})
    # Nothing of it is seen before the commit.
    assert {:ok, nil} = Queue.get_job(db, id)
    sql(other, "COMMIT", [])

    assert line(port) =~ ~r/^ran emails {"__honker_task__":.*"task":"Honker.SQLTest.SendEmail".*"to":"älice"/
    assert {:ok, [[2]]} = Honker.query(db, "SELECT id FROM orders")
    now = System.os_time(:second)
    assert {:ok, %{"priority" => 3, "max_attempts" => 7} = job} = Queue.get_job(db, delayed)
    assert_in_delta job["run_at"], now + 500, 60
    assert job["created_at"] == job["run_at"] - 500
    assert job["expires_at"] == job["created_at"] + 900
    # This process has let go of no lock of either connection.
    assert {:ok, _} = Queue.enqueue(db, "q", "last")
    assert line(port) == ~s(ran q "last")
    :sqlite3.close(other)
    kill(port)
  end

  @tag skip: @skip_driver
  test "a handler that settles its job with the other driver is not ended for it, if it says so", %{db: db, path: path} do
    test = self()
    Process.flag(:trap_exit, true)

    handler = fn job ->
      send(test, {:runs, job.payload, self()})
      receive(do: (:settle -> :ok))
      {:ok, other} = :sqlite3.open(:"other_#{System.unique_integer([:positive])}", file: to_charlist(path))
      sql(other, "PRAGMA busy_timeout = 5000", [])
      if job.payload == "says", do: {:ok, true} = Job.settled(job)
      sql(other, "DELETE FROM _honker_live WHERE id = ? AND worker_id = ?", [job.id, job.worker_id])
      :sqlite3.close(other)
      send(test, {:settled, job.payload})
      receive(do: (:end -> send(test, {:done, job.payload})))
      :ok
    end

    start_supervised!({Worker, db: db, queue: "q", handler: handler, concurrency: 2})
    {:ok, _} = Queue.enqueue_many(db, "q", ["says", "does not"])
    [says, other] = for payload <- ["says", "does not"], do: elem(assert_receive({:runs, ^payload, _}), 2)
    # Who finds that the other one is lost finds that of this one, too.
    send(says, :settle)
    assert_receive {:settled, "says"}
    monitor = Process.monitor(other)
    send(other, :settle)
    assert_receive {:DOWN, ^monitor, _, _, {:shutdown, {:honker, :gone}}}
    send(says, :end)
    assert_receive {:done, "says"}
    assert {:ok, []} = Queue.stats(db)
    assert {:error, %Error{name: :invalid}} = Job.settled(%Job{id: 1, queue: "q", worker_id: "w"})
  end

  defp sql(other, sql, params) do
    params = Enum.map(params, &if(&1 == nil, do: :null, else: &1))

    case :sqlite3.sql_exec(other, sql, params) do
      [{:columns, _}, {:rows, rows}] -> {:ok, Enum.map(rows, &Tuple.to_list/1)}
      :ok -> {:ok, []}
      {:rowid, _} -> {:ok, []}
    end
  end

  test "the same statement in a transaction of this package", %{db: db} do
    {sql, params} = Honker.SQL.enqueue!("q", %{a: "b"})
    {:ok, {:ok, [[id]]}} = Honker.transaction(db, &Honker.Transaction.query(&1, sql, params))
    assert {:ok, %Job{id: ^id, payload: %{"a" => "b"}, max_attempts: 3}} = Queue.claim_one(db, "q", "w")
  end

  test "what does not fit into a statement is refused" do
    for {queue, payload, opts} <- [
          {:q, 1, []},
          {"a\0", 1, []},
          {<<255>>, 1, []},
          {"q", {self()}, []},
          {"q", 1, [delay: 1.5]},
          {"q", 1, [speed: 1]},
          {"q", 1, [metadata: %{a: "b"}]}
        ] do
      assert {:error, %Error{name: :invalid}} = Honker.SQL.enqueue(queue, payload, opts)
    end

    assert_raise Error, ~r/metadata has a table of its own/, fn -> Honker.SQL.enqueue!("q", 1, metadata: %{a: "b"}) end
  end
end
