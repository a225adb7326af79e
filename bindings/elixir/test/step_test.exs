defmodule Honker.StepTest do
  use Honker.Case, async: true

  setup %{db: db} do
    {:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE books (entry)"))
    {:ok, _} = Queue.enqueue(db, "q", 1)
    {:ok, job} = Queue.claim_one(db, "q", "w")
    {:ok, job: job}
  end

  defp told(value) do
    send(self(), :called)
    value
  end

  defp again(db, job) do
    {:ok, true} = Job.retry(db, job, 0, "again")
    {:ok, job} = Queue.claim_one(db, "q", "v")
    job
  end

  defp books(db), do: Honker.query!(db, "SELECT entry FROM books") |> List.flatten()

  test "a step is done once, whatever is retried, and its value kept", %{db: db, job: job} do
    for {name, returned, value} <- [
          {"map", %{id: 7}, %{"id" => 7}},
          {"ok", {:ok, [1, nil]}, [1, nil]},
          {"nothing", nil, nil},
          {"just ok", :ok, nil},
          {"no", false, false},
          {"text", "grüß", "grüß"}
        ] do
      assert {:ok, ^value} = Job.step(db, job, name, fn -> told(returned) end)
      assert_received :called
      assert {:ok, ^value} = Job.step(db, job, name, fn -> told(:other) end)
      refute_received :called
    end

    job = again(db, job)
    assert job.attempts == 2
    assert %{"id" => 7} = Job.step!(db, job, "map", fn -> told(8) end)
    refute_received :called
    assert {:ok, 8} = Job.step(db, job, "another", fn -> 8 end)
  end

  test "a step that fails is not done", %{db: db, job: job} do
    assert {:error, :down} = Job.step(db, job, "s", fn -> {:error, :down} end)
    assert {:error, :error} = Job.step(db, job, "s", fn -> :error end)
    assert_raise RuntimeError, fn -> Job.step(db, job, "s", fn -> raise "no" end) end
    assert :thrown = catch_throw(Job.step(db, job, "s", fn -> throw(:thrown) end))
    assert {:error, %Error{name: :invalid}} = Job.step(db, job, "s", fn -> Error.invalid("its own") end)
    assert {:error, %Error{name: :invalid}} = Job.step(db, job, :s, fn -> told(1) end)
    refute_received :called
    assert {:ok, 1} = Job.step(db, job, "s", fn -> 1 end)
  end

  test "with a transaction, together with what it writes, and else nothing", %{db: db, job: job} do
    book = fn tx -> with :ok <- Honker.execute(tx, "INSERT INTO books VALUES ('a')"), do: %{booked: true} end
    assert {:ok, %{"booked" => true}} = Job.step(db, job, "book", book)
    assert {:ok, %{"booked" => true}} = Job.step(db, again(db, job), "book", book)
    assert books(db) == ["a"]
    job = %{job | worker_id: "v"}

    failing = fn how -> fn tx -> with :ok <- Honker.execute(tx, "INSERT INTO books VALUES ('b')"), do: how.() end end
    assert {:error, :down} = Job.step(db, job, "b", failing.(fn -> {:error, :down} end))
    assert_raise RuntimeError, fn -> Job.step(db, job, "b", failing.(fn -> raise "no" end)) end
    assert books(db) == ["a"]

    # In a transaction of the caller's: what is rolled back was not done.
    assert {:error, :no} =
             Honker.transaction(db, fn tx ->
               {:ok, nil} = Job.step(tx, job, "b", &Honker.execute(&1, "INSERT INTO books VALUES ('b')"))
               {:ok, 5} = Job.step(tx, job, "c", fn -> 5 end)
               {:error, :no}
             end)

    assert {:ok, {:ok, nil}} = Honker.transaction(db, fn tx -> Job.step(tx, job, "b", fn _same -> told(nil) end) end)
    assert_received :called
    assert books(db) == ["a"]
  end

  test "whose claim is lost saves nothing", %{db: db, job: job} do
    _taken = again(db, job)
    assert {:error, %Error{name: :lost, message: message}} = Job.step(db, job, "s", fn -> 1 end)
    assert message =~ ~s("s")
    assert {:error, %Error{name: :lost}} = Job.step(db, job, "s", &Honker.execute(&1, "INSERT INTO books VALUES ('x')"))
    assert books(db) == []
    assert {:ok, 2} = Job.step(db, %{job | worker_id: "v"}, "s", fn -> 2 end)
  end

  # The step has run: another attempt would run it again, so that there is none.
  test "whose value has no JSON discards the job", %{db: db, job: job} do
    # What SQLite says of a gigabyte, without one.
    too_big = """
    CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = '"huge"'
    BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END
    """

    {:ok, _} = Honker.transaction(db, &Honker.execute(&1, too_big))

    for bad <- [self(), "\xff", Honker.raw("\xff"), %{{1, 2} => 3}, "huge"],
        work <- [fn -> told(bad) end, &with(:ok <- Honker.execute(&1, "INSERT INTO books VALUES ('x')"), do: told(bad))] do
      step = fn job -> Job.step(db, job, "charge", work) end
      assert {:error, %Error{name: :unencodable, message: message} = error} = step.(job)
      assert message =~ ~s(step "charge" has run, and is not saved: )
      assert_raise Error, fn -> Job.step!(db, job, "charge", work) end

      for handler <- [
            step,
            &Job.step!(db, &1, "charge", work),
            fn job -> {:ok, _} = step.(job) end,
            fn job -> case(step.(job), do: ({:ok, _} -> :ok)) end
          ] do
        {:ok, _} = Queue.enqueue(db, "unencodable", 1)
        text = Exception.message(error)

        assert [{_job, {:discard, ^text}}] =
                 Honker.Testing.run_due(db, queue: "unencodable", handler: handler, retry_delay_s: 0)
      end
    end

    assert books(db) == []
    assert Honker.query!(db, "SELECT count(*) FROM _honker_steps") == [[0]]
  end

  test "in the handler of a worker, by the name of the database", %{path: path} do
    name = :"step_#{System.unique_integer([:positive])}"
    test = self()

    handler = fn job ->
      {:ok, n} = Job.step(name, job, "once", fn -> send(test, :once) && job.attempts end)
      send(test, {:n, n, job.attempts})
      if job.attempts == 1, do: {:retry, 0, "again"}, else: :ok
    end

    start_supervised!({Honker, name: name, path: path, queue: "steps", handler: handler})
    {:ok, _} = Queue.enqueue(name, "steps", 1)
    assert_receive {:n, 1, 2}, 120_000
    assert_received :once
    refute_received :once
  end
end
