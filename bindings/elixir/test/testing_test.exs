defmodule Honker.TestingTest do
  use ExUnit.Case, async: true
  import Honker.Testing
  alias Honker.{Error, Job, Lock, Queue, Scheduler}

  defmodule SendEmail do
    use Honker.Job, queue: "emails"

    @impl true
    def perform(%Job{payload: %{"to" => to}}) do
      send(self(), {:sent, to})
      if to == "nobody", do: raise("no such address"), else: :ok
    end
  end

  setup do
    {:ok, db: open!()}
  end

  test "what was enqueued", %{db: db} do
    {:ok, id} = SendEmail.enqueue(db, %{to: "alice", cc: ["bob"]}, metadata: %{tenant: "t1"})
    {:ok, _} = Queue.enqueue(db, "other", [1, 2], priority: 4)
    assert %{"id" => ^id} = assert_enqueued(db, job: SendEmail)
    assert_enqueued(db, job: SendEmail, args: %{to: "alice"}, metadata: %{tenant: "t1"})
    assert_enqueued(db, queue: "other", payload: [1, 2], priority: 4)
    assert [%{"queue" => "emails"}, %{"queue" => "other"}] = enqueued(db)
    assert :ok = refute_enqueued(db, job: SendEmail, args: %{to: "bob"})
    assert :ok = refute_enqueued(db, queue: "other", payload: [1])

    error = assert_raise ExUnit.AssertionError, fn -> assert_enqueued(db, job: SendEmail, args: %{to: "bob"}) end
    assert error.message =~ "no job with"
    assert error.message =~ "alice"
    assert_raise ExUnit.AssertionError, fn -> refute_enqueued(db, queue: "other") end
  end

  test "what is due runs in this process, and what it is not waits for the clock", %{db: db} do
    {:ok, _} = SendEmail.enqueue(db, %{to: "alice"})
    {:ok, _} = SendEmail.enqueue(db, %{to: "later"}, delay: 100)
    {:ok, _} = SendEmail.enqueue(db, %{to: "nobody"}, max_attempts: 2)
    opts = [jobs: [SendEmail], retry_base_s: 1000, retry_jitter: 0]

    assert [{%Job{payload: %{"__honker_task__" => %{"kwargs" => %{"to" => "alice"}}}}, :ack}, {_, {:retry, nil, text}}] =
             run_due(db, opts)

    assert text =~ "no such address"
    assert_received {:sent, "alice"}
    refute_received {:sent, "later"}
    assert run_due(db, opts) == []
    travel(db, 50)
    assert run_due(db, opts) == []
    travel(db, 50)
    assert [{_, :ack}] = run_due(db, opts)
    assert_received {:sent, "later"}
    travel(db, 1000)
    assert [{%Job{attempts: 2}, {:retry, nil, _}}] = run_due(db, opts)
    assert {:ok, [%{"last_error" => "** (RuntimeError) no such address" <> _}]} = Queue.dead(db, "emails")
  end

  test "one job, without a database" do
    defmodule Add do
      use Honker.Job, queue: "sums"
      @impl true
      def decode(%{"a" => a, "b" => b}), do: {:ok, {a, b}}
      def decode(_), do: {:error, "two numbers"}
      @impl true
      def perform(%Job{payload: {a, b}} = job), do: {:ok, a + b, job.metadata["tenant"], job.max_attempts}
    end

    defmodule Plain do
      use Honker.Job, queue: "sums", name: nil
      @impl true
      def perform(job), do: {:got, job.payload}
    end

    assert perform_job(Plain, nil) == {:got, nil}
    assert perform_job(Add, %{a: 1, b: 2}, metadata: %{tenant: "t1"}) == {:ok, 3, "t1", 10}
    assert {:discard, "its arguments cannot be decoded: two numbers"} = perform_job(Add, %{a: 1})
    assert_raise RuntimeError, "no such address", fn -> perform_job(SendEmail, %{to: "nobody"}) end
    assert_raise Error, ~r/cannot be encoded/, fn -> perform_job(SendEmail, %{to: self()}) end
  end

  test "with a function, what is around it, and all that it may say", %{db: db} do
    handler = fn job ->
      case job.payload do
        "more" -> Queue.enqueue(db, "q", "ok")
        "ok" -> :ok
        "snooze" -> {:snooze, 50}
        "retry" -> {:retry, 70, "later"}
        "discard" -> {:discard, "never"}
      end
    end

    for payload <- ~w(more snooze retry discard), do: {:ok, _} = Queue.enqueue(db, "q", payload)
    around = fn job, next -> send(self(), {:around, job.payload}) && next.(job) end
    results = run_due(db, queue: "q", handler: handler, around_job: around)

    assert for({job, result} <- results, do: {job.payload, result}) |> Enum.sort() ==
             [
               {"discard", {:discard, "never"}},
               {"more", :ack},
               {"ok", :ack},
               {"retry", {:retry, 70, "later"}},
               {"snooze", {:snooze, 50}}
             ]
             |> Enum.sort()

    assert_received {:around, "snooze"}
    settled = fn job -> Job.ack(db, job) && :ok end
    {:ok, _} = Queue.enqueue(db, "other", 1)
    assert [{%Job{}, :lost}] = run_due(db, queue: "other", handler: settled)
    travel(db, 50)
    assert [{%Job{payload: "snooze", attempts: 1}, _}] = run_due(db, queue: "q", handler: handler)
    assert_raise Error, fn -> run_due(db, queue: "q") end
    {:ok, _} = Queue.enqueue(db, "q", "again")

    assert_raise RuntimeError, ~r/come again at once/, fn ->
      run_due(db, queue: "q", handler: fn _ -> {:snooze, 0} end)
    end
  end

  test "the clock moves claims, locks, results and schedules", %{db: db} do
    {:ok, _} = Queue.enqueue(db, "q", 1)
    {:ok, %Job{}} = Queue.claim_one(db, "q", "dies")
    {:ok, %Lock{}} = Lock.try_acquire(db, "l", "me", 60)
    :ok = Honker.save_result(db, 1, "r", 60)
    :ok = Scheduler.add(db, name: "s", queue: "sched", schedule: "@every 1h")
    assert {:ok, []} = Scheduler.tick(db)
    travel(db, 3601)
    assert {:ok, %Job{attempts: 2}} = Queue.claim_one(db, "q", "w")
    assert {:ok, %Lock{}} = Lock.try_acquire(db, "l", "you", 60)
    assert {:ok, nil} = Honker.get_result(db, 1)
    assert {:ok, [%{name: "s"}]} = Scheduler.tick(db)
    assert_enqueued(db, queue: "sched")
  end

  test "a database by a name" do
    db = open!(name: :testing_name)
    {:ok, _} = SendEmail.enqueue(:testing_name, %{to: "alice"})
    assert_enqueued(db, job: SendEmail)
    assert [{_, :ack}] = run_due(:testing_name, jobs: [SendEmail])
    assert_raise Error, ~r/is open already/, fn -> open!(name: :testing_name) end
    assert {:ok, ^db} = Honker.Database.resolve(:testing_name)
    close(db, :testing_name)
    assert {:error, %Error{name: :closed_handle}} = SendEmail.enqueue(:testing_name, %{to: "alice"})
  end

  test "its database is its own, and gone with the test" do
    test = self()
    {:ok, pid} = Task.start(fn -> send(test, {:db, open!()}) && Process.sleep(:infinity) end)
    assert_receive {:db, db}
    assert {:ok, _} = Queue.enqueue(db, "q", 1)
    assert :ok = close(db)
    refute File.exists?(Path.dirname(db.path))
    Process.exit(pid, :kill)
  end

  test "functions with a ! return the value, or raise", %{db: db} do
    id = Queue.enqueue!(db, "q", 1)
    assert is_integer(id) and is_integer(SendEmail.enqueue!(db, %{to: "alice"}))
    job = Queue.claim_one!(db, "q", "w")
    assert Job.ack!(db, job) == true
    assert Job.ack!(db, job) == false
    assert Honker.wait_result!(db, id, 0) == :timeout
    assert Honker.transaction!(db, fn tx -> Queue.enqueue!(tx, "q", 2) end) == id + 2

    assert_raise Error, ~r/its function returned the error :no/, fn ->
      Honker.transaction!(db, fn _ -> {:error, :no} end)
    end

    assert_raise Error, ~r/queue has to be a binary/, fn -> Queue.enqueue!(db, :q, 1) end
    assert Honker.Stream.publish!(db, "t", 1) == 1
    assert Scheduler.list!(db) == []
    assert %Lock{} = Lock.try_acquire!(db, "l", 60)
    assert Honker.query!(db, "SELECT 1") == [[1]]
    assert :ok = Honker.close!(db)
  end
end
