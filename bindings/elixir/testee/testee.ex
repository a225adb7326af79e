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

  alias Honker.Testee.JSON
  alias Honker.{Batch, Consumer, Database, Error, Job, Jobs, Lock, Outbox, Queue, Scheduler, Transaction}

  @features ~w(queue tx wait stream notify sched result lock rate outbox journal watcher interrupt enqueue_many settle_tx
               by_id next_at stats dead wake updates release cron result_tx rate_sweep prune_keep tick_at text bytes nesting
               fault.abi metadata foreign unique schedule_options settings batch bulk step unknown_keys
               claims_by_id metrics counters handlers)

  def main do
    # Standard output is the protocol's.
    Logger.configure(level: :none)
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
        request = JSON.decode!(IO.iodata_to_binary([begun, part]))
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
        {key, if(key in ["payload", "value", "payloads", "metadata"], do: value, else: bytes(value))}
      end)

    for {name, _, old} <- :ets.lookup(:handles, r["as"]), do: {close(old), :ets.delete(:handles, name)}

    case op(r["op"], r, r["on"] && handle(r["on"])) do
      :ok -> %{ok: %{}}
      {:ok, %{} = ok} when not is_struct(ok) -> %{ok: ok}
      {:outcome, name} -> %{outcome: name}
      outcome when outcome in [:timeout, :woken, :closed] -> %{outcome: String.upcase("#{outcome}")}
      {:error, %Error{name: :lost}} -> %{outcome: "LOST"}
      {:error, %Error{} = error} -> %{error: error(error)}
      {:unsupported, feature} -> %{unsupported: feature}
    end
  rescue
    error in Error -> %{error: error(error)}
    error -> %{crashed: %{message: Exception.message(error), trace: Exception.format_stacktrace(__STACKTRACE__)}}
  catch
    kind, reason -> %{crashed: %{message: inspect({kind, reason}), trace: ""}}
  end

  defp error(e), do: %{name: String.upcase("#{e.name}"), type: inspect(e.__struct__), message: e.message}

  # {"$bytes": "ff"} is text that is not UTF-8.
  defp bytes(%{"$bytes" => hex}), do: Base.decode16!(hex, case: :mixed)
  defp bytes(list) when is_list(list), do: Enum.map(list, &bytes/1)
  defp bytes(other), do: other

  defp payload(%{"$text" => text}), do: Honker.raw(text)
  defp payload(%{"$bytes" => _} = bytes), do: Honker.raw(bytes(bytes))
  defp payload(value), do: value

  defp stored(raw) do
    JSON.decode!(raw)
  catch
    _, _ -> %{"$text": raw}
  end

  defp handle(name), do: :ets.lookup_element(:handles, name, 3)
  defp db(%Database{} = db), do: db
  defp db(%{db: db}), do: db

  # What to work on: the transaction, if there is one.
  defp within(r, o), do: if(r["tx"], do: handle(r["tx"]), else: db(o))

  defp make(r, {:ok, handle}), do: make(r, handle)
  defp make(_r, {:error, _} = error), do: error

  defp make(r, handle) do
    :ets.insert(:handles, {r["as"], System.unique_integer([:monotonic]), handle})
    :ok
  end

  # The options that the request has; some have another name in the package.
  @renamed %{
    "watcher" => :watcher_backend,
    "poll_ms" => :watcher_poll_interval_ms,
    "delay_s" => :delay,
    "expires_s" => :expires,
    "batch_id" => :batch
  }
  @unique ~w(unique_key unique_until unique_for_s on_conflict)
  defp options(r, names),
    do: for(name <- names, Map.has_key?(r, name), do: {@renamed[name] || String.to_atom(name), option(name, r[name])})

  # Choices are atoms in the package.
  defp option(name, text) when name in ~w(unique_until on_conflict overlap) and is_binary(text),
    do: String.to_atom(text)

  defp option("member", %{"job_id" => id, "worker_id" => worker}), do: %Job{id: id, queue: "", worker_id: worker}
  defp option(_name, value), do: value

  # All of an object.
  defp all_options(object), do: options(object, Map.keys(object))

  defp job_filter(filter),
    do: for({key, value} <- all_options(filter), do: {if(key == :limit, do: :page_size, else: key), value})

  defp plain_options(object), do: for({key, value} <- object, do: {String.to_atom(key), value})

  defp timeout(r), do: if(r["timeout_ms"] < 0, do: :infinity, else: r["timeout_ms"])

  defp give({:ok, value}, key), do: {:ok, %{key => value}}
  defp give(other, _key), do: other
  defp unless_false({:ok, false}, outcome), do: {:outcome, outcome}
  defp unless_false({:ok, true}, _outcome), do: :ok
  defp unless_false(error, _outcome), do: error
  defp unless_nil({:ok, nil}, outcome, _fun), do: {:outcome, outcome}
  defp unless_nil({:ok, value}, _outcome, fun), do: fun.(value)
  defp unless_nil(other, _outcome, _fun), do: other
  defp or_zero({:ok, at}), do: {:ok, %{at: at || 0}}
  defp or_zero(error), do: error

  defp row(%{"raw" => raw} = row), do: row |> Map.delete("raw") |> Map.put("payload", stored(raw))
  defp rows({:ok, rows}, key), do: {:ok, %{key => Enum.map(rows, &row/1)}}
  defp rows(error, _key), do: error

  defp close(%Database{} = db), do: Honker.close(db)
  defp close(%Consumer{} = consumer), do: Consumer.close(consumer)
  # It may be over.
  defp close(%Transaction{} = tx), do: with({:error, %Error{name: :misuse}} <- Transaction.rollback(tx), do: :ok)
  defp close(%{lock: lock, db: db}), do: with({:ok, _} <- Lock.release(lock, db), do: :ok)

  defp close(%{runner: pid, stop: stop}) do
    monitor = Process.monitor(pid)
    :atomics.put(stop, 1, 1)
    receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
  end

  # It may have ended with its database.
  defp close(%{worker: worker, seen: seen}) do
    if Process.alive?(worker), do: Honker.Worker.stop(worker)
    Agent.stop(seen)
  catch
    :exit, _ -> :ok
  end

  defp close(_data), do: :ok

  # A process that runs until it is closed.
  defp runner(r, fun) do
    stop = :atomics.new(1, [])
    make(r, %{runner: spawn(fn -> fun.(fn -> :atomics.get(stop, 1) == 1 end) end), stop: stop})
  end

  # --- The operations: `r` is the request, `o` what it is on. ---

  defp op("hello", _r, _o) do
    {:ok, version} = Honker.version()
    {:ok, %{testee: "elixir", version: version, pid: String.to_integer(System.pid()), features: @features}}
  end

  defp op("open", r, _o) do
    journal = if r["journal"], do: [journal_mode: String.to_atom(String.downcase(r["journal"]))], else: []
    make(r, Honker.open(r["path"], options(r, ~w(busy_timeout_ms watcher poll_ms)) ++ journal))
  end

  defp op("close", _r, o), do: close(o)
  defp op("interrupt", _r, o), do: Honker.interrupt(o)
  defp op("tx.begin", r, o), do: make(r, Transaction.begin(o))
  defp op("tx.commit", _r, o), do: Transaction.commit(o)
  defp op("tx.rollback", _r, o), do: Transaction.rollback(o)
  defp op("sql.exec", r, o), do: give(Transaction.update(o, r["sql"], params(r)), :changes)

  defp op("sql.query", r, o) do
    with {:ok, rows} <- Transaction.query(o, r["sql"], params(r)) do
      {:ok, %{rows: for(row <- rows, do: Enum.map(row, &value/1))}}
    end
  end

  defp op("queue.open", r, o),
    do: make(r, Honker.queue(o, r["name"], options(r, ~w(visibility_timeout_s max_attempts))))

  defp op("queue.enqueue", r, o) do
    options =
      options(r, ~w(delay_s run_at priority expires_s metadata max_run_s concurrency_key batch_id member) ++ @unique)

    job = {o.name, payload(r["payload"]), budget(o) ++ options}
    with {:ok, {status, id}} <- Queue.enqueue_one(within(r, o), job), do: {:ok, %{id: id, status: status}}
  end

  defp op("queue.enqueue_many", r, o) do
    options = options(r, ~w(delay_s run_at priority expires_s))
    payloads = Enum.map(r["payloads"], &payload/1)
    give(Queue.enqueue_many(within(r, o), o.name, payloads, options, budget(o)), :ids)
  end

  defp op("queue.claim", r, o), do: jobs(Queue.claim_batch(o, r["worker"], r["n"]))
  defp op("queue.ack", r, o), do: unless_false(Job.ack(within(r, o), job(r, o)), "LOST")
  defp op("queue.retry", r, o), do: unless_false(Job.retry(within(r, o), job(r, o), r["delay_s"], r["error"]), "LOST")
  defp op("queue.fail", r, o), do: unless_false(Job.fail(within(r, o), job(r, o), r["error"]), "LOST")
  defp op("queue.release", r, o), do: unless_false(Job.release(within(r, o), job(r, o), r["delay_s"]), "LOST")
  defp op("queue.heartbeat", r, o), do: unless_false(Job.heartbeat(within(r, o), job(r, o), r["extend_s"]), "LOST")
  defp op("queue.ack_many", r, o), do: give(Queue.ack_batch(o.db, r["ids"], r["worker"]), :acked)
  defp op("queue.cancel", r, o), do: give(Queue.cancel(o.db, r["id"]), :cancelled)
  defp op("queue.get", r, o), do: unless_nil(Queue.get_job(o.db, r["id"]), "EMPTY", &{:ok, %{job: row(&1)}})
  defp op("queue.next_at", _r, o), do: or_zero(Queue.next_claim_at(o.db, o.name))
  defp op("queue.sweep", _r, o), do: give(Queue.sweep_expired(o), :n)
  defp op("queue.stats", _r, o), do: give(Queue.stats(o.db, o.name), :stats)
  defp op("queue.configure", r, o), do: Queue.configure(o, plain_options(r["settings"]))
  defp op("queue.settings", _r, o), do: give(Queue.settings(o), :settings)

  defp op("dead.groups", _r, o) do
    with {:ok, groups} <- Queue.dead_groups(o),
         do: {:ok, %{groups: Enum.map(groups, &Map.update!(&1, "newest", fn newest -> row(newest) end))}}
  end

  defp op("jobs.list", r, o) do
    with {:ok, {jobs, cursor}} <- Jobs.list(o, job_filter(r["filter"])),
         do: {:ok, %{page: %{jobs: Enum.map(jobs, &row/1), cursor: cursor}}}
  end

  defp op("jobs.apply", r, o),
    do: give(Jobs.apply(within(r, o), job_filter(r["filter"]), action(r["action"])), :applied)

  defp op("batch.create", r, o) do
    {callbacks, others} = r["options"] |> plain_options() |> Keyword.split([:on_finished, :on_success])
    callbacks = for {name, given} <- callbacks, do: {name, callback(given)}
    give(Batch.create(within(r, o), callbacks ++ others), :id)
  end

  defp op("batch.seal", r, o), do: give(Batch.seal(within(r, o), r["id"]), :sealed)
  defp op("batch.get", r, o), do: unless_nil(Batch.get(o, r["id"]), "EMPTY", &{:ok, %{batch: &1}})

  defp op("step.get", r, o) do
    case Job.step(within(r, o), job(r, o), r["name"], fn -> {:error, :not_saved} end) do
      {:error, :not_saved} -> {:outcome, "EMPTY"}
      saved -> give(saved, :value)
    end
  end

  defp op("step.save", r, o) do
    give(Job.step(within(r, o), job(r, o), r["name"], fn -> {:ok, payload(r["value"])} end), :value)
  end

  defp op("queues", _r, o), do: give(Honker.queues(o), :queues)
  defp op("metrics", _r, o), do: give(Honker.metrics(o), :queues)

  defp op("worker.run", r, o) do
    {:ok, seen} = Agent.start(fn -> {r["handle"], []} end)
    options = [db: o.db, queue: o.name, worker_id: r["worker"], handler: &handle(&1, seen), concurrency: 1, shutdown: 0]

    with {:ok, worker} <- Honker.Worker.start_link([signals: false] ++ options) do
      Process.unlink(worker)
      make(r, %{worker: worker, seen: seen})
    end
  end

  defp op("handler.next", r, o), do: next_of_handler(o.seen, System.monotonic_time(:millisecond) + r["timeout_ms"])
  defp op("dead.list", r, o), do: rows(Queue.dead(o.db, o.name, r["limit"] || -1), :jobs)
  defp op("dead.requeue", r, o), do: give(Queue.requeue_dead(o.db, r["id"]), :requeued)
  defp op("dead.purge", r, o), do: give(Queue.purge_dead(o.db, o.name, r["older_than_s"]), :n)
  defp op("worker.open", r, o), do: make(r, Queue.worker(o, r["worker"]))

  defp op("next", r, o) do
    case Consumer.next(o, timeout(r), r["n"] || 1) do
      {:ok, jobs} when is_list(jobs) -> jobs({:ok, jobs})
      {:ok, nil} -> :ok
      {:ok, %Honker.StreamEvent{} = event} -> {:ok, %{event: event(event)}}
      {:ok, n} -> {:ok, %{notification: %{id: n.id, channel: n.channel, payload: stored(n.raw)}}}
      other -> other
    end
  end

  defp op("wake", _r, o), do: Consumer.wake(o)
  defp op("updates.open", r, o), do: make(r, Honker.updates(o))

  defp op("stream.open", r, o), do: make(r, %{db: o, topic: r["topic"]})

  defp op("stream.publish", r, o) do
    give(Honker.Stream.publish(within(r, o), o.topic, payload(r["payload"]), options(r, ["key"])), :offset)
  end

  defp op("stream.configure", r, o), do: Honker.Stream.configure(o.db, o.topic, plain_options(r["settings"]))
  defp op("stream.trim", r, o), do: give(Honker.Stream.trim(o.db, o.topic, plain_options(r["settings"])), :n)
  defp op("stream.read", r, o), do: events(Honker.Stream.read_since(o.db, o.topic, r["offset"], r["limit"] || -1))

  defp op("stream.read_consumer", r, o) do
    events(Honker.Stream.read_from_consumer(o.db, o.topic, r["consumer"], r["limit"] || -1))
  end

  defp op("stream.save", r, o) do
    give(Honker.Stream.save_offset(within(r, o), r["consumer"], o.topic, r["offset"]), :saved)
  end

  defp op("stream.offset", r, o), do: give(Honker.Stream.get_offset(o.db, r["consumer"], o.topic), :offset)

  defp op("stream.subscribe", r, o) do
    make(r, Honker.Stream.subscription(o.db, o.topic, options(r, ~w(consumer from_offset save_every_n save_every_ms))))
  end

  defp op("subscription.ack", _r, o), do: Honker.Stream.ack(o)
  defp op("subscription.save", _r, o), do: Honker.Stream.save(o)
  defp op("subscription.offset", _r, o), do: give(Honker.Stream.offset(o), :offset)

  defp op("notify.send", r, o), do: give(Honker.notify(within(r, o), r["channel"], payload(r["payload"])), :id)

  defp op("notify.configure", r, o), do: Honker.configure_notifications(o, plain_options(r["settings"]))

  defp op("notify.prune", r, o),
    do: give(Honker.prune_notifications(o, r["older_than_s"], options(r, ["max_keep"])), :n)

  defp op("listen.open", r, o), do: make(r, Honker.listener(o, r["channel"]))

  defp op("sched.add", r, o) do
    Scheduler.add(o, schedule(r, ["name", "queue"]) ++ options(r, ~w(overlap delay_s metadata) ++ @unique))
  end

  defp op("sched.remove", r, o), do: give(Scheduler.remove(o, r["name"]), :changed)
  defp op("sched.pause", r, o), do: give(Scheduler.pause(o, r["name"]), :changed)
  defp op("sched.resume", r, o), do: give(Scheduler.resume(o, r["name"]), :changed)
  defp op("sched.update", r, o), do: give(Scheduler.update(o, r["name"], schedule(r, [])), :changed)
  defp op("sched.list", _r, o), do: rows(Scheduler.list(o), :schedules)

  defp op("sched.tick", r, o) do
    with {:ok, fires} <- Scheduler.tick(o, r["now"]), do: {:ok, %{fires: Enum.map(fires, &fire/1)}}
  end

  defp op("sched.soonest", _r, o), do: or_zero(Scheduler.soonest(o))
  defp op("sched.run", r, o), do: runner(r, &Scheduler.run(o, r["owner"], &1))
  defp op("cron.next_after", r, _o), do: give(Scheduler.next_after(r["schedule"], r["from"]), :at)

  defp op("result.save", r, o) do
    value = payload(r["value"])
    text = if is_struct(value), do: value.text, else: IO.iodata_to_binary(JSON.encode!(value))
    apply(Honker, :save_result, [within(r, o), r["id"], text] ++ Enum.reject([r["ttl_s"]], &is_nil/1))
  end

  defp op("result.get", r, o), do: unless_nil(Honker.get_result(o, r["id"]), "EMPTY", &{:ok, %{value: stored(&1)}})

  defp op("result.wait", r, o),
    do: unless_nil(Honker.wait_result(o, r["id"], timeout(r)), "", &{:ok, %{value: stored(&1)}})

  defp op("result.sweep", _r, o), do: give(Honker.sweep_results(o), :n)

  defp op("lock.acquire", r, o) do
    unless_nil(Lock.try_acquire(o, r["name"], r["owner"], r["ttl_s"]), "HELD", &make(r, %{lock: &1, db: o}))
  end

  defp op("lock.renew", r, o), do: unless_false(Lock.heartbeat(o.lock, o.db, r["ttl_s"]), "LOST")
  defp op("lock.release", _r, o), do: unless_false(Lock.release(o.lock, o.db), "LOST")
  defp op("rate.try", r, o), do: unless_false(Honker.try_rate_limit(o, r["name"], r["limit"], r["per_s"]), "LIMITED")
  defp op("rate.sweep", r, o), do: give(Honker.sweep_rate_limits(o, r["older_than_s"]), :n)

  defp op("outbox.open", r, o) do
    {:ok, calls} = Agent.start(fn -> {r["deliver"], []} end)

    call = fn payload, {[first | rest], payloads} ->
      {first, {if(rest == [], do: [first], else: rest), payloads ++ [payload]}}
    end

    deliver = fn payload ->
      result = Agent.get_and_update(calls, &call.(payload, &1))
      if result == "ok", do: :ok, else: {:error, result}
    end

    options = options(r, ~w(visibility_timeout_s max_attempts base_backoff_s))

    with {:ok, outbox} <- Honker.outbox(o, r["name"], deliver, options),
         do: make(r, %{outbox: outbox, calls: calls, db: o})
  end

  defp op("outbox.enqueue", r, o) do
    arguments = [payload(r["payload"]), options(r, ~w(delay_s priority))]

    if r["tx"],
      do: give(apply(Outbox, :enqueue_tx, [o.outbox, handle(r["tx"]) | arguments]), :id),
      else: give(apply(Outbox, :enqueue, [o.outbox | arguments]), :id)
  end

  defp op("outbox.run_once", r, o), do: give(Outbox.run_once(o.outbox, r["worker"]), :handled)
  defp op("outbox.run", r, o), do: runner(r, &Outbox.run(o.outbox, r["worker"], &1))
  defp op("outbox.calls", _r, o), do: {:ok, %{payloads: Agent.get(o.calls, &elem(&1, 1))}}
  defp op("fork", _r, _o), do: {:unsupported, "fork"}

  defp op("foreign.exec", r, _o) do
    {:ok, foreign} = :sqlite3.open(:"foreign_#{System.unique_integer([:positive])}", file: to_charlist(r["path"]))
    :sqlite3.sql_exec(foreign, "PRAGMA busy_timeout = 5000")
    times = r["times"] || 1
    for _ <- 1..times, do: foreign(:sqlite3.sql_exec_timeout(foreign, r["sql"], 60_000))
    :sqlite3.close(foreign)
    {:ok, %{done: times}}
  end

  # --- Parts of them. ---

  # A handler that does what the script says, and tells what happens to it.
  defp handle(job, seen) do
    Process.flag(:trap_exit, true)
    say(seen, job, %{what: "called"})

    case Agent.get_and_update(seen, &next_of_script/1) do
      "ok" ->
        :ok

      "wait" ->
        receive do
          {:EXIT, _worker, {:shutdown, {:honker, why}}} -> say(seen, job, %{what: "told", reason: why})
        end

        {:error, "it was told to end"}

      error ->
        {:error, error}
    end
  end

  defp next_of_script({[last], events}), do: {last, {[last], events}}
  defp next_of_script({[first | rest], events}), do: {first, {rest, events}}

  defp say(seen, job, what) do
    about = %{id: job.id, attempts: job.attempts, worker: job.worker_id, at_us: System.os_time(:microsecond)}
    Agent.update(seen, fn {script, events} -> {script, events ++ [Map.merge(about, what)]} end)
  end

  defp next_of_handler(seen, deadline_ms) do
    take = fn
      {script, []} -> {nil, {script, []}}
      {script, [first | rest]} -> {first, {script, rest}}
    end

    case {Agent.get_and_update(seen, take), System.monotonic_time(:millisecond) >= deadline_ms} do
      {nil, true} ->
        {:outcome, "TIMEOUT"}

      {nil, false} ->
        Process.sleep(1)
        next_of_handler(seen, deadline_ms)

      {event, _} ->
        {:ok, event}
    end
  end

  defp foreign({:error, code, why}), do: raise("#{code}: #{why}")
  defp foreign(done), do: done

  defp params(r), do: Enum.map(r["params"] || [], &param/1)
  defp param(%{"$hex" => hex}), do: {:blob, Base.decode16!(hex, case: :mixed)}
  defp param(value), do: value
  defp value({:blob, bytes}), do: %{"$hex": Base.encode16(bytes, case: :lower)}
  defp value(value), do: value

  defp budget(o), do: [max_attempts: o.db.queues[o.name].max_attempts]

  # What a batch enqueues at its end; one without a payload is no job for the package.
  defp callback(%{"payload" => text} = given),
    do: {given["queue"], Honker.raw(text), all_options(given["options"] || %{})}

  defp callback(%{} = given), do: Map.keys(given)
  defp callback(other), do: other

  defp fire(%{status: :enqueued} = fire), do: Map.delete(fire, :status)
  defp fire(fire), do: fire

  defp action("{" <> _ = json), do: json |> JSON.decode!() |> plain_options() |> hd()
  defp action(name), do: String.to_atom(name)

  defp job(r, o), do: %Job{id: r["id"], queue: o.name, worker_id: r["worker"]}
  defp jobs({:ok, jobs}), do: {:ok, %{jobs: Enum.map(jobs, &job_given/1)}}
  defp jobs(error), do: error

  defp job_given(j) do
    given = %{id: j.id, queue: j.queue, worker: j.worker_id, attempts: j.attempts, payload: stored(j.raw)}
    if j.metadata == %{}, do: given, else: Map.put(given, :metadata, j.metadata)
  end

  defp events({:ok, events}), do: {:ok, %{events: Enum.map(events, &event/1)}}
  defp events(error), do: error
  defp event(e), do: %{offset: e.offset, topic: e.topic, key: e.key, payload: stored(e.raw), created_at: e.created_at}

  defp schedule(r, more) do
    keys = for key <- more ++ ~w(schedule payload priority expires_s max_attempts), Map.has_key?(r, key), do: key
    for key <- keys, do: {String.to_atom(key), if(key == "payload", do: payload(r[key]), else: r[key])}
  end
end
