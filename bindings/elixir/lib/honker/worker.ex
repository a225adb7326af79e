defmodule Honker.Worker do
  @moduledoc """
  A supervised process that runs jobs, each in a process of its own:

      children = [
        {Honker.Worker, path: "app.db", queue: "emails", handler: &MyApp.send_email/1, concurrency: 4}
      ]

  `{Honker, name: …}` starts workers, and whatever else an application has, with one database.

  Options:

    * `path:` - the file, and `open:`, options of `Honker.open/2`. Or `db:`, a database, or the name of one
      (`Honker.start_link/1`)
    * `queue:` - its queue; or `queues:`, a list of names, `{name, weight}` or `{name, weight: 2, max_in_hand: 1}`. A queue of
      twice the weight is asked first twice as often; what one cannot fill goes to the others. All weights 0: in that order
    * `handler:` - is given a `Honker.Job`; or `jobs:`, modules that `use Honker.Job`, whose queues are the default. Code that is
      loaded anew while it runs is used if the handler is `&Module.function/1`, or with `jobs:`
    * `concurrency:` - how many jobs run at the same time. Default: the number of schedulers
    * `worker_id:` - the name under which jobs are claimed. Default: one that nobody else has. `job.worker_id` and the file show it
      with an `@` and 32 digits behind it, which name this process of the operating system
    * `rescue:` - false: jobs are claimed as `worker_id:` itself, and those of an emulator that was killed come again only when their
      visibility timeout is over
    * `visibility_timeout_s:` - for how long a claim lasts; the worker extends it (unless `heartbeat: false`) while the job
      runs. Default: that of the first queue (`Honker.configure_queue/3`), 300
    * `max_run_s:` - how long a job may run, unless it was enqueued with a `max_run_s:` of its own. Default: without end
    * `retry_base_s:` (15), `retry_factor:` (2), `retry_max_s:` (3600), `retry_jitter:` (0.1) - a job that has failed for the nth
      time comes again after `base * factor^(n-1)` seconds, at most the maximum, give or take the jitter. What is set for its queue
      (`retry:` of `Honker.Queue.configure/3`) wins. `retry_delay_s:` - or always after that
    * `around_job:` - a function, or a list of them, the first outermost, that is given the job and the next, and calls that:
      `fn job, next -> MyApp.Tenant.put(job.metadata["tenant"]); next.(job) end`. It runs in the process of the job
    * `on_error:` - a function of a `Honker.Failure` and the job, to report failures that are logged anyway. It runs in a process
      of its own, and what it raises is logged
    * `shutdown:` - how long, in milliseconds or `:infinity`, running jobs may take when the worker is stopped. Default 8000
    * `signals:` - false: a second SIGTERM does not end what runs at once
    * `name:` - to be registered as; also the id in the supervisor

  What the handler returns decides:

  | returned | the job |
  | --- | --- |
  | `:ok`, a tuple that begins with `:ok`, anything not in this table | is done |
  | `{:error, reason}`, `:error`, `nil`, `false`, any other tuple | is retried |
  | `{:retry, delay_s, reason}` | is retried after that delay; fractions of a second are rounded up |
  | `{:snooze, delay_s}` | comes again after that delay, and this attempt does not count |
  | `{:discard, reason}`, `:discard` | is dead (`{:fail, reason}` is the same) |

  If it raises, throws or exits, or its process ends in whichever way, the job is retried, and nothing else happens; an
  exception with a field `retry_delay_s` says when. A job whose attempts are used up is dead. Failures are logged:
  `Honker.Failure`.

  A job that is lost (cancelled or deleted, its claim over, its time to run over) is not settled any more, and its process is
  sent an exit signal with the reason `{:shutdown, {:honker, why}}`, where why is `:gone`, `:lapsed`, `:taken`, `:timeout` or
  `:replaced`. A process that traps exits gets a message, and should end; its place is taken until it does.

  While the file cannot be opened or written (it or its folder is missing, the disk is full, somebody keeps it locked for longer
  than the busy timeout) the worker says so once, through `Logger` and `Honker.Event`, tries again after 0.1 to 10 seconds, and
  says when it works again: what is finished is settled then. If the file was replaced by another, its jobs are cancelled
  and it goes on with the new one. It stops, with the error as its reason, when it cannot go on: when its database was
  closed, or the file is damaged.

  When it is stopped, by its supervisor or `stop/2`, it claims nothing more and waits for the jobs that are running, which
  are settled as always. Those that run when the time is over are ended (an exit signal with `{:shutdown, {:honker, :stop}}`,
  1.5 seconds later a kill) and given back, with their attempt; a second SIGTERM does that at once. The same happens at the end
  of a script or a mix task, before Elixir halts the emulator, though not with `System.halt/1`. Should the emulator be killed,
  others who work on the file, or whoever does next, have its jobs within milliseconds, their attempt counted (on Linux; else,
  and with `rescue: false`, when their visibility timeout is over, as those of a worker that was killed in an emulator that lives).

  One line of the log counts what became of the jobs of its whole run:
  `done=120 snoozed=0 retried=3 dead=1 released=2 running=0`. `released` are those that were given back at the end, `running` those
  that could not be settled and are left to their claims.
  """

  use GenServer

  require Logger
  alias Honker.{Consumer, Database, Error, Event, Native, Rest, Status}
  alias Honker.Worker.{Hand, Options}

  # How long a process that traps exits may take to end once it has to.
  @kill_ms 1500
  # For how long what is finished is tried to be settled at the end.
  @last_ms 4000
  # For closing, beyond the time that jobs may take.
  @closing_ms 7000
  # How long to pause before each further try while the file is locked, and then between turns, while nothing works.
  @pauses_ms [1, 2, 5, 10, 20, 40]

  @doc false
  def child_spec(opts) do
    limit = Keyword.get(opts, :shutdown, 8000)

    %{
      id: Keyword.get(opts, :name, {__MODULE__, opts[:queue] || opts[:queues] || opts[:jobs]}),
      start: {__MODULE__, :start_link, [opts]},
      shutdown: if(is_integer(limit), do: limit + @closing_ms, else: :infinity)
    }
  end

  @doc "Starts a worker. Options: see above."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, {opts, nil}, Keyword.take(opts, [:name]))

  # One that ends with `owner`, and does not take that along.
  @doc false
  def start(opts, owner), do: GenServer.start(__MODULE__, {opts, owner})

  @doc "Stops a worker, waiting for the jobs that are running."
  @spec stop(GenServer.server(), timeout) :: :ok
  def stop(worker, timeout \\ :infinity), do: GenServer.stop(worker, :normal, timeout)

  # --- Its start. ---

  @impl true
  def init({opts, owner}) do
    Process.flag(:trap_exit, true)

    with {:ok, o} <- Options.read(opts) do
      state =
        Hand.new(%{
          options: o,
          owner: owner && Process.monitor(owner),
          source: o.source,
          # Both are nil while there is no file to work with.
          db: nil,
          consumer: nil,
          tag: nil,
          # Since when nothing works, and what of it was said.
          since_ms: nil,
          trouble: nil,
          rest: nil,
          rest_ms: Rest.first_ms(),
          # A message that asks for the next turn is under way.
          turning: false,
          # By when what runs has to end; it claims nothing more if it has to.
          deadline: nil,
          # It has nothing in hand, and does nothing more.
          over: false
        })

      if o.signals, do: Honker.Signals.tell(self())
      Honker.AtExit.tell()

      case connect(state) do
        {:ok, state} -> {:ok, state, {:continue, :turn}}
        {:error, error} -> with {:timeout, state} <- failed(state, error), do: {:ok, state}, else: (_ -> {:stop, error})
      end
    else
      {:error, error} -> {:stop, error}
    end
  end

  defp connect(state) do
    with {:ok, db} <- database(state.source),
         {:ok, consumer} <- consumer(state, db) do
      {:ok, %{state | db: db, consumer: consumer}}
    end
  end

  defp database({:db, db}), do: {:ok, db}
  defp database({:name, name}), do: Database.resolve(name)
  defp database({:path, path, opts}), do: Honker.open(path, opts)

  defp consumer(state, db) do
    o = state.options
    options = Map.take(o, ~w(visibility_timeout_s max_run_s retry_base_s retry_factor retry_max_s retry_jitter)a)
    switches = for key <- [:heartbeat, :rescue], into: %{}, do: {key, if(o[key], do: 1, else: 0)}
    options = Map.merge(options, switches)
    made = Consumer.new(db, :worker, "", [o.worker_id, o.queues, options])
    if not match?({:ok, _}, made), do: close_own(state, db)
    made
  end

  defp close_own(%{source: {:path, _, _}}, %Database{} = db), do: Honker.close(db)
  defp close_own(_state, _db), do: :ok

  defp disconnect(state) do
    if state.consumer, do: Consumer.close(state.consumer)
    close_own(state, state.db)
    %{state | consumer: nil, db: nil, tag: nil}
  end

  # --- Its turns. ---

  @impl true
  def handle_continue(:turn, state), do: turn(state)

  @impl true
  def handle_info({:honker_wait, tag, _why}, %{tag: tag} = state), do: turn(%{state | tag: nil})
  def handle_info(:honker_rested, state), do: turn(%{state | rest: nil})
  def handle_info(:honker_turn, state), do: turn(%{state | turning: false})
  # It is going to be stopped soon.
  def handle_info(:honker_drain, state), do: turn(drain(state))
  def handle_info(:honker_stop_now, state), do: turn(%{drain(state) | deadline: Native.now_ms()})

  def handle_info({:EXIT, pid, reason} = message, state) do
    case Hand.hear(state, message) do
      {:ok, state} -> turn(state)
      # Whoever else it is linked to.
      :stray when is_pid(pid) -> {:stop, reason, state}
      :stray -> {:noreply, state}
    end
  end

  def handle_info({:DOWN, owner, :process, _, _}, %{owner: owner} = state), do: {:stop, :normal, state}

  def handle_info(message, state) do
    with {:ok, state} <- Hand.hear(state, message), do: turn(state), else: (:stray -> {:noreply, state})
  end

  defp turn(%{over: true} = state), do: {:noreply, state}

  # Settles what is finished and claims as many jobs as may run, in one commit; then waits to be told of more.
  defp turn(state) do
    # Before it is counted how many may be claimed: without room the next wait would be for losses alone.
    state = Hand.drain(state)

    case turn_once(state, if(state.deadline, do: 0, else: Hand.room(state))) do
      {:timeout, state} -> wait(state)
      {:ok, state} -> {:noreply, turn_again(state)}
      {:stop, error, state} -> {:stop, error, state}
    end
  end

  # By a message, so that whoever stops the worker is heard between two turns, however many jobs there are.
  defp turn_again(%{turning: true} = state), do: state

  defp turn_again(state) do
    send(self(), :honker_turn)
    %{state | turning: true}
  end

  # It waits already, or rests: then it tries again after a while, whatever is committed meanwhile.
  defp wait(state) do
    case if(idle?(state), do: Consumer.arm(state.consumer), else: {:ok, state.tag}) do
      {:ok, tag} -> {:noreply, %{state | tag: tag}}
      again when again in [:ready, :woken] -> {:noreply, turn_again(state)}
      error -> with {:timeout, state} <- failed(state, error), do: {:noreply, state}
    end
  end

  defp idle?(%{tag: tag, rest: rest, consumer: consumer}), do: tag == nil and rest == nil and consumer != nil

  defp turn_once(%{consumer: nil} = state, n) do
    case connect(state) do
      {:ok, state} -> turn_once(state, n)
      {:error, error} -> failed(state, error)
    end
  end

  defp turn_once(state, n) do
    {answer, statuses, why} = try_turn(state, Hand.settlements(state), n, @pauses_ms)
    state = Hand.settled(state, answer, statuses, why)

    case answer do
      {:ok, {jobs, lost}} ->
        state = state |> recovered() |> Hand.lose(lost) |> Hand.start(jobs)
        # With all that it was asked for the library waits for what becomes of it, as it does with nothing.
        full? = n > 0 and length(jobs) == n and lost == [] and why == nil
        {if(full?, do: :timeout, else: :ok), state}

      :timeout ->
        {:timeout, recovered(state)}

      error ->
        failed(state, error)
    end
  end

  defp try_turn(state, settlements, n, pauses) do
    {answer, statuses, why} = Native.worker_turn(state.consumer.ref, settlements, n)

    case {Native.read(answer), pauses} do
      {{:error, %Error{name: :busy}}, [pause | pauses]} ->
        Process.sleep(pause)

        if Enum.all?(statuses, &is_integer/1),
          do: try_turn(state, settlements, n, pauses),
          else: {Native.read(answer), statuses, why}

      {answer, _} ->
        {answer, statuses, why}
    end
  end

  # --- When it cannot go on: it tries again later, unless that is no use. ---

  defp failed(state, :closed), do: failed(state, Error.new(:closed_handle, "the database was closed"))
  defp failed(state, {:error, error}), do: failed(state, error)

  defp failed(state, %Error{name: name} = error) do
    cond do
      name == :watcher or (name == :closed_handle and not match?({:db, _}, state.source)) ->
        {:timeout, state |> troubled(error) |> replaced() |> rest()}

      Status.transient?(name) ->
        {:timeout, state |> troubled(error) |> rest()}

      true ->
        Logger.error("honker worker #{state.options.worker_id} stops: #{error.message}")
        Event.emit([:honker, :worker, :error], %{}, %{worker: state.options.worker_id, error: error})
        {:stop, error, state}
    end
  end

  # The file is another one now, or the database was closed by somebody who does not own it: what is in hand is lost, and the
  # next turn opens the file anew.
  defp replaced(%{consumer: nil} = state), do: state

  defp replaced(state) do
    state = Hand.lose_all(state, :replaced)

    case state.source do
      {:name, name} ->
        Database.renew(name, state.db)
        disconnect(state)

      # It is somebody else's, who may close it.
      {:db, db} ->
        %{disconnect(state) | source: {:path, db.path, db.options}}

      {:path, _, _} ->
        disconnect(state)
    end
  end

  defp rest(%{rest: nil} = state) do
    timer = Process.send_after(self(), :honker_rested, state.rest_ms)
    next_ms = if state.trouble, do: Rest.next_ms(state.rest_ms), else: Rest.first_ms()
    %{state | rest: timer, rest_ms: next_ms}
  end

  defp rest(state), do: state

  defp troubled(%{trouble: nil} = state, error) do
    since_ms = state.since_ms || Native.now_ms()

    # A lock is nothing to speak of before the busy timeout is over, as for any other call.
    if error.name == :busy and state.db != nil and Native.now_ms() - since_ms < state.db.busy_timeout_ms do
      %{state | since_ms: since_ms}
    else
      Logger.warning("honker worker #{state.options.worker_id} waits: #{error.message}")
      Event.emit([:honker, :worker, :error], %{}, %{worker: state.options.worker_id, error: error})
      %{state | since_ms: since_ms, trouble: error.name}
    end
  end

  defp troubled(state, _error), do: state

  defp recovered(%{since_ms: nil} = state), do: state

  defp recovered(state) do
    if state.trouble, do: Logger.info("honker worker #{state.options.worker_id} works again")
    %{state | since_ms: nil, trouble: nil, rest_ms: Rest.first_ms()}
  end

  # --- Its end. ---

  # The emulator is about to halt. It stays, with nothing in hand: a supervisor would start another in its place.
  @impl true
  def handle_call(:honker_wind_up, _from, state), do: {:reply, :ok, wind_up(state)}

  @impl true
  def terminate(_reason, state), do: wind_up(state)

  defp wind_up(%{over: true} = state), do: state

  defp wind_up(state) do
    %{deadline: deadline} = state = drain(state)
    state = finish(%{state | tag: nil}, deadline)
    Hand.exit_all(state, {:shutdown, {:honker, :stop}})
    state = Hand.release_all(state, Native.now_ms() + @kill_ms)
    Hand.exit_all(state, :kill)
    state = state |> Hand.release_all(:infinity) |> settle_last(Native.now_ms() + @last_ms)

    counts = Enum.map_join(state.counts ++ [running: length(state.finished)], " ", fn {what, n} -> "#{what}=#{n}" end)
    Logger.info("honker worker #{state.options.worker_id} stopped: #{counts}")
    disconnect(%{state | over: true})
  end

  defp drain(%{deadline: nil} = state) do
    limit = state.options.shutdown
    %{state | deadline: if(limit == :infinity, do: limit, else: Native.now_ms() + limit)}
  end

  defp drain(state), do: state

  # Settles the jobs that are running as they end.
  defp finish(%{running: running, finished: []} = state, _deadline) when running == %{}, do: state

  defp finish(state, deadline) do
    state = Hand.drain(state)

    case if(state.consumer, do: turn_once(state, 0), else: {:timeout, state}) do
      {:ok, state} ->
        finish(state, deadline)

      {:timeout, %{running: running, finished: []} = state} when running == %{} ->
        state

      {:timeout, state} ->
        finish(state, deadline, if(idle?(state), do: Consumer.arm(state.consumer), else: {:ok, nil}))

      # There is nothing to settle with.
      {:stop, _error, state} ->
        %{state | finished: []}
    end
  end

  defp finish(state, deadline, {:ok, tag}) do
    receive do
      {:honker_wait, ^tag, _why} -> finish(state, deadline)
      :honker_stop_now -> disarmed(state, tag)
      :honker_rested -> finish(disarmed(%{state | rest: nil}, tag), deadline)
      {:honker_result, pid, _, _} = message when is_map_key(state.running, pid) -> heard(state, message, deadline, tag)
      {:EXIT, pid, _} = message when is_map_key(state.running, pid) -> heard(state, message, deadline, tag)
    after
      Hand.left(deadline) -> disarmed(state, tag)
    end
  end

  defp finish(state, deadline, again) when again in [:ready, :woken], do: finish(state, deadline)
  defp finish(state, _deadline, _closed), do: state

  defp heard(state, message, deadline, tag) do
    {:ok, state} = Hand.hear(state, message)
    finish(disarmed(state, tag), deadline)
  end

  defp disarmed(state, tag) do
    if tag, do: Consumer.disarm(state.consumer, tag)
    state
  end

  # What is finished would be done again: it is tried for a while, should the file be locked just now.
  defp settle_last(%{finished: [_ | _], consumer: consumer} = state, until) when consumer != nil do
    case turn_once(state, 0) do
      {:timeout, %{finished: [_ | _]} = state} ->
        if Native.now_ms() < until do
          Process.sleep(Rest.first_ms())
          settle_last(state, until)
        else
          ids = Enum.map_join(state.finished, ", ", & &1.job.id)

          Logger.error(
            "honker worker #{state.options.worker_id} could not settle and leaves to their claims: jobs #{ids}"
          )

          state
        end

      {:ok, state} ->
        settle_last(state, until)

      {:timeout, state} ->
        state

      {:stop, _error, state} ->
        state
    end
  end

  defp settle_last(state, _until), do: state
end
