defmodule Honker.InputTest do
  use Honker.Case, async: true

  @largest 9_223_372_036_854_775_807

  test "what is no text is an error that names the argument", %{db: db} do
    assert {:error, %Error{name: :invalid, message: "queue has to be a binary"}} = Queue.enqueue(db, :emails, 1)
    assert {:error, %Error{name: :invalid, message: "worker_id has to be a binary"}} = Queue.claim_one(db, "q", nil)
    assert {:error, %Error{name: :invalid}} = Honker.notify(db, 7, 1)
    assert {:error, %Error{name: :invalid}} = Queue.claim_batch(db, "q", "w", :all)
    assert {:error, %Error{name: :invalid}} = Queue.ack_batch(db, [1, :two], "w")
  end

  test "names are UTF-8 without NUL", %{db: db} do
    assert {:error, %Error{name: :utf8}} = Queue.enqueue(db, <<255>>, 1)
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "a\0b", 1)
    assert {:ok, _} = Queue.enqueue(db, "", 1)
    assert {:ok, %Job{queue: ""}} = Queue.claim_one(db, "", "w")
    # An empty key is not none.
    {:ok, 1} = Honker.Stream.publish(db, "t", 1, key: "")
    {:ok, 2} = Honker.Stream.publish(db, "t", 2)
    assert {:ok, [%{key: ""}, %{key: nil}]} = Honker.Stream.read_since(db, "t", 0)
  end

  test "payloads that cannot be encoded are errors, and nothing is stored", %{db: db} do
    assert {:error, %Error{name: :invalid, message: message}} = Queue.enqueue(db, "q", {self()})
    assert message =~ "cannot be encoded"
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", <<255>>)
    assert {:error, %Error{name: :utf8}} = Queue.enqueue(db, "q", Honker.raw(<<255>>))
    assert {:error, %Error{}} = Queue.enqueue_many(db, "q", [1, {self()}])
    assert {:error, %Error{}} = Queue.enqueue_many(db, "q", :none)
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
  end

  test "numbers have 64 bits, and the largest is not none", %{db: db} do
    assert {:error, %Error{name: :invalid, message: "delay has to be an integer of 64 bits"}} =
             Queue.enqueue(db, "q", 1, delay: @largest + 1)

    assert {:error, %Error{name: :invalid, message: "delay is too large"}} = Queue.enqueue(db, "q", 1, delay: @largest)
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", 1, run_at: @largest)
    assert {:error, %Error{name: :invalid}} = Honker.prune_notifications(db, @largest)
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(db, "q", 1, delay: 1.5)
    assert {:error, %Error{name: :invalid}} = Queue.cancel(db, @largest + 1)
    assert {:ok, nil} = Queue.claim_one(db, "q", "w")
  end

  test "unknown options are errors", %{db: db, path: path} do
    assert {:error, %Error{name: :invalid, message: "there is no option :dealy"}} = Queue.enqueue(db, "q", 1, dealy: 1)
    assert {:error, %Error{name: :invalid}} = Honker.open(path, journal: :wal)
    assert {:error, %Error{name: :invalid}} = Honker.open(path, journal_mode: :off)
    assert {:error, %Error{name: :invalid}} = Honker.open(path, watcher_backend: :polling)
    assert {:error, %Error{name: :invalid}} = Honker.open(path, watcher_backend: "psychic")
    assert {:error, %Error{name: :invalid}} = Honker.open(path, busy_timeout_ms: -1)
    assert {:error, %Error{name: :invalid}} = Honker.open(path, readers_max: 5_000_000_000)
  end

  test "an outbox needs a function", %{db: db} do
    assert {:error, %Error{name: :invalid}} = Honker.outbox(db, "mail", nil)
    assert {:error, %Error{name: :invalid}} = Honker.outbox(db, "mail", fn -> :ok end)
    assert {:error, %Error{name: :invalid}} = Honker.outbox(:a_name, "mail", nil)
    assert {:error, %Error{name: :invalid}} = Honker.outbox(:a_name, :mail, & &1)

    for option <- [:visibility_timeout_s, :max_attempts, :base_backoff_s], wrong <- [1.5, "1", nil] do
      assert {:error, %Error{name: :invalid, message: message}} = Honker.outbox(db, "mail", & &1, [{option, wrong}])
      assert message =~ "#{option} has to be an integer"
    end
  end

  test "queries run with the fewest schedulers", %{path: path} do
    script = """
    {:ok, db} = Honker.open(#{inspect(path)})
    {:ok, [[1]]} = Honker.query(db, "SELECT 1")
    IO.puts("one")
    """

    assert output(emulator(script, [{"ERL_FLAGS", "+SDio 1"}])) == "one"
  end

  test "files that cannot be opened", %{directory: directory} do
    assert {:error, %Error{name: :cannot_open}} = Honker.open(Path.join(directory, "no/such/app.db"))
    assert {:error, %Error{name: :invalid}} = Honker.open(":memory:")
    assert {:error, %Error{name: :invalid}} = Honker.open(nil)
    garbage = Path.join(directory, "garbage.db")
    File.write!(garbage, String.duplicate("garbage", 1000))
    assert {:error, %Error{name: :corrupt, sqlite_code: 26}} = Honker.open(garbage)
  end

  test "everything of a closed database says so", %{db: db} do
    {:ok, worker} = Queue.worker(db, "q", "w")
    {:ok, tx} = Transaction.begin(db)
    assert :ok = Honker.close(db)
    assert :ok = Honker.close(db)
    assert {:error, %Error{name: :closed_handle}} = Queue.enqueue(db, "q", 1)
    assert {:error, %Error{name: :closed_handle}} = Queue.enqueue(tx, "q", 1)
    assert {:error, %Error{name: :closed_handle}} = Transaction.begin(db)
    assert {:error, %Error{name: :closed_handle}} = Consumer.next(worker, 0)
    assert {:error, %Error{name: :closed_handle}} = Consumer.wake(worker)
    assert {:error, %Error{name: :closed_handle}} = Honker.listen(db, "c")
    assert :ok = Consumer.close(worker)
  end

  test "payloads of all shapes", %{db: db} do
    for payload <- [
          nil,
          true,
          1,
          -1.5,
          "",
          "grüß\u0001",
          [],
          %{},
          [%{"a" => [nil, %{"ä" => 9_223_372_036_854_775_807}]}]
        ] do
      {:ok, _} = Queue.enqueue(db, "q", payload)
      assert {:ok, %Job{payload: ^payload} = job} = Queue.claim_one(db, "q", "w")
      assert {:ok, true} = Job.ack(db, job)
    end

    for {text, payload} <- [{"no JSON", "no JSON"}, {"", nil}, {"{\"a\": 1}", %{"a" => 1}}, {"[1] 2", "[1] 2"}] do
      {:ok, _} = Queue.enqueue(db, "q", Honker.raw(text))
      assert {:ok, %Job{payload: ^payload, raw: ^text} = job} = Queue.claim_one(db, "q", "w")
      assert {:ok, true} = Job.ack(db, job)
    end
  end

  test "values of SQL", %{db: db} do
    values = [nil, 1, -9_223_372_036_854_775_808, 1.5, "text", "", {:blob, <<0, 255>>}, {:blob, ""}]

    {:ok, rows} =
      Transaction.transaction(db, fn tx ->
        :ok = Transaction.execute(tx, "CREATE TABLE v (v)")
        for value <- values, do: {:ok, 1} = Transaction.update(tx, "INSERT INTO v VALUES (?)", [value])
        :ok = Transaction.execute(tx, "INSERT INTO v VALUES (?), (?)", [true, false])
        {:ok, rows} = Transaction.query(tx, "SELECT v FROM v ORDER BY rowid")
        rows
      end)

    assert rows == Enum.map(values ++ [1, 0], &[&1])
    assert {:ok, [%{"a" => 1, "b" => "x"}]} = Transaction.query_maps(db, "SELECT 1 AS a, 'x' AS b")
    assert {:ok, nil} = Transaction.query_row(db, "SELECT 1 WHERE 0")
    assert {:ok, [[:infinity]]} = Honker.query(db, "SELECT 9e999")
    assert {:error, %Error{name: :invalid, message: message}} = Honker.query(db, "SELECT ?", [:atom])
    assert message =~ "parameter"
    assert {:error, %Error{name: :invalid}} = Honker.query(db, "SELECT ?", [9_223_372_036_854_775_808])
    assert {:error, %Error{name: :invalid}} = Honker.query(db, "SELECT ?", [])
    assert {:error, %Error{name: :sql}} = Honker.query(db, "SELECT nothing")

    for query <- [&Honker.query/2, &Transaction.query_maps/2, &Transaction.query_row/2] do
      assert {:error, %Error{name: :readonly, message: message}} = query.(db, "DELETE FROM v")
      assert message =~ "only reads; write in one (Honker.transaction/2, Honker.execute/3)"
    end
  end

  test "errors of constraints carry SQLite's codes", %{db: db} do
    assert {:error, %Error{name: :constraint, sqlite_code: 19, sqlite_extended_code: 2067}} =
             Transaction.transaction(db, fn tx ->
               :ok = Transaction.execute(tx, "CREATE TABLE u (u UNIQUE)")
               :ok = Transaction.execute(tx, "INSERT INTO u VALUES (1)")
               Transaction.execute(tx, "INSERT INTO u VALUES (1)")
             end)
  end

  test "without a JSON module there is an error that says what to do" do
    script = """
    Application.delete_env(:honker, :json)
    {:ok, db} = Honker.open(Path.join(System.tmp_dir!(), "honker-no-json-#{System.pid()}.db"))
    {:error, error} = Honker.Queue.enqueue(db, "q", 1)
    IO.puts(error.message)
    File.rm(db.path)
    """

    if not Code.ensure_loaded?(JSON) and not Code.ensure_loaded?(:json) do
      said = output(emulator(script))
      assert said =~ "config :honker, json: Module"
      assert said =~ ~S({:jason, "~> 1.4"})
    end
  end

  test "what claims refuses to begin without a JSON module, instead of claiming first", %{db: db, path: path} do
    {:ok, _} = Queue.enqueue_many(db, "q", [1, 2])
    {:ok, outbox} = Honker.outbox(db, "o", & &1)
    {:ok, _} = Honker.Outbox.enqueue(outbox, 1)

    script = """
    Application.put_env(:honker, :json, No.Such.Module)
    Process.flag(:trap_exit, true)
    {:ok, db} = Honker.open(#{inspect(path)})
    {:ok, outbox} = Honker.outbox(db, "o", & &1)

    for {:error, error} <- [
          Honker.Worker.start_link(db: db, queue: "q", handler: & &1),
          Honker.Queue.claim_one(db, "q", "w"),
          Honker.Queue.worker(db, "q", "w"),
          Honker.Outbox.run_once(outbox, "w")
        ],
        do: IO.puts("\#{error.name}: \#{error.message}")

    # It is nothing that may pass: an application does not start.
    {:error, _} = Honker.start_link(name: Some, path: #{inspect(path)}, queue: "q", handler: & &1)
    """

    said = output(emulator(script))
    refused = "unsupported: config :honker, json: No.Such.Module is no module with encode!/1 and decode!/1"
    assert length(String.split(said, refused)) == 5
    assert {:ok, [[0, 3]]} = Honker.query(db, "SELECT sum(attempts), count(*) FROM _honker_live")
  end
end
