defmodule Honker.Signals do
  @moduledoc false
  # Tells a worker of a second SIGTERM. The first is the emulator's: it stops, and its supervisors stop their workers. One
  # handler for each worker, which is gone with it.

  @behaviour :gen_event

  def tell(worker) do
    # It is there in every emulator but embedded ones that were built without.
    if Process.whereis(:erl_signal_server),
      do: :gen_event.add_sup_handler(:erl_signal_server, {__MODULE__, worker}, worker)
  end

  @impl true
  def init(worker), do: {:ok, {worker, 0}}

  @impl true
  def handle_event(:sigterm, {worker, n}) do
    if n > 0, do: send(worker, :honker_stop_now)
    {:ok, {worker, n + 1}}
  end

  def handle_event(_other, state), do: {:ok, state}

  @impl true
  def handle_call(_request, state), do: {:ok, :ok, state}
end
