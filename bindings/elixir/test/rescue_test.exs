defmodule Honker.RescueTest do
  use Honker.Case, async: true

  test "what a job shows of who holds it", %{db: db} do
    test = self()
    shows = fn job -> {:ok, send(test, {:held, job.queue, job.worker_id})} end
    start_supervised!({Worker, db: db, queue: "q", handler: shows, worker_id: "me@home"})
    start_supervised!({Worker, db: db, queue: "r", handler: shows, worker_id: "me", rescue: false})
    start_supervised!({Worker, db: db, queue: "s", handler: shows, worker_id: "me", heartbeat: false})
    for queue <- ["q", "r", "s", "t"], do: {:ok, _} = Queue.enqueue(db, queue, 1)
    assert_receive {:held, "q", held}, 120_000
    assert held =~ ~r/^me@home@[0-9a-f]{32}$/
    assert_receive {:held, "r", "me"}, 120_000
    assert_receive {:held, "s", held}, 120_000
    assert held =~ ~r/^me@[0-9a-f]{32}$/
    # Loops of one's own have the name that they are given.
    {:ok, worker} = Queue.worker(db, "t", "me")
    assert {:ok, [%Job{worker_id: "me"} = job]} = Consumer.next(worker, 120_000)
    assert {:ok, true} = Job.ack(db, job)
  end

  # The visibility timeout is 300 seconds, and the test waits for 120.
  test "the jobs of an emulator that is killed are others' at once", %{db: db, path: path} do
    test = self()

    port =
      emulator("""
      {:ok, db} = Honker.open(#{inspect(path)})
      hold = fn job -> IO.puts("holds \#{job.payload}") && Process.sleep(:infinity) end
      {:ok, _} = Honker.Worker.start_link(db: db, queue: "q", handler: hold)
      {:ok, _} = Honker.Queue.enqueue(db, "q", 1)
      Process.sleep(:infinity)
      """)

    assert line(port) == "holds 1"
    start_worker(db, fn job -> {:ok, send(test, {:runs, job.payload, job.attempts})} end)
    kill(port)
    assert_receive {:runs, 1, 2}, 120_000
  end
end
