defmodule Honker.WaitingTest do
  # Alone: it counts threads and looks at schedulers.
  use Honker.Case, async: false

  # In another process, as soon as this one waits.
  defp when_waiting(fun) do
    test = self()
    spawn(fn -> soon(fn -> waits?(test) end) && fun.() end)
  end

  defp waits?(pid), do: Process.info(pid, :status) == {:status, :waiting}
  defp mailbox, do: elem(Process.info(self(), :message_queue_len), 1)

  test "a worker is woken by a commit, and by a job that becomes due", %{db: db} do
    {:ok, worker} = Queue.worker(db, "q", "w")
    assert :timeout = Consumer.next(worker, 0)
    {time, :timeout} = :timer.tc(fn -> Consumer.next(worker, 100) end)
    assert time >= 95_000

    spawn(fn -> Process.sleep(100) && Queue.enqueue(db, "q", 1) end)
    assert {:ok, [%Job{payload: 1}]} = Consumer.next(worker)

    {:ok, _} = Queue.enqueue(db, "q", 2, delay: 1)
    assert {:ok, [%Job{payload: 2}]} = Consumer.next(worker, 120_000)
    assert mailbox() == 0
  end

  test "a wait may be longer than a process can wait in one go", %{db: db} do
    {:ok, worker} = Queue.worker(db, "q", "w")
    waiting = Task.async(fn -> Consumer.next(worker, 9_000_000_000_000_000) end)
    {:ok, _} = Queue.enqueue(db, "q", 1)
    assert {:ok, [%Job{}]} = Task.await(waiting, 180_000)
    # For no jobs nobody waits.
    assert {:ok, []} = Consumer.next(worker, :infinity, 0)
  end

  test "nothing is left in the mailbox, however a wait ends", %{db: db} do
    {:ok, updates} = Honker.updates(db)

    for _ <- 1..200 do
      spawn(fn -> Honker.notify(db, "c", 1) end)
      Consumer.next(updates, :rand.uniform(3))
    end

    for _ <- 1..20 do
      spawn(fn -> Consumer.wake(updates) end)
      spawn(fn -> Honker.interrupt(db) end)
      Consumer.next(updates, :rand.uniform(3))
    end

    Process.sleep(50)
    assert mailbox() == 0
  end

  test "a wake and an interrupt that come together leave nothing either", %{db: db} do
    {:ok, updates} = Honker.updates(db)
    assert :timeout = Consumer.next(updates, 0)

    {:ok, tag} = Consumer.arm(updates)
    {:ok, _} = Honker.notify(db, "c", 1)
    assert soon(fn -> mailbox() == 1 end)
    :ok = Honker.interrupt(db)
    assert mailbox() == 1
    assert Consumer.disarm(updates, tag) == :ready
    assert mailbox() == 0
  end

  test "a wake while nobody waits is for the next wait, of that consumer alone", %{db: db} do
    {:ok, one} = Honker.listener(db, "c")
    {:ok, other} = Honker.listener(db, "c")
    :ok = Consumer.wake(one)
    assert :timeout = Consumer.next(other, 100)
    assert :woken = Consumer.next(one, 120_000)
    assert :timeout = Consumer.next(one, 100)
  end

  test "of two processes that wait with one consumer the second is told that it cannot", %{db: db} do
    {:ok, listener} = Honker.listener(db, "c")
    waiting = Task.async(fn -> Consumer.next(listener, 120_000) end)
    assert soon(fn -> waits?(waiting.pid) end)
    assert {:error, %Error{name: :misuse}} = Consumer.next(listener, 120_000)
    {:ok, _} = Honker.notify(db, "c", 1)
    assert {:ok, %{payload: 1}} = Task.await(waiting, 180_000)

    # The place of one that was killed is free.
    {:ok, pid} = Task.start(fn -> Consumer.next(listener, 120_000) end)
    assert soon(fn -> waits?(pid) end)
    Process.exit(pid, :kill)
    assert soon(fn -> Consumer.next(listener, 1) == :timeout end)
  end

  test "nothing waits in a transaction, which all others wait for", %{db: db} do
    {:ok, tx} = Transaction.begin(db)
    assert {:error, %Error{name: :invalid, message: message}} = Honker.listener(tx, "c")
    assert message =~ "not a transaction"
    assert {:error, %Error{name: :invalid}} = Honker.Stream.subscribe(tx, "t")
    assert {:error, %Error{name: :invalid}} = Queue.worker(tx, "q", "w")
    assert {:error, %Error{name: :invalid}} = Transaction.begin(tx)
    :ok = Transaction.rollback(tx)
  end

  test "a wake, a close and an interrupt end it", %{db: db} do
    for {ending, expected} <- [
          {&Consumer.wake/1, :woken},
          {&Consumer.close/1, :closed},
          {fn _ -> Honker.interrupt(db) end, :interrupted}
        ] do
      {:ok, listener} = Honker.listener(db, "c")
      when_waiting(fn -> ending.(listener) end)

      case Consumer.next(listener, 120_000) do
        {:error, %Error{name: name}} -> assert name == expected
        outcome -> assert outcome == expected
      end
    end

    {:ok, listener} = Honker.listener(db, "c")
    when_waiting(fn -> Honker.close(db) end)
    assert :closed = Consumer.next(listener, 120_000)
    assert mailbox() == 0
  end

  test "it ends with the process that made it", %{db: db} do
    test = self()
    {maker, monitor} = spawn_monitor(fn -> send(test, Honker.listener(db, "c")) && Process.sleep(:infinity) end)
    assert_receive {:ok, listener}
    assert :timeout = Consumer.next(listener, 0)
    waiting = Task.async(fn -> Consumer.next(listener, 120_000) end)
    assert soon(fn -> waits?(waiting.pid) end)
    Process.exit(maker, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}
    assert Task.await(waiting, 180_000) == :closed
    assert {:error, %Error{name: :closed_handle}} = Consumer.next(listener, 0)
  end

  test "hundreds wait without a thread, and without keeping a scheduler from others", %{db: db} do
    {:ok, _one} = Honker.listener(db, "c")
    # What the emulator starts when it is first busy.
    for _ <- 1..20, do: Honker.notify(db, "other", 1)
    before = threads()

    waiting =
      for _ <- 1..300 do
        Task.async(fn ->
          {:ok, listener} = Honker.listener(db, "c")
          Consumer.next(listener, 120_000)
        end)
      end

    assert soon(fn -> Enum.all?(waiting, &(Process.info(&1.pid, :status) == {:status, :waiting})) end)
    Process.sleep(200)
    assert threads() - before <= 1

    # All schedulers are asleep while they wait: one that is not is never found asleep.
    :erlang.system_flag(:scheduler_wall_time, true)
    busy = fn -> Enum.sort(:erlang.statistics(:scheduler_wall_time_all)) end

    assert soon(fn ->
             first = busy.()
             Process.sleep(200)

             Enum.all?(Enum.zip(first, busy.()), fn {{id, active, total}, {id, active_then, total_then}} ->
               (active_then - active) / (total_then - total) < 0.5
             end)
           end)

    :erlang.system_flag(:scheduler_wall_time, false)

    {:ok, _} = Honker.notify(db, "c", "all of you")
    for answer <- Task.await_many(waiting, 180_000), do: assert({:ok, %{payload: "all of you"}} = answer)
  end

  test "schedulers run while a hundred processes wait for the lock", %{path: path} do
    {:ok, db} = Honker.open(path, busy_timeout_ms: 120_000)
    {:ok, tx} = Transaction.begin(db)
    waiting = for i <- 1..100, do: Task.async(fn -> Queue.enqueue(db, "q", i) end)

    # A process that only wants to be run, and other files, which are read on the threads on which calls wait, too. Were these
    # taken for as long as the calls wait, none of the calls would succeed.
    for _ <- 1..100, do: Process.sleep(5)
    for _ <- 1..20, do: File.read!(__ENV__.file)
    Transaction.commit(tx)
    assert Enum.all?(Task.await_many(waiting, 180_000), &match?({:ok, _}, &1))
    Honker.close(db)
  end

  test "twenty queries without end keep nobody else from working", %{path: path} do
    # As many could run as there are schedulers for all calls.
    {:ok, db} = Honker.open(path, readers_max: 20, busy_timeout_ms: 20_000)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    {:ok, listener} = Honker.listener(db, "c")
    queries = for _ <- 1..20, do: Task.async(fn -> Honker.query(db, endless) end)
    Process.sleep(200)
    others = Task.async(fn -> {Queue.enqueue(db, "q", 1), Queue.stats(db, "q"), Honker.notify(db, "c", 1)} end)
    worked = Task.yield(others, 120_000)
    assert {:ok, %{payload: 1}} = Consumer.next(listener, 120_000)
    # Those that wait for their turn give up after the busy timeout.
    assert soon(fn -> Honker.interrupt(db) == :ok and Enum.all?(queries, &(not Process.alive?(&1.pid))) end)
    assert {:ok, {{:ok, _}, {:ok, %{"pending" => 1}}, {:ok, _}}} = worked
    names = for {:error, %Error{name: name}} <- Task.await_many(queries), uniq: true, do: name
    assert names -- [:interrupted, :busy] == []
    Honker.close(db)
  end

  defp dispatchers do
    for pid <- Process.list(),
        {:initial_call, {Honker.Dispatcher, _, _}} <- [Process.info(pid, :initial_call)],
        do: pid
  end

  test "one process and one descriptor dispatch for all consumers; if it is killed another does", %{db: db} do
    before = dispatchers()
    {:ok, first} = Honker.listener(db, "c")
    spawn(fn -> Process.sleep(50) && Honker.notify(db, "c", 0) end)
    assert {:ok, %{payload: 0}} = Consumer.next(first, 120_000)
    had = descriptors()
    test = self()

    for i <- 1..200 do
      spawn_link(fn ->
        {:ok, listener} = Honker.listener(db, "c")
        send(test, :listens)
        for _ <- 1..2, do: send(test, {i, Consumer.next(listener, 120_000)})
      end)
    end

    for _ <- 1..200, do: assert_receive(:listens)
    # Each connection has some, but there are eight at most.
    assert descriptors() - had < 100
    assert [dispatcher] = dispatchers() -- before
    Honker.notify(db, "c", 1)
    for i <- 1..200, do: assert_receive({^i, {:ok, %{payload: 1}}})
    Process.exit(dispatcher, :kill)
    assert soon(fn -> match?([pid] when pid != dispatcher, dispatchers() -- before) end)
    Honker.notify(db, "c", 2)
    for i <- 1..200, do: assert_receive({^i, {:ok, %{payload: 2}}})

    Honker.close(db)
    assert soon(fn -> dispatchers() -- before == [] end)
  end

  test "a database that nobody has any more leaves no dispatcher", %{path: path} do
    before = dispatchers()

    Task.await(
      Task.async(fn ->
        {:ok, db} = Honker.open(path)
        {:ok, listener} = Honker.listener(db, "c")
        :timeout = Consumer.next(listener, 50)
        1 = length(dispatchers() -- before)
      end)
    )

    assert soon(fn -> dispatchers() -- before == [] end)
  end

  test "a file that is replaced ends waits with an error, and keeps no scheduler busy", %{db: db, path: path} do
    before = dispatchers()
    {:ok, listener} = Honker.listener(db, "c")
    waiting = Task.async(fn -> Consumer.next(listener, 120_000) end)
    {:ok, listening} = Honker.listen(db, "c")
    Process.sleep(100)
    File.rename!(path, path <> ".old")
    {:ok, other} = Honker.open(path)
    assert {:error, %Error{name: :watcher}} = Task.await(waiting, 180_000)
    assert_receive {:honker, ^listening, {:closed, %Error{name: :watcher}}}
    assert {:error, %Error{name: :watcher}} = Consumer.next(listener, 100)
    assert soon(fn -> dispatchers() -- before == [] end)
    Honker.close(other)
  end

  test "what is closed or collected leaves nothing", %{directory: directory} do
    round = fn i ->
      {:ok, db} = Honker.open(Path.join(directory, "round#{rem(i, 2)}.db"))
      {:ok, listener} = Honker.listener(db, "c")
      {:ok, worker} = Queue.worker(db, "q", "w")
      Consumer.next(listener, 1)
      Consumer.next(worker, 1)
      {:ok, tx} = Transaction.begin(db)
      Transaction.execute(tx, "SELECT 1")
      # Some are closed, some die with their process, in any order.
      if rem(i, 3) == 0, do: Consumer.close(listener)
      if rem(i, 3) == 1, do: Honker.close(db)
    end

    run = fn is -> for i <- is, do: Task.await(Task.async(fn -> round.(i) end), 180_000) end
    run.(1..4)
    Process.sleep(300)
    before = {threads(), descriptors()}
    run.(5..40)
    :erlang.garbage_collect()
    assert soon(fn -> threads() <= elem(before, 0) end)
    assert soon(fn -> descriptors() <= elem(before, 1) end)
  end

  test "results are waited for", %{db: db} do
    {:ok, id} = Queue.enqueue(db, "q", 1)
    assert :timeout = Honker.wait_result(db, id, 50)
    spawn(fn -> Process.sleep(100) && Honker.save_result(db, id, "42") end)
    assert {:ok, "42"} = Honker.wait_result(db, id, 120_000)
    when_waiting(fn -> Honker.interrupt(db) end)
    assert {:error, %Error{name: :interrupted}} = Honker.wait_result(db, 99, 120_000)
  end

  test "listening: messages, until the process ends or unlistens", %{db: db} do
    {:ok, listener} = Honker.listen(db, "orders")
    Honker.notify(db, "orders", %{id: 1})
    Honker.notify(db, "weather", "rain")
    Honker.notify(db, "orders", %{id: 2})
    assert_receive {:honker, ^listener, %Honker.Notification{payload: %{"id" => 1}}}
    assert_receive {:honker, ^listener, %Honker.Notification{payload: %{"id" => 2}}}
    assert :ok = Honker.unlisten(listener)
    assert :ok = Honker.unlisten(listener)
    Honker.notify(db, "orders", 3)
    refute_receive {:honker, _, _}, 100

    test = self()
    {pid, _} = spawn_monitor(fn -> send(test, Honker.listen(db, "orders")) end)
    assert_receive {:ok, listener}
    assert_receive {:DOWN, _, _, ^pid, _}
    assert soon(fn -> not Process.alive?(listener) end)

    {:ok, listener} = Honker.listen(db, "orders")
    Honker.close(db)
    assert_receive {:honker, ^listener, {:closed, :closed}}
    assert {:error, %Error{name: :closed_handle}} = Honker.listen(db, "orders")
  end

  test "unlistening is heard between two notifications", %{db: db} do
    {:ok, listener} = Honker.listen(db, "c")
    :sys.suspend(listener)
    {:ok, _} = Honker.transaction(db, fn tx -> for i <- 1..5000, do: {:ok, _} = Honker.notify(tx, "c", i) end)
    :sys.resume(listener)
    :ok = Honker.unlisten(listener)
    assert mailbox() < 5000
  end

  test "subscribing: one event at a time, and only finished ones are saved", %{db: db} do
    for i <- 1..3, do: {:ok, _} = Honker.Stream.publish(db, "t", i, key: "k#{i}")
    {:ok, sub} = Honker.Stream.subscribe(db, "t", consumer: "c", save_every_ms: 0)
    assert_receive {:honker, ^sub, %Honker.StreamEvent{payload: 1, key: "k1", offset: 1}}
    refute_receive {:honker, _, _}, 100
    assert :ok = Honker.Stream.ack(sub)
    assert_receive {:honker, ^sub, %Honker.StreamEvent{payload: 2}}
    assert :ok = Honker.Stream.unsubscribe(sub)
    assert {:ok, 1} = Honker.Stream.get_offset(db, "c", "t")

    {:ok, sub} = Honker.Stream.subscribe(db, "t", consumer: "c")
    assert_receive {:honker, ^sub, %Honker.StreamEvent{payload: 2}}
    :ok = Honker.Stream.ack(sub)
    assert_receive {:honker, ^sub, %Honker.StreamEvent{payload: 3}}
    :ok = Honker.Stream.ack(sub)
    assert {:error, %Error{name: :misuse}} = Honker.Stream.ack(sub)
    # Saved by the time, though nothing comes any more.
    assert soon(fn -> Honker.Stream.get_offset(db, "c", "t") == {:ok, 3} end)
    Honker.Stream.publish(db, "t", 4)
    assert_receive {:honker, ^sub, %Honker.StreamEvent{payload: 4}}
    # It ends while the event is in hand.
    Process.exit(sub, :kill)
    assert soon(fn -> not Process.alive?(sub) end)
    assert {:error, %Error{name: :closed_handle}} = Honker.Stream.ack(sub)
  end

  test "events as an enumerable", %{db: db} do
    for i <- 1..5, do: Honker.Stream.publish(db, "t", i)
    assert [1, 2, 3] = db |> Honker.Stream.events("t", consumer: "c") |> Enum.take(3) |> Enum.map(& &1.payload)
    # The third was given, but the next one never asked for.
    assert {:ok, 2} = Honker.Stream.get_offset(db, "c", "t")
    assert [3] = db |> Honker.Stream.events("t", consumer: "c") |> Enum.take(1) |> Enum.map(& &1.payload)
    assert_raise Error, fn -> Enum.take(Honker.Stream.events(db, "t", nonsense: 1), 1) end
  end

  test "a scheduler fires, stops, and leaves to another when it is killed", %{db: db} do
    :ok = Honker.Scheduler.add(db, name: "pulse", queue: "q", schedule: "@every 1s", payload: %{n: 1})
    {first, _} = spawn_monitor(fn -> Honker.Scheduler.run(db, "first") end)
    assert soon(fn -> match?({:ok, %Job{}}, Queue.claim_one(db, "q", "w")) end)
    Process.exit(first, :kill)
    assert_receive {:DOWN, _, _, ^first, _}
    stop = :atomics.new(1, [])
    second = Task.async(fn -> Honker.Scheduler.run(db, "second", fn -> :atomics.get(stop, 1) == 1 end) end)
    assert soon(fn -> match?({:ok, [["second"]]}, Honker.query(db, "SELECT owner FROM _honker_locks")) end)
    :atomics.put(stop, 1, 1)
    assert :ok = Task.await(second, 180_000)
    assert {:ok, []} = Honker.query(db, "SELECT owner FROM _honker_locks")
    assert {:error, %Error{name: :invalid}} = Honker.Scheduler.run(db, "a\0b")
    assert {:error, %Error{name: :invalid}} = Honker.Scheduler.add(db, name: "x", queue: "q", schedule: "never")
    assert {:ok, at} = Honker.Scheduler.next_after("0 3 * * *", 1_700_000_000)
    assert at > 1_700_000_000

    third = Task.async(fn -> Honker.Scheduler.run(db, "third") end)
    assert soon(fn -> match?({:ok, [["third"]]}, Honker.query(db, "SELECT owner FROM _honker_locks")) end)
    Honker.close(db)
    assert {:error, %Error{name: :closed_handle}} = Task.await(third, 180_000)
  end

  test "an outbox and a scheduler do not spin while the file is locked", %{db: db, path: path} do
    {:ok, hasty} = Honker.open(path, busy_timeout_ms: 0)
    {:ok, outbox} = Honker.outbox(hasty, "mail", fn _ -> :ok end)
    {:ok, _} = Honker.Outbox.enqueue(outbox, 1)
    {:ok, tx} = Transaction.begin(db)
    courier = Task.async(fn -> Honker.Outbox.run(outbox, "w") end)
    leader = Task.async(fn -> Honker.Scheduler.run(hasty, "me") end)
    Process.sleep(500)

    # Each look is some hundreds; one after the other they are millions.
    for task <- [courier, leader] do
      assert {:reductions, n} = Process.info(task.pid, :reductions)
      assert n < 20_000
    end

    Transaction.rollback(tx)
    assert soon(fn -> match?({:ok, %{"pending" => 0, "claimed" => 0}}, Queue.stats(db, "_outbox:mail")) end)
    for task <- [courier, leader], do: Task.shutdown(task)
    Honker.close(hasty)
  end

  test "locks", %{db: db} do
    {:ok, %Honker.Lock{} = lock} = Honker.Lock.try_acquire(db, "backup", "me", 60)
    assert {:ok, nil} = Honker.Lock.try_acquire(db, "backup", "you", 60)
    assert {:ok, nil} = Honker.Lock.try_acquire(db, "backup", 60)
    assert {:ok, true} = Honker.Lock.heartbeat(lock, db, 60)
    assert {:error, %Error{name: :held}} = Honker.Lock.with_lock(db, "backup", 60, fn _ -> :never end)
    assert {:ok, true} = Honker.Lock.release(lock, db)
    assert {:ok, false} = Honker.Lock.release(lock, db)
    assert_raise RuntimeError, fn -> Honker.Lock.with_lock(db, "backup", 60, fn _ -> raise "no" end) end
    assert {:ok, :done} = Honker.Lock.with_lock(db, "backup", 60, fn _ -> :done end)
  end
end
