defmodule Honker.Worker do
  @moduledoc """
  A supervised process that runs the jobs of a queue:

      children = [
        {Honker.Worker, db: db, queue: "emails", handler: &MyApp.send_email/1, concurrency: 4}
      ]

  Options:

    * `db:`, `queue:`, `handler:` - required; `handler` is given a `Honker.Job`
    * `concurrency:` - how many jobs run at the same time, each in a process of its own. Default: the number of schedulers
    * `worker_id:` - the name under which jobs are claimed. Default: one that nobody else has
    * `retry_delay_s:` - after how many seconds a job that failed comes again. Default 60
    * `shutdown:` - how long, in milliseconds or `:infinity`, running jobs may take when the worker is stopped. Default 30,000
    * `name:` - to be registered as; also the id in the supervisor

  What the handler returns decides: `{:error, reason}`, `:error`, nil and false retry the job, `{:retry, delay_s, reason}` does so
  after another delay (a number; fractions of a second are rounded up), `{:fail, reason}` sends it to the dead. Any other tuple that
  does not begin with `:ok` retries it as well; everything else means that it is done. If it raises, throws or exits, or its process
  ends in whichever way, the job is retried, and nothing else happens.

  While somebody else keeps the file locked, a finished job is settled again and again, until that succeeds or its claim is lost.

  When it is stopped, by its supervisor or `stop/2`, it claims nothing more and waits for the jobs that are running, which
  are settled as always. Jobs of a worker that was killed come again when their visibility timeout is over.
  `Honker.Event` says how to hear about all that.
  """

  use GenServer

  alias Honker.{Consumer, Error, Event, Handler, Job, Native, Queue}

  @doc false
  def child_spec(opts) do
    %{
      id: Keyword.get(opts, :name, {__MODULE__, opts[:queue]}),
      start: {__MODULE__, :start_link, [opts]},
      shutdown: Keyword.get(opts, :shutdown, 30_000)
    }
  end

  @doc "Starts a worker. Options: see above."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, Keyword.take(opts, [:name]))

  @doc "Stops a worker, waiting for the jobs that are running."
  @spec stop(GenServer.server(), timeout) :: :ok
  def stop(worker, timeout \\ :infinity), do: GenServer.stop(worker, :normal, timeout)

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)

    defaults = [
      :db,
      :queue,
      :handler,
      :name,
      :shutdown,
      concurrency: System.schedulers_online(),
      worker_id: unique(),
      retry_delay_s: 60
    ]

    with {:ok, o} <- Native.options(opts, defaults),
         :ok <- check(o),
         {:ok, consumer} <- Queue.worker(o.db, o.queue, o.worker_id) do
      state = Map.merge(o, %{consumer: consumer, running: %{}, tag: nil})
      {:ok, state, {:continue, :fill}}
    else
      {:error, error} -> {:stop, error}
    end
  end

  defp check(%{db: %Honker.Database{}, handler: handler, concurrency: n})
       when is_function(handler, 1) and is_integer(n) and n > 0,
       do: :ok

  defp check(_), do: Error.invalid("a worker needs db:, queue:, a handler: of one argument and a positive concurrency:")

  defp unique do
    {:ok, host} = :inet.gethostname()
    "honker-worker-#{host}-#{System.pid()}-#{System.unique_integer([:positive])}"
  end

  @impl true
  def handle_continue(:fill, state), do: fill(state)

  @impl true
  def handle_info({:honker_wait, tag, _why}, %{tag: tag} = state), do: fill(%{state | tag: nil})

  def handle_info({:settled, pid}, %{running: running} = state) when is_map_key(running, pid) do
    {:noreply, settled(state, pid)}
  end

  def handle_info({:EXIT, pid, reason}, %{running: running} = state) when is_map_key(running, pid) do
    state = ended(state, pid, reason)
    # While it waits it will be told.
    if state.tag, do: {:noreply, state}, else: fill(state)
  end

  def handle_info({:EXIT, _parent, reason}, state), do: {:stop, reason, state}
  def handle_info(_late, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    Consumer.close(state.consumer)
    finish(state)
  end

  defp finish(%{running: running}) when running == %{}, do: :ok

  defp finish(state) do
    receive do
      {:settled, pid} when is_map_key(state.running, pid) -> finish(settled(state, pid))
      {:EXIT, pid, reason} when is_map_key(state.running, pid) -> finish(ended(state, pid, reason))
    end
  end

  # Claims as many jobs as may run, until there are none or no room.
  defp fill(state) do
    case state.concurrency - map_size(state.running) do
      0 ->
        {:noreply, state}

      room ->
        case Consumer.look(state.consumer, room) do
          {:ok, jobs} ->
            fill(Enum.reduce(jobs, state, &start/2))

          :timeout ->
            wait(state)

          :closed ->
            {:stop, Error.new(:closed_handle, "the database was closed"), state}

          {:error, error} ->
            Event.emit([:honker, :worker, :error], %{}, %{worker: state.worker_id, error: error})
            if error.name in [:busy, :interrupted], do: wait(state), else: {:stop, error, state}
        end
    end
  end

  defp wait(state) do
    case Consumer.arm(state.consumer) do
      {:ok, tag} -> {:noreply, %{state | tag: tag}}
      again when again in [:ready, :woken] -> fill(state)
      :closed -> {:stop, Error.new(:closed_handle, "the database was closed"), state}
      {:error, error} -> {:stop, error, state}
    end
  end

  # Linked, so that no job goes on without its worker.
  defp start(job, state) do
    worker = self()

    in_process(state, job, fn ->
      Event.emit([:honker, :job, :start], %{attempts: job.attempts}, %{job: job, worker: state.worker_id})
      began = System.monotonic_time()
      settle(worker, state, job, began, result(state, job))
    end)
  end

  defp in_process(state, job, fun), do: put_in(state.running[spawn_link(fun)], job)

  defp result(state, job) do
    case Handler.call(state.handler, job) do
      :ok -> :ack
      {:error, text} -> {:retry, state.retry_delay_s, text}
      decided -> decided
    end
  end

  # How its process ends says nothing of a job: a handler may end it in any way, normally too. So the worker is told.
  defp settle(worker, state, job, began, result) do
    settled =
      Handler.settle(fn ->
        case result do
          :ack -> Job.ack(state.db, job)
          {:retry, delay_s, text} -> Job.retry(state.db, job, delay_s, text)
          {:fail, text} -> Job.fail(state.db, job, text)
        end
      end)

    send(worker, {:settled, self()})

    measurements = %{duration: System.monotonic_time() - began}
    metadata = %{job: job, worker: state.worker_id, result: result}

    case settled do
      {:ok, true} -> Event.emit([:honker, :job, :stop], measurements, metadata)
      {:ok, false} -> Event.emit([:honker, :job, :lost], measurements, metadata)
      {:error, error} -> Event.emit([:honker, :job, :error], measurements, Map.put(metadata, :error, error))
    end
  end

  # Its place is taken until the process is gone.
  defp settled(state, pid), do: put_in(state.running[pid], :settled)

  # The process of a job is gone. If it had not settled it, somebody else has to.
  defp ended(state, pid, reason) do
    case pop_in(state.running[pid]) do
      {:settled, state} ->
        state

      {job, state} ->
        worker = self()
        text = Job.readable("the process of its handler ended: " <> Exception.format_exit(reason))
        result = {:retry, state.retry_delay_s, text}
        in_process(state, job, fn -> settle(worker, state, job, System.monotonic_time(), result) end)
    end
  end
end
