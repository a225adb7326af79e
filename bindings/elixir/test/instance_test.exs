defmodule Honker.InstanceTest do
  use Honker.Case, async: false
  import ExUnit.CaptureLog

  defmodule SendEmail do
    use Honker.Job, queue: "emails"

    @impl true
    def perform(%Honker.Job{payload: %{"to" => to}} = job) do
      send(:instance_test, {:sent, to, job.max_attempts})
      if to == "nobody", do: {:error, "no such address"}, else: :ok
    end
  end

  defmodule Report do
    use Honker.Job, queue: "emails", name: "report", max_attempts: 4, priority: 7

    @impl true
    def decode(%{"month" => month}) when month in 1..12, do: {:ok, month}
    def decode(other), do: {:error, "no month: " <> inspect(other)}

    @impl true
    def perform(%Honker.Job{payload: month}), do: send(:instance_test, {:report, month}) && :ok
  end

  defmodule Shared do
    use Honker.Job, queue: "shared", name: nil

    @impl true
    def perform(job), do: send(:instance_test, {:shared, job.payload}) && :ok
  end

  setup %{db: db} do
    Process.register(self(), :instance_test)
    # The file is closed here: only the supervised one has it open.
    Honker.close(db)
    {:ok, name: :"honker_#{System.unique_integer([:positive])}"}
  end

  defp start(context, opts), do: start_supervised!({Honker, [name: context.name, path: context.path] ++ opts})

  test "database, worker, scheduler and outboxes under one name", %{name: name} = context do
    start(context,
      jobs: [SendEmail, Report],
      concurrency: 2,
      workers: [[queue: "plain", handler: &(send(:instance_test, {:plain, &1.payload}) && :ok)]],
      schedules: [[name: "pulse", schedule: "@every 1s", job: Report, args: %{month: 3}]],
      outboxes: [{"hooks", &(send(:instance_test, {:hook, &1}) && :ok)}]
    )

    {:ok, _} = SendEmail.enqueue(name, %{to: "alice"})
    assert_receive {:sent, "alice", 10}
    {:ok, _} = Queue.enqueue(name, "plain", 5)
    assert_receive {:plain, 5}
    assert_receive {:report, 3}
    {:ok, hooks} = Honker.outbox(name, "hooks", & &1)
    {:ok, _} = Honker.Outbox.enqueue(hooks, %{a: 1})
    assert_receive {:hook, %{"a" => 1}}
    assert {:ok, [%{"name" => "pulse", "queue" => "emails", "max_attempts" => 4}]} = Honker.Scheduler.list(name)

    # The name stands wherever a database does.
    assert {:ok, {:ok, _}} = Honker.transaction(name, &Queue.enqueue(&1, "later", 1, delay: 500))
    assert {:ok, %{"delayed" => 1}} = Queue.stats(name, "later")
    assert {:ok, [[1]]} = Honker.query(name, "SELECT 1")
    assert {:ok, listener} = Honker.listen(name, "c")
    assert {:ok, _} = Honker.notify(name, "c", 1)
    assert_receive {:honker, ^listener, %Honker.Notification{payload: 1}}
    assert {:ok, %{"file" => _}} = Honker.status(name)
    assert {:ok, :held} = Honker.Lock.with_lock(name, "l", 60, fn _ -> :held end)

    log = capture_log(fn -> stop_supervised!({Honker, name}) end)
    assert log =~ ~r/stopped: done=\d+ snoozed=0 retried=0 dead=0 released=0 running=0/
    assert {:error, %Error{name: :closed_handle, message: message}} = Queue.enqueue(name, "q", 1)
    assert message =~ "there is no database called"
    {:ok, db} = Honker.open(context.path)
    assert {:ok, [[0]]} = Honker.query(db, "SELECT count(*) FROM _honker_live WHERE state = 'processing'")
    # The lead was given away.
    assert {:ok, [[0]]} = Honker.query(db, "SELECT count(*) FROM _honker_locks")
    Honker.close(db)
  end

  test "what names no job or cannot be decoded is dead, with the reason", %{name: name} = context do
    start(context, jobs: [SendEmail, Report])

    {:ok, _} =
      Queue.enqueue_all(name, [
        {"emails", Honker.raw("no JSON")},
        {"emails", %{to: "alice"}},
        {"emails", task("app.elsewhere", [], %{})},
        {"emails", task("report", [13], %{})},
        {"emails", task("report", [1, 2], %{})},
        {"emails", %{"__honker_task__" => 1}},
        # As another language enqueues it.
        {"emails", task("Honker.InstanceTest.SendEmail", [], %{to: "carol"})},
        Report.new(%{month: 12}),
        SendEmail.new(%{to: "bob"}, max_attempts: 2)
      ])

    assert_receive {:report, 12}
    assert_receive {:sent, "bob", 2}
    assert_receive {:sent, "carol", 3}

    assert soon(fn ->
             match?({:ok, %{"dead" => 6, "claimed" => 0, "pending" => 0}}, Queue.stats(name, "emails"))
           end)

    {:ok, dead} = Queue.dead(name, "emails")

    plain =
      "raw (non-task) payload on a task queue: it names none of jobs:. To take such payloads, as packages for other " <>
        "languages and Honker.Queue.enqueue make them, give the worker a module with use Honker.Job, queue: \"emails\", name: nil"

    assert for(job <- Enum.reverse(dead), do: job["last_error"]) == [
             "the payload is not JSON",
             plain,
             "unknown task: app.elsewhere. Registered tasks: [Honker.InstanceTest.SendEmail, report]",
             "its arguments cannot be decoded: no month: 13",
             "its arguments cannot be decoded: it takes one of them, or named ones",
             plain
           ]

    refute_received {:sent, _, _}
  end

  defp task(name, args, kwargs), do: %{"__honker_task__" => %{task: name, args: args, kwargs: kwargs}}

  test "a queue that is shared has its payloads as they are", %{name: name} = context do
    start(context, jobs: [Shared, SendEmail])
    {:ok, id} = Shared.enqueue(name, %{a: 1}, delay: 500)
    assert {:ok, %{"payload" => %{"a" => 1}, "max_attempts" => 10}} = Queue.get_job(name, id)
    {:ok, _} = Queue.enqueue(name, "shared", task("x", [], %{a: 1}))
    assert_receive {:shared, %{"__honker_task__" => %{"task" => "x"}}}
    {:ok, _} = Queue.enqueue(name, "shared", [1])
    assert_receive {:shared, [1]}
  end

  test "a file that was replaced is opened anew", %{name: name, path: path} = context do
    start(context,
      jobs: [SendEmail],
      schedules: [
        [name: "pulse", schedule: "@every 1s", queue: "emails", payload: SendEmail.new(%{to: "pulse"}) |> elem(1)]
      ],
      outboxes: [{"hooks", &(send(:instance_test, {:hook, &1}) && :ok)}]
    )

    {:ok, _} = SendEmail.enqueue(name, %{to: "alice"})
    assert_receive {:sent, "alice", _}
    {:ok, old} = Honker.Database.resolve(name)
    replace(path)
    # There is no file any more: a new one is made.
    assert soon(fn -> match?({:ok, %{ref: ref}} when ref != old.ref, Honker.Database.resolve(name)) end)
    assert {:error, %Error{name: :closed_handle}} = Honker.query(old, "SELECT 1")
    {:ok, _} = SendEmail.enqueue(name, %{to: "bob"})
    assert_receive {:sent, "bob", _}
    {:ok, hooks} = Honker.outbox(name, "hooks", & &1)
    assert soon(fn -> match?({:ok, _}, Honker.Outbox.enqueue(hooks, 1)) end)
    assert_receive {:hook, 1}
    assert soon(fn -> match?({:ok, [_]}, Honker.Scheduler.list(name)) end)
    flush()
    assert_receive {:sent, "pulse", _}
    # Once is enough.
    {:ok, new} = Honker.Database.resolve(name)
    Process.sleep(300)
    assert {:ok, ^new} = Honker.Database.resolve(name)
  end

  test "without a worker it is a call that finds that the file was replaced", %{name: name, path: path} = context do
    start(context, [])
    {:ok, _} = Queue.enqueue(name, "q", 1)
    replace(path)
    {:ok, other} = Honker.open(path)
    Process.sleep(500)
    {:ok, _} = Queue.enqueue(name, "q", 2)
    assert {:ok, %{"pending" => 1}} = Queue.stats(other, "q")
    Honker.close(other)
    assert {:ok, [[_, "2"]]} = Honker.query(name, "SELECT id, payload FROM _honker_live")
  end

  test "when it is stopped no worker claims anything more while another finishes", %{name: name} = context do
    done = :counters.new(1, [])

    quick = fn _ ->
      Process.sleep(50)
      :counters.add(done, 1, 1)
    end

    # It lasts until nothing else happens.
    slow = fn _ ->
      send(:instance_test, {:slow, self()})
      receive(do: (:stopping -> :ok))
      assert soon(fn -> :counters.get(done, 1) == (Process.sleep(500) && :counters.get(done, 1)) end)
      send(:instance_test, :quiet)
    end

    workers = for {queue, handler} <- [{"quick", quick}, {"slow", slow}], do: [queue: queue, handler: handler]
    start(context, workers: for(opts <- workers, do: [concurrency: 1, shutdown: 60_000] ++ opts))
    {:ok, _} = Queue.enqueue_many(name, "quick", Enum.to_list(1..1000))
    {:ok, _} = Queue.enqueue(name, "slow", 1)
    assert_receive {:slow, slow}
    send(slow, :stopping)
    stop_supervised!({Honker, name})
    assert_received :quiet
    # Far from all.
    assert :counters.get(done, 1) < 900
    {:ok, db} = Honker.open(context.path)
    assert {:ok, [%{"queue" => "quick", "claimed" => 0}]} = Queue.stats(db)
    Honker.close(db)
  end

  test "who is killed is started again, and takes along only what works on it", %{name: name} = context do
    supervisor = start(context, jobs: [SendEmail], schedules: [])

    children = fn ->
      for {_, top, :supervisor, _} <- Supervisor.which_children(supervisor),
          {id, pid, _, _} <- Supervisor.which_children(top),
          into: %{},
          do: {id, pid}
    end

    %{{Worker, 0} => worker, Honker.Scheduler.Leader => scheduler} = children.()
    # While there is nothing to do it does nothing.
    assert soon(fn -> reductions(scheduler) == (Process.sleep(300) && reductions(scheduler)) end)
    Process.exit(scheduler, :kill)
    assert soon(fn -> children.()[Honker.Scheduler.Leader] not in [scheduler, :restarting] end)
    assert %{{Worker, 0} => ^worker} = children.()

    Process.exit(Process.whereis(Honker.Instance.process(name)), :kill)
    assert soon(fn -> not Process.alive?(worker) end)
    assert soon(fn -> match?({:ok, _}, SendEmail.enqueue(name, %{to: "alice"})) end)
    assert_receive {:sent, "alice", 10}
  end

  test "a handler that closes the database under the worker", %{name: name} = context do
    start(context,
      queue: "q",
      handler: fn job ->
        {:ok, db} = Honker.Database.resolve(name)
        if job.payload == "close", do: Honker.close(db), else: send(:instance_test, {:ran, job.payload}) && :ok
      end
    )

    {:ok, _} = Queue.enqueue(name, "q", "close", max_attempts: 1)
    assert soon(fn -> match?({:ok, _}, Queue.enqueue(name, "q", "next")) end)
    assert_receive {:ran, "next"}
  end

  test "it waits for its folder, and says with each call why it does not work yet", %{name: name, directory: directory} do
    path = Path.join(directory, "later/app.db")
    start_supervised!({Honker, name: name, path: path, jobs: [SendEmail], schedules: []})
    assert {:error, %Error{name: :cannot_open}} = Queue.enqueue(name, "q", 1)
    File.mkdir!(Path.dirname(path))
    assert soon(fn -> match?({:ok, _}, SendEmail.enqueue(name, %{to: "alice"})) end)
    assert_receive {:sent, "alice", _}
  end

  test "wrong options are refused at the start", context do
    Process.flag(:trap_exit, true)
    %{name: name, path: path} = context

    for wrong <- [
          [path: path],
          [name: name],
          [name: "text", path: path],
          [name: name, path: path, concurrency: 3],
          [name: name, path: path, schedules: :all],
          [name: name, path: path, jobs: []],
          [name: name, path: path, jobs: [String]],
          [name: name, path: path, jobs: [SendEmail, SendEmail]],
          [name: name, path: path, jobs: [SendEmail], handler: & &1],
          [name: name, path: path, jobs: [SendEmail], concurrency: 0],
          [name: name, path: path, jobs: [SendEmail], queues: ["emails", "other"]],
          [name: name, path: path, jobs: [SendEmail, Shared], queue: "emails"],
          [name: name, path: path, queue: "a\0b", handler: & &1],
          [name: name, path: path, open: [speed: 1]],
          [name: name, path: path, outboxes: [{"o", :no_function}]],
          [name: name, path: path, outboxes: [{"o", & &1, speed: 1}]],
          [name: name, path: path, outboxes: ["o"]]
        ] do
      assert {:error, _} = Honker.start_link(wrong)
    end

    # What only the database knows is found out a little later.
    {:ok, pid} = Honker.start_link(name: name, path: path, schedules: [[name: "s", queue: "q", schedule: "never"]])
    assert_receive {:EXIT, ^pid, :shutdown}

    assert_raise ArgumentError, fn -> Honker.Job.kind(SendEmail, []) end
    assert {:error, %Error{name: :invalid}} = Queue.enqueue(self(), "q", 1)
  end

  defp reductions(pid), do: Process.info(pid, :reductions)

  defp flush do
    receive do
      _ -> flush()
    after
      0 -> :ok
    end
  end
end
