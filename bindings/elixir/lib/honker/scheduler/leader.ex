defmodule Honker.Scheduler.Leader do
  @moduledoc false
  # The process that leads or stands by, and fires what is due. It waits for messages alone. What fails for a reason that may pass
  # is said once, and tried again after 0.1 to 10 seconds; with the name of a database so is a file that was replaced. Any other
  # error ends it.

  use GenServer, shutdown: 10_000

  require Logger
  alias Honker.{Consumer, Database, Error, Native, Rest, Scheduler, Status}

  # `on`: a database, or the name of one; `schedules`: what is added to its file first, and to one that takes its place.
  def start_link({on, owner, schedules}), do: GenServer.start_link(__MODULE__, {on, owner, schedules, nil})

  # One that ends with the calling process, and does not take that along.
  def start(on, owner), do: GenServer.start(__MODULE__, {on, owner, [], self()})

  @impl true
  def init({on, owner, schedules, caller}) do
    Process.flag(:trap_exit, true)
    Honker.AtExit.tell()
    state = %{on: on, owner: owner, schedules: schedules, caller: caller && Process.monitor(caller)}
    idle = %{db: nil, leader: nil, tag: nil, over: false, trouble: nil, rest_ms: Rest.first_ms()}
    {:ok, Map.merge(state, idle), {:continue, :turn}}
  end

  @impl true
  def handle_continue(:turn, state), do: turn(state)

  @impl true
  def handle_info(:honker_turn, state), do: turn(state)
  def handle_info({:honker_wait, tag, _why}, %{tag: tag} = state), do: turn(state)
  def handle_info({:DOWN, caller, :process, _, _}, %{caller: caller} = state), do: {:stop, :normal, state}
  def handle_info(_late, state), do: {:noreply, state}

  # The emulator is about to halt. It stays, without the lead: a supervisor would start another in its place.
  @impl true
  def handle_call(:honker_wind_up, _from, state) do
    terminate(:halt, state)
    {:reply, :ok, %{state | over: true}}
  end

  @impl true
  def terminate(_reason, state), do: state.leader && Consumer.close(state.leader)

  defp turn(%{over: true} = state), do: {:noreply, state}

  defp turn(%{leader: nil} = state) do
    case Database.resolve(state.on) do
      {:ok, db} -> lead(%{state | db: db})
      {:error, error} -> failed(state, error)
    end
  end

  defp turn(state) do
    case Consumer.look(state.leader, 1) do
      {:ok, _fires} -> again(recovered(state), 0)
      :timeout -> wait(recovered(state), Consumer.arm(state.leader))
      other -> wait(state, other)
    end
  end

  defp lead(state) do
    add = &with(:ok <- Scheduler.add(state.db, &1), do: {:ok, &1})

    with {:ok, _} <- Native.all(state.schedules, add),
         {:ok, leader} <- Consumer.new(state.db, :leader, state.owner, []),
         do: turn(%{state | leader: leader}),
         else: ({:error, error} -> failed(state, error))
  end

  defp wait(state, {:ok, tag}), do: {:noreply, %{state | tag: tag}}
  defp wait(state, again) when again in [:ready, :woken], do: again(state, 0)
  defp wait(state, :closed), do: failed(state, Error.new(:closed_handle, "the database was closed"))
  defp wait(state, {:error, error}), do: failed(state, error)

  # By a message: whoever stops it is heard.
  defp again(state, rest_ms) do
    Process.send_after(self(), :honker_turn, rest_ms)
    {:noreply, %{state | tag: nil}}
  end

  defp failed(state, %Error{name: name} = error) do
    gone? = is_atom(state.on) and name in [:watcher, :closed_handle]

    if gone? or Status.transient?(name) do
      if is_nil(state.trouble), do: Logger.warning("honker scheduler #{state.owner} waits: #{error.message}")
      state = if gone?, do: renewed(state), else: state
      again(%{state | trouble: error, rest_ms: Rest.next_ms(state.rest_ms)}, state.rest_ms)
    else
      Logger.error("honker scheduler #{state.owner} stops: #{error.message}")
      {:stop, {:shutdown, error}, state}
    end
  end

  defp renewed(state) do
    if state.leader, do: Consumer.close(state.leader)
    if state.db, do: Database.renew(state.on, state.db)
    %{state | leader: nil}
  end

  defp recovered(%{trouble: nil} = state), do: state

  defp recovered(state) do
    Logger.info("honker scheduler #{state.owner} works again")
    %{state | trouble: nil, rest_ms: Rest.first_ms()}
  end
end
