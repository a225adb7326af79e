defmodule Honker.Testee.JSON do
  @moduledoc false
  def encode!(value), do: :jiffy.encode(value, [:use_nil])
  def decode!(text), do: :jiffy.decode(text, [:return_maps, :use_nil])
end

defmodule Honker.Testee do
  @moduledoc false
  # The testee of the Elixir package: does with it what the conformance suite asks for (conformance/PROTOCOL.md).
  #
  # The main process reads requests and hands each to the process of its lane; `reset` and `bye` it does itself. Handles
  # are in a table, by name, numbered in the order in which they were made.

  alias Honker.{Consumer, Database, Error, Job, Lock, Outbox, Queue, Scheduler, Transaction}

  @features ~w(queue tx wait stream notify sched result lock rate outbox journal watcher interrupt enqueue_many settle_tx
               by_id next_at stats dead wake updates cron result_tx rate_sweep prune_keep tick_at text bytes nesting fault.abi)

  def main do
    Application.put_env(:honker, :json, Honker.Testee.JSON)
    :ets.new(:handles, [:named_table, :public])
    port = Port.open({:fd, 0, 1}, [:binary, :eof, line: 65_536])
    :persistent_term.put(:port, port)
    read(port, [], %{})
  end

  defp read(port, begun, lanes) do
    receive do
      {^port, {:data, {:noeol, part}}} ->
        read(port, [begun, part], lanes)

      {^port, {:data, {:eol, part}}} ->
        request = Honker.Testee.JSON.decode!(IO.iodata_to_binary([begun, part]))
        read(port, [], accept(request, lanes))

      {^port, :eof} ->
        System.halt(0)
    end
  end

  defp accept(%{"op" => "reset"} = request, lanes) do
    reset(lanes)
    answer(request, %{"ok" => %{}})
    %{}
  end

  defp accept(%{"op" => "bye"} = request, _lanes) do
    answer(request, %{"ok" => %{}})
    System.halt(0)
  end

  defp accept(request, lanes) do
    name = request["lane"]
    lanes = Map.put_new_lazy(lanes, name, fn -> spawn_monitor(fn -> lane() end) end)
    send(elem(lanes[name], 0), {:request, request})
    lanes
  end

  defp lane do
    receive do
      {:request, request} ->
        answer(request, perform(request))
        lane()

      :end ->
        :ok
    end
  end

  defp reset(lanes) do
    close_all()
    for {pid, _} <- Map.values(lanes), do: send(pid, :end)
    for {_, monitor} <- Map.values(lanes), do: receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
    # What the lanes still had to do may have made more.
    close_all()
    :ets.delete_all_objects(:handles)
  end

  defp close_all do
    handles = :ets.tab2list(:handles)
    for {_, _, handle} <- Enum.sort_by(handles, &(-elem(&1, 1))), do: close(handle)
  end

  defp answer(%{"seq" => seq}, answer) do
    line = :jiffy.encode(Map.put(answer, "seq", seq), [:use_nil, :force_utf8])
    Port.command(:persistent_term.get(:port), [line, ?\n])
  end

  # --- One request. ---

  defp perform(request) do
    r =
      Map.new(request, fn {key, value} ->
        {key, if(key in ["payload", "value", "payloads"], do: value, else: bytes(value))}
      end)

    for {name, _, old} <- :ets.lookup(:handles, r["as"]), do: {close(old), :ets.delete(:handles, name)}

    case op(r["op"], r) do
      :ok -> %{"ok" => %{}}
      {:ok, %{} = ok} when not is_struct(ok) -> %{"ok" => ok}
      {:outcome, name} -> %{"outcome" => name}
      outcome when outcome in [:timeout, :woken, :closed] -> %{"outcome" => String.upcase("#{outcome}")}
      {:error, %Error{name: :lost}} -> %{"outcome" => "LOST"}
      {:error, %Error{} = error} -> %{"error" => error(error)}
      {:unsupported, feature} -> %{"unsupported" => feature}
    end
  rescue
    error in Error ->
      %{"error" => error(error)}

    error ->
      %{"crashed" => %{"message" => Exception.message(error), "trace" => Exception.format_stacktrace(__STACKTRACE__)}}
  catch
    kind, reason ->
      %{"crashed" => %{"message" => inspect({kind, reason}), "trace" => Exception.format_stacktrace(__STACKTRACE__)}}
  end

  defp error(error) do
    %{"name" => String.upcase("#{error.name}"), "type" => inspect(error.__struct__), "message" => error.message}
  end

  # {"$bytes": "ff"} is text that is not UTF-8.
  defp bytes(%{"$bytes" => hex}), do: Base.decode16!(hex, case: :mixed)
  defp bytes(list) when is_list(list), do: Enum.map(list, &bytes/1)
  defp bytes(other), do: other

  defp payload(%{"$text" => text}), do: Honker.raw(text)
  defp payload(%{"$bytes" => _} = bytes), do: Honker.raw(bytes(bytes))
  defp payload(value), do: value

  defp stored(raw) do
    Honker.Testee.JSON.decode!(raw)
  rescue
    _ -> %{"$text" => raw}
  catch
    _, _ -> %{"$text" => raw}
  end

  defp on(r), do: handle(r["on"])
  defp handle(name), do: :ets.lookup_element(:handles, name, 3)
  defp db(%Database{} = db), do: db
  defp db(%{db: db}), do: db

  # What to work on: the transaction, if there is one.
  defp within(r), do: if(r["tx"], do: handle(r["tx"]), else: db(on(r)))

  defp make(r, {:ok, handle}), do: make(r, handle)
  defp make(_r, {:error, _} = error), do: error

  defp make(r, handle) do
    :ets.insert(:handles, {r["as"], System.unique_integer([:monotonic]), handle})
    :ok
  end

  # The options that the request has, under the names that the package gives them.
  defp options(r, names) do
    for {key, name} <- names, Map.has_key?(r, key), do: {name, r[key]}
  end

  defp give({:ok, value}, key), do: {:ok, %{key => value}}
  defp give(other, _key), do: other

  defp unless_false({:ok, false}, outcome), do: {:outcome, outcome}
  defp unless_false({:ok, true}, _outcome), do: :ok
  defp unless_false(error, _outcome), do: error

  defp row(%{"raw" => raw} = row), do: row |> Map.delete("raw") |> Map.put("payload", stored(raw))

  defp rows({:ok, rows}, key), do: {:ok, %{key => Enum.map(rows, &row/1)}}
  defp rows(error, _key), do: error

  defp close(%Database{} = db), do: Honker.close(db)
  defp close(%Consumer{} = consumer), do: Consumer.close(consumer)

  defp close(%Transaction{} = tx),
    do: if(match?({:error, %Error{name: :misuse}}, Transaction.rollback(tx)), do: :ok, else: :ok)

  defp close(%{lock: lock, db: db}), do: with({:ok, _} <- Lock.release(lock, db), do: :ok)

  defp close(%{runner: pid, stop: stop}) do
    monitor = Process.monitor(pid)
    :atomics.put(stop, 1, 1)
    receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
  end

  defp close(_data), do: :ok

  # A process that runs until it is closed.
  defp runner(r, fun) do
    stop = :atomics.new(1, [])
    make(r, %{runner: spawn(fn -> fun.(fn -> :atomics.get(stop, 1) == 1 end) end), stop: stop})
  end

  # --- The operations. ---

  defp op("hello", _r) do
    {:ok, version} = Honker.version()

    {:ok,
     %{"testee" => "elixir", "version" => version, "pid" => String.to_integer(System.pid()), "features" => @features}}
  end

  defp op("open", r) do
    names = [
      {"busy_timeout_ms", :busy_timeout_ms},
      {"watcher", :watcher_backend},
      {"poll_ms", :watcher_poll_interval_ms}
    ]

    journal = if r["journal"], do: [journal_mode: String.to_atom(String.downcase(r["journal"]))], else: []
    make(r, Honker.open(r["path"], options(r, names) ++ journal))
  end

  defp op("close", r), do: close(on(r))
  defp op("interrupt", r), do: Honker.interrupt(on(r))

  defp op("tx.begin", r), do: make(r, Transaction.begin(on(r)))
  defp op("tx.commit", r), do: Transaction.commit(on(r))
  defp op("tx.rollback", r), do: Transaction.rollback(on(r))
  defp op("sql.exec", r), do: give(Transaction.update(on(r), r["sql"], params(r)), "changes")

  defp op("sql.query", r) do
    with {:ok, rows} <- Transaction.query(on(r), r["sql"], params(r)) do
      {:ok, %{"rows" => for(row <- rows, do: Enum.map(row, &value/1))}}
    end
  end

  defp op("queue.open", r) do
    make(
      r,
      Honker.queue(
        on(r),
        r["name"],
        options(r, [{"visibility_timeout_s", :visibility_timeout_s}, {"max_attempts", :max_attempts}])
      )
    )
  end

  defp op("queue.enqueue", r), do: give(enqueue(r, :enqueue_tx, payload(r["payload"])), "id")
  defp op("queue.enqueue_many", r), do: give(enqueue(r, :enqueue_many, Enum.map(r["payloads"], &payload/1)), "ids")
  defp op("queue.claim", r), do: jobs(Queue.claim_batch(on(r), r["worker"], r["n"]))
  defp op("queue.ack", r), do: unless_false(Job.ack(within(r), job(r)), "LOST")
  defp op("queue.retry", r), do: unless_false(Job.retry(within(r), job(r), r["delay_s"], r["error"]), "LOST")
  defp op("queue.fail", r), do: unless_false(Job.fail(within(r), job(r), r["error"]), "LOST")
  defp op("queue.heartbeat", r), do: unless_false(Job.heartbeat(within(r), job(r), r["extend_s"]), "LOST")
  defp op("queue.ack_many", r), do: give(Queue.ack_batch(db(on(r)), r["ids"], r["worker"]), "acked")
  defp op("queue.cancel", r), do: give(Queue.cancel(db(on(r)), r["id"]), "cancelled")

  defp op("queue.get", r) do
    case Queue.get_job(db(on(r)), r["id"]) do
      {:ok, nil} -> {:outcome, "EMPTY"}
      {:ok, job} -> {:ok, %{"job" => row(job)}}
      error -> error
    end
  end

  defp op("queue.next_at", r), do: or_zero(Queue.next_claim_at(db(on(r)), on(r).name))
  defp op("queue.sweep", r), do: give(Queue.sweep_expired(on(r)), "n")
  defp op("queue.stats", r), do: give(Queue.stats(db(on(r)), on(r).name), "stats")
  defp op("dead.list", r), do: rows(Queue.dead(db(on(r)), on(r).name, r["limit"] || -1), "jobs")
  defp op("dead.requeue", r), do: give(Queue.requeue_dead(db(on(r)), r["id"]), "requeued")
  defp op("dead.purge", r), do: give(Queue.purge_dead(db(on(r)), on(r).name, r["older_than_s"]), "n")
  defp op("worker.open", r), do: make(r, Queue.worker(on(r), r["worker"]))

  defp op("next", r) do
    consumer = on(r)
    timeout = if r["timeout_ms"] < 0, do: :infinity, else: r["timeout_ms"]

    case Consumer.next(consumer, timeout, r["n"] || 1) do
      {:ok, jobs} when is_list(jobs) -> jobs({:ok, jobs})
      {:ok, nil} -> :ok
      {:ok, %Honker.StreamEvent{} = event} -> {:ok, %{"event" => event(event)}}
      {:ok, n} -> {:ok, %{"notification" => %{"id" => n.id, "channel" => n.channel, "payload" => stored(n.raw)}}}
      other -> other
    end
  end

  defp op("wake", r), do: Consumer.wake(on(r))
  defp op("updates.open", r), do: make(r, Honker.updates(on(r)))

  defp op("stream.open", r), do: make(r, %{db: on(r), topic: r["topic"]})

  defp op("stream.publish", r) do
    give(Honker.Stream.publish(within(r), on(r).topic, payload(r["payload"]), options(r, [{"key", :key}])), "offset")
  end

  defp op("stream.read", r), do: events(Honker.Stream.read_since(db(on(r)), on(r).topic, r["offset"], r["limit"] || -1))

  defp op("stream.read_consumer", r) do
    events(Honker.Stream.read_from_consumer(db(on(r)), on(r).topic, r["consumer"], r["limit"] || -1))
  end

  defp op("stream.save", r),
    do: give(Honker.Stream.save_offset(within(r), r["consumer"], on(r).topic, r["offset"]), "saved")

  defp op("stream.offset", r), do: give(Honker.Stream.get_offset(db(on(r)), r["consumer"], on(r).topic), "offset")

  defp op("stream.subscribe", r) do
    names = for name <- ~w(consumer from_offset save_every_n save_every_ms), do: {name, String.to_atom(name)}
    make(r, Honker.Stream.subscription(db(on(r)), on(r).topic, options(r, names)))
  end

  defp op("subscription.ack", r), do: Honker.Stream.ack(on(r))
  defp op("subscription.save", r), do: Honker.Stream.save(on(r))
  defp op("subscription.offset", r), do: give(Honker.Stream.offset(on(r)), "offset")

  defp op("notify.send", r), do: give(Honker.notify(within(r), r["channel"], payload(r["payload"])), "id")

  defp op("notify.prune", r) do
    give(Honker.prune_notifications(on(r), r["older_than_s"], options(r, [{"max_keep", :max_keep}])), "n")
  end

  defp op("listen.open", r), do: make(r, Honker.listener(on(r), r["channel"]))

  defp op("sched.add", r),
    do: Scheduler.add(on(r), schedule(r, ~w(name queue schedule payload priority expires_s max_attempts)))

  defp op("sched.remove", r), do: give(Scheduler.remove(on(r), r["name"]), "changed")
  defp op("sched.pause", r), do: give(Scheduler.pause(on(r), r["name"]), "changed")
  defp op("sched.resume", r), do: give(Scheduler.resume(on(r), r["name"]), "changed")

  defp op("sched.update", r) do
    give(
      Scheduler.update(on(r), r["name"], schedule(r, ~w(schedule payload priority expires_s max_attempts))),
      "changed"
    )
  end

  defp op("sched.list", r), do: rows(Scheduler.list(on(r)), "schedules")
  defp op("sched.tick", r), do: give(Scheduler.tick(on(r), r["now"]), "fires")
  defp op("sched.soonest", r), do: or_zero(Scheduler.soonest(on(r)))

  defp op("sched.run", r) do
    db = on(r)
    runner(r, &Scheduler.run(db, r["owner"], &1))
  end

  defp op("cron.next_after", r), do: give(Scheduler.next_after(r["schedule"], r["from"]), "at")

  defp op("result.save", r) do
    text =
      case payload(r["value"]) do
        %Honker.Raw{text: text} -> text
        value -> IO.iodata_to_binary(Honker.Testee.JSON.encode!(value))
      end

    if r["ttl_s"],
      do: Honker.save_result(within(r), r["id"], text, r["ttl_s"]),
      else: Honker.save_result(within(r), r["id"], text)
  end

  defp op("result.get", r), do: result(Honker.get_result(on(r), r["id"]))

  defp op("result.wait", r) do
    result(Honker.wait_result(on(r), r["id"], if(r["timeout_ms"] < 0, do: :infinity, else: r["timeout_ms"])))
  end

  defp op("result.sweep", r), do: give(Honker.sweep_results(on(r)), "n")

  defp op("lock.acquire", r) do
    case Lock.try_acquire(on(r), r["name"], r["owner"], r["ttl_s"]) do
      {:ok, nil} -> {:outcome, "HELD"}
      {:ok, lock} -> make(r, %{lock: lock, db: on(r)})
      error -> error
    end
  end

  defp op("lock.renew", r), do: unless_false(Lock.heartbeat(on(r).lock, on(r).db, r["ttl_s"]), "LOST")
  defp op("lock.release", r), do: unless_false(Lock.release(on(r).lock, on(r).db), "LOST")
  defp op("rate.try", r), do: unless_false(Honker.try_rate_limit(on(r), r["name"], r["limit"], r["per_s"]), "LIMITED")
  defp op("rate.sweep", r), do: give(Honker.sweep_rate_limits(on(r), r["older_than_s"]), "n")

  defp op("outbox.open", r) do
    {:ok, calls} = Agent.start(fn -> {r["deliver"], []} end)

    deliver = fn payload ->
      result =
        Agent.get_and_update(calls, fn {[first | rest], payloads} ->
          {first, {if(rest == [], do: [first], else: rest), payloads ++ [payload]}}
        end)

      if result == "ok", do: :ok, else: {:error, result}
    end

    names = for name <- ~w(visibility_timeout_s max_attempts base_backoff_s), do: {name, String.to_atom(name)}

    with {:ok, outbox} <- Honker.outbox(on(r), r["name"], deliver, options(r, names)) do
      make(r, %{outbox: outbox, calls: calls, db: outbox.db})
    end
  end

  defp op("outbox.enqueue", r) do
    opts = options(r, [{"delay_s", :delay}, {"priority", :priority}])
    %{outbox: outbox} = on(r)

    if r["tx"],
      do: give(Outbox.enqueue_tx(outbox, handle(r["tx"]), payload(r["payload"]), opts), "id"),
      else: give(Outbox.enqueue(outbox, payload(r["payload"]), opts), "id")
  end

  defp op("outbox.run_once", r), do: give(Outbox.run_once(on(r).outbox, r["worker"]), "handled")

  defp op("outbox.run", r) do
    %{outbox: outbox} = on(r)
    runner(r, &Outbox.run(outbox, r["worker"], &1))
  end

  defp op("outbox.calls", r), do: {:ok, %{"payloads" => Agent.get(on(r).calls, &elem(&1, 1))}}

  defp op("fork", _r), do: {:unsupported, "fork"}
  defp op("foreign.exec", _r), do: {:unsupported, "foreign"}

  # --- Parts of them. ---

  defp params(r),
    do:
      Enum.map(r["params"] || [], fn
        %{"$hex" => hex} -> {:blob, Base.decode16!(hex, case: :mixed)}
        v -> v
      end)

  defp value({:blob, bytes}), do: %{"$hex" => Base.encode16(bytes, case: :lower)}
  defp value(value), do: value

  defp enqueue(r, fun, what) do
    %Queue{name: name} = on(r)
    opts = options(r, [{"delay_s", :delay}, {"run_at", :run_at}, {"priority", :priority}, {"expires_s", :expires}])
    max_attempts = db(on(r)).queues[name].max_attempts
    apply(Queue, fun, [within(r), name, what, opts, [max_attempts: max_attempts]])
  end

  defp job(r), do: %Job{id: r["id"], queue: on(r).name, worker_id: r["worker"]}

  defp jobs({:ok, jobs}) do
    given =
      for j <- jobs,
          do: %{
            "id" => j.id,
            "queue" => j.queue,
            "worker" => j.worker_id,
            "attempts" => j.attempts,
            "payload" => stored(j.raw)
          }

    {:ok, %{"jobs" => given}}
  end

  defp jobs(error), do: error

  defp events({:ok, events}), do: {:ok, %{"events" => Enum.map(events, &event/1)}}
  defp events(error), do: error

  defp event(e) do
    %{
      "offset" => e.offset,
      "topic" => e.topic,
      "key" => e.key,
      "payload" => stored(e.raw),
      "created_at" => e.created_at
    }
  end

  defp or_zero({:ok, at}), do: {:ok, %{"at" => at || 0}}
  defp or_zero(error), do: error

  defp result({:ok, nil}), do: {:outcome, "EMPTY"}
  defp result({:ok, text}), do: {:ok, %{"value" => stored(text)}}
  defp result(other), do: other

  defp schedule(r, keys) do
    for key <- keys,
        Map.has_key?(r, key),
        do: {String.to_atom(key), if(key == "payload", do: payload(r[key]), else: r[key])}
  end
end
