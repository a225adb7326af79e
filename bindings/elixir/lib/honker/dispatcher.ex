defmodule Honker.Dispatcher do
  @moduledoc false
  # The process that has those told that wait for the commits of a database: one for each database of whose consumers one
  # has waited, started by whoever waits first, and ended with the database. It is linked to nobody. Should somebody kill it,
  # whoever waits starts another (c_src/waiter.c).

  alias Honker.Native

  def start(waiter), do: spawn(__MODULE__, :run, [waiter])

  @doc false
  def run(waiter) do
    if Native.dispatch(waiter), do: dispatch()
  end

  # The waiter is in the message: a process that has no reference to it does not keep it.
  defp dispatch do
    receive do
      {:select, waiter, _, _} -> if Native.waiter_ready(waiter) == :ok, do: dispatch()
      _stray -> dispatch()
    end
  end
end
