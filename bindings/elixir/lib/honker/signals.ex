defmodule Honker.Signals do
  @moduledoc false
  # Tells a worker of SIGTERM. The first is the emulator's as well: it stops, and its supervisors stop one after the other; the
  # worker claims nothing more from then on. At the second it ends what runs. One handler for each worker, which is gone with
  # it.

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
    send(worker, if(n == 0, do: :honker_drain, else: :honker_stop_now))
    {:ok, {worker, n + 1}}
  end

  def handle_event(_other, state), do: {:ok, state}

  @impl true
  def handle_call(_request, state), do: {:ok, :ok, state}
end
