defmodule Honker.Worker do
  @moduledoc """
  A supervised process that runs jobs, each in a process of its own:

      children = [
        {Honker.Worker, db: db, queue: "emails", handler: &MyApp.send_email/1, concurrency: 4}
      ]

  Options:

    * `db:` - the database; or `path:`, and `open:` with options of `Honker.open/2`: then the worker opens the file when it is
      started, and anew when it is started again, and closes it
    * `queue:` - its queue; or `queues:`, a list of names, `{name, weight}` or `{name, weight: 2, in_hand_max: 1}`. A queue of
      twice the weight is asked first twice as often; what one cannot fill goes to the others. All weights 0: in that order
    * `handler:` - is given a `Honker.Job`
    * `concurrency:` - how many jobs run at the same time. Default: the number of schedulers
    * `worker_id:` - the name under which jobs are claimed. Default: one that nobody else has
    * `visibility_timeout_s:` - for how long a claim lasts; the worker prolongs it (unless `heartbeat: false`) while the job
      runs. Default: that of the first queue (`Honker.configure_queue/3`), 300
    * `max_run_s:` - how long a job may run. Default: without end
    * `retry_base_s:` (15), `retry_factor:` (2), `retry_max_s:` (3600), `retry_jitter:` (0.1) - a job that has failed for the nth
      time comes again after `base * factor^(n-1)` seconds, at most the maximum, give or take the jitter; `retry_delay_s:` - or
      always after that
    * `shutdown:` - how long, in milliseconds or `:infinity`, running jobs may take when the worker is stopped. Default 30,000
    * `name:` - to be registered as; also the id in the supervisor

  What the handler returns decides:

  | returned | the job |
  | --- | --- |
  | `:ok`, a tuple that begins with `:ok`, anything not in this table | is done |
  | `{:error, reason}`, `:error`, `nil`, `false`, any other tuple | is retried |
  | `{:retry, delay_s, reason}` | is retried after that delay; fractions of a second are rounded up |
  | `{:snooze, delay_s}` | comes again after that delay, and this attempt does not count |
  | `{:discard, reason}`, `:discard` | is dead (`{:fail, reason}` is the same) |

  If it raises, throws or exits, or its process ends in whichever way, the job is retried, and nothing else happens. A job whose
  attempts are used up is dead.

  A job that is lost (cancelled or deleted, its claim over, its time to run over) is not settled any more, and its process is
  sent an exit signal with the reason `{:shutdown, {:honker, why}}`, where why is `:gone`, `:lapsed`, `:taken` or `:timeout`. A
  process that traps exits gets a message, and should end; its place is taken until it does.

  While somebody else keeps the file locked, or the disk is full, the worker says so once, through `Logger` and
  `Honker.Event`, and goes on when it can: what is finished is settled then. It stops, with the error as its reason, when
  it can never go on: when the database is closed, or the file was replaced by another.

  When it is stopped, by its supervisor or `stop/2`, it claims nothing more and waits for the jobs that are running, which
  are settled as always. Those that run when the time is over are ended (exit signal, then kill) and given back, with their
  attempt. Jobs of a worker that was killed come again when their visibility timeout is over.
  """

  use GenServer

  require Logger
  alias Honker.{Consumer, Database, Error, Event, Handler, Job, Native, Status}

  # How long a process that traps exits may take to end once it has to.
  @kill_ms 500
  # For how long what is finished is tried to be settled at the end.
  @last_ms 4000
  # For closing, beyond the time that jobs may take.
  @closing_ms 6000
  # How long to pause before each further try while the file is locked, and then between turns, while nothing works.
  @pauses_ms [1, 2, 5, 10, 20, 40]
  @rest_ms 500

  @kinds %{ack: 0, retry: 1, discard: 2, snooze: 3, release: 4}

  @doc false
  def child_spec(opts) do
    limit = Keyword.get(opts, :shutdown, 30_000)

    %{
      id: Keyword.get(opts, :name, {__MODULE__, opts[:queue] || opts[:queues]}),
      start: {__MODULE__, :start_link, [opts]},
      shutdown: if(is_integer(limit), do: limit + @closing_ms, else: :infinity)
    }
  end

  @doc "Starts a worker. Options: see above."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, Keyword.take(opts, [:name]))

  @doc "Stops a worker, waiting for the jobs that are running."
  @spec stop(GenServer.server(), timeout) :: :ok
  def stop(worker, timeout \\ :infinity), do: GenServer.stop(worker, :normal, timeout)

  # --- Its start. ---

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)

    defaults = [
      :db,
      :path,
      :queue,
      :queues,
      :handler,
      :name,
      :visibility_timeout_s,
      :max_run_s,
      :retry_base_s,
      :retry_factor,
      :retry_max_s,
      :retry_jitter,
      :retry_delay_s,
      open: [],
      heartbeat: true,
      shutdown: 30_000,
      concurrency: System.schedulers_online(),
      worker_id: unique()
    ]

    with {:ok, o} <- Native.options(opts, defaults),
         {:ok, queues} <- queues(o),
         :ok <- check(o),
         {:ok, db} <- database(o),
         {:ok, consumer} <- consumer(db, queues, o) do
      state = %{
        db: db,
        consumer: consumer,
        options: o,
        # By the process of each job: %{job, began, result, lost}
        running: %{},
        # Those of them, running or not, whose result is to be settled.
        finished: [],
        tag: nil,
        trouble: nil,
        rest: nil,
        # A message that asks for the next turn is under way.
        turning: false
      }

      {:ok, state, {:continue, :turn}}
    else
      {:error, error} -> {:stop, error}
    end
  end

  defp database(%{db: %Database{} = db}), do: {:ok, db}
  defp database(o), do: Honker.open(o.path, o.open)

  defp consumer(db, [{first, _, _} | _] = queues, o) do
    timeout_s = o[:visibility_timeout_s] || Database.queue_options(db, first).visibility_timeout_s
    retries = Map.take(o, [:max_run_s, :retry_base_s, :retry_factor, :retry_max_s, :retry_jitter])
    options = Map.merge(retries, %{visibility_timeout_s: timeout_s, heartbeat: if(o.heartbeat, do: 1, else: 0)})
    made = Consumer.new(db, :worker, "", [o.worker_id, queues, options])
    if not match?({:ok, _}, made) and o[:path], do: Honker.close(db)
    made
  end

  defp queues(%{queues: [_ | _] = queues} = o) when not is_map_key(o, :queue), do: each_queue(queues, [])
  defp queues(%{queue: queue} = o) when not is_map_key(o, :queues), do: each_queue([queue], [])
  defp queues(_), do: Error.invalid("a worker needs queue: or queues:, a list that is not empty, and not both")

  defp each_queue([], queues), do: {:ok, Enum.reverse(queues)}

  defp each_queue([one | others], queues) do
    case one do
      {name, weight} when is_binary(name) and is_integer(weight) ->
        each_queue(others, [{name, weight, nil} | queues])

      {name, opts} when is_binary(name) ->
        with {:ok, o} <- Native.options(opts, [:in_hand_max, weight: 1]),
             do: each_queue(others, [{name, o.weight, o[:in_hand_max]} | queues])

      name when is_binary(name) ->
        each_queue(others, [{name, 1, nil} | queues])

      other ->
        Error.invalid("a queue has a name, which has to be a binary, not #{inspect(other)}")
    end
  end

  defp check(%{handler: handler, concurrency: n} = o)
       when is_function(handler, 1) and is_integer(n) and n > 0 and is_map_key(o, :db) != is_map_key(o, :path) do
    cond do
      is_map_key(o, :db) and not is_struct(o.db, Database) ->
        Error.invalid("db: has to be a database")

      not (o.shutdown == :infinity or o.shutdown in 0..4_000_000_000) ->
        Error.invalid("shutdown: has to be milliseconds")

      not (is_nil(o[:retry_delay_s]) or o.retry_delay_s in 0..4_000_000_000) ->
        Error.invalid("retry_delay_s: has to be seconds, from 0 to 4,000,000,000")

      true ->
        :ok
    end
  end

  defp check(_) do
    Error.invalid("a worker needs db: or path:, a handler: of one argument and a positive concurrency:")
  end

  defp unique do
    {:ok, host} = :inet.gethostname()
    "honker-worker-#{host}-#{System.pid()}-#{System.unique_integer([:positive])}"
  end

  # --- Its turns. ---

  @impl true
  def handle_continue(:turn, state), do: turn(state)

  @impl true
  def handle_info({:honker_wait, tag, _why}, %{tag: tag} = state), do: turn(%{state | tag: nil})

  def handle_info(:honker_rested, state), do: turn(%{state | rest: nil})
  def handle_info(:honker_turn, state), do: turn(%{state | turning: false})

  def handle_info(message, state) do
    case heard(state, message) do
      {:ok, state} -> turn(state)
      {:parent, reason} -> {:stop, reason, state}
      :stray -> {:noreply, state}
    end
  end

  # What the process of a job says of it.
  defp heard(state, {:honker_result, pid, outcome}) when is_map_key(state.running, pid) do
    state = result(state, pid, outcome)

    # It has nothing more to do, and its place is given away with the same commit.
    receive do
      {:EXIT, ^pid, reason} -> {:ok, ended(state, pid, reason)}
    after
      5 -> {:ok, state}
    end
  end

  defp heard(state, {:EXIT, pid, reason}) when is_map_key(state.running, pid), do: {:ok, ended(state, pid, reason)}
  defp heard(_state, {:EXIT, pid, reason}) when is_pid(pid), do: {:parent, reason}
  defp heard(_state, _message), do: :stray

  # Settles what is finished and claims as many jobs as may run, in one commit; then waits to be told of more.
  defp turn(state) do
    state = drain(state)

    case turn_once(state, room(state)) do
      {:timeout, state} -> wait(state)
      {:ok, state} -> {:noreply, turn_again(state)}
      {{:stop, error}, state} -> {:stop, error, state}
    end
  end

  # By a message, so that whoever stops the worker is heard between two turns, however many jobs there are.
  defp turn_again(%{turning: true} = state), do: state

  defp turn_again(state) do
    send(self(), :honker_turn)
    %{state | turning: true}
  end

  # What else has been heard: it is settled in the same commit.
  defp drain(state) do
    receive do
      {:honker_result, pid, _} = message when is_map_key(state.running, pid) ->
        {:ok, state} = heard(state, message)
        drain(state)
    after
      0 -> state
    end
  end

  # A job's place is taken until its process has ended.
  defp room(state), do: state.options.concurrency - map_size(state.running)

  defp wait(%{tag: nil} = state) do
    case Consumer.arm(state.consumer) do
      {:ok, tag} -> {:noreply, %{state | tag: tag}}
      again when again in [:ready, :woken] -> turn(state)
      :closed -> {:stop, closed(), state}
      {:error, error} -> {:stop, error, state}
    end
  end

  # It waits already.
  defp wait(state), do: {:noreply, state}

  defp turn_once(state, n) do
    settlements = Enum.map(state.finished, &settlement/1)
    {answer, statuses} = try_turn(state, settlements, n, @pauses_ms)
    state = settled(state, answer, statuses)

    case answer do
      {:ok, {jobs, lost}} ->
        state = Enum.reduce(lost, recovered(state), &lose/2)
        {:ok, Enum.reduce(jobs, state, &start(Job.from_native(&1), &2))}

      :timeout ->
        {:timeout, recovered(state)}

      :closed ->
        {{:stop, closed()}, state}

      {:error, error} ->
        if Status.transient?(error.name) do
          {:timeout, rest(troubled(state, error))}
        else
          Logger.error("honker worker #{state.options.worker_id} stops: #{error.message}")
          Event.emit([:honker, :worker, :error], %{}, %{worker: state.options.worker_id, error: error})
          {{:stop, error}, state}
        end
    end
  end

  defp try_turn(state, settlements, n, pauses) do
    {answer, statuses} = Native.worker_turn(state.consumer.ref, settlements, n)

    case {Native.read(answer), pauses} do
      {{:error, %Error{name: :busy}}, [pause | pauses]} ->
        Process.sleep(pause)

        if Enum.all?(statuses, &is_integer/1),
          do: try_turn(state, settlements, n, pauses),
          else: {Native.read(answer), statuses}

      {answer, _} ->
        {answer, statuses}
    end
  end

  defp rest(%{rest: nil} = state), do: %{state | rest: Process.send_after(self(), :honker_rested, @rest_ms)}
  defp rest(state), do: state

  defp closed, do: Error.new(:closed_handle, "the database was closed")

  defp troubled(%{trouble: nil} = state, error) do
    Logger.warning("honker worker #{state.options.worker_id} waits: #{error.message}")
    Event.emit([:honker, :worker, :error], %{}, %{worker: state.options.worker_id, error: error})
    %{state | trouble: error.name}
  end

  defp troubled(state, _error), do: state

  defp recovered(%{trouble: nil} = state), do: state

  defp recovered(state) do
    Logger.info("honker worker #{state.options.worker_id} goes on")
    %{state | trouble: nil}
  end

  # --- Its jobs. ---

  # Linked, so that no job goes on without its worker.
  defp start(job, state) do
    worker = self()
    %{handler: handler, worker_id: worker_id} = state.options

    pid =
      spawn_link(fn ->
        Event.emit([:honker, :job, :start], %{attempts: job.attempts}, %{job: job, worker: worker_id})
        send(worker, {:honker_result, self(), Handler.call(handler, job)})
      end)

    put_in(state.running[pid], %{job: job, began: System.monotonic_time(), result: nil, lost: nil})
  end

  defp result(state, pid, outcome) do
    run = state.running[pid]

    result =
      case outcome do
        :ok -> :ack
        {:error, text} -> {:retry, state.options[:retry_delay_s], text}
        decided -> decided
      end

    if run.lost || run.result do
      state
    else
      run = %{run | result: result}
      %{state | finished: [run | state.finished], running: %{state.running | pid => run}}
    end
  end

  # The process of a job is gone. How it ended says nothing of a job that has a result: a handler may end it in any way,
  # normally too.
  defp ended(state, pid, reason) do
    text = Job.readable("the process of its handler ended: " <> Exception.format_exit(reason))
    state = result(state, pid, {:error, text})
    %{state | running: Map.delete(state.running, pid)}
  end

  defp settlement(%{job: job, result: result}) do
    {kind, delay_s, text} =
      case result do
        :ack -> {:ack, 0, ""}
        {:retry, delay_s, text} -> {:retry, delay_s, text}
        {:discard, text} -> {:discard, 0, text}
        {:snooze, delay_s} -> {:snooze, delay_s, ""}
        :release -> {:release, 0, ""}
      end

    {Map.fetch!(@kinds, kind), job.id, job.serial, delay_s, text}
  end

  # A status that is a number is an error's: of the whole turn, and then all of it is given again; or of this settlement,
  # which the file refuses (a trigger, a constraint), and would refuse again.
  defp settled(state, answer, statuses) do
    given = Enum.zip(state.finished, statuses)
    again? = match?({:error, _}, answer)

    for {run, status} <- given do
      cond do
        not is_integer(status) -> tell(state, if(status == :ok, do: :stop, else: :lost), run, %{})
        again? -> :later
        true -> refused(state, run, status)
      end
    end

    %{state | finished: for({run, status} when is_integer(status) <- given, again?, do: run)}
  end

  # The job leaves the hand, and comes again when its claim is over, for as long as it has attempts.
  defp refused(state, run, status) do
    error = Error.new(Honker.Status.name(status), "the file refuses to have job #{run.job.id} settled")
    Logger.error("honker worker #{state.options.worker_id}: #{Exception.message(error)}")
    Consumer.act(state.consumer, :settled, [run.job.id, run.job.serial])
    tell(state, :lost, run, %{reason: :refused, error: error})
  end

  # A job in hand is the worker's no more.
  defp lose({id, serial, why}, state) do
    found = Enum.find(state.running, fn {_, run} -> run.job.id == id and run.job.serial == serial end)

    case found do
      {pid, %{lost: nil, result: nil} = run} ->
        tell(state, :lost, run, %{reason: why})
        Process.exit(pid, {:shutdown, {:honker, why}})
        put_in(state.running[pid].lost, why)

      _finished ->
        state
    end
  end

  defp tell(state, event, run, more) do
    metadata = Map.merge(%{job: run.job, worker: state.options.worker_id, result: run.result}, more)
    Event.emit([:honker, :job, event], %{duration: System.monotonic_time() - run.began}, metadata)
  end

  # --- Its end. ---

  @impl true
  def terminate(_reason, state) do
    limit = state.options.shutdown
    deadline = if limit == :infinity, do: :infinity, else: Native.now_ms() + limit
    state = finish(%{state | tag: nil}, deadline)
    for {pid, _} <- state.running, do: Process.exit(pid, {:shutdown, {:honker, :stop}})
    state = gone(state, Native.now_ms() + @kill_ms)
    for {pid, _} <- state.running, do: Process.exit(pid, :kill)
    state |> gone(:infinity) |> settle_last(Native.now_ms() + @last_ms)
    Consumer.close(state.consumer)
    if state.options[:path], do: Honker.close(state.db)
  end

  # What is finished would be done again: it is tried for a while, should the file be locked just now.
  defp settle_last(%{finished: []}, _until), do: :ok

  defp settle_last(state, until) do
    with {:timeout, %{finished: [_ | _]} = state} <- turn_once(state, 0) do
      if Native.now_ms() < until do
        Consumer.rest()
        settle_last(state, until)
      else
        ids = Enum.map_join(state.finished, ", ", & &1.job.id)

        Logger.error(
          "honker worker #{state.options.worker_id} could not settle and leaves to their claims: jobs #{ids}"
        )
      end
    end
  end

  # Settles the jobs that are running as they end.
  defp finish(%{running: running, finished: []} = state, _deadline) when running == %{}, do: state

  defp finish(state, deadline) do
    case turn_once(drain(state), 0) do
      {:ok, state} -> finish(state, deadline)
      {:timeout, %{running: running, finished: []} = state} when running == %{} -> state
      {:timeout, state} -> finish(state, deadline, Consumer.arm(state.consumer))
      # There is nothing to settle with.
      {{:stop, _error}, state} -> %{state | finished: []}
    end
  end

  defp finish(state, deadline, {:ok, tag}) do
    left = if deadline == :infinity, do: :infinity, else: max(deadline - Native.now_ms(), 0)

    receive do
      {:honker_wait, ^tag, _why} ->
        finish(state, deadline)

      :honker_rested ->
        again(%{state | rest: nil}, deadline, tag)

      {:honker_result, pid, _} = message when is_map_key(state.running, pid) ->
        again(elem(heard(state, message), 1), deadline, tag)

      {:EXIT, pid, reason} when is_map_key(state.running, pid) ->
        again(ended(state, pid, reason), deadline, tag)
    after
      left -> state
    end
  end

  defp finish(state, deadline, again) when again in [:ready, :woken], do: finish(state, deadline)
  defp finish(state, _deadline, _closed), do: state

  defp again(state, deadline, tag) do
    Consumer.disarm(state.consumer, tag)
    finish(state, deadline)
  end

  # Those that had to end are given back, whatever they say of it: they were told to.
  defp gone(%{running: running} = state, _deadline) when running == %{}, do: state

  defp gone(state, deadline) do
    left = if deadline == :infinity, do: :infinity, else: max(deadline - Native.now_ms(), 0)

    receive do
      {:honker_result, pid, result} when is_map_key(state.running, pid) ->
        gone(result(state, pid, result), deadline)

      {:EXIT, pid, reason} when is_map_key(state.running, pid) ->
        state = if released?(state.running[pid]), do: result(state, pid, :release), else: state
        gone(ended(state, pid, reason), deadline)
    after
      left -> state
    end
  end

  defp released?(run), do: run.result == nil and run.lost == nil
end
