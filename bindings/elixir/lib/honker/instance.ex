defmodule Honker.Instance do
  @moduledoc false
  # The process that opens a named database, and again when its file was replaced; and the supervisor of it and of all that
  # works on it (`Honker.start_link/1`).

  use GenServer

  require Logger
  alias Honker.{Database, Error, Native, Outbox, Rest, Scheduler, Status, Worker}

  def process(name), do: Module.concat(name, Database)

  # --- The supervisor. ---

  def start_supervisor(opts) do
    {own, worker} = Keyword.split(opts, [:name, :path, :open, :workers, :schedules, :outboxes])

    with {:ok, o} <- Native.options(own, [:name, :path, :schedules, open: [], workers: [], outboxes: []]),
         :ok <- check(o),
         {:ok, children} <- children(o, worker) do
      Supervisor.start_link(children, strategy: :rest_for_one, name: o.name)
    else
      {:error, %Error{} = error} -> {:error, error}
    end
  end

  defp check(%{name: name, path: path} = o) when is_atom(name) and name != nil and is_binary(path) do
    if Enum.all?([o.workers, o.outboxes, o[:schedules] || []], &is_list/1),
      do: :ok,
      else: Error.invalid("workers:, outboxes: and schedules: have to be lists")
  end

  defp check(_), do: Error.invalid("a name:, which is an atom, and a path: are needed")

  # What works on the database starts anew with it, and none of it because another has failed. Who comes later is stopped
  # first.
  defp children(o, worker) do
    one = if worker[:handler] || worker[:jobs], do: [worker], else: []

    workers =
      for {opts, i} <- Enum.with_index(one ++ o.workers),
          do: Supervisor.child_spec({Worker, [db: o.name] ++ opts}, id: {Worker, i})

    scheduler = if o[:schedules], do: [{Scheduler.Leader, {o.name, Native.unique("scheduler"), o.schedules}}], else: []

    if one == [] and worker != [] do
      Error.invalid("there are options of a worker, #{inspect(Keyword.keys(worker))}, and neither handler: nor jobs:")
    else
      with {:ok, outboxes} <- Native.all(o.outboxes, &outbox(o.name, &1)),
           do: {:ok, [{__MODULE__, o}, supervisor(scheduler ++ outboxes ++ workers ++ [Honker.Drain])]}
    end
  end

  defp supervisor(children) do
    start = {Supervisor, :start_link, [children, [strategy: :one_for_one]]}
    %{id: :workers, start: start, type: :supervisor}
  end

  defp outbox(name, {queue, deliver}), do: outbox(name, {queue, deliver, []})

  defp outbox(name, {queue, deliver, opts}) do
    with {:ok, outbox} <- Honker.outbox(name, queue, deliver, opts) do
      worker = {Worker, Outbox.options(outbox, Native.unique("outbox"))}
      {:ok, Supervisor.child_spec(worker, id: {Outbox, queue})}
    end
  end

  defp outbox(_name, other),
    do: Error.invalid("an outbox is {name, function} or {name, function, options}, not #{inspect(other)}")

  # --- The database. ---

  def start_link(o), do: GenServer.start_link(__MODULE__, o, name: process(o.name))

  @impl true
  def init(o) do
    Process.flag(:trap_exit, true)
    state = open(%{name: o.name, path: o.path, open: o.open, db: nil, trouble: nil, rest_ms: Rest.first_ms()})
    if state.db || Status.transient?(state.trouble.name), do: {:ok, state}, else: {:stop, state.trouble}
  end

  @impl true
  def handle_call({:renew, db}, _from, %{db: %Database{ref: ref}} = state) when db.ref == ref do
    Logger.warning(
      "honker #{inspect(state.name)}: #{Honker.Postgres.shown(state.path)} is another file now, or was closed, and is opened anew"
    )

    Honker.close(state.db)
    state = open(%{state | db: nil})
    {:reply, Database.resolve(state.name), state}
  end

  # Somebody else was faster.
  def handle_call({:renew, _db}, _from, state), do: {:reply, Database.resolve(state.name), state}

  @impl true
  def handle_info(:honker_open, %{db: nil} = state), do: {:noreply, open(state)}
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(_late, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    Database.put(state.name, nil)
    if state.db, do: Honker.close(state.db)
  end

  defp open(state) do
    answer = Honker.open(state.path, state.open)
    Database.put(state.name, answer)

    case answer do
      {:ok, db} ->
        if state.trouble, do: Logger.info("honker #{inspect(state.name)}: #{Honker.Postgres.shown(state.path)} is open")
        %{state | db: db, trouble: nil, rest_ms: Rest.first_ms()}

      {:error, error} ->
        if is_nil(state.trouble), do: Logger.warning("honker #{inspect(state.name)} waits: #{error.message}")
        Process.send_after(self(), :honker_open, state.rest_ms)
        %{state | trouble: error, rest_ms: Rest.next_ms(state.rest_ms)}
    end
  end
end
