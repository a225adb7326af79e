defmodule Honker.Feed do
  @moduledoc false
  # A process that waits with a consumer and sends its items to another process, with which it ends. It sends
  # {:honker, pid, item} for each, and {:honker, pid, {:closed, reason}} when there will be no more.
  #
  # With `ack: true` the next item is sent when the one before has been acknowledged, so that the receiver is never more
  # than one behind and an item that it dies of is not finished.

  use GenServer

  alias Honker.{Consumer, Error}

  def start(make, ack?), do: GenServer.start(__MODULE__, {self(), make, ack?})

  def ack(feed) do
    GenServer.call(feed, :ack, :infinity)
  catch
    # It has said why.
    :exit, {_gone, _call} -> {:error, Error.new(:closed_handle, "the subscription has ended")}
  end

  @impl true
  def init({receiver, make, ack?}) do
    Process.monitor(receiver)

    case make.() do
      {:ok, consumer} ->
        state = %{receiver: receiver, consumer: consumer, ack?: ack?, in_hand?: false, tag: nil}
        {:ok, state, {:continue, :look}}

      {:error, error} ->
        {:stop, {:shutdown, error}}
    end
  end

  @impl true
  def handle_continue(:look, state), do: look(state)

  @impl true
  def handle_call(:ack, _from, %{ack?: true, in_hand?: true} = state) do
    with {:ok, _} <- Consumer.act(state.consumer, :ack) do
      {:reply, :ok, %{state | in_hand?: false}, {:continue, :look}}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call(:ack, _from, state) do
    {:reply, {:error, Error.new(:misuse, "there is no event to acknowledge")}, state}
  end

  @impl true
  def handle_info({:honker_wait, tag, _why}, %{tag: tag} = state), do: look(%{state | tag: nil})
  def handle_info(:honker_look, state), do: look(state)
  def handle_info({:DOWN, _, :process, receiver, _}, %{receiver: receiver} = state), do: {:stop, :normal, state}
  def handle_info(_late, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state), do: Consumer.close(state.consumer)

  defp look(%{ack?: true, in_hand?: true} = state), do: {:noreply, state}

  defp look(state) do
    case Consumer.look(state.consumer, 1) do
      {:ok, item} ->
        send(state.receiver, {:honker, self(), item})
        # By a message: whoever ends it is heard, however many there are.
        if not state.ack?, do: send(self(), :honker_look)
        {:noreply, %{state | in_hand?: state.ack?}}

      :timeout ->
        wait(state)

      :closed ->
        ended(state, :closed)

      # It is said when to look again after an error that may pass.
      {:error, %Error{name: name}} when name in [:busy, :interrupted] ->
        wait(state)

      {:error, error} ->
        ended(state, error)
    end
  end

  defp wait(state) do
    case Consumer.arm(state.consumer) do
      {:ok, tag} -> {:noreply, %{state | tag: tag}}
      again when again in [:ready, :woken] -> look(state)
      :closed -> ended(state, :closed)
      {:error, error} -> ended(state, error)
    end
  end

  defp ended(state, reason) do
    send(state.receiver, {:honker, self(), {:closed, reason}})
    {:stop, :normal, state}
  end
end
