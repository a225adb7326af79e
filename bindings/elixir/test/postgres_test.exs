defmodule Honker.PostgresTest do
  # On Postgres: the package's calls with a URL in place of a file, and enqueueing through another driver.
  use ExUnit.Case, async: false
  import ExUnit.CaptureIO
  import Honker.Case, only: [emulator: 1, line: 1, kill: 1, soon: 1]
  alias Honker.{Error, Job, Postgres, Queue, Transaction}
  alias Honker.Test.Server

  @missing Server.missing()
  if @missing, do: IO.puts("\nSKIPPED elixir on Postgres: #{@missing}")

  # These are not among Debian's packages; what they are given are the same statement and parameters.
  if not Code.ensure_loaded?(Ecto) or not Code.ensure_loaded?(Postgrex),
    do: IO.puts("\nSKIPPED elixir: Ecto over Postgrex is not installed; p1_pgsql stands for it")

  defmodule SendEmail do
    use Honker.Job, queue: "emails"
    @impl true
    def perform(_job), do: :ok
  end

  @moduletag skip: @missing
  # What this driver says of connections that end.
  @moduletag capture_log: true

  setup do
    {url, drop} = Server.create()
    on_exit(drop)
    {:ok, db} = Honker.open(url <> "?honker_migrate=on")
    on_exit(fn -> Honker.close(db) end)
    {:ok, url: url, db: db}
  end

  defp orders(db) do
    Honker.transaction!(db, &Honker.execute!(&1, "CREATE TABLE orders (id int PRIMARY KEY, note text)"))
  end

  test "jobs and transactions", %{db: db} do
    orders(db)
    {:ok, id} = Queue.enqueue(db, "emails", %{to: "alice"}, priority: 7, metadata: %{tenant: "acme"})

    {:ok, %Job{id: ^id, payload: %{"to" => "alice"}, metadata: %{"tenant" => "acme"}} = job} =
      Queue.claim_one(db, "emails", "w")

    assert {:ok, true} = Job.ack(db, job)
    assert {:ok, false} = Job.ack(db, job)

    {:ok, _} =
      Honker.transaction(db, fn tx ->
        Transaction.execute!(tx, "INSERT INTO orders (id, note) VALUES (?, ?)", [1, "it's ? here"])
        # A savepoint of its own: the transaction goes on.
        assert {:error, %Error{}} = Queue.enqueue(tx, "emails", 1, batch: 99)
        Queue.enqueue!(tx, "emails", %{order: 1})
      end)

    {:error, :rolled_back} =
      Honker.transaction(db, fn tx ->
        Transaction.execute!(tx, "INSERT INTO orders (id) VALUES (?)", [2])
        Queue.enqueue!(tx, "emails", %{order: 2})
        {:error, :rolled_back}
      end)

    assert {:ok, [[1, "it's ? here"]]} =
             Honker.query(db, "SELECT id, note FROM orders WHERE note LIKE ? || '%'", ["it"])

    assert {:ok, %Job{payload: %{"order" => 1}}} = Queue.claim_one(db, "emails", "w")
    assert {:ok, nil} = Queue.claim_one(db, "emails", "w")

    assert {:error, %Error{name: :constraint}} =
             Honker.transaction(db, &Transaction.execute(&1, "INSERT INTO orders (id) VALUES (1)"))
  end

  test "a locked row is waited for, not in slices: a statement that gives up costs its transaction", %{db: db, url: url} do
    orders(db)
    other = Server.connect(url)
    {:ok, _} = Server.execute(other, "BEGIN; INSERT INTO orders (id) VALUES (1)")
    task = Task.async(fn -> Honker.transaction(db, &Transaction.execute(&1, "INSERT INTO orders (id) VALUES (1)")) end)
    waits? = fn -> Server.execute(other, "SELECT 1 FROM pg_locks WHERE NOT granted") == {:ok, [["1"]]} end
    assert soon(waits?)
    Process.sleep(100)
    assert waits?.()
    {:ok, _} = Server.execute(other, "ROLLBACK")
    assert {:ok, :ok} = Task.await(task, 120_000)
    :pgsql.terminate(other)
  end

  test "a worker, listeners, streams, results, locks and schedules", %{db: db} do
    test = self()

    handler = fn job ->
      send(test, {:ran, job.payload, job.attempts})
      if job.payload == "again" and job.attempts == 1, do: {:retry, "not yet", 0}, else: :ok
    end

    start_supervised!({Honker.Worker, db: db, queue: "emails", handler: handler, concurrency: 2, retry_base_s: 0})
    Queue.enqueue!(db, "emails", "first")
    assert_receive {:ran, "first", 1}, 120_000
    {:ok, listener} = Honker.listen(db, "news")
    {:ok, subscription} = Honker.Stream.subscribe(db, "orders", consumer: "c")

    {:ok, _} =
      Honker.transaction(db, fn tx ->
        Honker.notify!(tx, "news", %{id: 42})
        Honker.Stream.publish!(tx, "orders", %{n: 1})
      end)

    assert_receive {:honker, ^listener, %Honker.Notification{payload: %{"id" => 42}}}, 120_000
    assert_receive {:honker, ^subscription, %Honker.StreamEvent{payload: %{"n" => 1}}}, 120_000
    result = Task.async(fn -> Honker.wait_result(db, 7, 60_000) end)
    :ok = Honker.save_result(db, 7, "value")
    assert {:ok, "value"} = Task.await(result, 120_000)
    assert {:ok, lock} = Honker.Lock.try_acquire(db, "backup", "me", 60)
    assert lock != nil
    assert {:ok, nil} = Honker.Lock.try_acquire(db, "backup", "you", 60)
    :ok = Honker.Scheduler.add(db, name: "poll", queue: "polls", schedule: "@every 60s", payload: "due")
    {:ok, [[at]]} = Honker.query(db, "SELECT next_fire_at FROM honker._honker_scheduler_tasks")
    assert {:ok, [_]} = Honker.Scheduler.tick(db, at)
    assert {:ok, %Job{payload: "due"}} = Queue.claim_one(db, "polls", "w")
    # What an application's tests do.
    Queue.enqueue!(db, "later", %{to: "bob"}, delay: 3600)
    assert %{"queue" => "later"} = Honker.Testing.assert_enqueued(db, payload: %{to: "bob"})
    assert {:ok, nil} = Queue.claim_one(db, "later", "w")
    Honker.Testing.travel(db, 3600)
    assert {:ok, %Job{}} = Queue.claim_one(db, "later", "w")
  end

  test "closing ends what waits", %{url: url} do
    {:ok, other} = Honker.open(url)
    {:ok, listener} = Honker.listener(other, "c")
    waiting = Task.async(fn -> Honker.Consumer.next(listener, 60_000) end)
    Process.sleep(50)
    :ok = Honker.close(other)
    assert Task.await(waiting, 120_000) |> inspect() =~ "closed"
  end

  test "a server that is not there, and a database without the schema", %{url: url} do
    assert {:error, %Error{name: :connection, status: -33} = error} =
             Honker.open("postgres://me:secret@/app?host=/no/such/folder")

    refute Exception.message(error) =~ "secret"
    refute inspect(%Honker.Database{ref: nil, path: "postgres://me:secret@h/app?password=secret"}) =~ "secret"
    {empty, drop} = Server.create()
    assert {:error, %Error{name: :cannot_open, message: message}} = Honker.open(empty)
    assert message =~ "honker migrate"
    drop.()
    assert inspect(Honker.open!(url)) =~ ~r{^#Honker.Database<postgresql://app@127.0.0.1:\d+/elixir_}
  end

  test "in a transaction of another driver, which is rolled back or committed", %{db: db, url: url} do
    orders(db)

    port =
      emulator("""
      {:ok, _} = Honker.Worker.start_link(path: #{inspect(url)}, queues: ["emails", "q"], signals: false,
        handler: fn job -> IO.puts("ran \#{job.queue} \#{job.raw}") end)
      IO.puts("ready")
      Process.sleep(:infinity)
      """)

    assert line(port) == "ready"
    other = Server.connect(url)
    query = &Server.query(other, &1, &2)
    {:ok, _} = Server.execute(other, "BEGIN; INSERT INTO orders VALUES (1)")
    assert {:ok, _} = Postgres.enqueue_on(query, SendEmail.new(%{to: "nobody"}))
    {:ok, _} = Server.execute(other, "ROLLBACK")
    {:ok, _} = Server.execute(other, "BEGIN; INSERT INTO orders VALUES (2)")
    assert {:ok, id} = Postgres.enqueue_on(query, SendEmail.new(%{to: "älice"}))
    options = [unique_key: "k", metadata: %{tenant: "acme"}, delay: 500, expires: 900, priority: 3, max_attempts: 7]
    assert {:ok, delayed} = Postgres.enqueue_on(query, "q", "it's $1", options)
    assert {:ok, ^delayed} = Postgres.enqueue_on(query, "q", "another", unique_key: "k")
    # Nothing of it is seen before the commit.
    assert {:ok, nil} = Queue.get_job(db, id)
    {:ok, _} = Server.execute(other, "COMMIT")
    assert line(port) =~ ~r/^ran emails {"__honker_task__":.*"task":"Honker.PostgresTest.SendEmail".*"to":"älice"/
    assert {:ok, [[2]]} = Honker.query(db, "SELECT id FROM orders")
    assert {:ok, %{"priority" => 3, "max_attempts" => 7} = job} = Queue.get_job(db, delayed)
    assert job["run_at"] - job["created_at"] == 500 and job["expires_at"] - job["created_at"] == 900
    assert job["payload"] == "it's $1" and job["metadata"] == %{"tenant" => "acme"}
    :pgsql.terminate(other)
    kill(port)
  end

  test "a job is acked in a transaction of another driver, by its own claim", %{db: db, url: url} do
    other = Server.connect(url)
    query = &Server.query(other, &1, &2)
    id = Queue.enqueue!(db, "q", 1)
    late = Queue.claim_one!(db, "q", "w")
    {:ok, true} = Job.retry(db, late, 0, "again")
    job = Queue.claim_one!(db, "q", "w")
    {:ok, _} = Server.execute(other, "BEGIN")
    assert {:ok, false} = Postgres.ack_on(query, late)
    assert {:ok, true} = Postgres.ack_on(query, job)
    {:ok, _} = Server.execute(other, "ROLLBACK")
    assert {:ok, %{"state" => "processing"}} = Queue.get_job(db, id)
    assert {:ok, true} = Postgres.ack_on(query, job)
    assert {:ok, nil} = Queue.get_job(db, id)
    assert {:ok, false} = Postgres.ack_on(query, job)
    :pgsql.terminate(other)
  end

  test "what honker refuses is its own error, and all else the driver's", %{url: url} do
    other = Server.connect(url)
    query = &Server.execute(other, &1, &2)
    max = 0x7FFFFFFFFFFFFFFF

    assert {:error, %Error{name: :invalid, status: -23, message: message}} =
             Postgres.enqueue_on(query, "q", 1, delay: max)

    assert message =~ "delay"
    assert_raise Error, ~r/delay/, fn -> Postgres.enqueue_on!(query, "q", 1, delay: max) end
    assert {:error, %Error{name: :invalid}} = Postgres.enqueue_on(query, "q", {self()}, [])
    assert {:error, %Error{name: :invalid}} = Postgres.enqueue_on(query, "q", 1, speed: 1)
    {:ok, _} = Server.execute(other, "SET client_min_messages = error; DROP SCHEMA honker CASCADE")
    assert {:error, fields} = Postgres.enqueue_on(query, "q", 1)
    assert fields[:code] == '3F000'
    # As Postgrex has them.
    assert %Error{name: :moved} = Postgres.error(%{postgres: %{pg_code: "HK005", code: "HK005", message: "elsewhere"}})
    assert %Error{name: :misuse} = Postgres.error(%{postgres: %{pg_code: "HK002", code: "HK002", message: "not now"}})
    assert nil == Postgres.error(%{postgres: %{pg_code: "23505", code: :unique_violation, message: "taken"}})
    :pgsql.terminate(other)
  end

  test "the example prints what it says it does", %{url: url} do
    path = Path.join(__DIR__, "../examples/postgres.exs")
    expected = for "#=> " <> line <- String.split(File.read!(path), "\n"), do: line
    System.put_env("DATABASE_URL", url)
    printed = capture_io(fn -> Code.require_file(path) end)
    assert expected != [] and String.split(printed, "\n", trim: true) == expected
  end
end
