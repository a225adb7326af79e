defmodule Honker.OutboxTest do
  use Honker.Case, async: true
  alias Honker.Outbox

  test "an outbox delivers, retries, and gives up", %{db: db} do
    test = self()

    {:ok, outbox} =
      Honker.outbox(db, "mail", &(send(test, {:called, &1}) && if(&1 == "bad", do: raise("no"), else: {:ok, 1})),
        base_backoff_s: 0,
        max_attempts: 2
      )

    assert {:ok, false} = Outbox.run_once(outbox, "w")
    {:ok, _} = Outbox.enqueue(outbox, "good")
    {:ok, _} = Honker.transaction(db, &Outbox.enqueue_tx(outbox, &1, "bad"))
    stop = :atomics.new(1, [])
    run = Task.async(fn -> Outbox.run(outbox, "w", fn -> :atomics.get(stop, 1) == 1 end) end)
    assert soon(fn -> match?({:ok, [_]}, Queue.dead(db, "_outbox:mail")) end)
    :atomics.put(stop, 1, 1)
    assert :ok = Task.await(run, 180_000)
    assert_received {:called, "good"}
    assert_received {:called, "bad"}
    assert_received {:called, "bad"}
    refute_received {:called, _}
    {:ok, [%{"last_error" => error}]} = Queue.dead(db, "_outbox:mail")
    assert error =~ "no"
  end

  test "who runs one is not taken along by it, and takes it along", %{db: db} do
    test = self()
    {:ok, outbox} = Honker.outbox(db, "mail", &(send(test, {:running, self(), &1}) && receive(do: (:go -> :ok))))
    {:ok, _} = Outbox.enqueue(outbox, 1)
    {runner, monitor} = spawn_monitor(fn -> Outbox.run(outbox, "w") end)
    assert_receive {:running, delivery, 1}
    {:links, [worker]} = Process.info(delivery, :links)
    worker = Process.monitor(worker)
    Process.exit(runner, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
    # It is finished, and nothing more is claimed.
    {:ok, _} = Outbox.enqueue(outbox, 2)
    send(delivery, :go)
    assert_receive {:DOWN, ^worker, _, _, :normal}
    assert {:ok, %{"pending" => 1, "claimed" => 0}} = Queue.stats(db, "_outbox:mail")

    ended = Task.async(fn -> Outbox.run(outbox, "w") end)
    assert_receive {:running, delivery, 2}
    Honker.close(db)
    send(delivery, :go)
    assert {:error, %Error{name: :closed_handle}} = Task.await(ended, 180_000)
    assert {:error, %Error{name: :closed_handle}} = Outbox.run(outbox, "w")
  end

  test "a delivery whose claim was lost", %{db: db} do
    deliver = fn id -> {:ok, true} = Queue.cancel(db, id) end
    {:ok, outbox} = Honker.outbox(db, "mail", deliver)
    {:ok, _} = Outbox.enqueue(outbox, 1)
    assert {:error, %Error{name: :lost}} = Outbox.run_once(outbox, "w")
    assert {:ok, false} = Outbox.run_once(outbox, "w")
  end

  test "a failure waits as long as it says, is logged, and may be final", %{db: db} do
    {:ok, outbox} = Honker.outbox(db, "mail", &if(&1 == "gone", do: {:discard, "410"}, else: {:error, "503"}))
    {:ok, _} = Outbox.enqueue(outbox, "down")
    {:ok, _} = Outbox.enqueue(outbox, "gone")

    log = ExUnit.CaptureLog.capture_log(fn -> for _ <- 1..2, do: assert({:ok, true} = Outbox.run_once(outbox, "w")) end)
    assert log =~ "of _outbox:mail failed, attempt 1 of 5, next try in about 5 s: 503"
    assert {:ok, [[delay_s]]} = Honker.query(db, "SELECT run_at - created_at FROM _honker_live")
    assert delay_s >= 5
    assert {:ok, [%{"payload" => "gone", "last_error" => "410"}]} = Queue.dead(db, "_outbox:mail")
  end
end
